"""Of ``verilog``, ``ip``, ``simulate``, ``report``, ``demo`` and the demo's data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from compiler.array.design import Array

from .said import Said
from .shared import SEED, Cocotb, Contexts, Lanes, Largest, ModelFile, Pes, Planes, Seed
from .words import ActivityForm, BusTopName, Images, Simulator, TopName

__all__ = [
    "PLAIN",
    "DemoOptions",
    "IpOptions",
    "ReportOptions",
    "SimulateOptions",
    "VerilogOptions",
    "VowelsOptions",
]


ARRAY, TOP = "The array", "The top"  # under which options stand in the help


Deep = Annotated[
    bool, Said("More registers: a higher clock, more cycles.", name="--deep", panel=ARRAY)
]
Shallow = Annotated[
    bool, Said("Fewer registers: fewer cycles, a lower clock.", name="--shallow", panel=ARRAY)
]
Streamed = Annotated[
    bool, Said("The matrices come from memory for every frame.", name="--streamed", panel=ARRAY)
]
BankParts = Annotated[
    bool, Said("Vector banks in memories of 64 places: for AMD.", name="--parts", panel=ARRAY)
]
Unguarded = Annotated[
    bool,
    Said(
        "Vector banks without logic for reads of what is being written.",
        name="--unguarded",
        panel=ARRAY,
    ),
]
BlockBanks = Annotated[
    bool,
    Said("Vector banks in block memories, whatever their size.", name="--block-banks", panel=ARRAY),
]
PLAIN = ("deep", "shallow", "streamed", "parts", "unguarded", "block_banks")
"""Flags of a design that `verilog` and `simulate` both have."""


@dataclass(frozen=True)
class VerilogOptions:
    """Of ``sparseflow verilog``."""

    model: ModelFile
    out: Annotated[Path, Said("Folder for the Verilog and the memory images.")]
    pes: Pes = Array.pes
    lanes: Lanes = Array.lanes
    images: Annotated[Images, Said("Format of the memory images; mem is always written.")] = (
        Images.mem
    )
    prefix: Annotated[
        str, Said("What names of modules, files and images begin with, for several in a system.")
    ] = "sparseflow"
    top: Annotated[
        TopName,
        Said("core, axi (registers and streams), dram (and a port to memory), link (serial line)."),
    ] = TopName.core
    contexts: Annotated[
        int, Said("Streams whose states the array keeps.", least=1, most=65536, panel=ARRAY)
    ] = 1
    head: Annotated[
        bool, Said("The linear output layer runs on the array too.", name="--head", panel=ARRAY)
    ] = False
    dense: Annotated[
        bool,
        Said(
            "With --head: its weights are stored without indices, and in the bits of --head-bits.",
            name="--dense",
            panel=ARRAY,
        ),
    ] = False
    largest: Largest = None
    planes: Planes = 0
    deep: Deep = False
    shallow: Shallow = False
    streamed: Streamed = False
    batched: Annotated[
        bool,
        Said(
            "With --streamed: a word of them serves frames of all --contexts before the next.",
            name="--batched",
            panel=ARRAY,
        ),
    ] = False
    checked: Annotated[
        bool,
        Said("Parity in memories and frames, check words.", name="--checked", panel=ARRAY),
    ] = False
    walk: Annotated[
        bool,
        Said("With --checked: memories are read while they are idle.", name="--walk", panel=ARRAY),
    ] = False
    parts: BankParts = False
    unguarded: Unguarded = False
    block_banks: BlockBanks = False
    bits: Annotated[
        int | None,
        Said("Of s_axis and m_axis: 32 to 1024. Default: 64.", least=32, most=1024, panel=TOP),
    ] = None
    bus_bits: Annotated[
        int | None,
        Said("Of the port to memory: 64 to 512. Default: 128.", least=64, most=512, panel=TOP),
    ] = None
    base: Annotated[
        int | None,
        Said("Of dram: address at which the model will lie; its bytes go beside.", panel=TOP),
    ] = None
    also: Annotated[
        list[Path] | None,
        Said("Of dram with --base: another model for the same array; repeat it.", panel=TOP),
    ] = None
    clock: Annotated[
        float | None, Said("MHz of link. Default: 100.", least=1, most=1000, panel=TOP)
    ] = None
    baud: Annotated[
        int | None, Said("Of the line of link. Default: 1000000.", least=300, panel=TOP)
    ] = None


@dataclass(frozen=True)
class IpOptions:
    """Of ``sparseflow ip``."""

    model: ModelFile
    out: Annotated[Path, Said("Folder, replaced as a whole.")]
    pes: Pes = Array.pes
    lanes: Lanes = Array.lanes
    contexts: Contexts = 1
    largest: Largest = None
    planes: Planes = 0
    bits: Annotated[
        int, Said("Of tdata of both streams: 32, 64, 128, 256, 512 or 1024.", least=32, most=1024)
    ] = 64
    prefix: Annotated[
        str | None,
        Said("What all names begin with. Default: sparseflow_ and the name of the model's file."),
    ] = None
    top: Annotated[BusTopName, Said("axi, or dram with a port to memory too.")] = BusTopName.axi
    bus_bits: Annotated[
        int | None,
        Said("Of dram, of the port to memory: 64 to 512. Default: 128.", least=64, most=512),
    ] = None


@dataclass(frozen=True)
class SimulateOptions:
    """Of ``sparseflow simulate``."""

    model: ModelFile
    data: Annotated[
        Path, Said("Sequences (.npz) to run; labels or targets give scores, of all of them.")
    ]
    build: Annotated[Path, Said("Folder for the compiled simulation and results.")]
    simulator: Annotated[
        Simulator,
        Said("Who runs everything: C++ around Verilator's model, or cocotb on either."),
    ] = Simulator.free
    pes: Pes = Array.pes
    lanes: Lanes = Array.lanes
    contexts: Contexts = 1
    largest: Largest = None
    planes: Planes = 0
    icarus: Annotated[
        int | None,
        Said(
            "First sequences that cocotb runs too, on Icarus. Default: 3, if that is quick.",
            least=0,
        ),
    ] = None
    cocotb: Cocotb = 0
    utterances: Annotated[
        int | None,
        Said("Simulate only so many, spread over classes and lengths; all by default.", least=1),
    ] = None
    seed: Annotated[int, Said("Of the choice of --utterances.", least=0, most=2**32 - 1)] = SEED
    head: Annotated[
        bool,
        Said(
            "All linear output layers run on the array too; their results are compared as well.",
            name="--head",
        ),
    ] = False
    dense_head: Annotated[
        bool,
        Said(
            "With --head: its weights are stored without indices, and in the bits of --head-bits.",
            name="--dense-head",
        ),
    ] = False
    batched: Annotated[
        bool,
        Said(
            "The matrices come from memory, and a word of them serves frames of all --contexts.",
            name="--batched",
        ),
    ] = False
    deep: Deep = False
    shallow: Shallow = False
    streamed: Streamed = False
    parts: BankParts = False
    unguarded: Unguarded = False
    block_banks: BlockBanks = False
    activity: Annotated[
        ActivityForm | None,
        Said("Run once more and write how often each signal changes, for power tools."),
    ] = None
    dense: Annotated[Path | None, Said("Dense checkpoint, for its score; needs --pruned.")] = None
    pruned: Annotated[Path | None, Said("Pruned checkpoint, for its score; needs --dense.")] = None
    board: Annotated[
        str | None,
        Said(
            "Board whose microseconds the report tells first, by name or file. Default: the "
            "fastest of all that fit."
        ),
    ] = None


@dataclass(frozen=True)
class ReportOptions:
    """Of ``sparseflow report``."""

    run_dir: Annotated[Path, Said("Folder of a finished run.", argument=True)]
    out: Annotated[Path, Said("Folder for report.json and report.html.")]


@dataclass(frozen=True)
class DemoOptions:
    """Of ``sparseflow demo``."""

    out: Annotated[Path, Said("Folder for everything that is made.")] = Path("build/demo")
    seed: Seed = SEED
    pes: Pes = Array.pes
    lanes: Lanes = Array.lanes
    contexts: Contexts = 1
    icarus: Annotated[
        int, Said("First utterances that cocotb runs too, on Icarus; 0 for none.", least=0)
    ] = 3
    cocotb: Cocotb = 0


@dataclass(frozen=True)
class VowelsOptions:
    """Of ``sparseflow data japanese-vowels``."""

    out: Annotated[Path, Said("Folder for train.npz and test.npz.")]
