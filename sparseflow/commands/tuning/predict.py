"""``sparseflow predict``: what an array will take and reach, and the tables that say so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ...steps.options import PredictBuildOptions, PredictCheckOptions, PredictOptions
from ..derived import derived
from . import predict_cpu as cpu

if TYPE_CHECKING:
    from boards.board import Board
    from boards.cells.learned import Learned
    from sim.jobs.engines import Engine

    from ...tune.prediction.build import Plan
    from ...tune.prediction.samples import Sample

__all__ = ["predict_app"]

MODEL = "model"
DESIGNS = 40  # of a board


class _ModelFirst(typer.core.TyperGroup):
    """``predict MODEL`` beside ``predict build`` and ``predict check``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = [MODEL, *args]
        return super().parse_args(ctx, args)


predict_app = typer.Typer(cls=_ModelFirst, no_args_is_help=True, rich_markup_mode="markdown")


@predict_app.command(MODEL)
@derived(PredictOptions)
def predict(given: PredictOptions) -> None:
    """Say what an array takes and how fast it will be, each figure with its interval and its basis.

    **In:** a packed model and a board. The word `model` may be left out: `predict MODEL --board
    BOARD`. **Out:** cells beside the structural count alone, the clock as a distribution, and how
    likely the board's clock is met. Cycles are exact. With `--board cpu` the time of a step on
    this processor, by what it is made of; without `--learned` networks are timed first.

    **Next:** `sparseflow build MODEL --board BOARD --out FOLDER`
    """
    from boards.board import board
    from csb_format import load_model

    from ...steps.checks import check_written
    from ...tune.prediction.told import predicted

    if cpu.asked([given.board]):
        if given.json:
            check_written("--json", given.json, given.model, given.learned)
        _write(given.json, {"model": given.model.name, **cpu.predict(given)})
        return
    if (given.pes is None) != (given.lanes is None):
        raise ValueError("--pes and --lanes go together: give both or neither")
    if given.json:
        check_written("--json", given.json, given.model, given.learned)
    array = (given.pes, given.lanes) if given.pes and given.lanes else None
    found = predicted(
        load_model(given.model), board(given.board), _table_of(given.learned), array=array,
        contexts=given.contexts, largest=given.largest, megahertz=given.clock,
    )  # fmt: skip
    Console().print(_shown(found))
    Console().print(found["speed"], highlight=False, markup=False, soft_wrap=True)
    _write(given.json, {"model": given.model.name, **found})


def _table_of(path: Path | None) -> Learned:
    from boards.cells.learned import parse, shipped

    return parse(path.read_text("utf-8"), str(path)) if path else shipped()


def _shown(found: Mapping[str, Any]) -> Table:
    table = _narrow(f"{found['title']}: {found['pes']} x {found['lanes']}")
    for head in ("", "predicted", "8 of 10 within", "formula", "of the device", "basis"):
        table.add_column(head, justify="left" if head in ("", "basis") else "right")
    for row in found["figures"]:
        within = f"{row['low']:g} to {row['high']:g}" if row["low"] is not None else ""
        share = f"{row['share']:.0%}" if row["share"] is not None else ""
        formula = f"{row['formula']:g}" if row["formula"] is not None else ""
        table.add_row(row["name"], f"{row['predicted']:g}", within, formula, share, row["basis"])
    return table


