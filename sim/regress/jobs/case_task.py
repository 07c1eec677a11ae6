"""One case, or the build for it, as a task of :mod:`sim.jobs`; and what came of it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ...jobs.store import Store
from ...jobs.task import Outcome, Task
from ..suite.hardware import Hardware
from ..suite.suite import Case, ModelRecipe
from .execution import Execution, Failure, build, execute
from .line_coverage import measuring

__all__ = ["case_task", "result_of", "run_case"]

DIAGNOSIS = 4.0  # times its limit that a case may take with the replay that explains it
START = 60.0  # seconds in which Python starts and Verilog is emitted
MODEL = "model"
CALL = "sim.regress.jobs.case_task:run_case"


def case_task(
    key: str, spec: Mapping[str, Any], store: Store | None = None, after: str = ""
) -> Task:
    """A task that runs a case.

    Parameters
    ----------
    key : str
    spec : mapping
        ``case``, ``recipe``, ``folder``, ``cache``, ``work``, ``action``, ``keep``: plain values.
        With ``lines``, a folder, line coverage is noted there.
    store : Store, optional
        Takes the file of its model, which then needs to lie on no other machine.
    after : str
        Key of the task that must be done before.
    """
    given = dict(spec)
    work, keep, lines = given.pop("work"), given.pop("keep", False), given.pop("lines", "")
    limit = given["case"]["timeout"] * (1 + DIAGNOSIS) + START
    more = measuring(Path(lines)) if lines else {}
    # a case whose process dies is red: nobody should have to guess why it was green
    return Task(
        key, CALL, given, _inputs(given, store), after, limit=limit, retries=0, work=work,
        keep=keep, environment=more,
    )  # fmt: skip


def _inputs(given: Mapping[str, Any], store: Store | None) -> dict[str, str]:
    file = given["recipe"]["file"]
    path = Path(given["folder"]) / file
    if not file or store is None or not path.is_file():  # the case itself tells what is wrong
        return {}
    return {MODEL: store.put(path.read_bytes())}


def run_case(task: dict[str, Any], inputs: Mapping[str, Path], work: Path) -> dict[str, Any]:
    """Build for a case, or run it; whatever goes wrong becomes a failure."""
    case, recipe = Case(**task["case"]), ModelRecipe(**task["recipe"])
    if MODEL in inputs:
        recipe = replace(recipe, file=str(inputs[MODEL]))
    hardware = Hardware(case, recipe, Path(task["folder"]), Path(task["cache"]))
    try:
        if task["action"] == "build":
            build(hardware, work)
            return asdict(Execution({}, {}, []))
        return asdict(execute(hardware, work))
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        return asdict(Execution({}, {}, [], Failure("error", text)))


def result_of(outcome: Outcome) -> dict[str, Any]:
    """Fields of an :class:`.execution.Execution`, with ``log`` and ``work``.

    Parameters
    ----------
    outcome : Outcome
        Of :func:`case_task`.
    """
    found = outcome.value
    if outcome.failure is not None:
        found = asdict(
            Execution({}, {}, [], Failure(outcome.failure["kind"], outcome.failure["text"]))
        )
    return {**found, "log": outcome.log if found["failure"] else "", "work": outcome.work}
