"""``sparseflow predict`` for this processor: networks are timed, not designs counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from ...steps.options import PredictBuildOptions, PredictCheckOptions, PredictOptions

if TYPE_CHECKING:
    from ...tune.prediction.steps import Step

__all__ = ["CPU", "asked", "build", "check", "predict"]

CPU = "cpu"
NEAR = 0.1  # of a time
OF_ARRAYS = ("pes", "lanes", "largest", "clock")


def asked(boards: Sequence[str] | None) -> bool:
    """Whether it is this processor.

    Raises
    ------
    ValueError
        For a board beside it.
    """
    names = list(boards or ())
    if CPU in names and len(set(names)) > 1:
        raise ValueError(f"--board {CPU} stands alone: give boards to a command of their own")
    return CPU in names


def predict(given: PredictOptions) -> dict[str, Any]:
    """A step of a model; without ``--learned`` networks are timed first."""
    from csb_format import load_model

    from ...steps.progress import say
    from ...tune.prediction.cpu import FEW, learned, predicted

    for name in OF_ARRAYS:
        if getattr(given, name) is not None:
            raise ValueError(f"--{name} is of an array, not of a processor: leave it out")
    if given.contexts != 1:
        raise ValueError("--contexts is of an array, not of a processor: leave it out")
    model = load_model(given.model)
    step = _read(given.learned) if given.learned else learned(FEW, 1, 0, say, like=model)
    found = predicted(model, step)
    Console().print(_parts(found))
    Console().print(_said(found), highlight=False, markup=False, soft_wrap=True)
    return found


def _read(path: Path) -> Step:
    from ...tune.prediction.steps import parse

    return parse(path.read_text("utf-8"), str(path))


def _parts(found: Mapping[str, Any]) -> Table:
    table = _narrow(f"A step on this processor, kernel {found['kernel']}")
    for head in ("of", "so many", "us", "share"):
        table.add_column(head, justify="left" if head == "of" else "right")
    for part in sorted(found["parts"], key=lambda part: -part["microseconds"]):
        us = part["microseconds"]
        share = us / found["microseconds"] if found["microseconds"] else 0.0
        table.add_row(part["name"], f"{part['count']:,.0f}", f"{us:.3f}", f"{share:.0%}")
    return table


def _said(found: Mapping[str, Any]) -> str:
    text = (
        f"{found['microseconds']:.2f} us a step, 8 of 10 within {found['low']:.2f} to "
        f"{found['high']:.2f}; from {found['basis']}. Multiplications alone say "
        f"{found['multiplications_alone']:.2f} us"
    )
    if found["unknown"]:
        text += f". No timed network had {', '.join(found['unknown'])}, which counts nothing here"
    return text


def _narrow(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def build(given: PredictBuildOptions) -> dict[str, Any]:
    """A table of this processor."""
    from ...steps.progress import say
    from ...tune.prediction.cpu import NETWORKS, learned

    if given.routed:
        raise ValueError("--routed is of boards, not of a processor: leave it out")
    base = _read(given.prior) if given.prior else None
    step = learned(given.designs or NETWORKS, given.rounds, given.seed, say, base=base)
    say(
        f"cpu step: of {step.models} networks, each predicted by the others, 8 of 10 take "
        f"{step.low:.3f} to {step.high:.3f} of the prediction"
    )
    return step.plain


def check(given: PredictCheckOptions) -> None:
    """How far a table is off, on networks that it has not seen."""
    from ...tune.prediction.cpu import NETWORKS, fresh, judged

    if given.learned is None:
        raise ValueError("--learned: give what `predict build --board cpu` wrote on this processor")
    step = _read(given.learned)
    count = given.designs or NETWORKS // 2
    table = _narrow(f"This processor: {count} networks, how far times are off")
    for head in ("", "mean", "worst", "within 10 %"):
        table.add_column(head, justify="right" if head else "left")
    for method, off in judged(step, fresh(count, given.seed)).items():
        every = [abs(n) for n in off]
        inside = sum(n <= NEAR for n in every) / len(every)
        table.add_row(method, f"{fmean(every):.1%}", f"{max(every):.1%}", f"{inside:.0%}")
    Console().print(table)
