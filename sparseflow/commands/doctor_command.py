"""The command ``sparseflow doctor``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from csb_format.precision import Balance

from ..pages.made.typed import typed
from ..steps.options import DoctorOptions
from .derived import derived
from .hints import hint
from .prepare_commands import cut_of

if TYPE_CHECKING:
    from pruning.doctor.diagnose import Diagnosis, MatrixFigures
    from pruning.files.network import Network
    from pruning.importers import Imported
    from pruning.tasks.data.datasets import SequenceData

__all__ = ["doctor"]


@derived(DoctorOptions)
def doctor(given: DoctorOptions) -> None:
    """Examine the masks of any model: how busy they keep an array, what balancing costs.

    **In:** a model pruned by any tool: `torch.nn.utils.prune`, `torch.ao.pruning`, NNI, plain
    zeros, safetensors, ONNX, or packed already. Nothing in it is executed. **Out:** for every
    matrix its real sparsity, the utilisation of arrays of N lanes with the masks as they are, the
    energy that rebalancing keeps, and the banks to prune to. With `--data` the accuracy of the
    network as it was read. With `--plan`, of a network that is to be pruned: how much of its
    weights' energy each pattern would keep, in seconds and before any training.

    **Next:** `sparseflow prune CHECKPOINT --data DATA --banks BANKS --out pruned.safetensors`,
    or `pack` where the masks are balanced already
    """
    # Here, as they load torch and matplotlib, and --help must not wait for them.
    from csb_format.files.replace import replace_file
    from pruning.doctor.diagnose import CANDIDATES, bank_loads, diagnose
    from pruning.importers import import_model, save_imported

    from ..pages import doctor_report
    from ..steps.tuning.whole import whole_lines

    _check_places(given)
    if given.plan:
        _plan(given)
        return
    if given.sparsity is not None:
        raise typer.BadParameter("--sparsity is that of --plan: give both, or neither")
    model = import_model(
        given.checkpoint, given.masks, matrices=bool(given.matrix), cut=cut_of(given)
    )
    network, reason = _network(model)
    data = _data(given, network)
    read = _read(given, network, reason, data)
    states = _states(given, network, data)
    found = diagnose(
        model,
        given.lanes or CANDIDATES,
        given.pes,
        given.value_bits,
        given.keep_energy,
        given.matrix or (),
    )
    loads = {
        each.name: bank_loads(model.mask(each.name), each.suggested).numpy()
        for each in found.matrices
    }
    files = {given.json: doctor_report.to_json(found, states)}
    if given.svg:
        files[given.svg] = doctor_report.picture(found, loads)
    if given.html:
        files[given.html] = doctor_report.page(found, loads, typed())
    for path, text in files.items():
        if path:
            replace_file(path, text.encode())
    if given.plain:
        save_imported(given.plain, model)
    sizes = [(m.name, m.columns, m.suggested) for m in found.matrices]
    told = [*read, *_in_words(states), *whole_lines(sizes)]
    doctor_report.print_diagnosis(found, read=told)
    _next(given, model, found, network)


def _plan(given: DoctorOptions) -> None:
    """Patterns side by side, of the recurrent module that the file holds."""
    from csb_format.files.replace import replace_file
    from pruning.doctor.diagnose import CANDIDATES
    from pruning.doctor.plan import plan
    from pruning.files.network import load_recurrent

    from ..pages import doctor_report
    from ..steps.reading import taking_part

    unused: dict[str, object] = {"--svg": given.svg, "--html": given.html, "--plain": given.plain}
    unused |= {"--matrix": given.matrix, "--data": given.data, "--pool": given.pool}
    if told := [name for name, value in unused.items() if value]:
        raise typer.BadParameter(f"--plan makes a table and --json alone: leave {told[0]} out")
    network = load_recurrent(given.checkpoint, given.masks, cut_of(given))
    network.check_finite(given.checkpoint)
    if note := taking_part(network, network.restore()):
        typer.echo(f"note: {note}")
    sparsity = Balance.sparsity if given.sparsity is None else given.sparsity
    lanes = given.lanes or CANDIDATES
    found = plan(network.recurrent, sparsity, lanes, given.pes, given.value_bits, given.keep_energy)
    if given.json:
        replace_file(given.json, doctor_report.plan_json(found).encode())
    doctor_report.print_plan(found)
    whole, _ = _network(network.imported)
    if whole is None:
        own = f"sf.prune(lstm, banks={found.banks}, sparsity={sparsity:g})"
        typer.echo(f"next: {own} in your own loop, as docs/pruning.md shows", err=True)
        return
    cut = shlex.split(network.imported.cut.words())
    file = (given.checkpoint, *(("--masks", given.masks) if given.masks else ()), *cut)
    words = ("--banks", found.banks, "--sparsity", f"{sparsity:g}", "--out", _out(given, "pruned"))
    hint("prune", *file, "--data", "DATA", *words)


def _check_places(given: DoctorOptions) -> None:
    from csb_format.files.container import check_named
    from csb_format.files.ownership import check_file

    places = [place for place in (given.json, given.svg, given.html, given.plain) if place]
    for place in places:
        check_file(place, given.checkpoint, given.masks, given.data)
    if given.plain:
        check_named(given.plain)
    for place in places:
        if [each.resolve() for each in places].count(place.resolve()) > 1:
            raise typer.BadParameter(f"{place} is named for two outputs: give each its own file")


def _data(given: DoctorOptions, network: Network | None) -> SequenceData | None:
    """What the network is scored on, as it takes frames."""
    from ..steps import reading
    from ..steps.places import read_scaled

    if network is None or given.data is None:
        return None
    known = reading.noted_inputs(network, given.checkpoint)
    return read_scaled(given.data, "the score as read", known, given.checkpoint)[0]


def _read(
    given: DoctorOptions, network: Network | None, reason: str, data: SequenceData | None
) -> list[str]:
    """The network that the file was taken for, and its accuracy, a line each."""
    from ..steps import reading

    if network is None:
        if given.data or given.pool:
            raise typer.BadParameter(
                f"{given.checkpoint} is not one recurrent module with one head, whose score "
                f"could be told ({reason}): leave --data and --pool out"
            )
        return [f"no single recurrent module with a head, matrices alone: {reason}"]
    framewise = data is not None and data.framewise
    pool = reading.pool_of(network, given.pool, given.checkpoint, framewise)
    lines = [reading.described(network, pool)]
    if data is not None:
        found = reading.answers_as_read(network, pool, given.checkpoint, data).score()
        return [*lines, reading.score_as_read(network, found, data)]
    note = f"note: {reading.UNSEEN} (--data)"
    return [*lines, note] if reading.unseen(network) else lines


def _states(
    given: DoctorOptions, network: Network | None, data: SequenceData | None
) -> list[dict[str, Any]] | str:
    """How far the states of each layer reach, and what saturates, as ``pack`` would have it.

    Empty without data or integers; why there are none, where the data does not allow them.
    """
    from ..steps.packing import Packing, states_of

    if network is None or data is None or not network.has_integers:
        return []
    try:
        return states_of(network, data, Packing(value_bits=given.value_bits))
    except ValueError as error:
        return f"note: no integers: {error}"


def _in_words(states: list[dict[str, Any]] | str) -> list[str]:
    from ..steps.ranges import range_lines

    if isinstance(states, str):
        return [states]
    return [f"in integers {line}" for line in range_lines(states)]


def _next(given: DoctorOptions, model: Imported, found: Diagnosis, network: Network | None) -> None:
    from pruning.importers.packed import PACKED

    if model.source == PACKED:
        hint("simulate", given.checkpoint, "--data", given.data or "DATA", "--build", "build")
        return
    # One number of banks for all matrices: fewer banks are always the milder demand.
    counted = _counted(found, network)
    banks = min(each.suggested for each in counted)
    dense = all(each.dense for each in counted)
    balanced = not dense and all(_is_balanced(model, each.name, banks) for each in counted)
    file = _file(given, model)
    fed = () if given.pool is None else ("--pool", given.pool.value)
    if balanced and (network is None or not network.has_integers):
        hint(
            "pack",
            *file,
            "--matrices",
            "--banks",
            banks,
            "--out",
            _out(given, "matrices"),
            *_bits(given),
        )
    elif balanced:
        data = ("--calibration", given.data or "DATA")
        hint(
            "pack",
            *file,
            *data,
            "--banks",
            banks,
            *fed,
            "--out",
            _out(given, "model"),
            *_bits(given),
        )
    elif network or not model.state_dict:
        # what scored the network is not to be trained on
        data = ("--data", "DATA", *(() if given.data is None else ("--val", given.data)))
        hint("prune", *file, *data, "--banks", banks, *fed, "--out", _out(given, "pruned"))
    else:
        text = f"next: prune to {banks} banks in your own loop, as docs/pruning.md shows"
        typer.echo(text, err=True)


def _out(given: DoctorOptions, stem: str) -> str:
    """A file to write: no command replaces what it reads."""
    name = f"{stem}.safetensors"
    return f"next-{name}" if Path(name).absolute() == given.checkpoint.absolute() else name


def _file(given: DoctorOptions, model: Imported) -> tuple[object, ...]:
    """The checkpoint as the next command takes it, with what belongs to it."""
    if given.plain:
        return (given.plain,)
    if not model.state_dict:
        return ("CHECKPOINT", "--masks", given.checkpoint)
    masks = () if given.masks is None else ("--masks", given.masks)
    return (given.checkpoint, *shlex.split(model.cut.words()), *masks)


def _bits(given: DoctorOptions) -> tuple[object, ...]:
    usual = given.value_bits == DoctorOptions.value_bits
    return () if usual else ("--value-bits", given.value_bits)


def _counted(found: Diagnosis, network: Network | None) -> list[MatrixFigures]:
    """Matrices that the array runs: not the head, and no dense one where others are pruned."""
    leaves = network.matrices() if network else ()
    names = {network.names[f"recurrent.{leaf}"] for leaf in leaves} if network else set()
    every = [each for each in found.matrices if each.name in names] or list(found.matrices)
    return [each for each in every if not each.dense] or every


def _is_balanced(model: Imported, name: str, banks: int) -> bool:
    from csb_format.csb import UnbalancedError
    from pruning.files.layouts import layout_of
    from pruning.mask.views import Banks

    try:
        layout_of(model, name, Banks(banks))
    except UnbalancedError:
        return False
    return True


def _network(model: Imported) -> tuple[Network | None, str]:
    """What `prune` and `pack` take it for; None, and why, if it is something else."""
    from pruning.files.network import network_of

    try:
        return network_of(model), ""
    except ValueError as error:
        return None, str(error)
