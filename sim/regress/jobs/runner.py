"""Runs a suite: what is left of it, in parallel, whatever its cases do."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from csb_format.files.folders import cache_folder, shared_folder
from csb_format.files.replace import replace_file

from ..suite.baseline import NEW, Baseline, Change, compare
from ..suite.figures import plain_json
from ..suite.hardware import CACHED, Hardware, generator_digest
from ..suite.suite import Case, ModelRecipe, Suite
from .engines import Engine, Task
from .figures import is_result

__all__ = ["MADE", "CaseResult", "Places", "Run", "run_suite", "without"]

Tell = Callable[[str, int, int], None]
# what a run writes where results go
MADE = ("builds", "cases", "finished", "lines", "run.json")


@dataclass(frozen=True)
class Places:
    """Where a suite runs.

    Parameters
    ----------
    suite : Path
        Its file.
    out : Path
        Results; what failed cases leave.
    cache : Path
        Verilog and simulators, kept between runs.
    """

    suite: Path
    out: Path
    cache: Path

    def case(self, case: Case) -> Path:
        """Folder of a case."""
        return self.out / "cases" / case.slug

    def result(self, case: Case) -> Path:
        """Its result, for a run that goes on."""
        return self.out / "finished" / f"{case.slug}.json"


@dataclass(frozen=True)
class CaseResult:
    """A case and its verdict.

    Parameters
    ----------
    case : Case
    figures, times : dict
    bins : list of str
    failure : dict, optional
        ``kind``, ``text``, ``details``: why it is red by itself.
    log : str
        The last lines of its process, if it failed.
    changes : tuple of Change
        Why it is red against the baseline.
    replay : str
        One command that runs just this case again, with waveforms.
    kept : str
        Folder with vectors and logs, if it failed.
    resumed : bool
        Whether it was run before an interruption.
    """

    case: Case
    figures: dict[str, Any]
    times: dict[str, float]
    bins: list[str]
    failure: dict[str, Any] | None
    log: str
    changes: tuple[Change, ...]
    replay: str
    kept: str
    resumed: bool = False

    @property
    def passed(self) -> bool:
        """Whether it is green."""
        return self.failure is None and not self.changes

    @property
    def story(self) -> str:
        """Why it is red; empty if it is not."""
        parts = [f"{self.failure['kind']}: {self.failure['text']}"] if self.failure else []
        return "\n".join([*parts, *(change.text for change in self.changes)])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        found = asdict(self)
        found |= {"case": self.case.name, "parameters": self.case.parameters}
        found |= {"verdict": "passed" if self.passed else "failed"}
        found["changes"] = [asdict(change) for change in self.changes]
        return found


@dataclass(frozen=True)
class Run:
    """A run of a suite.

    Parameters
    ----------
    suite : str
    started : float
        Seconds since 1970.
    seconds : float
    results : tuple of CaseResult
        In the suite's order.
    gone : tuple of str
        Cases of the baseline that the suite no longer has.
    gated : bool
        Whether there is a baseline.
    hardware : int
        Distinct simulators that the cases needed.
    """

    suite: str
    started: float
    seconds: float
    results: tuple[CaseResult, ...]
    gone: tuple[str, ...]
    gated: bool
    hardware: int

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """The red cases."""
        return tuple(result for result in self.results if not result.passed)

    @property
    def passed(self) -> bool:
        """The verdict."""
        return not self.failed and not self.gone


def run_suite(
    suite: Suite,
    places: Places,
    engine: Engine,
    baseline: Baseline | None = None,
    *,
    fresh: bool = False,
    whole: bool = True,
    lines: bool = False,
    tell: Tell | None = None,
) -> Run:
    """Run all cases of a suite that an interrupted run before has not finished.

    Parameters
    ----------
    suite : Suite
    places : Places
    engine : Engine
    baseline : Baseline, optional
    fresh : bool
        Run everything, whatever an interrupted run has left.
    whole : bool
        Whether this is the whole suite, so that cases of the baseline that it lacks are gone.
    lines : bool
        Note line coverage in the folder ``lines`` of ``places.out``.
    tell : callable, optional
        Told what was just done (the name of a case, or how many simulators are built), how
        many cases are done, and how many there are.

    Raises
    ------
    PlaceError
        If something that is not ours is where it would write.
    """
    with shared_folder(places.out, MADE, living=MADE):
        cache_folder(places.cache, CACHED)
        return _run_suite(suite, places, engine, baseline, fresh, whole, lines, tell)


def _run_suite(
    suite: Suite,
    places: Places,
    engine: Engine,
    baseline: Baseline | None,
    fresh: bool,
    whole: bool,
    lines: bool,
    tell: Tell | None,
) -> Run:
    started = time.time()
    done = {} if fresh else _finished(suite, places)
    if not done:
        _begin(suite, places)
    left = [case for case in suite.cases if case.name not in done]
    for case in left:
        shutil.rmtree(places.case(case), ignore_errors=True)
    more = {"lines": str((places.out / "lines").resolve())} if lines else {}
    if not (lines and done):  # a run that goes on adds to what was noted
        shutil.rmtree(places.out / "lines", ignore_errors=True)
    tasks = [replace(task, spec=task.spec | more) for task in _tasks(suite, places, left)]
    found, built = dict(done), 0
    builds = len({task.after for task in tasks if task.after})
    by_name = {case.name: case for case in left}
    for key, result in engine.results(tasks):
        kind, _, name = key.partition(":")
        built += kind == "build"
        if kind == "case":
            assert name not in found, f"{name} came back twice"
            found[name] = result
            _note(by_name[name], places, result)
        if tell:
            text = name if kind == "case" else f"built {built} of {builds} simulators"
            tell(text, len(found), len(suite.cases))
    results = tuple(
        _judged(suite, places, case, found[case.name], baseline, case.name in done)
        for case in suite.cases
    )
    (places.out / "run.json").unlink(missing_ok=True)  # finished: nothing to go on with
    names = {case.name for case in suite.cases}
    gone = tuple(sorted(set(baseline.cases) - names)) if baseline and whole else ()
    seconds = time.time() - started
    return Run(suite.name, started, seconds, results, gone, baseline is not None, builds)


def _judged(
    suite: Suite,
    places: Places,
    case: Case,
    found: dict[str, Any],
    baseline: Baseline | None,
    resumed: bool,
) -> CaseResult:
    failure, figures = found["failure"], found["figures"]
    changes: list[Change] = []
    if baseline is not None and not failure:
        was = baseline.cases.get(case.name)
        changes = (
            list(compare(case.name, was, figures, suite.tolerance))
            if was is not None
            else [Change(case.name, NEW, None, None)]
        )
    words = ["sparseflow", "regress", places.suite, "--out", places.out, "--cache", places.cache]
    replay = shlex.join(map(str, [*words, "--replay", case.name]))
    kept = found["work"] if failure else ""
    return CaseResult(
        case,
        figures,
        found["times"],
        found["bins"],
        failure,
        found["log"],
        tuple(changes),
        replay,
        kept,
        resumed,
    )


def _tasks(suite: Suite, places: Places, cases: list[Case]) -> Iterator[Task]:
    """A build for every distinct hardware, then the cases, each after its own."""
    built: dict[str, str] = {}
    waiting: list[Task] = []
    for case in cases:
        recipe = suite.models.get(case.model, ModelRecipe())
        spec = {
            "case": asdict(case),
            "recipe": asdict(recipe),
            "folder": str(suite.folder.resolve()),
            "cache": str(places.cache.resolve()),
            "work": str(places.case(case).resolve()),
            "action": "run",
        }
        after = ""
        if case.kind == "network":
            after = f"build:{_build_key(case, recipe, suite, places)}"
        if after and after not in built:
            built[after] = case.name
            work = str((places.out / "builds" / after[6:]).resolve())
            yield Task(after, spec | {"action": "build", "work": work})
        waiting.append(Task(f"case:{case.name}", spec, after))
    yield from waiting


def _build_key(case: Case, recipe: ModelRecipe, suite: Suite, places: Places) -> str:
    try:
        return Hardware(case, recipe, suite.folder, places.cache).build_key
    except (ValueError, OSError):  # the case itself tells what is wrong
        return f"{case.simulator}-{case.slug}"


def _fingerprint(suite: Suite) -> str:
    """Digest of everything that results follow from."""
    cases = [asdict(case) for case in suite.cases]
    models = {name: asdict(recipe) for name, recipe in suite.models.items()}
    sources = generator_digest("csb_format", "compiler", "engine", "hdl", "sim")
    what = json.dumps([cases, models, sources], sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(what.encode())
    for recipe in suite.models.values():
        if recipe.file and (path := suite.folder / recipe.file).is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _begin(suite: Suite, places: Places) -> None:
    """A new run: nothing of an old one counts."""
    for folder in ("builds", "cases", "finished"):
        shutil.rmtree(places.out / folder, ignore_errors=True)
    places.out.mkdir(parents=True, exist_ok=True)
    note = {"fingerprint": _fingerprint(suite)}
    replace_file(places.out / "run.json", json.dumps(note, allow_nan=False).encode())


def _note(case: Case, places: Places, result: dict[str, Any]) -> None:
    path = places.result(case)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(
        path, json.dumps({"case": asdict(case), "result": result}, allow_nan=False).encode()
    )


def _finished(suite: Suite, places: Places) -> dict[str, dict[str, Any]]:
    """Results of a run that was interrupted, if it was of the very same suite and sources."""
    if _noted(places.out / "run.json").get("fingerprint") != _fingerprint(suite):
        return {}
    kept = {case.name: _noted(places.result(case)) for case in suite.cases}
    return {
        case.name: kept[case.name]["result"]
        for case in suite.cases
        if kept[case.name].get("case") == asdict(case) and is_result(kept[case.name].get("result"))
    }


def _noted(path: Path) -> dict[str, Any]:
    """What a run has noted; nothing if the file is not there or broken: then it runs again."""
    try:
        found = plain_json(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def without(run: Run, names: set[str]) -> Run:
    """A run less some cases' changes, which were accepted."""
    results = tuple(
        replace(result, changes=()) if result.case.name in names else result
        for result in run.results
    )
    return replace(run, results=results, gone=(), gated=True)
