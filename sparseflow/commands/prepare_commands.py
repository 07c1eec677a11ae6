"""The commands ``sparseflow prune`` and ``sparseflow pack``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Seed, hint, within

if TYPE_CHECKING:
    from csb_format import Model

__all__ = ["pack", "prune"]

# Commands import `pipeline` when they run: it loads the simulators' and the generator's
# libraries, and --help must not wait for them.

_LANES = 8  # the default of `verilog` and `simulate`

Masks = Annotated[
    Path | None, typer.Option(help="Masks kept in a file of their own (NNI, torch.ao.pruning).")
]


def prune(
    checkpoint: Annotated[
        Path, typer.Argument(help="A classifier: state dict (torch.save, safetensors) or ONNX.")
    ],
    data: Annotated[Path, typer.Option(help="Labelled sequences (.npz) to fine-tune on.")],
    out: Annotated[Path, typer.Option(help="Where the pruned checkpoint goes (.safetensors).")],
    banks: Annotated[
        int, typer.Option(callback=within(1), help="Banks in every row of every matrix.")
    ] = 8,
    sparsity: Annotated[
        float, typer.Option(callback=within(0, 1), help="Share of weights to remove, 0 to 1.")
    ] = 0.875,
    epochs: Annotated[
        int, typer.Option(callback=within(1), help="Epochs of fine-tuning, all together.")
    ] = 70,
    seed: Seed = 0,
    masks: Masks = None,
    bank_width: Annotated[
        int | None,
        typer.Option(callback=within(1), help="Columns of a bank, instead of --banks."),
    ] = None,
    wishes: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            help="For one kind of matrix, or one matrix: weight_ih:banks=16,sparsity=0.5 or "
            "weight_hh_l1:width=32. Repeat it.",
        ),
    ] = None,
) -> None:
    """Remove weights so that every bank of every row keeps equally many.

    **In:** a trained checkpoint and its training data. The checkpoint holds one `nn.LSTM` or
    `nn.GRU` of any option (layers, directions, projection), or a cell, under torch's names
    (`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, ...; any prefix), and one
    `nn.Linear` on its output at the last frame. It may be pruned by another tool already, or
    be an ONNX model. **Out:** a checkpoint under the same names, its masks included. Sparsity
    grows in increments with fine-tuning between them; what is achieved is printed, as whole
    weights per bank may not meet the request exactly.

    **Next:** `sparseflow pack OUT --calibration DATA --out model.safetensors`
    """
    from ..steps import pipeline

    is_lstm = pipeline.prune_checkpoint(
        checkpoint=checkpoint,
        data=data,
        out=out,
        banks=banks,
        sparsity=sparsity,
        epochs=epochs,
        seed=seed,
        masks=masks,
        bank_width=bank_width,
        wishes=wishes or (),
    )
    if is_lstm:
        hint("pack", out, "--calibration", data, "--out", out.with_name("model.safetensors"))
    else:
        hint("pack", out, "--matrices", "--out", out.with_name("matrices.safetensors"))


def pack(
    pruned: Annotated[
        Path, typer.Argument(help="Checkpoint that `prune` wrote, or pruned by another tool.")
    ],
    out: Annotated[Path, typer.Option(help="Where the integers go (.safetensors).")],
    calibration: Annotated[
        Path | None,
        typer.Option(help="Sequences (.npz) that show the inputs' range; not for --matrices."),
    ] = None,
    banks: Annotated[
        int | None,
        typer.Option(
            callback=within(1), help="Banks of every matrix; by default the checkpoint says."
        ),
    ] = None,
    value_bits: Annotated[
        int, typer.Option(callback=within(4, 18), help="Bits of a weight, 4 to 18.")
    ] = 16,
    act_bits: Annotated[
        int,
        typer.Option(callback=within(6, 18), help="Bits of inputs and hidden state, 6 to 18."),
    ] = 16,
    masks: Masks = None,
    wishes: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            help="Banks of one kind of matrix, or of one matrix: weight_ih:banks=16 or "
            "weight_hh_l1:width=32. Repeat it.",
        ),
    ] = None,
    per_gate: Annotated[
        bool, typer.Option("--per-gate", help="Give every gate of a matrix a format of its own.")
    ] = False,
    percentile: Annotated[
        float,
        typer.Option(
            callback=within(50, 100), help="Percent of magnitudes that formats hold, 50 to 100."
        ),
    ] = 100.0,
    qat_epochs: Annotated[
        int,
        typer.Option(
            callback=within(0),
            help="Epochs of fine-tuning in these integers, on --calibration with its labels.",
        ),
    ] = 0,
    seed: Seed = 0,
    bound: Annotated[
        float | None,
        typer.Option(
            callback=within(0), help="Refuse a stage further from the float network, e.g. 0.05."
        ),
    ] = None,
    matrices: Annotated[
        bool,
        typer.Option(
            "--matrices", help="Pack the pruned matrices alone: GRUs, cells, linear layers too."
        ),
    ] = False,
) -> None:
    """Turn a pruned network into integers in compressed sparse banks (CSB).

    **In:** a checkpoint, pruned to balanced banks by `prune`, in your own loop or elsewhere
    (then with `--banks`), and typical inputs. **Out:** a model file of integers and formats,
    which no longer needs PyTorch and fits every array whose lanes divide its banks. Printed
    are the distance of every stage from the float network on the first sequences, and what
    saturates. With `--matrices`, a file of single matrices of any network, for other hardware.

    **Next:** `sparseflow verilog OUT --out build/verilog`
    """
    if matrices:
        _pack_matrices(pruned, out, banks, value_bits, masks, wishes, calibration or qat_epochs)
        return
    if calibration is None:
        raise typer.BadParameter("give --calibration, sequences that show the inputs' range")
    from ..steps import pipeline

    model = pipeline.pack(
        pruned=pruned,
        calibration=calibration,
        out=out,
        banks=banks,
        value_bits=value_bits,
        act_bits=act_bits,
        masks=masks,
        wishes=wishes or (),
        per_gate=per_gate,
        percentile=percentile,
        qat_epochs=qat_epochs,
        seed=seed,
        bound=bound,
    )
    _after(model, out)


def _pack_matrices(
    pruned: Path,
    out: Path,
    banks: int | None,
    value_bits: int,
    masks: Path | None,
    wishes: list[str] | None,
    unused: object,
) -> None:
    if unused:
        raise typer.BadParameter("--matrices takes no --calibration and no --qat-epochs")
    from ..steps import pipeline

    pipeline.pack_matrices(
        pruned=pruned,
        out=out,
        banks=banks,
        value_bits=value_bits,
        masks=masks,
        wishes=wishes or (),
    )


def _after(model: Model, out: Path) -> None:
    """Hint at `verilog`, with lanes where its default does not divide the banks."""
    from compiler.array.needs import check_supported
    from csb_format.scales import DesignError

    from ..pages import figures

    try:
        check_supported(model)
    except DesignError:  # `pack` has told why
        return
    banks = math.gcd(*(matrix.geometry.banks for matrix in figures.matrices(model).values()))
    lanes = math.gcd(banks, _LANES)
    option = () if lanes == _LANES else ("--lanes", lanes)
    hint("verilog", out, "--out", out.with_name("verilog"), *option)
