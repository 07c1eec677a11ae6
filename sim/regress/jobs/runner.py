"""Runs a suite: what is left of it, in parallel, whatever its cases do."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from csb_format.files.folders import cache_folder, shared_folder
from csb_format.files.replace import replace_file

from ...jobs.engines import Engine
from ...jobs.store import Store
from ...jobs.task import Task
from ..suite.baseline import Baseline
from ..suite.figures import plain_json
from ..suite.hardware import CACHED, INPUTS, Hardware, generator_digest
from ..suite.sources import commit
from ..suite.suite import Case, ModelRecipe, Suite
from .bin_coverage import reachable
from .case_task import case_task, result_of
from .figures import is_result
from .verdicts import Run, judged, told_flaky

__all__ = ["MADE", "Places", "build_key", "run_suite"]

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
    baseline : Path, optional
        If it is not beside the suite.
    """

    suite: Path
    out: Path
    cache: Path
    baseline: Path | None = None

    def case(self, case: Case) -> Path:
        """Folder of a case."""
        return self.out / "cases" / case.slug

    def result(self, case: Case) -> Path:
        """Its result, for a run that goes on."""
        return self.out / "finished" / f"{case.slug}.json"

    def replay(self, case: Case) -> str:
        """One command that runs just this case again, with waveforms."""
        words = ["sparseflow", "regress", self.suite, "--out", self.out, "--cache", self.cache]
        words += ["--baseline", self.baseline] if self.baseline else []
        return shlex.join(map(str, [*words, "--replay", case.name]))


def run_suite(
    suite: Suite,
    places: Places,
    engine: Engine,
    baseline: Baseline | None = None,
    *,
    fresh: bool = False,
    whole: Collection[str] | None = None,
    shard: str = "",
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
    whole : collection of str, optional
        Names of all cases of which the suite has some: others of the baseline are gone. By
        default nobody looks for them.
    shard : str
        Which part of the whole suite this is, for the records.
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
        started = time.time()
        found, done, builds = _run_suite(suite, places, engine, baseline, fresh, lines, tell)
    results = told_flaky(
        suite,
        [judged(suite, case, found[case.name], baseline, places.replay(case), case.name in done)
         for case in suite.cases],
    )  # fmt: skip
    gone = baseline.gone(whole) if baseline and whole is not None else ()
    seconds, gated = time.time() - started, baseline is not None
    where = commit(suite.folder)
    return Run(suite.name, started, seconds, results, gone, gated, builds, where, shard, suite.bins)


def _run_suite(
    suite: Suite,
    places: Places,
    engine: Engine,
    baseline: Baseline | None,
    fresh: bool,
    lines: bool,
    tell: Tell | None,
) -> tuple[dict[str, Any], Collection[str], int]:
    """What each case gave, which had been run before, and how many simulators were needed."""
    done = {} if fresh else _finished(suite, places)
    if not done:
        _begin(suite, places)
    left = [case for case in suite.cases if case.name not in done]
    for case in left:
        shutil.rmtree(places.case(case), ignore_errors=True)
    measured = str((places.out / "lines").resolve()) if lines else ""
    if not (lines and done):  # a run that goes on adds to what was noted
        shutil.rmtree(places.out / "lines", ignore_errors=True)
    store = Store(places.cache.resolve() / INPUTS)
    tasks = list(_tasks(suite, places, left, store, measured))
    found, built = dict(done), 0
    builds = len({task.after for task in tasks if task.after})
    by_name = {case.name: case for case in left}
    for key, outcome in engine.results(tasks, store):
        kind, _, name = key.partition(":")
        built += kind == "build"
        if kind == "case":
            assert name not in found, f"{name} came back twice"
            result = result_of(outcome)
            found[name] = _reaching(suite, places, by_name[name], result)
            _note(by_name[name], places, found[name])
            if judged(suite, by_name[name], found[name], baseline, "").passed:
                shutil.rmtree(result["work"], ignore_errors=True)
        if tell:
            text = name if kind == "case" else f"built {built} of {builds} simulators"
            tell(text, len(found), len(suite.cases))
    (places.out / "run.json").unlink(missing_ok=True)  # finished: nothing to go on with
    return found, done.keys(), builds


def _reaching(suite: Suite, places: Places, case: Case, result: dict[str, Any]) -> dict[str, Any]:
    """A result with the bins that the case can hit, also of one that ended before it told them."""
    if result["reach"]:
        return result
    recipe = suite.models.get(case.model, ModelRecipe())
    try:
        reach = reachable(Hardware(case, recipe, suite.folder, places.cache))
    except (ValueError, OSError):  # no hardware: the case itself tells why
        reach = [f"kind/{case.kind}"]
    return result | {"reach": reach}


def _tasks(
    suite: Suite, places: Places, cases: list[Case], store: Store, lines: str
) -> Iterator[Task]:
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
            "keep": True,  # until the verdict
            "lines": lines,
        }
        after = ""
        if case.kind == "network":
            after = f"build:{build_key(case, suite, places)}"
        if after and after not in built:
            built[after] = case.name
            work = str((places.out / "builds" / after[6:]).resolve())
            building = spec | {"action": "build", "work": work, "keep": False}
            yield case_task(after, building, store)
        waiting.append(case_task(f"case:{case.name}", spec, store, after))
    yield from waiting


def build_key(case: Case, suite: Suite, places: Places) -> str:
    """Names the simulator that a case needs; cases with the same one share it."""
    recipe = suite.models.get(case.model, ModelRecipe())
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
