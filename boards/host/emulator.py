"""A board on the integer model: the same bytes on the line, no hardware, no cycles."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from compiler.abi.identity import counters_of, identity
from compiler.abi.registers import (
    COUNTERS,
    LOAD_MAGIC,
    PACKET,
    PACKET_MAGIC,
    REGISTERS,
    Access,
    registers_of,
)
from compiler.abi.states import results_of
from compiler.abi.wire import frame_inputs, frame_packing, state_packing, state_payloads
from compiler.array.design import Design
from compiler.array.placement import Placement
from compiler.lower.image import Image
from compiler.lower.load import COUNT_BITS, WORD, Space, space_depths, space_targets, space_widths
from compiler.lower.plan import Part
from csb_format import IntArray
from engine.reference import LayerModel
from engine.screened import of_all

from ..link.protocol import (
    BUS_BITS,
    COMMANDS_WITH_WORDS,
    INCREMENT,
    LAST,
    MAX_WORDS,
    NAK,
    REPLY,
    VERSION,
    Code,
    Command,
    Damaged,
    FrameFinder,
    Reply,
    Request,
    enframe,
)

__all__ = ["EmulatedAccelerator", "EmulatedLine"]

CLOCK_HZ = 100_000_000  # told, not kept
FRAMES = ("frames_in", "frames_out")  # counters of the integer model, which has no cycles
OUT_WORDS = 1 << 11  # states that wait; the next frames are computed as a host takes them


_Frame = tuple[list[int], int, bool]  # payloads, context, whether it starts a sequence


class _Program:
    """One program of an image, with the states of all contexts."""

    def __init__(self, image: Image, number: int):
        self.image, self.part = image, image.parts[number]
        self.layers = [LayerModel(image.model.layers[n]) for n in self.part.layers]
        self._packings = [
            state_packing(image.design, BUS_BITS, results=given) for given in (False, True)
        ]
        self._results = results_of(self.part)
        self._cuts = list(_cuts(self.part))
        self._states: dict[int, list[tuple[IntArray, IntArray, IntArray]]] = {}

    def run(self, payloads: Sequence[int], context: int, first: bool) -> list[list[int]]:
        """Words of each beat that leaves for a frame."""
        if first or context not in self._states:
            self._states[context] = [self._zeros(layer) for layer in self.layers]
        now = self._states[context]
        inputs = frame_inputs(self.image.design, self.part, payloads)
        for n, layer in enumerate(self.layers):
            parallel = self.image.model.directions == 2
            x = inputs[n] if parallel or n == 0 else now[n - 1][2]
            h, c = layer.step(x, now[n][2], now[n][1])
            now[n] = h, c, layer.project(h)
        made = zip(self._results, self._payloads(now, context), strict=True)
        return [self._packings[result].pack(one) for result, one in made]

    def batch(self, frames: Sequence[_Frame]) -> Iterator[tuple[int, bool]]:
        """Words that leave for a batch, with their marks of a packet's end.

        Results of streams that share words lie slot by slot, in a slot stream by stream.
        """
        made = [self.run(*frame) for frame in frames]
        for start, stop in pairwise(self._cuts):
            for beats in made:
                yield from _marked(beats[start:stop], stop == len(beats))

    @staticmethod
    def _zeros(layer: LayerModel) -> tuple[IntArray, IntArray, IntArray]:
        hidden, output = layer.layer.hidden_size, layer.layer.output_size
        return tuple(np.zeros(n, np.int64) for n in (hidden, hidden, output))  # type: ignore[return-value]

    def _payloads(
        self, now: list[tuple[IntArray, IntArray, IntArray]], context: int
    ) -> Iterator[int]:
        head = self.image.model.head
        for emission in self.part.emissions:
            h, c, output = now[self.part.layers.index(emission.layer)]
            values = {"h": h, "c": c, "r": output}
            if emission.kind == "linear" and head is not None:
                values["y"] = head.logits(output)
            if emission.kind == "largest" and head is not None:
                k = emission.placement.size
                values["index"], values["logit"] = of_all(head.logits(output), k)
            yield from state_payloads(self.image.design, emission, values, context)


def _cuts(part: Part) -> Iterator[int]:
    """Beats of a frame at which, slot by slot, those of the next stream come; 0 and the end too."""
    yield (at := 0)
    for emission in part.emissions:
        placement = emission.placement
        slot = placement.block // placement.lanes if isinstance(placement, Placement) else 1
        yield from range(at + slot, at + placement.beats, slot)
        yield (at := at + placement.beats)


def _marked(beats: Sequence[Sequence[int]], ends: bool) -> Iterator[tuple[int, bool]]:
    words = [word for beat in beats for word in beat]
    for n, word in enumerate(words, 1):
        yield word, ends and n == len(words)


class EmulatedAccelerator:
    """Registers and streams of :class:`hdl.bus.accelerator.Accelerator`, on the integer model.

    Its memories hold what is loaded, word by word, but their words are not interpreted: a
    program runs if all memories hold those of an image that was made known before, else
    the accelerator halts. States cannot be loaded, and only the counters of frames count.

    Parameters
    ----------
    design : Design
    """

    def __init__(self, design: Design):
        self.design = design
        self.images: list[Image] = []
        self._packing = frame_packing(design, BUS_BITS)
        # by space: words of 32 bits in a word of a memory and in a memory, number of memories
        widths = space_widths(design)
        self._chunks = {int(space): -(-width // WORD) for space, width in widths.items()}
        self._places = {n: space_depths(design)[Space(n)] * c for n, c in self._chunks.items()}
        self._targets = {int(space): n for space, n in space_targets(design).items()}
        self._memories: dict[tuple[int, int], dict[int, int]] = {}
        self._packet: list[int] = []
        self._values = {register.address: register.reset for register in registers_of().values()}
        for name, fields in identity(design, BUS_BITS, BUS_BITS).items():
            self._values[REGISTERS[name].address] = REGISTERS[name].encode(**fields)
        self._program: _Program | None = None
        self._fault = self._ran = False
        self._counts = dict.fromkeys(COUNTERS, 0)
        self.counted = tuple(name for name in FRAMES if name in counters_of(design))
        self._high = 0
        self._reset_streams()

    def _reset_streams(self) -> None:
        self._header: dict[str, int] | None = None
        self._discarding = False
        self._beats: list[int] = []
        # beats, each with its context and its marks of a sequence's start and a batch's end
        self._taken: deque[tuple[int, int, bool, bool]] = deque()
        self._batch: list[_Frame] = []
        self._out: deque[tuple[int, bool]] = deque()

    def read(self, address: int) -> int | None:
        """A register; None where it is refused."""
        register = next((r for r in registers_of().values() if r.address == address), None)
        if register is None or not register.readable:
            self._refuse("bad_address", address, write=0)
            return None
        name = register.name.removesuffix("_high")
        if name in COUNTERS:
            if register.name == name:
                self._high = self._counts[name] >> WORD
                return self._counts[name] & 0xFFFFFFFF
            return self._high
        if register.name == "status":
            flags = {"halted": self._program is None, "fault": self._fault}
            flags |= {"stopped": self._fault, "busy": bool(self._out)}
            flags["error"] = self._values[REGISTERS["errors"].address] != 0
            return register.encode(**{name: int(flag) for name, flag in flags.items()})
        return self._values[address]

    def write(self, address: int, word: int) -> bool:
        """Write a register; whether it was accepted."""
        register = next((r for r in registers_of().values() if r.address == address), None)
        if register is None or not register.writable:
            return self._refuse("bad_address" if register is None else "read_only", address)
        if register.idle and self._out:
            return self._refuse("busy", address)
        if register.name == "start" and word >= self.design.program_depth:
            return self._refuse("value", address)
        if register.access is Access.CLEAR:
            self._values[address] &= ~word
        elif register.access is Access.BOTH:
            self._values[address] = word & sum(field.mask for field in register.fields)
        elif register.name == "load":
            self._load(word)
        elif register.name == "start":
            self._start(word)
        elif register.name == "control":
            self._control(register.decode(word))
        return True

    def _control(self, bits: dict[str, int]) -> None:
        if bits["clear_counters"]:
            self._counts = dict.fromkeys(COUNTERS, 0)
        if bits["soft_reset"]:
            self._reset_streams()
            self._fault = False
            if self._ran:
                self._start(0)

    def _error(self, name: str) -> None:
        errors = REGISTERS["errors"]
        self._values[errors.address] |= errors.field(name).mask

    def _refuse(self, why: str, address: int, write: int = 1) -> bool:
        """Note a refused access."""
        self._error(why)
        rejected = REGISTERS["rejected"]
        self._values[rejected.address] = rejected.encode(address=address, write=write)
        return False

    def _load(self, word: int) -> None:
        """A word of a load packet; whole ones are stored."""
        self._packet.append(word)
        for space, target, address, words in _packets(
            self._packet, self._chunks, self.design.checked
        ):
            self._packet.clear()
            if space == Space.START and address < self.design.program_depth:
                self._start(address)
            elif not self._store(space, target, address, words):
                self._error("load")
                self._fault = True

    def _store(self, space: int, target: int, address: int, words: Sequence[int]) -> bool:
        """Keep what there is a place for; whether that was all."""
        if target >= self._targets.get(space, 0):
            return False
        inside = words[: max(0, self._places[space] - address)]
        self._memories.setdefault((space, target), {}).update(enumerate(inside, address))
        return len(inside) == len(words)

    def _start(self, entry: int) -> None:
        """Find whose program it is."""
        self._ran = True
        self._fault, self._program = False, None
        self._taken.clear()
        self._batch.clear()
        for image in self.images:
            for number, part in enumerate(image.parts):
                if part.entry == entry and self._holds(image):
                    self._program = _Program(image, number)

    def _holds(self, image: Image) -> bool:
        for space, target, address, words in _packets(
            image.load_words(), self._chunks, self.design.checked
        ):
            held = self._memories.get((space, target), {})
            if any(held.get(n) != word for n, word in enumerate(words, address)):
                return False
        return True

    def send(self, words: Sequence[int], last: bool) -> int:
        """Words of a packet; how many were taken."""
        if self._program is None and not self._fault:
            return 0
        for n, word in enumerate(words):
            if len(self._out) >= OUT_WORDS:
                return n  # as a full buffer does, until somebody takes words
            self._word(word, last and n == len(words) - 1)
        return len(words)

    def _word(self, word: int, last: bool) -> None:
        if self._discarding or self._fault:
            self._discarding = not last
        elif self._header is None:
            self._begin(PACKET.decode(word), last)
        elif self._header["magic"] == LOAD_MAGIC:
            self._load(word)
            if last:
                self._header = None
        else:
            self._beats.append(word)
            whole = self._values[REGISTERS["frame"].address] * self._packing.beats
            if last and len(self._beats) < whole:
                self._error("short")
                self._beats += [0] * (whole - len(self._beats))
            if len(self._beats) == whole:
                self._frame()
            if last:
                self._header = None

    def _begin(self, header: dict[str, int], last: bool) -> None:
        good = header["magic"] == PACKET_MAGIC and header["context"] < self.design.contexts
        if self.design.train and header["magic"] == LOAD_MAGIC and not last:
            self._header = header
        elif not good or self._values[REGISTERS["frame"].address] == 0:
            self._error("header")
            self._discarding = not last
        elif last:
            self._error("short")
        else:
            self._header = header

    def _frame(self) -> None:
        """A whole frame for the core, which takes as many beats as its program has."""
        assert self._header is not None
        chunks = np.array(self._beats, object).reshape(-1, self._packing.beats)
        # without batches every frame is one
        closes = bool(self._header["closes"]) or not self.design.batched
        marks = self._header["context"], bool(self._header["first"]), closes
        self._taken += [(self._packing.unpack(chunk.tolist()), *marks) for chunk in chunks]
        self._header["first"] = 0
        self._beats.clear()
        self._count("frames_in", 1)
        self._run()

    def _run(self) -> None:
        """Frames of the program, out of the beats that it has, while there is place."""
        size = self._program.part.frame_beats if self._program else len(self._taken) + 1
        while self._program and len(self._taken) >= size and len(self._out) < OUT_WORDS:
            beats = [self._taken.popleft() for _ in range(size)]
            _, context, first, closes = beats[0]
            self._batch.append(([payload for payload, *_ in beats], context, first))
            if closes:
                self._out += self._program.batch(self._batch)
                self._batch.clear()

    def receive(self, count: int) -> list[tuple[int, bool]]:
        """Words with their marks of a packet's end."""
        got = [self._out.popleft() for _ in range(min(count, len(self._out)))]
        self._run()
        self._count("frames_out", sum(last for _, last in got))
        return got

    def _count(self, name: str, events: int) -> None:
        """Add to a counter that the design has, of as many bits."""
        if name in self.counted:
            self._counts[name] = (self._counts[name] + events) % (1 << self.design.counter_bits)


