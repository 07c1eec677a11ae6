"""What a run has shown: ``report.json`` for programs, ``report.html`` and a table for people.

Everything is made from one dictionary; nothing is measured here. Equal dictionaries
give equal bytes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from csb_format.files.replace import replace_file
from csb_format.pooling import FED, LAST, check_pool

from . import plots
from .figures import cycles_in_words
from .hardware.screen import screen_rows
from .report_page import html
from .scores.rows import NAMES
from .scores.rows import rows as scores_rows
from .scores.told import partly

__all__ = [
    "SCHEMA",
    "ReportError",
    "print_table",
    "read_report",
    "write_report",
]

_COUNTS = ("utterances", "frames", "cycles", "seconds", "cycles_per_second", "mismatches")

SCHEMA: dict[str, tuple[str, ...]] = {
    "accuracy": ("dense", "pruned", "fixed", "rtl"),
    "array": ("M", "N", "E"),
    "bits_per_nonzero": (),
    "bytes": ("dense16", "csr16", "csb"),
    "commands": (),
    "cycles_per_step": ("floor", "model", "rtl"),
    "formats": (),
    "frames": (),
    "hashes": ("model", "verilog"),
    "macs_per_cycle": ("real", "dense_equivalent"),
    "mismatches": (),
    "multipliers": ("products", "elementwise"),
    "row_picture": ("matrix", "row", "bank_width", "banks", "columns", "kept", "values"),
    "seed": (),
    "simulators": (),
    "sparsity": (),
    "sparsity_requested": (),
    "utilisation": (),
    "utterances": (),
    "versions": (),
    "weights": ("nonzeros", "total"),
}
"""Keys that a report must have, and for some the keys of their dictionaries.

Accuracies, sparsities and the utilisation are shares, 0..1; an accuracy,
``sparsity_requested`` and ``seed`` are None where nobody measured or said them.
``simulators`` is a list of dictionaries with ``name, utterances, frames, cycles, seconds,
cycles_per_second, mismatches`` and optionally ``cycles_exact``, ``driver`` (what ran the frames
``first_frame`` to ``last_frame``), ``same_as`` and ``same`` (whether another simulator gave the
same in the same cycles). ``increments`` (a list of ``sparsity, accuracy`` after each pruning
increment), ``seconds`` (wall time by part, nothing left out), ``epochs`` and ``pool`` (how the head
is fed, of :data:`csb_format.pooling.POOLS`) may be absent, and so may ``utilisation_asked``, the
utilisation by weights that were asked for: ``sparseflow.pages.figures.asked``.
``increments_of``: the increments were scored on so many ``sequences`` of other data than is
reported, with what the ``dense`` network has there.
``scored`` (absent in figures of before) says that ``accuracy`` is of ``sequences`` in ``frames``,
but ``accuracy.rtl`` of the ``simulated`` ones alone, which stand at ``places`` (None for all),
chosen with ``seed``; there the integer model has ``fixed_simulated``, where that was measured.
``dense_cycles_per_step`` (absent in figures of before; None where no array of this size carries it
and with a screen unit)
is of the network with nothing removed, on the same array; ``boards`` as
:func:`.hardware.beside.on_boards` and ``matrices`` as :func:`.hardware.matrices.matrices` say.
``scores`` (absent where nothing was scored, and in figures of before): ``kind`` ("classes" or
"numbers"), ``each`` ("sequence" or "frame"), ``models``, the figures of
:class:`pruning.tasks.scores.score.Score` by the names of ``accuracy``, None where not measured; the
``fixed_simulated`` ones; and of the integer model on all data what
:func:`pruning.tasks.scores.details.details` says. ``saturation``: by name of a tensor or a state
``clipped, seen, format``, where ``pack`` has noted it. ``states`` (absent in figures of before): of
each layer what :func:`.figures.states` says. ``screen``, of a run with a screen unit: as
:func:`.hardware.screen.screened` says, with the margin of its bounds.
"""


class ReportError(ValueError):
    """A report's dictionary lacks something or holds what cannot be shown."""


def write_report(report: Mapping[str, Any], folder: str | os.PathLike[str]) -> None:
    """Write ``report.json`` and ``report.html``.

    Parameters
    ----------
    report : mapping
        Keys as in :data:`SCHEMA`; NumPy scalars and arrays are welcome.
    folder : path
        Created if absent. Both files appear whole or not at all.

    Raises
    ------
    ReportError
        If a key is missing or a number is out of its range; nothing is written then.
    """
    plain = _checked(report)
    # The page is rendered before anything is written: a failure leaves the folder alone.
    files = {"report.json": _json(plain), "report.html": _html(plain)}
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        replace_file(target / name, text.encode())


