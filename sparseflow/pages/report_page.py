"""The page of a report: what stands where, and the pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from . import plots
from .hardware.beside import shown
from .hardware.matrices import strip
from .scores.apart import classes, confused, confusion, lengths
from .scores.told import dense_of_increments, partly

__all__ = ["html", "templates"]

Report = Mapping[str, Any]
MEASURES = (
    ("accuracy", "accuracy"),
    ("perplexity", "perplexity"),
    ("mse", "MSE"),
    ("mae", "MAE"),
    ("r2", "R2"),
)


def templates() -> Environment:
    """The pages' templates; everything is escaped."""
    return Environment(
        loader=PackageLoader("sparseflow.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html(
    report: Report,
    verdict: str,
    good: bool,
    rows: Iterable[tuple[str, str]],
    seconds: Mapping[str, float],
    checked_by: Callable[[Mapping[str, Any]], str],
) -> str:
    """One page, which needs no network.

    Parameters
    ----------
    report : mapping
        Checked; see :data:`.report.SCHEMA`.
    verdict : str
    good : bool
        Whether it is what was hoped for.
    rows : iterable of (str, str)
        All figures, for the table.
    seconds : mapping of str to float
        Wall time by part.
    checked_by : callable
        Of a simulator's row: which frames were driven by what.
    """
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            report=report,
            verdict=verdict,
            good=good,
            tiles=list(_tiles(report)),
            share=_share,
            checked_by=checked_by,
            partly=_partly(report),
            seconds=seconds,
            rows=list(rows),
            pictures=_pictures(report),
            strip=strip,
            classes=classes(report),
            lengths=lengths(report),
            confusion=confusion(report),
            confused=confused(report),
            models=_models(report),
            measures=MEASURES,
            measure=_measure,
            of=_of(report),
            flat=_flat,
            number=plots.number,
            most_banks=plots.MOST_BANKS,
        )
    )


def _tiles(report: Report) -> Iterator[tuple[str, str]]:
    """What is read first."""
    cycles, dense = report["cycles_per_step"], report.get("dense_cycles_per_step")
    yield _score(report)
    yield (
        number(cycles["rtl"]),
        f"clock cycles per step; floor {number(cycles['floor'])}",
    )
    if board := shown(report.get("boards", ())):
        clock = "a guess" if board["guessed"] else "estimated"
        yield (
            f"{board['microseconds']:.2f} µs",
            f"per step on {board['title']} at {board['megahertz']:g} MHz, {clock}"
            + ("" if board["fits"] else f"; it does not fit: {board['limit']}"),
        )
    if dense is not None:
        yield (
            f"{dense / cycles['rtl']:.1f} times",
            f"faster than the dense network on the same array, {number(dense)} cycles",
        )
    busy = f"of {report['multipliers']['products']} multipliers for products busy"
    yield f"{report['utilisation']:.1%}", busy
    times = report["bytes"]["dense16"] / report["bytes"]["csb"]
    yield f"{times:.1f} times", "smaller than dense weights of 16 bits, indices included"


number = plots.number


def _score(report: Report) -> tuple[str, str]:
    """The score of what runs on the array, and of how much of the data."""
    accuracy, scores = report["accuracy"], report.get("scores")
    scored = report.get("scored", {})
    few = _partly(report)
    if scores is not None and scores["kind"] == "numbers":
        models = scores["models"]
        dense = models["dense"] and f"; dense float network: {models['dense']['mse']:.4g}"
        share = f"; Verilog simulated on {scored['simulated']:,} of the sequences" if few else ""
        text = f"mean squared error of the integers on {scores['count']:,} {scores['each']}s"
        return f"{models['fixed']['mse']:.4g}", text + (dense or "") + share
    dense = f"dense float network: {_dense(report)}"
    if few:
        frames = f"{scored['counted']:,} frames of " if "counted" in scored else ""
        return _share(accuracy["fixed"]), (
            f"accuracy of the integers on {frames}all {scored['sequences']:,} sequences; {dense}; "
            f"Verilog simulated on {scored['simulated']:,} of them"
        )
    return _share(accuracy["rtl"]), f"accuracy of the Verilog; {dense}"


def _dense(report: Report) -> str:
    """As `simulate` has scored it; else as `prune` did, on data that it was given."""
    here, earlier = report["accuracy"]["dense"], report.get("increments_of") or {}
    if here is None and earlier.get("dense") is not None:
        return f"{_share(earlier['dense'])} on the data of prune --val"
    return _share(here)


def _pictures(report: Report) -> dict[str, str]:
    measured = {k: v for k, v in report["accuracy"].items() if v is not None}
    if _partly(report):  # of other sequences: not to be held against the others
        measured.pop("rtl", None)
    drawn = {"accuracy": plots.accuracy(measured, _of(report))} if measured else {}
    beside = report.get("dense_cycles_per_step")
    drawn |= {
        "cycles": plots.step_cycles(report["cycles_per_step"], beside),
        "memory": plots.memory(report["bytes"]),
        "row": plots.row_banks(report["row_picture"]),
    }
    steps = report.get("increments")
    if steps and "mse" in steps[0]:
        if (dense := report.get("increments_of", {}).get("dense_score", {}).get("mse")) is not None:
            drawn["increments"] = plots.increments(steps, dense, "mse")
    elif steps and (dense := dense_of_increments(report)) is not None:
        drawn["increments"] = plots.increments(steps, dense)
    return drawn


def _models(report: Report) -> list[tuple[str, dict[str, float | None]]]:
    """Every model that was scored and its figures, where there is more than the accuracy."""
    names = {"dense": "dense, float", "pruned": "pruned, float"}
    names |= {"fixed": "pruned, integers", "rtl": "Verilog, simulated"}
    given = report.get("scores", {}).get("models", {})
    found = [(label, given[key]) for key, label in names.items() if given.get(key)]
    return found if any(set(each) != {"accuracy"} for _, each in found) else []


def _of(report: Report) -> str:
    return "frames" if "counted" in report.get("scored", ()) else "utterances"


def _partly(report: Report) -> bool:
    """Whether accuracies are of more than what was simulated."""
    return "scored" in report and partly(report["scored"])


def _measure(name: str, value: float | None) -> str:
    """A figure of a score as text."""
    if value is None:
        return "none"
    return f"{value:.2%}" if name == "accuracy" else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2%}"


def _flat(value: Any) -> str:
    """A value of ``formats``, which may be nested, on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    return ", ".join(map(_flat, value)) if isinstance(value, list) else str(value)