class EmulatedLine:
    """A line to an emulated board.

    Parameters
    ----------
    design : Design
    """

    def __init__(self, design: Design):
        self.accelerator = EmulatedAccelerator(design)
        self._finder, self._out = FrameFinder(), bytearray()
        self._reply: Reply | None = None

    @property
    def counted(self) -> tuple[str, ...]:
        """Counters that it has."""
        return self.accelerator.counted

    def know(self, image: Image) -> None:
        """Tell which image the words that will be loaded belong to."""
        if all(image is not known for known in self.accelerator.images):
            self.accelerator.images.append(image)

    def write(self, data: bytes) -> None:
        """Give bytes to the board, which answers at once."""
        for found in self._finder.feed(data):
            self._out += enframe(self._answer(found).encode())

    def read(self, timeout: float) -> bytes:
        """All bytes that it answered."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def close(self) -> None:
        """Nothing to give back."""

    def _answer(self, found: bytes | Damaged) -> Reply:
        last = self._reply.sequence if self._reply else 0
        if isinstance(found, Damaged):
            return Reply(last, NAK, Code.DAMAGED)
        request = Request.decode(found)
        if request.command != Command.HELLO:
            if self._reply and request.sequence == last:
                return self._reply
            if not self._reply or request.sequence != (last + 1) % 256:
                return Reply(last, NAK, Code.SEQUENCE)
        self._reply = self._carry_out(request)
        return self._reply

    def _carry_out(self, request: Request) -> Reply:
        def reply(code: int = Code.OK, flags: int = 0, count: int = 0, *words: int) -> Reply:
            sequence, command = request.sequence, request.command | REPLY
            return Reply(sequence, command, code, flags, count, words)

        command, count = request.command, request.count
        if command not in list(Command):
            return reply(Code.UNKNOWN)
        expected = count if command in COMMANDS_WITH_WORDS else 0
        if len(request.words) != expected or count > MAX_WORDS:
            return reply(Code.LENGTH)
        accelerator = self.accelerator
        if command == Command.HELLO:
            return reply(Code.OK, VERSION, 1, CLOCK_HZ)
        if command == Command.SEND:
            last = bool(request.argument & LAST)
            return reply(Code.OK, 0, accelerator.send(request.words, last))
        if command == Command.RECEIVE:
            got = accelerator.receive(count)
            flags = LAST if got and got[-1][1] else 0
            return reply(Code.OK, flags, len(got), *(word for word, _ in got))
        address = request.argument & (INCREMENT - 1)
        step = 4 if request.argument & INCREMENT else 0
        words: list[int] = []
        for n in range(count):
            if command == Command.READ:
                word = accelerator.read(address + step * n)
                if word is None:
                    return reply(Code.REFUSED, 0, n, *words)
                words.append(word)
            elif not accelerator.write(address + step * n, request.words[n]):
                return reply(Code.REFUSED, 0, n)
        return reply(Code.OK, 0, count, *words)


def _packets(
    words: Sequence[int], chunks_of: Mapping[int, int], sealed: int
) -> Iterator[tuple[int, int, int, Sequence[int]]]:
    """Space, memory, address in words of 32 bits and data of whole load packets.

    Behind each come ``sealed`` words, which are not looked at: nothing changes on the way here.
    """
    at = 0
    while at + sealed < len(words):
        space, target, address = words[at] >> 28, words[at] >> 16 & 0xFFF, words[at] & 0xFFFF
        if space == Space.START:
            yield space, target, address, ()
            at += 1 + sealed
            continue
        chunks = chunks_of.get(space, 1)
        end = len(words) + 1
        if at + 1 < len(words):
            # a space that no image loads: above the count comes a shift, which nothing here needs
            mask = (1 << COUNT_BITS) - 1 if space == Space.GRADIENTS else -1
            end = at + 2 + (words[at + 1] & mask) * chunks
        if end + sealed > len(words):
            return
        yield space, target, address * chunks, words[at + 2 : end]
        at = end + sealed
