"""The command ``sparseflow doctor``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pruning.doctor import Diagnosis

__all__ = ["doctor"]


def doctor(
    checkpoint: Annotated[
        Path, typer.Argument(help="State dict, safetensors file, ONNX model, or NNI masks.")
    ],
    masks: Annotated[
        Path | None,
        typer.Option(help="Masks kept in a file of their own (NNI, torch.ao.pruning)."),
    ] = None,
    lanes: Annotated[
        list[int] | None,
        typer.Option(help="Lanes N of a PE, and banks; repeat it. Default: 4 8 16 32 64."),
    ] = None,
    pes: Annotated[int, typer.Option(help="PEs M that work on rows in lockstep.")] = 16,
    value_bits: Annotated[int, typer.Option(help="Bits of a weight in CSB, 4 to 18.")] = 16,
    keep_energy: Annotated[
        float, typer.Option(help="Least share of the L2 energy that a suggestion keeps.")
    ] = 0.95,
    matrix: Annotated[
        list[str] | None, typer.Option(help="Parameter to examine; repeat it. Default: all.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Where the figures go as JSON.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Where the picture goes.")] = None,
    html: Annotated[Path | None, typer.Option(help="Where the page goes.")] = None,
    plain: Annotated[
        Path | None,
        typer.Option(help="Where weights and masks go as `prune` and `pack` read them."),
    ] = None,
) -> None:
    """Examine the masks of any model: how busy they keep an array, what balancing costs.

    **In:** a model pruned by any tool: `torch.nn.utils.prune`, `torch.ao.pruning`, NNI, plain
    zeros, safetensors, ONNX. Nothing in it is executed. **Out:** for every matrix its real
    sparsity, the utilisation of arrays of N lanes with the masks as they are, the energy that
    rebalancing keeps, and the banks to prune to.

    **Next:** with `--plain FILE`, or on a plain state dict,
    `sparseflow prune FILE --data DATA --banks BANKS --out pruned.safetensors`
    """
    # Here, as they load torch and matplotlib, and --help must not wait for them.
    from csb_format.replace import replace_file
    from pruning.doctor import CANDIDATES, bank_loads, diagnose
    from pruning.importers import import_model, save_imported

    from . import doctor_report

    model = import_model(checkpoint, masks)
    found = diagnose(model, lanes or CANDIDATES, pes, value_bits, keep_energy, matrix or ())
    loads = {
        each.name: bank_loads(model.mask(each.name), each.suggested).numpy()
        for each in found.matrices
    }
    files = {json: doctor_report.to_json(found)}
    if svg:
        files[svg] = doctor_report.picture(found, loads)
    if html:
        files[html] = doctor_report.page(found, loads)
    for path, text in files.items():
        if path:
            replace_file(path, text.encode())
    if plain:
        save_imported(plain, model)
    doctor_report.print_diagnosis(found)
    _next(plain or checkpoint, found)


def _next(checkpoint: Path, found: Diagnosis) -> None:
    # One number of banks for all matrices: fewer banks are always the milder demand.
    banks = min(each.suggested for each in found.matrices)
    if all(each.at(each.suggested).balanced for each in found.matrices):
        last = ("--calibration", "DATA", "--banks", banks, "--out", "model.safetensors")
        words: tuple[object, ...] = ("pack", checkpoint, *last)
    else:
        last = ("--data", "DATA", "--banks", banks, "--out", "pruned.safetensors")
        words = ("prune", checkpoint, *last)
    typer.echo(f"next: sparseflow {shlex.join(map(str, words))}", err=True)
