"""The registers of the accelerator, declared once.

Hardware (:mod:`hdl.bus.register_file`), the C header and the Markdown page
(:mod:`.register_text`) and drivers in Python all derive from ``REGISTERS``. Nothing here
needs Amaranth, so a driver can import it where only Python is installed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType

from csb_format.cells import LSTM
from csb_format.precision import Precision
from csb_format.scales import MAX_ALIGN

from ..array.design import Design
from .dma_registers import DMA, DMA_REGISTERS
from .register_types import BITS, Access, BitField, Register, RegisterError, Word

__all__ = [
    "CHECKED",
    "COUNTERS",
    "LOAD_MAGIC",
    "MAGIC",
    "PACKET",
    "PACKET_MAGIC",
    "PAGE_BITS",
    "PLANES",
    "PLANES_MINOR",
    "REGISTERS",
    "SCREEN",
    "SCREEN_COUNTERS",
    "SCREEN_MINOR",
    "TRAIN",
    "VERSION",
    "WALK",
    "Access",
    "BitField",
    "Register",
    "RegisterError",
    "Word",
    "design_hash",
    "registers_of",
]

MAGIC = int.from_bytes(b"SPFL")
VERSION = (2, 1)  # of this map: major changes break drivers, minor ones add to it
DMA_MINOR = 2  # of one with those of transfers
TRAIN_MINOR = 3  # of one that trains
SCREEN_MINOR = 4  # of one with a screen unit
PLANES_MINOR = 5  # of one with a screen unit whose planes lie outside
PACKET_MAGIC = 0xF5
LOAD_MAGIC = 0xF6  # of a design that trains: words of load packets follow
CHECKED = "checked"  # the feature of a design that keeps parity
TRAIN = "train"  # of one that trains
WALK = "walk"  # of one that walks over its memories
SCREEN = "screen"  # of one with a screen unit
PLANES = "planes"  # of one whose planes lie in a memory outside
PAGE_BITS = 12  # below those that tell one page of memory from another
TIMEOUT = 1 << 24  # longer than any step of a sensible array, a sixth of a second at 100 MHz


def _flags(**texts: str) -> tuple[BitField, ...]:
    """One-bit fields from bit 0 on."""
    return tuple(BitField(name, i, 1, text) for i, (name, text) in enumerate(texts.items()))


def _number(name: str, text: str, width: int = BITS, reset: int = 0) -> tuple[BitField, ...]:
    return (BitField(name, 0, width, text, reset),)


def _pair(low: tuple[str, str], high: tuple[str, str]) -> tuple[BitField, ...]:
    return (BitField(low[0], 0, 16, low[1]), BitField(high[0], 16, 16, high[1]))


PACKET = Word(
    "packet",
    "First beat of every packet on `s_axis`, in its lowest 32 bits; whole frames follow.",
    (
        BitField("context", 0, 16, "Stream whose state the frames continue; below `contexts`."),
        BitField("first", 16, 1, "The first frame starts from the initial state."),
        BitField("closes", 17, 1, "Of a batched design: each frame is the last of its batch."),
        BitField(
            "magic",
            24,
            8,
            f"0x{PACKET_MAGIC:02X}; of a design that trains "
            f"0x{LOAD_MAGIC:02X}: words of load packets follow; anything else is no header.",
        ),
    ),
)

COUNTERS: Mapping[str, str] = MappingProxyType(
    {
        "cycles": "Clock cycles.",
        "busy_cycles": "Cycles in which `status.busy` was set.",
        "issued": "Cycles in which the array took a CSB group.",
        "wait_frame": "Cycles in which the program waited for an input frame.",
        "wait_state": "Cycles in which the program waited for a hidden state.",
        "wait_room": "Cycles in which the program waited for room in the output buffer.",
        "wait_word": "Cycles in which the program waited for a streamed word of the matrix.",
        "frames_in": "Frames that the core took.",
        "frames_out": "Frames that left on `m_axis`.",
        "saturated": "Cycles in which some value was clipped.",
        "input_stalls": "Cycles in which `s_axis` offered a beat that was not taken.",
        "output_stalls": "Cycles in which `m_axis` offered a beat that was not taken.",
    }
)
COUNTER_BASE = 0x100
#: What a screen unit reads, by the names of its counters; 32 bits that go on from 0.
SCREEN_COUNTERS: Mapping[str, str] = MappingProxyType(
    {
        "blocks": "Blocks of 16 rows that the screen unit looked at.",
        "first": "Rows whose first plane the screen unit read.",
        "second": "Rows whose second plane the screen unit read.",
        "exact": "Rows that the screen unit computed.",
    }
)


def _screen() -> Iterator[Register]:
    for n, (name, text) in enumerate(SCREEN_COUNTERS.items()):
        told = "For results that have left, since a reset or `clear_counters`."
        yield Register(
            f"screen_{name}", text, _number("count", told), 0x070 + 4 * n, feature=SCREEN
        )


_IDENTITY = (
    Register("magic", "Tells that this is Sparseflow.", _number("magic", "0x5350464C, `SPFL`.")),
    Register(
        "version",
        "Version of this register map.",
        _pair(
            ("minor", "Grows when registers are added."),
            ("major", "Grows when a driver has to change."),
        ),
        0x004,
    ),
    Register(
        "design_hash",
        "Tells one design from another.",
        _number("hash", "First 32 bits of the SHA-256 of the design's parameters."),
        0x008,
    ),
    Register(
        "array",
        "The multiplier array.",
        _pair(("pes", "M, processing elements."), ("lanes", "N, multipliers of each.")),
        0x00C,
    ),
    Register(
        "units",
        "What takes the results.",
        _pair(("units", "E, element-wise lanes."), ("projectors", "Q, projection lanes.")),
        0x010,
    ),
    Register(
        "widths",
        "Bits of numbers.",
        (
            BitField("value_bits", 0, 8, "Weights."),
            BitField("act_bits", 8, 8, "Inputs, gates and hidden state."),
            BitField("index_bits", 16, 8, "Place of a weight in its bank."),
            BitField("state_bits", 24, 8, "Cell state and pre-activations."),
        ),
        0x014,
    ),
    Register(
        "buses",
        "Bits of `tdata`.",
        _pair(("input_bits", "Of `s_axis`."), ("output_bits", "Of `m_axis`.")),
        0x018,
    ),
    Register("contexts", "Streams of their own.", _number("contexts", "Their number."), 0x030),
    Register(
        "beats",
        "Bus beats of one beat of the core; see docs/bus.md.",
        _pair(("input_beats", "On `s_axis`."), ("output_beats", "On `m_axis`.")),
        0x01C,
    ),
    Register("matrix_depth", "Matrix memory of a PE.", _number("depth", "In CSB groups."), 0x020),
    Register("vector_depth", "A vector bank.", _number("depth", "In elements."), 0x024),
    Register("program_depth", "Program memory.", _number("depth", "In instructions."), 0x028),
    Register("output_depth", "Output buffer.", _number("depth", "In beats of the core."), 0x02C),
)

_COMMON_ERRORS = _flags(
    bad_address="An access to an address without a register, or a read of a write-only one.",
    read_only="A write to a read-only register.",
    partial="A write without all four bytes where they are needed.",
    busy="A write that has to wait until the accelerator is idle.",
    value="A start at an address outside the program memory.",
    load="A load packet named a space or a memory that does not exist.",
    program="An instruction could not be understood.",
    header="A packet on `s_axis` began with no valid header, or came while `frame.beats` is 0.",
    short="`tlast` came within a frame or with the header; the frame was completed with zeros.",
    timeout="Nothing moved for `timeout.cycles` cycles.",
    misaligned="A frame met another word of `s_axis_matrix` than the marked first of an image, "
    "or met that one later.",
)
_ERRORS = (
    *_COMMON_ERRORS,
    BitField("dma", 11, 1, "A transfer failed; `dma_status` tells why.", feature=DMA),
    BitField("memory", 12, 1, "A word of a memory had changed when it was used.", feature=CHECKED),
    BitField("frame", 13, 1, "A beat of a frame, or its marks, had changed.", feature=CHECKED),
    BitField("packet", 14, 1, "A load packet had changed.", feature=CHECKED),
    BitField("walk", 15, 1, "A word of a memory had changed that nobody was using.", feature=WALK),
    BitField(
        "planes",
        16,
        1,
        "A row of planes came with an error of memory, or not as it was asked for.",
        feature=PLANES,
    ),
)

_CONTROL = (
    Register(
        "control",
        "Commands; each bit acts once when 1 is written.",
        _flags(
            soft_reset="Reset the core; memories, settings and counters keep their contents.",
            new_source="With `soft_reset`: the source of `s_axis` was reset as well, so do not "
            "wait for the end of its packet.",
            clear_counters="Set all counters to 0.",
        ),
        0x040,
        Access.WRITE,
    ),
    Register(
        "start",
        "A write starts the program and clears a fault.",
        _number("address", "Program address.", 16),
        0x044,
        Access.WRITE,
        idle=True,
        whole=True,
    ),
    Register(
        "load",
        "A word of the packets that fill the memories (hdl/core/loader.py).",
        _number("word", "The word."),
        0x048,
        Access.WRITE,
        idle=True,
        whole=True,
    ),
    Register(
        "frame",
        "Shape of input frames, to find where one ends.",
        _number("beats", "Beats of the core in a frame; 0 rejects all packets.", 16),
        0x04C,
        Access.BOTH,
        idle=True,
    ),
    Register(
        "timeout",
        "Watchdog over the core while it owes a transfer.",
        _number("cycles", "Cycles without a transfer; 0 switches it off.", reset=TIMEOUT),
        0x050,
        Access.BOTH,
    ),
    Register(
        "status",
        "What goes on now.",
        _flags(
            halted="The program is at `HALT`: it ended, or nothing was started.",
            fault="A load packet, an instruction or a word of the matrix was not understood; until "
            "the next start.",
            busy="A packet or a frame is under way.",
            discarding="Input is thrown away, up to `tlast` or, after a stop, until a start.",
            stopped="After a fault or a timeout: wants `soft_reset`, then `start`.",
            error="Some bit of `errors` is set.",
            irq="The interrupt line.",
            settling="A start, a load or a reset is a few cycles ago: read once more.",
        ),
        0x054,
    ),
    Register(
        "errors",
        "What went wrong; sticky, write 1 to clear.",
        _ERRORS,
        0x058,
        Access.CLEAR,
    ),
    Register(
        "learnt",
        "The weight that was read last, by a load packet (compiler/learn/commands.py).",
        (
            BitField("master", 0, 9, "Low bits of its master."),
            BitField("weight", 9, 18, "The weight, as many bits as weights have."),
        ),
        0x06C,
        feature=TRAIN,
    ),
    Register(
        "rejected",
        "The last access that was answered with `SLVERR`.",
        (
            BitField("address", 0, 16, "Byte address."),
            BitField("write", 16, 1, "It was a write."),
        ),
        0x05C,
    ),
    Register(
        "irq_enable",
        "Which bits of `irq_status` raise the interrupt.",
        (
            *_flags(frame="`frame`.", idle="`idle`.", halted="`halted`.", error="`error`."),
            BitField("loaded", 4, 1, "`loaded`.", feature=DMA),
        ),
        0x060,
        Access.BOTH,
    ),
    Register(
        "irq_status",
        "Events; sticky, write 1 to clear.",
        (
            *_flags(
                frame="The last beat of a frame left on `m_axis`.",
                idle="The last frame under way has left.",
                halted="The program reached `HALT`.",
                error="A bit of `errors` was set.",
            ),
            BitField("loaded", 4, 1, "A transfer, or a list of them, is done.", feature=DMA),
        ),
        0x064,
        Access.CLEAR,
    ),
    Register(
        "walk",
        "Walks over the memories that a program only reads.",
        _number("walks", "Whole walks that have found what was loaded, since a reset."),
        0x068,
        feature=WALK,
    ),
    *_screen(),
    Register(
        "planes_base",
        "Where the planes of the screened head lie in memory.",
        (BitField("page", PAGE_BITS, BITS - PAGE_BITS, "Bits 31..12 of the address."),),
        0x0A8,
        Access.BOTH,
        idle=True,
        feature=PLANES,
    ),
    Register(
        "planes_base_high",
        "Where the planes of the screened head lie in memory.",
        _number("high", "Bits 63..32 of the address."),
        0x0AC,
        Access.BOTH,
        idle=True,
        feature=PLANES,
    ),
)


def _counters() -> Iterator[Register]:
    for i, (name, text) in enumerate(COUNTERS.items()):
        address = COUNTER_BASE + 8 * i
        yield Register(name, text, _number("low", "Bits 31..0; a read keeps the rest."), address)
        high = _number("high", "Bits 63..32 as the low word was read.")
        yield Register(f"{name}_high", text, high, address + 4)


REGISTERS: Mapping[str, Register] = MappingProxyType(
    {
        register.name: register
        for register in sorted(
            (*_IDENTITY, *_CONTROL, *DMA_REGISTERS, *_counters()), key=lambda r: r.address
        )
    }
)
"""All that an accelerator may have, those of features among them; in order of address."""


def registers_of(features: Collection[str] = ()) -> Mapping[str, Register]:
    """What an accelerator with these features has, in order of address."""
    return {
        name: register.with_features(features)
        for name, register in REGISTERS.items()
        if register.feature in ("", *features)
    }


# fields of a design that came after the first bitstreams, as those were
YOUNGER = {
    "pieces": 1,
    "compact": False,
    "max_align": MAX_ALIGN,
    "cell": LSTM,
    "reach": Precision.reach,
    "wider": (),
    "checked": False,
    "walk": False,
    "by_gate": False,
    "train": 0,
    "backward": False,
    "forward": 0,
    "indexed": 0,
    "batched": False,
    "shallow": False,
    "slot_units": 0,
    "slot_results": 0,
    "rectified": False,
    "row_bits": 0,
    "row_shift": 0,
    "parts": False,
    "unguarded": False,
    "block_banks": False,
    "spread": 0,
    "screen": None,
}


def design_hash(design: Design) -> int:
    """32 bits that tell designs apart: the head of a SHA-256 over all parameters."""
    parameters = asdict(design)
    if design.screen and not design.screen.bus_bits:  # younger too
        del parameters["screen"]["bus_bits"]
    for name, usual in YOUNGER.items():
        if parameters[name] == usual:
            del parameters[name]
    text = json.dumps(parameters, sort_keys=True, allow_nan=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