def read_report(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a ``report.json`` back.

    Parameters
    ----------
    path : path
        The file, or the folder it lies in.

    Raises
    ------
    ReportError
        If it is no JSON or lacks keys.
    """
    file = Path(path)
    file = file / "report.json" if file.is_dir() else file
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReportError(f"{file} is no JSON ({error}): make the report again") from error
    if not isinstance(content, dict):
        raise ReportError(f"{file} holds no report: give the report.json of a run")
    return _checked(content)


def print_table(report: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the report's main figures as a table.

    Parameters
    ----------
    report : mapping
        As for :func:`write_report`.
    console : rich.console.Console, optional
        Where to; standard output by default.
    """
    plain = _checked(report)
    style = "bold green" if _good(plain) else "bold red"
    table = Table(box=box.SIMPLE_HEAD, show_header=False, title=_verdict(plain), title_style=style)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in _rows(plain):
        table.add_row(name, value)
    (console or Console()).print(table)


def _verdict(report: Mapping[str, Any]) -> str:
    wrong, frames = report["mismatches"], report["frames"]
    if wrong:
        return f"{wrong:,} mismatches between Verilog and integer model in {frames:,} frames"
    if late := _off_schedule(report):
        return f"All bits are equal, but cycles differ from the cycle model: {', '.join(late)}"
    if apart := _apart(report):
        return f"Simulators differ on the same Verilog: {', '.join(apart)}"
    return f"Verilog equals the integer model, bit by bit, in {frames:,} frames"


def _off_schedule(report: Mapping[str, Any]) -> list[str]:
    """Simulators in which a frame left in another cycle than predicted."""
    return [str(run["name"]) for run in report["simulators"] if not run.get("cycles_exact", True)]


def _apart(report: Mapping[str, Any]) -> list[str]:
    """Simulators that did not do the same as the one that they repeat."""
    rows = (run for run in report["simulators"] if not run.get("same", True))
    return [f"{run['name']} and {run['same_as']}" for run in rows]


def _good(report: Mapping[str, Any]) -> bool:
    return not report["mismatches"] and not _off_schedule(report) and not _apart(report)


def _checked_by(run: Mapping[str, Any]) -> str:
    """Which frames a simulator has checked, driven by what."""
    if "driver" not in run:
        return f"{run['frames']:,} frames"
    text = f"frames {run['first_frame']:,} to {run['last_frame']:,} by {run['driver']}"
    return text + (f", the same as {run['same_as']}" if run.get("same") else "")


def _seconds(report: Mapping[str, Any]) -> dict[str, float]:
    """Wall time of each part, and of all of them."""
    found = dict(report.get("seconds") or {})
    return found | ({"in all": sum(found.values())} if found else {})


def _rows(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Figure and value, as text, in the order they are read."""
    size = report["bytes"]
    array, multipliers = report["array"], report["multipliers"]
    macs, weights = report["macs_per_cycle"], report["weights"]
    yield "mismatches", f"{report['mismatches']:,}"
    yield "compared", f"{report['frames']:,} frames of {report['utterances']:,} utterances"
    yield from scores_rows(report)
    if "pool" in report:
        yield "head", f"fed with {FED[check_pool(report['pool'])]}"
    yield "sparsity asked", _share(report["sparsity_requested"])
    yield from ((f"sparsity of {k}", f"{v:.2%}") for k, v in report["sparsity"].items())
    yield "weights", f"{weights['nonzeros']:,} nonzeros of {weights['total']:,}"
    yield "cycles per step", cycles_in_words(report)
    yield from screen_rows(report)
    yield "utilisation", f"{report['utilisation']:.1%} of the products' multipliers"
    if (wanted := report.get("utilisation_asked")) is not None:
        others = "; other weights are there because a bank keeps a whole number"
        more = f"{wanted:.1%}" != f"{report['utilisation']:.1%}"
        yield "of it asked for", f"{wanted:.1%} of the multipliers{others if more else ''}"
    yield (
        "MACs per cycle",
        f"{plots.number(macs['real'])} real, {plots.number(macs['dense_equivalent'])} "
        "dense-equivalent (removed weights counted as done)",
    )
    yield (
        "weight bytes",
        f"{size['csb']:,} CSB, {size['csr16']:,} CSR, {size['dense16']:,} dense (16 bits)",
    )
    yield "bits per nonzero", f"{report['bits_per_nonzero']:.2f}"
    yield (
        "array",
        f"M = {array['M']} PEs, N = {array['N']} lanes, E = {array['E']} element-wise",
    )
    yield (
        "multipliers",
        f"{multipliers['products']} for products, {multipliers['elementwise']} element-wise",
    )
    for run in report["simulators"]:
        yield (
            run["name"],
            f"{run['cycles']:,} cycles in {run['seconds']:,.1f} s "
            f"({run['cycles_per_second']:,.0f} per s), {run['mismatches']:,} mismatches; "
            f"{_checked_by(run)}",
        )
    if seconds := _seconds(report):
        yield "seconds", ", ".join(f"{k} {v:,.1f}" for k, v in seconds.items())


def _share(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2%}"


def _html(report: Mapping[str, Any]) -> str:
    rows, seconds = _rows(report), _seconds(report)
    return html(report, _verdict(report), _good(report), rows, seconds, _checked_by)


def _partly(report: Mapping[str, Any]) -> bool:
    """Whether accuracies are of more than what was simulated."""
    return "scored" in report and partly(report["scored"])


def _json(report: Mapping[str, Any]) -> str:
    return json.dumps(report, sort_keys=True, indent=2, allow_nan=False) + "\n"


def _checked(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report in plain Python values, keys sorted, complete."""
    plain = _plain(report, "report")
    assert isinstance(plain, dict)
    for key, inner in SCHEMA.items():
        _require(plain, (key,))
        for name in inner:
            _require(plain, (key, name))
    for name in ("sequences", "frames", "simulated", "places", "seed") * ("scored" in plain):
        _require(plain, ("scored", name))
    for path in (("kind",), *(("models", name) for name in NAMES)) * ("scores" in plain):
        _require(plain, ("scores", *path))
    _check_lists(plain)
    _check_shares(plain)
    try:
        check_pool(plain.get("pool", LAST))
    except ValueError as error:
        raise ReportError(str(error)) from error
    return plain


def _require(report: Any, path: Sequence[str | int]) -> None:
    node = report
    for key in path:
        if isinstance(key, str) and not (isinstance(node, dict) and key in node):
            name = ".".join(map(str, path))
            raise ReportError(
                f"the report lacks {name!r}: add it, or run the step that measures it again"
            )
        node = node[key]


def _check_lists(report: dict[str, Any]) -> None:
    for number in range(len(report["simulators"])):
        for name in ("name", *_COUNTS):
            _require(report, ("simulators", number, name))
    for number, step in enumerate(report.get("increments", ())):
        for name in ("sparsity", "mse" if "mse" in step else "accuracy"):
            _require(report, ("increments", number, name))
    picture = report["row_picture"]
    if len(picture["kept"]) != len(picture["values"]):
        raise ReportError(
            f"row_picture has {len(picture['kept'])} kept columns and "
            f"{len(picture['values'])} values: give one value for each column"
        )


def _check_shares(report: dict[str, Any]) -> None:
    shares = {f"accuracy.{name}": report["accuracy"][name] for name in SCHEMA["accuracy"]}
    shares |= {f"sparsity.{name}": value for name, value in report["sparsity"].items()}
    shares |= {name: report[name] for name in ("sparsity_requested", "utilisation")}
    if report.get("utilisation_asked") is not None:
        shares["utilisation_asked"] = report["utilisation_asked"]
    if "increments_of" in report:
        _require(report, ("increments_of", "sequences"))
        _require(report, ("increments_of", "dense"))
        if report["increments_of"]["dense"] is not None:  # of numbers there is no share
            shares["increments_of.dense"] = report["increments_of"]["dense"]
    if "fixed_simulated" in report.get("scored", ()):
        shares["scored.fixed_simulated"] = report["scored"]["fixed_simulated"]
    for number, step in enumerate(report.get("increments", ())):
        names = [name for name in ("sparsity", "accuracy") if name in step]
        shares |= {f"increments.{number}.{name}": step[name] for name in names}
    for name, value in shares.items():
        unknown = value is None and name.startswith(("accuracy.", "sparsity_requested"))
        if not unknown and not (isinstance(value, int | float) and 0 <= value <= 1):
            raise ReportError(f"{name} is {value!r}: give a share, 0 to 1")


def _plain(value: Any, where: str) -> Any:
    """Dictionaries, lists, text and numbers only, so that JSON and page are made of one thing."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): _plain(value[k], f"{where}.{k}") for k in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}.{number}") for number, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ReportError(f"{where} is {value}: give a finite number")
    if value is None or isinstance(value, str | int | float):
        return value
    raise ReportError(f"{where} is a {type(value).__name__}: give numbers, text, lists, mappings")
