"""Of the commands before hardware: ``prune``, ``pack``, ``cut``, ``doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from compiler.array.design import Array
from csb_format.precision import Balance, Precision

from ..tuning.controls import QAT
from .said import Said
from .shared import SEED, HeadFed, HeadName, Ignored, LstmName, Masks, Seed
from .training import TrainingOptions
from .words import BudgetName

__all__ = ["BUDGET", "CutOptions", "DoctorOptions", "PackOptions", "PruneOptions"]

BUDGET = BudgetName(Balance.budget)


@dataclass(frozen=True, kw_only=True)
class PruneOptions(TrainingOptions):
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
            "leaves all, in no more cycles), gate (each gate does, for arrays that run gates "
            "one after the other) or equal (the sparsity in each)."
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
    lstm: LstmName = None
    head: HeadName = None
    ignore: Ignored = None


@dataclass(frozen=True, kw_only=True)
class PackOptions(TrainingOptions):
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
    lr: Annotated[
        float,
        Said(
            "Highest learning rate of --qat-epochs, whose are all of these.",
            least=1e-9,
            most=100,
            panel="Fine-tuning",
        ),
    ] = QAT.lr
    cell_range: Annotated[
        str | None,
        Said(
            "Cell states and pre-activations lie in [-N, N): 8, 16, 32, 64 or 128, or with commas "
            "one for each layer (of two directions: forward, backward). Default: 16; in layers "
            "where they saturate on --calibration, the least in which they do not, if the outputs "
            "come nearer to the float network so.",
        ),
    ] = None
    head_bits: Annotated[
        int,
        Said(
            "Leading bits of every row of the head that its weights are rounded to, 4 to 16.",
            least=4,
            most=16,
        ),
    ] = 16
    screen: Annotated[
        bool,
        Said(
            "Store the head in planes of bits: its largest logits are found, and proven, from few "
            "bits a weight. Of a head of one layer.",
            name="--screen",
        ),
    ] = False
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
