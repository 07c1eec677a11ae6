"""Results of shards that ran on other machines, as one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..jobs.figures import is_result
from ..jobs.runner import Places
from ..jobs.verdicts import CaseResult, Run, judged, told_flaky
from ..suite.baseline import Baseline
from ..suite.figures import plain_json
from ..suite.suite import Case, Suite, SuiteError

__all__ = ["MergeError", "merged", "result_folders"]

RESULTS = "results.json"
_NUMBERS = ("started", "seconds", "hardware")


class MergeError(ValueError):
    """Folders whose results make no run of the suite."""


def result_folders(given: Sequence[Path]) -> list[Path]:
    """Folders with results: those given, or those in them.

    Parameters
    ----------
    given : sequence of Path
        ``--out`` of shards, or a folder that holds several of them.

    Raises
    ------
    MergeError
        Naming one that has none.
    """
    found: list[Path] = []
    for folder in given:
        inside = sorted(path.parent for path in folder.glob(f"*/{RESULTS}"))
        here = [folder] if (folder / RESULTS).is_file() else inside
        if not here:
            raise MergeError(f"{folder}: there is no {RESULTS} in it: give --out of a shard")
        found += here
    return list(dict.fromkeys(path.resolve() for path in found))


def merged(suite: Suite, places: Places, folders: Sequence[Path], baseline: Baseline | None) -> Run:
    """One run of the results of several; a case that none has run is red.

    Parameters
    ----------
    suite : Suite
        All of it; what shards have run is held against it.
    places : Places
        Of the commands that run red cases again.
    folders : sequence of Path
        As :func:`result_folders` has them.
    baseline : Baseline, optional
        The figures are held against it anew.

    Raises
    ------
    MergeError
        If a file is damaged, of another suite, of another commit, or two have run the same case.
    """
    read = {folder: _read(folder, suite) for folder in folders}
    commits = {str(found["commit"]): folder for folder, found in read.items()}
    if len(commits) > 1:
        one, other = list(commits)[:2]
        raise MergeError(
            f"{commits[one]} is of commit {one or 'none'}, {commits[other]} of {other or 'none'}: "
            "give shards of one commit"
        )
    results = _results(suite, places, read, baseline)
    gone = baseline.gone([case.name for case in suite.cases]) if baseline else ()
    return Run(
        suite.name,
        min(found["started"] for found in read.values()),
        max(found["seconds"] for found in read.values()),
        results,
        gone,
        baseline is not None,
        sum(found["hardware"] for found in read.values()),
        next(iter(commits)),
        "",
        suite.bins,
    )


def _results(
    suite: Suite, places: Places, read: dict[Path, dict[str, Any]], baseline: Baseline | None
) -> tuple[CaseResult, ...]:
    found: dict[str, CaseResult] = {}
    where: dict[str, Path] = {}
    for folder, content in read.items():
        for result in content["cases"]:
            case = _case(suite, result, folder)
            if case.name in where:
                raise MergeError(
                    f"{where[case.name]} and {folder} have both run {case.name}: shards were split "
                    "by other histories; give each the same --history, or none"
                )
            where[case.name] = folder
            again = places.replay(case)
            found[case.name] = judged(suite, case, result | {"work": ""}, baseline, again)
    ran = {result.case.base for result in found.values()}
    for case in suite.cases:
        if case.name not in ran:
            found[case.name] = _missing(suite, places, case)
    order = {case.name: n for n, case in enumerate(suite.cases)}
    every = sorted(found.values(), key=lambda r: (order[r.case.base], r.case.repetition))
    return told_flaky(suite, every)


def _missing(suite: Suite, places: Places, case: Case) -> CaseResult:
    text = "no shard has run it: the results of its machine are missing"
    nothing: dict[str, Any] = {"figures": {}, "times": {}, "bins": [], "reach": [], "log": ""}
    failure = {"kind": "error", "text": text, "details": {}}
    found = nothing | {"failure": failure, "work": ""}
    return judged(suite, case, found, None, places.replay(case))


def _case(suite: Suite, result: Any, folder: Path) -> Case:
    """The suite's case of a result, with the very same parameters."""
    if not is_result(result | {"work": ""} if isinstance(result, dict) else result):
        raise MergeError(f"{folder / RESULTS} is damaged: run that shard again")
    name = str(result.get("case", ""))
    try:
        (case,) = suite.only(name).cases
    except (SuiteError, ValueError) as error:
        raise MergeError(
            f"{folder} has run {name!r}, which is no case of {suite.name}: give the same suite"
        ) from error
    if case.name != name or case.parameters != result.get("parameters"):
        raise MergeError(
            f"{folder} has run {name} as another version of {suite.name} has it: give "
            "the same suite"
        )
    return case


def _read(folder: Path, suite: Suite) -> dict[str, Any]:
    path = folder / RESULTS
    try:
        found = plain_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MergeError(f"{path} cannot be read: run that shard again") from error
    sound = (
        isinstance(found, dict)
        and all(type(found.get(name)) in (int, float) for name in _NUMBERS)
        and all(isinstance(found.get(name), str) for name in ("suite", "commit"))
        and isinstance(found.get("cases"), list)
    )
    if not sound:
        raise MergeError(f"{path} is no result of a run: give --out of a shard")
    if found["suite"] != suite.name:
        raise MergeError(f"{path} is of suite {found['suite']!r}, not of {suite.name!r}")
    return dict(found)
