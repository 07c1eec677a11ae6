"""The commands ``sparseflow prune``, ``sparseflow pack`` and ``sparseflow cut``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..steps.options import (
    CutOptions,
    DoctorOptions,
    PackOptions,
    PoolName,
    PruneOptions,
    VerilogOptions,
)
from ..steps.tuning.controls import QAT
from .derived import derived
from .hints import hint

if TYPE_CHECKING:
    from csb_format import Model
    from pruning.importers import Cut

__all__ = ["cut", "cut_of", "lanes_of", "pack", "prune"]

# Commands import `pipeline` when they run: it loads the simulators' and the generator's
# libraries, and --help must not wait for them.


Masks = Annotated[
    Path | None, typer.Option(help="Masks kept in a file of their own (NNI, torch.ao.pruning).")
]


@derived(PruneOptions)
def prune(given: PruneOptions) -> None:
    """Remove weights so that every bank of every row keeps equally many.

    **In:** a trained checkpoint and its training data. The checkpoint holds one `nn.LSTM` or
    `nn.GRU` of any option (layers, directions, projection), or a cell, under torch's names
    (`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, ...; any prefix), and one
    `nn.Linear` on its output at the last frame, or those that `--head` names with a ReLU
    between them. It may be pruned by another tool already, or
    be an ONNX model. Without a head it is fine-tuned to its own outputs. Out of a larger
    network `--lstm`, `--head` and `--ignore` take that part.
    **Out:** a checkpoint under the same names, its masks included. Sparsity
    grows in increments with fine-tuning between them; what is achieved is printed, as whole
    weights per bank may not meet the request exactly. `--log` and `--tensorboard` write every
    step down as it is taken.

    **Next:** `sparseflow pack OUT --calibration DATA --out model.safetensors`
    """
    from ..steps import pipeline

    network = pipeline.prune_checkpoint(
        checkpoint=given.checkpoint,
        data=given.data,
        out=given.out,
        banks=given.banks,
        sparsity=given.sparsity,
        epochs=given.epochs,
        seed=given.seed,
        masks=given.masks,
        bank_width=given.bank_width,
        wishes=given.wishes or (),
        budget=given.budget.value,
        pool=_fed(given.pool),
        val=given.val,
        controls=given.controls,
        cut=cut_of(given),
    )
    if network.has_integers:
        scored = given.val is not None and network.head is not None
        judged = ("--data", given.val) if scored else ()
        hint(
            "pack",
            given.out,
            "--calibration",
            given.data,
            *judged,
            "--out",
            given.out.with_name("model.safetensors"),
        )
    else:
        hint("pack", given.out, "--matrices", "--out", given.out.with_name("matrices.safetensors"))


@derived(PackOptions)
def pack(given: PackOptions) -> None:
    """Turn a pruned network into integers in compressed sparse banks (CSB).

    **In:** a checkpoint, pruned to balanced banks by `prune`, in your own loop or elsewhere
    (then with `--banks`), and typical inputs. **Out:** a model file of integers and formats,
    which no longer needs PyTorch and fits every array whose lanes divide its banks. Printed
    are the distance of every stage from the float network on the first sequences, and what
    saturates. With `--matrices`, a file of single matrices of any network, for other hardware.

    **Next:** `sparseflow verilog OUT --out build/verilog`
    """
    if given.matrices:
        _pack_matrices(
            given.pruned,
            given.out,
            given.banks,
            given.value_bits,
            given.masks,
            given.wishes,
            given.calibration
            or given.qat_epochs
            or given.val
            or given.controls != QAT
            or given.pool
            or given.screen
            or given.head_bits != PackOptions.head_bits
            or given.data
            or given.json_file
            or cut_of(given),
        )
        return
    if given.calibration is None:
        raise typer.BadParameter("give --calibration, sequences that show the inputs' range")
    from ..steps import pipeline

    model = pipeline.pack(
        pruned=given.pruned,
        calibration=given.calibration,
        out=given.out,
        banks=given.banks,
        value_bits=given.value_bits,
        act_bits=given.act_bits,
        masks=given.masks,
        wishes=given.wishes or (),
        per_gate=given.per_gate,
        percentile=given.percentile,
        qat_epochs=given.qat_epochs,
        val=given.val,
        controls=given.controls,
        seed=given.seed,
        bound=given.bound,
        pool=_fed(given.pool),
        data=given.data,
        cut=cut_of(given),
        figures_file=given.json_file,
        cell_range=given.cell_range,
        screen=given.screen,
        head_bits=given.head_bits,
    )
    _after(model, given.out)


def cut_of(given: PruneOptions | PackOptions | DoctorOptions) -> Cut | None:
    """What of a larger network was asked for; None for all that the file holds, or notes."""
    from pruning.importers import Cut

    return Cut(given.lstm, given.head, tuple(given.ignore or ())) or None


def _fed(pool: PoolName | None) -> str | None:
    return None if pool is None else pool.value


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
        raise typer.BadParameter(
            "--matrices takes no --calibration, no --data, no --qat-epochs and nothing of it, "
            "no --pool, no --json, no --lstm, no --head and no --ignore"
        )
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

    try:
        check_supported(model)
    except DesignError:  # `pack` has told why
        return
    _hint_verilog(model, out, out.with_name("verilog"))


def _hint_verilog(model: Model, path: Path, out: Path) -> None:
    from compiler.array.screen.behind import unit_takes
    from csb_format.screening.layer import ScreenedLayer

    from ..pages import figures

    banks = math.gcd(*(matrix.geometry.banks for matrix in figures.matrices(model).values()))
    lanes = lanes_of(banks)
    option: tuple[object, ...] = () if lanes == VerilogOptions.lanes else ("--lanes", lanes)
    hosted = isinstance(model.head, ScreenedLayer) and not unit_takes(model)
    option += ("--largest", 0) if hosted else ()  # no unit takes such states, and verilog says so
    hint("verilog", path, "--out", out, *option)


def lanes_of(banks: int) -> int:
    """The most lanes, up to the default, that divide the banks."""
    return max(n for n in range(1, VerilogOptions.lanes + 1) if banks % n == 0)


@derived(CutOptions)
def cut(given: CutOptions) -> None:
    """Cut the array's part out of a larger ONNX network; the rest runs on the host.

    **In:** an ONNX model of the whole network (`torch.onnx.export(model.eval(), ...)`) and data: an
    `.npz` with an array for each of its inputs. **Out:** a folder with `before.onnx`, the part
    (`part.onnx`, and its integers `model.safetensors`), `after.onnx`, and what `sf.Hosted` needs to
    run them as one. Printed is how far the three are from the whole, in floats and with the part in
    integers.

    **Next:** `sparseflow verilog OUT/model.safetensors --out build/verilog`
    """
    from compiler.array.needs import check_supported
    from csb_format.files.cutfile import NAMES
    from csb_format.files.modelfile import load_model
    from csb_format.scales import DesignError

    from ..steps.cutting.cut import cut as run

    run(
        model=given.model,
        data=given.data,
        out=given.out,
        source=given.source,
        targets=given.targets or (),
        banks=given.banks,
        value_bits=given.value_bits,
        act_bits=given.act_bits,
    )
    packed = given.out / NAMES["model"]
    if not packed.is_file():
        return
    try:
        check_supported(made := load_model(packed))
    except DesignError as error:
        typer.echo(f"note: {error}", err=True)
    else:
        _hint_verilog(made, packed, given.out.with_name("verilog"))
