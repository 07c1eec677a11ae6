"""What every command can be told: its fields, their defaults, ranges and help, once.

The command line is derived from these classes (:mod:`sparseflow.commands.derived`), and what the
steps and the front door take by default is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from boards.tools.limits import TIMEOUT
from compiler.array.design import Array
from csb_format.precision import Balance, Precision

from .tuning.controls import Controls, OptimizerName, ScheduleName

__all__ = [
    "BoardsOptions",
    "BudgetName",
    "BuildOptions",
    "CHeaderOptions",
    "CutOptions",
    "DemoOptions",
    "DoctorOptions",
    "EngineName",
    "FitOptions",
    "Images",
    "IpOptions",
    "JobOptions",
    "LoadOptions",
    "PackOptions",
    "PoolName",
    "PruneOptions",
    "RegressOptions",
    "Replayer",
    "ReportOptions",
    "Said",
    "SimulateOptions",
    "Simulator",
    "SynthOptions",
    "TimingOptions",
    "VerilogOptions",
    "VowelsOptions",
]


@dataclass(frozen=True)
class Said:
    """What is said of a field.

    Parameters
    ----------
    help : str
    least, most : float, optional
        Of its range, both included.
    multiple : int
        That it must be one of.
    name : str
        On the command line, if it is not the field's; of a flag without its ``--no-`` twin.
    argument : bool
        Given by its place.
    plain : bool
        The range is checked by the command line's library, which shows it in the help.
    """

    help: str
    least: float | None = None
    most: float | None = None
    multiple: int = 1
    name: str = ""
    argument: bool = False
    plain: bool = False


class Simulator(StrEnum):
    """Engines that `simulate` can run; see :mod:`sim.check.engines`."""

    free = "verilator-free"
    verilator = "verilator"
    icarus = "icarus"


class Images(StrEnum):
    """Formats of memory images."""

    mem = "mem"
    coe = "coe"
    mif = "mif"
    ihex = "ihex"


class PoolName(StrEnum):
    """How the head is fed; the words of :data:`csb_format.pooling.POOLS`."""

    last = "last"
    hn = "hn"
    mean = "mean"
    every = "every"


class BudgetName(StrEnum):
    """How matrices share weights; the words of :class:`csb_format.precision.Balance`."""

    shared = "global"
    equal = "equal"


class EngineName(StrEnum):
    """Who runs the cases."""

    local = "local"
    dask = "dask"


class Replayer(StrEnum):
    """Simulators that write waveforms."""

    icarus = "icarus"
    verilator = "verilator"


SEED = 0
BUDGET = BudgetName(Balance.budget)
PLACER_SEED = 1

Seed = Annotated[
    int, Said("Of every random choice; same seed, same result.", least=0, most=2**32 - 1)
]
Pes = Annotated[
    int,
    Said("Processing elements (M): rows worked on at once; a multiple of 4.", least=4, multiple=4),
]
Lanes = Annotated[
    int, Said("Multipliers in each (N); must divide the banks of the model.", least=1)
]
Masks = Annotated[Path | None, Said("Masks kept in a file of their own (NNI, torch.ao.pruning).")]
HeadFed = Annotated[
    PoolName | None,
    Said(
        "How the head is fed: last (output at the last frame), hn (final state of each direction), "
        "mean (over time), every (at every frame). Default: as the file says, else last, or every "
        "where the data has a label for each frame.",
        name="--pool",
    ),
]
LstmName = Annotated[
    str | None,
    Said(
        "Of a larger network's state dict, the recurrent module for the array by its name: "
        "encoder.lstm; cells for cells.0, cells.1, ...; docs/partial.md has more."
    ),
]
HeadName = Annotated[str | None, Said("Of a larger network, the linear layer on its output.")]
Ignored = Annotated[
    list[str] | None,
    Said("Modules or patterns of tensors to leave out ('norm*', '*'), which is told; repeat it."),
]
Cocotb = Annotated[
    int, Said("First sequences that cocotb runs too, on Verilator; 0 for none.", least=0)
]
ModelFile = Annotated[Path, Said("Model that `pack` wrote.", argument=True)]
BoardName = Annotated[
    str, Said("See `sparseflow boards`; or a file of yours, my_board.toml.", name="--board")
]


@dataclass(frozen=True)
class PruneOptions:
    """Of ``sparseflow prune``."""

    checkpoint: Annotated[
        Path, Said("A classifier: state dict (torch.save, safetensors) or ONNX.", argument=True)
    ]
    data: Annotated[Path, Said("Sequences (.npz) with labels or targets, to fine-tune on.")]
    out: Annotated[Path, Said("Where the pruned checkpoint goes (.safetensors).")]
    banks: Annotated[int, Said("Banks in every row of every matrix.", least=1)] = Balance.banks
    sparsity: Annotated[float, Said("Share of weights to remove, 0 to 1.", least=0, most=1)] = (
        Balance.sparsity
    )
    budget: Annotated[
        BudgetName,
        Said(
            "Weights: global (each matrix keeps what its magnitudes ask for of what the sparsity "
            "leaves all, in no more cycles) or equal (the sparsity in each)."
        ),
    ] = BUDGET
    epochs: Annotated[int, Said("Epochs of fine-tuning, all together.", least=1)] = 70
    seed: Seed = SEED
    masks: Masks = None
    bank_width: Annotated[int | None, Said("Columns of a bank, instead of --banks.", least=1)] = (
        None
    )
    wishes: Annotated[
        list[str] | None,
        Said(
            "For one kind of matrix, or one matrix: weight_ih:banks=16,sparsity=0.5 or "
            "weight_hh_l1:width=32. Repeat it.",
            name="--for",
        ),
    ] = None
    pool: HeadFed = None
    val: Annotated[
        Path | None,
        Said(
            "Labelled sequences (.npz) that are not trained on: scores, dense and after every "
            "increment; the best epoch of the last one is kept."
        ),
    ] = None
    lr: Annotated[float, Said("Highest learning rate.", least=1e-9, most=100)] = Controls.lr
    batch: Annotated[int, Said("Sequences a step.", least=1)] = Controls.batch
    optimizer: Annotated[OptimizerName, Said("Who takes the steps.")] = OptimizerName.adamw
    schedule: Annotated[
        ScheduleName,
        Said("Of the learning rate in each increment: up and down, down, or none."),
    ] = ScheduleName.onecycle
    weight_decay: Annotated[float, Said("Of the optimizer.", least=0)] = Controls.weight_decay
    noise: Annotated[
        float | None,
        Said(
            "Standard deviation of noise on the frames of a step, in their own units; by default "
            "0.6, and none where targets are numbers.",
            least=0,
        ),
    ] = Controls.noise
    device: Annotated[str, Said("Where it trains, as PyTorch names it: cpu, cuda, mps.")] = (
        Controls.device
    )
    patience: Annotated[
        int | None,
        Said(
            "Ends the last increment after so many epochs without a better score; needs --val.",
            least=1,
        ),
    ] = None
    log: Annotated[
        Path | None, Said("Where every step goes as a line of JSON (.jsonl); written anew.")
    ] = None
    tensorboard: Annotated[Path | None, Said("Folder for TensorBoard.")] = None
    lstm: LstmName = None
    head: HeadName = None
    ignore: Ignored = None


@dataclass(frozen=True)
class PackOptions:
    """Of ``sparseflow pack``."""

    pruned: Annotated[
        Path, Said("Checkpoint that `prune` wrote, or pruned by another tool.", argument=True)
    ]
    out: Annotated[Path, Said("Where the integers go (.safetensors).")]
    calibration: Annotated[
        Path | None, Said("Sequences (.npz) that show the inputs' range; not for --matrices.")
    ] = None
    banks: Annotated[
        int | None, Said("Banks of every matrix; by default the checkpoint says.", least=1)
    ] = None
    value_bits: Annotated[int, Said("Bits of a weight, 4 to 18.", least=4, most=18)] = (
        Precision.value_bits
    )
    act_bits: Annotated[
        int, Said("Bits of inputs and hidden state, 6 to 18.", least=6, most=18)
    ] = Precision.act_bits
    masks: Masks = None
    wishes: Annotated[
        list[str] | None,
        Said(
            "Banks of one kind of matrix, or of one matrix: weight_ih:banks=16 or "
            "weight_hh_l1:width=32. Repeat it.",
            name="--for",
        ),
    ] = None
    per_gate: Annotated[
        bool, Said("Give every gate of a matrix a format of its own.", name="--per-gate")
    ] = Precision.per_gate
    percentile: Annotated[
        float, Said("Percent of magnitudes that formats hold, 50 to 100.", least=50, most=100)
    ] = Precision.percentile
    qat_epochs: Annotated[
        int,
        Said(
            "Epochs of fine-tuning in these integers, on --calibration with its labels or targets.",
            least=0,
        ),
    ] = 0
    cell_range: Annotated[
        int | None,
        Said(
            "Cell states and pre-activations lie in [-N, N): 8, 16, 32, 64 or 128. Default: 16; "
            "where they saturate on --calibration, the least in which they do not, if the outputs "
            "come nearer to the float network so.",
            least=8,
            most=128,
        ),
    ] = None
    seed: Seed = SEED
    bound: Annotated[
        float | None, Said("Refuse a stage further from the float network, e.g. 0.05.", least=0)
    ] = None
    matrices: Annotated[
        bool,
        Said("Pack the pruned matrices alone: GRUs, cells, linear layers too.", name="--matrices"),
    ] = False
    pool: HeadFed = None
    data: Annotated[
        Path | None,
        Said(
            "Sequences (.npz) with labels or targets: score of the float network and of the "
            "integers. Default: --calibration, if it has some."
        ),
    ] = None
    lstm: LstmName = None
    head: HeadName = None
    ignore: Ignored = None
    json_file: Annotated[
        Path | None,
        Said("Scores, saturation and distances, for programs; not for --matrices.", name="--json"),
    ] = None


@dataclass(frozen=True)
class CutOptions:
    """Of ``sparseflow cut``."""

    model: Annotated[Path, Said("ONNX model of the whole network.", argument=True)]
    data: Annotated[
        Path,
        Said("Arrays (.npz) by the names of the graph's inputs; or sequences, frames and lengths."),
    ]
    out: Annotated[Path, Said("Folder, replaced as a whole.")]
    source: Annotated[
        str | None,
        Said("Tensor that the array's part takes. Default: that of the only LSTM.", name="--from"),
    ] = None
    targets: Annotated[
        list[str] | None,
        Said("Tensor that it gives; repeat it. Default: what is read of the LSTM.", name="--to"),
    ] = None
    banks: Annotated[int, Said("Banks that its matrices are packed in.", least=1)] = Balance.banks
    value_bits: Annotated[int, Said("Bits of a weight, 4 to 18.", least=4, most=18)] = (
        Precision.value_bits
    )
    act_bits: Annotated[
        int, Said("Bits of inputs and hidden state, 6 to 18.", least=6, most=18)
    ] = Precision.act_bits


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


@dataclass(frozen=True)
class IpOptions:
    """Of ``sparseflow ip``."""

    model: ModelFile
    out: Annotated[Path, Said("Folder, replaced as a whole.")]
    pes: Pes = Array.pes
    lanes: Lanes = Array.lanes
    bits: Annotated[
        int, Said("Of tdata of both streams: 32, 64, 128, 256, 512 or 1024.", least=32, most=1024)
    ] = 64
    prefix: Annotated[
        str | None,
        Said("What all names begin with. Default: sparseflow_ and the name of the model's file."),
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
    icarus: Annotated[
        int, Said("First utterances that cocotb runs too, on Icarus; 0 for none.", least=0)
    ] = 3
    cocotb: Cocotb = 0


@dataclass(frozen=True)
class DoctorOptions:
    """Of ``sparseflow doctor``."""

    checkpoint: Annotated[
        Path, Said("State dict, safetensors file, ONNX model, or NNI masks.", argument=True)
    ]
    masks: Masks = None
    data: Annotated[
        Path | None,
        Said("Sequences (.npz) with labels or targets: the score of the network as read."),
    ] = None
    pool: HeadFed = None
    lanes: Annotated[
        list[int] | None, Said("Lanes N of a PE, and banks; repeat it. Default: 4 8 16 32 64.")
    ] = None
    pes: Annotated[int, Said("PEs M that work on rows in lockstep.")] = Array.pes
    value_bits: Annotated[int, Said("Bits of a weight in CSB, 4 to 18.")] = Precision.value_bits
    keep_energy: Annotated[float, Said("Least share of the L2 energy that a suggestion keeps.")] = (
        Balance.keep_energy
    )
    matrix: Annotated[list[str] | None, Said("Parameter to examine; repeat it. Default: all.")] = (
        None
    )
    plan: Annotated[
        bool,
        Said(
            "Weigh patterns for a network that is to be pruned: what each would keep, in cycles "
            "and bytes, and which to take.",
            name="--plan",
        ),
    ] = False
    sparsity: Annotated[
        float | None,
        Said(f"Share of weights that --plan removes. Default: {Balance.sparsity:g}.", 0, 1),
    ] = None
    json: Annotated[Path | None, Said("Where the figures go as JSON.")] = None
    svg: Annotated[Path | None, Said("Where the picture goes.")] = None
    html: Annotated[Path | None, Said("Where the page goes.")] = None
    plain: Annotated[
        Path | None, Said("Where weights and masks go in one plain file (.safetensors).")
    ] = None
    lstm: LstmName = None
    head: HeadName = None
    ignore: Ignored = None


@dataclass(frozen=True)
class RegressOptions:
    """Of ``sparseflow regress``."""

    suite: Annotated[Path, Said("Suite of cases (.toml).", argument=True)] = Path(
        "examples/regress/default.toml"
    )
    out: Annotated[Path | None, Said("Folder for results. Default: build/regress/SUITE.")] = None
    cache: Annotated[
        Path | None, Said("Where hardware is kept between runs. Default: the user's cache.")
    ] = None
    baseline: Annotated[Path | None, Said("Figures to hold. Default: SUITE.baseline.json.")] = None
    history: Annotated[Path | None, Said("All runs, a line each. Default: OUT/history.jsonl.")] = (
        None
    )
    jobs: Annotated[int | None, Said("Cases at a time. Default: the cores.", least=1)] = None
    only: Annotated[
        list[str] | None, Said("Run only cases whose name contains this; repeat it.")
    ] = None
    accept: Annotated[bool, Said("Make the figures of this run the baseline.", name="--accept")] = (
        False
    )
    uncommitted: Annotated[
        bool,
        Said("Let --accept keep figures of sources that are in no commit.", name="--uncommitted"),
    ] = False
    fresh: Annotated[bool, Said("Do not go on with an interrupted run.", name="--fresh")] = False
    engine: Annotated[EngineName, Said("Processes of this machine, or a Dask cluster.")] = (
        EngineName.local
    )
    scheduler: Annotated[
        str, Said("Address of a Dask scheduler; a cluster of its own by default.")
    ] = ""
    lines: Annotated[
        bool, Said("Report which lines of Python the cases have run.", name="--lines")
    ] = False
    shard: Annotated[
        str, Said("Run only this part of the suite, such as 2/4; each machine runs another.")
    ] = ""
    merge: Annotated[
        list[Path] | None,
        Said("Run nothing: one result of these shards' folders, or of all in this one; repeat it."),
    ] = None
    repeat: Annotated[
        int, Said("Run each case so often, with seeds of their own.", least=1, most=1000)
    ] = 1
    artifacts: Annotated[
        Path | None,
        Said("Folder for what red cases need, waveforms too, and nothing else; replaced."),
    ] = None
    badge: Annotated[Path | None, Said("Where a badge with the verdict goes (.svg).")] = None
    replay: Annotated[str, Said("Run only this case, with waveforms, and keep everything.")] = ""
    simulator: Annotated[
        Replayer,
        Said("What writes waveforms; Verilator needs liblz4-dev and zlib1g-dev."),
    ] = Replayer.icarus


@dataclass(frozen=True)
class BoardsOptions:
    """Of ``sparseflow boards``."""

    model: Annotated[
        Path | None, Said("Model that `pack` wrote; by default of the demo's size.", argument=True)
    ] = None
    board: Annotated[str | None, Said("Only this one, or a file of yours.", name="--board")] = None


@dataclass(frozen=True)
class FitOptions:
    """Of ``sparseflow fit``."""

    model: ModelFile
    board: BoardName


@dataclass(frozen=True)
class BuildOptions:
    """Of ``sparseflow build``."""

    model: ModelFile
    board: BoardName
    out: Annotated[Path, Said("Folder, replaced as a whole.")]
    pes: Annotated[int | None, Said("Default: the fastest that fits.", least=4, plain=True)] = None
    lanes: Annotated[int | None, Said("With --pes.", least=1, plain=True)] = None
    clock: Annotated[
        float | None,
        Said(
            "MHz; by default the board's, or if that is missed one that is reached.",
            least=1,
            plain=True,
        ),
    ] = None
    seed: Annotated[int, Said("Of place and route.")] = PLACER_SEED
    seeds: Annotated[
        int,
        Said(
            "Tried from --seed on; the fastest clock is kept.",
            least=1,
            most=100,
            plain=True,
        ),
    ] = 1
    timeout: Annotated[float, Said("Seconds given to each run of a tool.", least=1, plain=True)] = (
        TIMEOUT
    )
    keep: Annotated[
        bool,
        Said("Keep all files of a build that fails or is ended, in OUT.failed.", name="--keep"),
    ] = False


@dataclass(frozen=True)
class LoadOptions:
    """Of ``sparseflow load``."""

    board: Annotated[str, Said("See `sparseflow boards`.", argument=True)]
    folder: Annotated[Path, Said("Folder of its `build`.", argument=True)]
    loader: Annotated[
        str | None, Said("What openFPGALoader calls this revision of the board; it says which.")
    ] = None


@dataclass(frozen=True)
class JobOptions:
    """Of ``sparseflow job``."""

    model: ModelFile
    folder: Annotated[Path, Said("Folder of a `build`, or its design.json.", argument=True)]
    data: Annotated[Path, Said("Sequences (.npz) to run.")]
    out: Annotated[Path, Said("Where the job goes, a text.")]
    words: Annotated[Path | None, Said("Where the words go that the board must answer.")] = None
    utterances: Annotated[
        int | None,
        Said("Run only so many, spread over classes and lengths; all by default.", least=1),
    ] = None
    seed: Annotated[int, Said("Of the choice of --utterances.", least=0, most=2**32 - 1)] = SEED
    baud: Annotated[int | None, Said("Of the line, instead of the board's.", least=1)] = None


@dataclass(frozen=True)
class CHeaderOptions:
    """Of ``sparseflow c-header``."""

    model: ModelFile
    folder: Annotated[Path, Said("Folder of a `build`, or its design.json.", argument=True)]
    out: Annotated[Path, Said("Where the header goes (.h).")]
    name: Annotated[str, Said("What its identifiers begin with.")] = "sparseflow_model"


@dataclass(frozen=True)
class SynthOptions:
    """Of ``sparseflow synth``."""

    pes: Pes = 4
    lanes: Lanes = 4
    model: Annotated[
        Path | None, Said("Packed model; a random one of the demo's size by default.")
    ] = None
    json_file: Annotated[Path | None, Said("Counts for programs.", name="--json")] = None
    by_module: Annotated[
        bool, Said("Each module by itself; sums get higher.", name="--by-module")
    ] = False
    timeout: Annotated[float, Said("Seconds given to Yosys.", least=1, plain=True)] = 1800


@dataclass(frozen=True)
class TimingOptions:
    """Of ``sparseflow timing``."""

    json_file: Annotated[Path, Said("The figures.", name="--json")]
    board: BoardName = "ecpix5"
    pes: Pes = 4
    lanes: Lanes = 1
    model: Annotated[Path | None, Said("Packed model; by default of 4 units and 4 inputs.")] = None
    seed: Annotated[int, Said("Of the placer: the same seed, the same figures.")] = PLACER_SEED


@dataclass(frozen=True)
class VowelsOptions:
    """Of ``sparseflow data japanese-vowels``."""

    out: Annotated[Path, Said("Folder for train.npz and test.npz.")]