def _narrow(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


@predict_app.command("build")
@derived(PredictBuildOptions)
def build(given: PredictBuildOptions) -> None:
    """Count designs of boards, and learn from them what structural counts leave out.

    Designs are drawn, synthesised and packed, each a job of one to some minutes; then more are
    drawn about those that the others predict badly. **In:** boards of an open flow. **Out:** the
    counts, to which a later command adds other boards, and the table that `--learned` takes. It
    stops and goes on at any moment. Needs scikit-learn; what reads the table does not.

    With `--route` some of the drawn designs are placed and routed as well, over seeds: minutes to
    an hour each.

    Without a board it counts nothing, and learns from `--data` alone. With `--board cpu` networks
    are timed on this processor, in seconds.

    **Next:** `sparseflow predict check --board BOARD --learned OUT`
    """
    from sim.jobs.engines import engine_named
    from sim.jobs.store import Store

    from ...steps.checks import check_written
    from ...steps.progress import say
    from ...tune.prediction.build import Plan, gathered
    from ...tune.prediction.clocks import clocks_of, times_of
    from ...tune.prediction.fit import fitted
    from ...tune.prediction.samples import FRESH, PRIOR, read, record, samples_of

    if cpu.asked(given.board):
        check_written("--out", given.out, given.prior)
        _write(given.out, cpu.build(given))
        return
    if given.prior:
        raise ValueError("--prior is of a processor: give it with --board cpu")
    check_written("--data", given.data)
    check_written("--out", given.out, given.data, *(given.routed or ()))
    if given.route:
        check_written("--placed", given.placed, given.data, given.out)
        _kept(given.placed)
    boards = _open_boards(given.board)
    names = {one.name for one in boards}
    known = read(given.data) if given.data.exists() else []
    before = [s for s in known if s.how == FRESH or s.board not in names]
    routed = [row for path in given.routed or () for row in _routed(path)]
    plan = Plan(given.designs or DESIGNS, given.rounds, given.seed, given.multipliers)
    engine = engine_named(given.engine, given.jobs, given.scheduler)
    if given.route:
        rows = _placed(given, boards, plan, engine)
        _write(given.placed, {"rows": rows})
        routed += _routed(given.placed) if any(row["attempts"] for row in rows) else []
        known += samples_of(row | {"how": PRIOR} for row in rows if "counted" in row)
    samples = [*before, *gathered(boards, plan, Store(given.work), engine, say, known)]
    table = {"families": fitted(samples), "clocks": clocks_of(routed), "times": times_of(routed)}
    _write(given.data, {"rows": record(samples)})
    _write(given.out, table)
    for family, counts in table["families"].items():
        for name, one in counts.items():
            say(
                f"{family} {name}: of {one['samples']} designs, each predicted by the others, 8 of "
                f"10 take {one['low']:.3f} to {one['high']:.3f} of the prediction"
            )


def _open_boards(names: Sequence[str] | None) -> list[Board]:
    from boards.board import board
    from boards.build.open_tools import tools_of

    found = [board(name) for name in dict.fromkeys(names or ())]
    for one in found:
        tools_of(one)
    return found


def _placed(
    given: PredictBuildOptions, boards: Sequence[Board], plan: Plan, engine: Engine
) -> list[dict[str, Any]]:
    """Rows of the file as it was, of other boards, and of the designs that are placed now."""
    from sim.jobs.store import Store

    from ...steps.progress import say
    from ...tune.prediction.draw import draw
    from ...tune.prediction.place import placed

    names = {one.name for one in boards}
    count = min(given.route, plan.designs)
    asked = [(b, drawn) for b in boards for drawn in draw(b, count, plan.seed, plan.most)]
    seeds = range(1, given.seeds + 1)
    before = _kept(given.placed)
    return [
        *(row for row in before if row["board"] not in names),
        *placed(asked, seeds, Store(given.work), engine, say, before),
    ]


def _kept(path: Path) -> list[dict[str, Any]]:
    """Rows of designs that were placed before."""
    if not path.exists():
        return []
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["rows"]
        if all(isinstance(row["board"], str) for row in rows):
            return rows
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"--placed {path}: give what an earlier `predict build --route` wrote")


def _routed(path: Path) -> list[dict[str, Any]]:
    from ...tune.prediction.routed import routed

    return routed(path)


@predict_app.command("check")
@derived(PredictCheckOptions)
def check(given: PredictCheckOptions) -> None:
    """Count designs that no table has seen, and say how far predictions are off.

    **In:** boards of an open flow. **Out:** for each count the mean and the worst error, of the
    prediction and of the structural count alone. Designs are drawn by a stream of their own: the
    seed of `predict build` draws others.
    """
    from sim.jobs.engines import engine_named
    from sim.jobs.store import Store

    from ...steps.checks import check_written
    from ...steps.progress import say
    from ...tune.prediction.build import Plan, errors, fresh
    from ...tune.prediction.samples import FRESH, read, record

    if cpu.asked(given.board):
        cpu.check(given)
        return
    if given.data:
        check_written("--data", given.data, given.learned)
    learned, plan = (
        _table_of(given.learned),
        Plan(given.designs or DESIGNS, 0, given.seed, given.multipliers),
    )
    engine = engine_named(given.engine, given.jobs, given.scheduler)
    rows: list[Sample] = []
    if not given.board:
        raise ValueError("--board: say whose designs are counted; it may be repeated")
    for one in _open_boards(given.board):
        samples = fresh(one, plan, Store(given.work), engine, say)
        Console().print(_errors(one, samples, errors(samples, learned)))
        rows += samples
    if given.data:
        names = {sample.board for sample in rows}
        before = read(given.data) if given.data.exists() else []
        kept = [s for s in before if s.how != FRESH or s.board not in names]
        _write(given.data, {"rows": record([*kept, *rows])})


def _errors(
    one: Board, samples: Sequence[Sample], found: Mapping[str, Mapping[str, Sequence[float]]]
) -> Table:
    table = _narrow(f"{one.title}: {len(samples)} designs, how far counts are off")
    for head in ("", "predicted: mean", "worst", "exact", "formula: mean", "worst", "exact"):
        table.add_column(head, justify="right" if head else "left")
    for name, off in found["predicted"].items():
        told = [name]
        for some in (off, found["formula"][name]):
            every = [abs(n) for n in some]
            exact = sum(n == 0 for n in every) / len(every)
            told += [f"{fmean(every):.1%}", f"{max(every):.1%}", f"{exact:.0%}"]
        table.add_row(*told)
    return table


def _write(path: Path | None, found: Mapping[str, Any]) -> None:
    from csb_format.files.replace import replace_file

    if path:
        replace_file(path, (json.dumps(found, indent=1, allow_nan=False) + "\n").encode())
