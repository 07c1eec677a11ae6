"""Suites run to their end, whatever their cases do; nothing is lost, nothing counted twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sim.jobs.engines import DaskEngine, LocalEngine
from sim.jobs.store import Store
from sim.jobs.task import Outcome, Task
from sim.regress.jobs.runner import Places, run_suite
from sim.regress.jobs.verdicts import Run
from sim.regress.records.records import as_junit
from sim.regress.suite.baseline import Baseline
from sim.regress.suite.suite import Suite, read_suite

WRITE = "import json, sys; json.dump({'lut': 10}, open(sys.argv[1], 'w'))"


def command(name: str, program: str, more: str = "") -> str:
    words = json.dumps(["{python}", "-c", program, "{out}"])
    return f'[[cases]]\nname = "{name}"\nkind = "command"\ncommand = {words}\n{more}\n'


def suite_of(folder: Path, *cases: str, head: str = "") -> tuple[Suite, Places]:
    path = folder / "suite.toml"
    path.write_text(head + "\n" + "".join(cases))
    return read_suite(path), Places(path, folder / "out", folder / "cache")


class Counting:
    """Notes what an engine runs; is interrupted after some results."""

    def __init__(self, results: int = 1000):
        self.left, self.keys = results, list[str]()

    def results(
        self, tasks: Sequence[Task], store: Store | None = None
    ) -> Iterator[tuple[str, Outcome]]:
        for key, result in LocalEngine(1).results(tasks, store):
            self.keys.append(key)
            yield key, result
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def verdicts(run: Run) -> dict[str, str]:
    return {r.case.name: r.failure["kind"] if r.failure else "passed" for r in run.results}


def test_crashes_and_hangs_harm_no_other_case(tmp_path: Path) -> None:
    crash = "import os, sys; print('last words', flush=True); os.abort()"
    # a child that would outlive its parent, were not the whole group killed
    hang = (
        "import subprocess, sys, time; open('pid', 'w').write(str(subprocess.Popen("
        "['sleep', '600']).pid)); print('still here', flush=True); time.sleep(600)"
    )
    suite, places = suite_of(
        tmp_path,
        command("good", WRITE),
        command("crash", crash),
        command("hang", hang, "timeout = 1.0"),
        command("silent", "pass"),
    )
    started = time.monotonic()
    run = run_suite(suite, places, LocalEngine(2))
    assert time.monotonic() - started < 120
    assert verdicts(run) == {
        "good": "passed", "crash": "crash", "hang": "timeout", "silent": "crash",
    }  # fmt: skip
    by = {result.case.name: result for result in run.results}
    assert by["good"].figures == {"lut": 10}
    assert "last words" in by["crash"].story
    assert "killed after 1 s" in by["hang"].story
    assert "still here" in by["hang"].story
    assert (
        "wrote no figures: its command has to write numbers as JSON to {out}" in by["silent"].story
    )
    assert by["hang"].replay.endswith("--replay hang")
    assert not alive(int((tmp_path / "pid").read_text()))
    assert not list(places.case(by["good"].case).iterdir())
    assert Path(by["crash"].kept, "command.log").exists()


@pytest.mark.parametrize(
    "words", ["nothing moved for a while", "test killed after 3 s", "simulation failed (exit 9)"]
)
def test_what_a_command_says_does_not_tell_how_it_ended(tmp_path: Path, words: str) -> None:
    program = f"import sys; print({words!r}, flush=True); sys.exit(3)"
    suite, places = suite_of(tmp_path, command("loud", program))
    run = run_suite(suite, places, LocalEngine(1))
    assert verdicts(run) == {"loud": "crash"}
    assert words in run.results[0].story
    assert "exit 3" in run.results[0].story


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    suite, places = suite_of(tmp_path, *(command(name, WRITE) for name in "abc"))
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, places, Counting(1))
    again = Counting()
    run = run_suite(suite, places, again)
    assert again.keys == ["case:b", "case:c"]
    assert [result.resumed for result in run.results] == [True, False, False]
    assert run.passed
    third = Counting()
    run_suite(suite, places, third)
    assert len(third.keys) == 3  # a run that ended is over


@pytest.mark.quick(2)
@pytest.mark.parametrize("broken", ["", "{", "[]", '{"fingerprint": 3}'])
def test_a_broken_note_starts_from_the_beginning(tmp_path: Path, broken: str) -> None:
    suite, places = suite_of(tmp_path, command("a", "pass"), command("b", "pass"))
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, places, Counting(1))
    (places.out / "run.json").write_text(broken)
    again = Counting()
    run_suite(suite, places, again)
    assert again.keys == ["case:a", "case:b"]


def test_a_broken_result_is_run_again(tmp_path: Path) -> None:
    suite, places = suite_of(tmp_path, command("a", WRITE), command("b", WRITE))
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, places, Counting(1))
    (places.out / "finished/a.json").write_text("{")
    again = Counting()
    assert run_suite(suite, places, again).passed
    assert again.keys == ["case:a", "case:b"]


def test_a_changed_suite_starts_from_the_beginning(tmp_path: Path) -> None:
    suite, places = suite_of(tmp_path, *(command(name, WRITE) for name in "ab"))
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, places, Counting(1))
    changed, _ = suite_of(tmp_path, command("a", WRITE), command("b", WRITE + "; 1"))
    again = Counting()
    run_suite(changed, places, again)
    assert len(again.keys) == 2


def test_baselines_make_red(tmp_path: Path) -> None:
    head = "[tolerance]\nlut = 0.2"
    more = "[cases.expect]\nlut = 11"
    suite, places = suite_of(
        tmp_path, command("near", WRITE), command("new", WRITE), command("not", WRITE, more),
        head=head,
    )  # fmt: skip
    was = Baseline({"near": {"lut": 9}, "not": {"lut": 10}, "gone": {"lut": 1}})
    run = run_suite(suite, places, LocalEngine(2), was, whole=[c.name for c in suite.cases])
    near, new, wrong = run.results
    assert near.passed
    assert "not in the baseline; record it with --accept" in new.story
    assert wrong.story == "figure: lut is 10, the suite expects 11"
    assert run.gone == ("gone",)
    assert not run.passed


def test_a_worker_that_dies_loses_nothing(tmp_path: Path) -> None:
    """Two workers; one is killed while it runs a case. Each case comes back exactly once."""
    import distributed

    starts = tmp_path / "starts"
    note = f"open({str(starts)!r}, 'a').write('x')"
    slow = f"import time; {note}; time.sleep(2); {WRITE}"
    suite, places = suite_of(tmp_path, *(command(f"c{n}", slow) for n in range(5)))
    done: list[str] = []

    def tell(name: str, *_: int) -> None:
        done.append(name)
        if len(done) == 1:
            while len(starts.read_text()) < 4:  # until both workers are amid their second case
                time.sleep(0.02)
            os.kill(next(iter(pids.values())), signal.SIGKILL)

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = client.run(os.getpid)
        assert len(set(pids.values())) == 2
        engine = DaskEngine(2, cluster.scheduler_address)
        run = run_suite(suite, places, engine, tell=tell)
    assert sorted(done) == [f"c{n}" for n in range(5)]
    assert [result.figures for result in run.results] == [{"lut": 10}] * 5
    assert run.passed
    # one was cut off, and ran again; so may one whose result the worker still had
    assert 6 <= len(starts.read_text()) <= 7
    root = ElementTree.fromstring(as_junit(run, places.suite))
    assert [root.attrib[name] for name in ("tests", "failures", "errors")] == ["5", "0", "0"]


def test_a_cluster_of_its_own(tmp_path: Path) -> None:
    suite, places = suite_of(tmp_path, command("a", WRITE), command("b", "import os; os.abort()"))
    run = run_suite(suite, places, DaskEngine(1))
    assert verdicts(run) == {"a": "passed", "b": "crash"}


def test_commands_without_figures_or_a_program_are_red(tmp_path: Path) -> None:
    empty = "import json, sys; json.dump({'a': 'x', 'b': [1], 'c': True}, open(sys.argv[1], 'w'))"
    missing = '[[cases]]\nname = "missing"\nkind = "command"\ncommand = ["no-such-program"]\n'
    fails = command("fails", "import sys; sys.exit(3)")
    suite, places = suite_of(tmp_path, command("empty", empty), missing, fails)
    run = run_suite(suite, places, LocalEngine(1), None)
    stories = {r.case.name: r.story for r in run.failed}
    assert "empty gave no figure: numbers in {out} are figures, texts" in stories["empty"]
    assert "there is no program no-such-program, or it may not be run" in stories["missing"]
    assert "{python}" not in stories["fails"]
