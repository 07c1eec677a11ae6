"""Designs drawn and counted, tables learned of them, and the commands around that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.board import board
from boards.build import attempts, open_tools, top_verilog
from boards.build.attempts import Attempt
from boards.cells.clocks import Clocks, Times, features, kind_of
from boards.cells.learned import parse, shipped
from boards.cells.structure import counted, estimate
from boards.resources import fastest
from boards.tools.errors import BitstreamError
from csb_format import load_model, save_model
from csb_format.random_models import random_model
from sim.jobs import engines
from sim.jobs.store import Store
from sim.jobs.task import Outcome, Task
from sparseflow.commands.cli import app
from sparseflow.tune.prediction import build, samples
from sparseflow.tune.prediction.build import Plan, errors, fresh, gathered
from sparseflow.tune.prediction.clocks import clocks_of, times_of
from sparseflow.tune.prediction.count import VERSION
from sparseflow.tune.prediction.draw import WITHIN, Drawn, about, draw
from sparseflow.tune.prediction.fit import fitted, left_out, ratios
from sparseflow.tune.prediction.routed import routed
from sparseflow.tune.prediction.samples import FRESH, NEAR, PRIOR, Sample, read, record
from sparseflow.tune.prediction.told import predicted
from tests.sparseflow.tune.routing import Inline

BOARD = board("ecpix5")
RESULTS = Path(__file__).parents[3] / "bench" / "results"


class Synthesis:
    """In the place of Yosys: what the structure says, and a tenth more LUT from 9 PEs on."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def results(
        self, tasks: Sequence[Task], store: Store | None = None
    ) -> Iterator[tuple[str, Outcome]]:
        for task in tasks:
            self.asked.append(task.digest)
            there = board(task.arguments["board"])
            sample = Sample(there.name, Drawn.of(task.arguments), {})
            usage = estimate(sample.design, there)
            more = 1.1 if sample.drawn.pes > 8 else 1.0
            yield task.key, Outcome({
                "lut": round(usage.luts * more), "ff": usage.registers,
                "ram": usage.block_rams, "dsp": usage.multipliers,
            })  # fmt: skip


def test_draws_are_the_same_again_and_others_to_judge_by() -> None:
    first, again = (list(draw(BOARD, 4, 0)) for _ in range(2))
    assert first == again
    assert first[:2] == list(draw(BOARD, 2, 0))
    assert not set(first) & set(draw(BOARD, 4, 0, stream=1))
    assert all(one.pes * one.lanes <= 64 for one in first)
    assert all(one.design(BOARD).deep for one in first)
    small = board("icebreaker")
    assert all(one.pes * one.lanes <= 8 for one in draw(small, 3, 0, most=8))


def test_neighbours_have_sizes_near_by() -> None:
    (middle,) = draw(BOARD, 1, 5)
    for one in about(BOARD, middle, 4, 0):
        for knob in ("inputs", "hidden"):
            before, after = (getattr(d.network, knob) for d in (middle, one))
            assert WITHIN[0] * before - 1 <= after <= WITHIN[1] * before + 1
        assert one.lanes == middle.lanes


@pytest.mark.slow
def test_designs_are_counted_once_and_more_are_drawn_about_the_worst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # of shapes alone: a model is not drawn for each
    monkeypatch.setattr(samples, "_design", lambda drawn, name: drawn.design(board(name)))
    engine, store, plan = Synthesis(), Store(tmp_path), Plan(8, 1, 3, 64)
    told: list[str] = []
    found = gathered([BOARD], plan, store, engine, told.append)
    assert re.match(r"\d+ designs to count, each one to some minutes: \S+ \d+ x \d+, ", told[0])
    assert [one.how for one in found[:8]] == [PRIOR] * 8
    assert {one.how for one in found[8:]} <= {NEAR}
    first = len(engine.asked)
    assert gathered([BOARD], plan, store, engine, lambda text: None) == found
    assert len(engine.asked) == first  # the store had all of them
    judged = fresh(BOARD, Plan(2, 0, 3, 64), store, engine, lambda text: None)
    assert {one.how for one in judged} == {FRESH}
    assert fitted([*found, *judged]) == fitted(found)  # nothing learns from them
    learned = parse(json.dumps({"families": fitted(found), "clocks": {}}))
    off = errors(judged, learned)
    assert off["formula"]["dsp"] == off["predicted"]["dsp"] == [0.0, 0.0]
    path = tmp_path / "counted.json"
    path.write_text(json.dumps({"rows": record(found)}))
    assert read(path) == found


def test_what_is_off_by_parts_is_learned() -> None:
    """A count whose trees are a fifth larger than the structure says, and nothing else."""
    found = []
    for drawn in draw(BOARD, 12, 1):
        sample = Sample(BOARD.name, drawn, {})
        count = counted(sample.design, BOARD)
        more = 1 + 0.2 * count.sites["trees"] / sum(count.sites.values())
        assert count.usage.registers is not None
        found.append(Sample(BOARD.name, drawn, {"lut": round(count.usage.luts * more),
                                                "ff": count.usage.registers}))  # fmt: skip
    beside = 1 + ratios(found, "lut")
    assert np.abs(left_out(found, "lut") / beside - 1).max() < np.abs(1 / beside - 1).max() / 2
    weights = fitted(found)["ecp5"]["lut"]["weights"]
    assert max(weights, key=lambda name: weights[name]) == "trees"
    assert fitted(found[:3]) == {}  # too few to learn anything


def test_what_is_known_of_this_hardware_is_not_counted_again(tmp_path: Path) -> None:
    class Never:
        def results(self, tasks: Sequence[Task], store: Any = None) -> Iterator[Any]:
            assert not list(tasks)
            yield from ()

    (drawn,) = draw(BOARD, 1, 0)
    known, old = (Sample(BOARD.name, drawn, {"lut": 7}, NEAR, of) for of in (VERSION, "1"))
    asked, store = [(BOARD, drawn, PRIOR)], Store(tmp_path)
    path = tmp_path / "counted.json"
    path.write_text(json.dumps({"rows": record([known])}))
    (found,) = samples.counted(asked, store, Never(), print, read(path))
    assert (found.counted, found.how, found.hardware) == ({"lut": 7}, PRIOR, VERSION)
    with pytest.raises(AssertionError):
        samples.counted(asked, store, Never(), lambda text: None, [old])


def test_failures_name_the_design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def results(self, tasks: Sequence[Task], store: Any = None) -> Iterator[Any]:
            failure = {"kind": "error", "text": "SynthesisError: no"}
            yield from ((task.key, Outcome(failure=failure, log="the end")) for task in tasks)

    (drawn,) = draw(BOARD, 1, 0)
    with pytest.raises(ValueError, match=r"(?s)ecpix5 \d+ x \d+, .*SynthesisError: no.*the end"):
        samples.counted([(BOARD, drawn, PRIOR)], Store(tmp_path), Broken(), lambda text: None)


def test_clocks_are_wider_the_fewer_designs_there_are() -> None:
    rows = [{"board": "ecpix5", "design": str(n), "fmax_mhz": mhz}
            for n, mhz in enumerate((100, 110, 121))]  # fmt: skip
    many = clocks_of([*rows, *[row | {"design": f"again {row['design']}"} for row in rows]])
    few = clocks_of(rows)
    (kind,) = few
    assert few[kind]["median"] == pytest.approx(110, rel=1e-3)
    odd = clocks_of({"board": "ecpix5", "design": str(n), "fmax_mhz": mhz}
                    for n, mhz in enumerate((100, 101, 102, 103, 150)))[kind]  # fmt: skip
    # of five designs the interval holds the one that all others say least of
    assert odd["median"] * np.exp(1.2816 * odd["deviation"]) > 150
    assert few[kind]["deviation"] > many[kind]["deviation"] > np.std(np.log([100, 110, 121]))
    assert clocks_of(rows[:1]) == {}  # one design has no spread
    seeds = [rows[0] | {"fmax_mhz": mhz} for mhz in (90, 100)]
    assert clocks_of([*rows, *seeds])[kind]["designs"] == 3


def test_clocks_move_with_what_is_known_of_a_design_where_that_pays() -> None:
    rng = np.random.default_rng(3)
    rows = [
        {"board": name, "design": str(n), "fmax_mhz": mhz * lanes**-0.3 * rng.uniform(0.99, 1.01),
         "about": {"luts": luts, "array": (4, lanes), "bits": (8, 8)}}
        for name, mhz in (("ecpix5", 160), ("ulx3s", 110))
        for n, (lanes, luts) in enumerate(
            zip((1, 2, 4, 8, 16) * 2, rng.integers(8000, 30000, 10).tolist(), strict=True))
    ]  # fmt: skip
    found = {kind: Clocks(**one) for kind, one in clocks_of(rows).items()}
    for row in rows:
        there = board(row["board"])
        mine = found[kind_of(there)].of(features(**row["about"], device=there.has.luts))
        assert mine.median == pytest.approx(row["fmax_mhz"], rel=0.05)
        low, high = mine.interval
        assert high / low < 1.15  # what lanes explain is no longer spread
    plain = clocks_of([{n: row[n] for n in ("board", "design", "fmax_mhz")} for row in rows])
    assert plain["LFE5U 6"]["deviation"] > 4 * found["LFE5U 6"].deviation
    other = [row | {"fmax_mhz": float(rng.uniform(80, 90))} for row in rows]
    assert all("weights" not in one for one in clocks_of(other).values())


def test_a_build_takes_as_long_as_its_tables_do() -> None:
    rows = [
        {"board": name, "design": str(n), "lut": 1000 * n, "cpu_seconds": 30 * n * more}
        for n, (name, more) in enumerate((("ecpix5", 1), ("ulx3s", 2), ("ulx3s", 0.5)), 1)
    ]
    found = times_of([*rows, {"board": "ulx3s", "design": "9", "fmax_mhz": 80.0}])
    assert found["ecp5"]["median"] == pytest.approx(0.03)
    assert found["ecp5"]["designs"] == 3
    low, high = Times(**found["ecp5"]).of(2000)[1:]
    assert low < 30 < 120 < high
    assert times_of(rows[:1]) == {}


def test_drawn_designs_are_placed_over_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = {1: 80.0, 2: 90.0}

    def best_of(b: Any, work: Path, seeds: list[int], *rest: Any) -> Any:
        if work.name == "task3":
            raise BitstreamError("no place for it")
        tried = [Attempt(seed, "heap", reached[seed]) for seed in seeds]
        return tried[0], (Attempt(1, "static", failure="frozen"), *tried)

    for module, name, made in (
        (attempts, "best_of", best_of),
        (open_tools, "make_netlist", lambda *a: None),
        (open_tools, "pack_cells", lambda *a: {"lut": 5}),
        (top_verilog, "emit_board", lambda *a: None),
    ):
        monkeypatch.setattr(module, name, made)
    inline = Inline(tmp_path)
    monkeypatch.setattr(engines, "LocalEngine", lambda workers: inline)
    monkeypatch.chdir(tmp_path)
    words = ["predict", "build", "--board", "ecpix5", "--designs", "4", "--route", "3", "--seeds",
             "2", "--work", "store"]  # fmt: skip
    given: list[Any] = []

    def nothing(*arguments: Any) -> list[Sample]:
        given.extend(arguments[-1])
        return []

    monkeypatch.setattr(build, "counted", nothing)
    Path("placed.json").write_text('{"rows": [{"board": "ulx3s", "attempts": []}]}')
    assert command(*words) == 0
    rows = json.loads(Path("placed.json").read_text())["rows"]
    assert [row["board"] for row in rows] == ["ulx3s", *["ecpix5"] * 3]
    assert [one["fmax_mhz"] for one in rows[1]["attempts"]] == [None, 80.0, 90.0]
    assert [Drawn.of(row) for row in rows[1:]] == list(draw(BOARD, 3, 0))
    clocks = json.loads(Path("learned.json").read_text())["clocks"]
    assert clocks["LFE5UM5G 8"]["designs"] == 2
    assert (rows[3]["attempts"], rows[3]["failure"]) == ([], "no place for it")
    assert clocks["LFE5UM5G 8"]["median"] == pytest.approx((80 * 90) ** 0.5, abs=0.01)
    # their cells are known, so nobody counts them again; nor are they placed again
    assert [(s.drawn, s.counted, s.how) for s in given] == [
        (one, {"lut": 5}, PRIOR) for one in draw(BOARD, 3, 0)
    ]
    assert (inline.ran, command(*words[:-1], "other store"), inline.ran) == (3, 0, 3)
    assert json.loads(Path("placed.json").read_text())["rows"] == rows
    Path("placed.json").write_text("[]")
    with pytest.raises(ValueError, match=r"--placed placed\.json: give what an earlier"):
        app(words)


def test_routed_rows_are_read(tmp_path: Path) -> None:
    found = routed(RESULTS / "boards.json")
    assert {"ecpix5", "ulx3s"} <= {row["board"] for row in found}
    assert all(row["fmax_mhz"] > 20 for row in found)
    # a build of several attempts counts once
    assert sum("cpu_seconds" in row for row in found) < len(found)
    path = tmp_path / "rows.json"
    for text, told in (("{}", "no routed rows"), ('{"rows": [{"board": "ulx3s"}]}', "no row has")):
        path.write_text(text)
        with pytest.raises(ValueError, match=told):
            routed(path)


@pytest.mark.slow
def test_the_table_that_ships_is_learned_from_the_counts_that_are_kept() -> None:
    file = Path(build.__file__).parents[3] / "boards" / "data" / "learned.json"
    kept = json.loads(file.read_text("utf-8"))
    rows = [row for name in ("boards", "protection") for row in routed(RESULTS / f"{name}.json")]
    again = {"families": fitted(read(RESULTS / "counted.json")), "clocks": clocks_of(rows),
             "times": times_of(rows)}  # fmt: skip
    for family, counts in again["families"].items():
        for name, one in counts.items():
            weights = kept["families"][family][name].pop("weights")
            assert one.pop("weights") == pytest.approx(weights, rel=0.01, abs=1e-4)
    assert again == kept


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        app(list(words))
    return int(ended.value.code or 0)


def model_file(tmp_path: Path) -> str:
    path = tmp_path / "m.safetensors"
    save_model(path, random_model(np.random.default_rng(0), 12, 32, 8, 1, 2))
    return str(path)


def test_the_command_says_each_figure_with_its_basis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = str(tmp_path / "told.json")
    words = ("predict", model_file(tmp_path), "--board", "ecpix5", "--json", told)
    assert command(*words) == 0
    page = capsys.readouterr().out
    found = json.loads(Path(told).read_text())
    for row in found["figures"]:
        assert f"{row['predicted']:g}" in page
    figures = {row["name"]: row for row in found["figures"]}
    assert (
        figures["registers"]["low"]
        < figures["registers"]["predicted"]
        < figures["registers"]["high"]
    )
    assert re.fullmatch(r"\d+ counted designs", figures["registers"]["basis"])
    assert figures["multipliers"]["basis"] == "structure"
    assert figures["multipliers"]["predicted"] == figures["multipliers"]["formula"]
    clocks = shipped().clock(BOARD)
    assert clocks is not None
    assert figures["MHz"]["predicted"] == round(clocks.median, 1)
    minutes = figures["build, min"]
    assert minutes["low"] < minutes["predicted"] < minutes["high"]
    assert minutes["predicted"] == pytest.approx(
        figures["LUT"]["predicted"] * shipped().times["ecp5"].median / 60, abs=0.06
    )
    assert found["met"] == pytest.approx(clocks.met(75), abs=1e-4)
    assert "cycles a step, exact" in page
    assert command(*words, "--pes", "4", "--lanes", "2", "--clock", "400") == 0
    found = json.loads(Path(told).read_text())
    assert (found["pes"], found["lanes"], found["clock_mhz"]) == (4, 2, 400)
    assert found["met"] < 0.01


def test_the_word_model_may_be_left_out_and_wrong_words_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model_file(tmp_path)
    assert command("predict", "model", path, "--board", "arty_a7") == 0
    assert "nobody has measured" in capsys.readouterr().out
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    for words, told in (
        ((path, "--board", "ecpix5", "--pes", "4"), "--pes and --lanes go together"),
        ((path, "--board", "ecpix5", "--learned", str(bad)), "nothing learned"),
        (("build", "--board", "arty_a7", "--data", str(tmp_path / "d.json")), "no open tools"),
        (("build", "--board", "ecpix5", "--data", str(bad)), "no counted designs"),
    ):
        with pytest.raises(ValueError, match=told):
            app(["predict", *words])


@pytest.mark.parametrize("name", ["ecpix5", "ulx3s", "kv260"])
def test_clock_and_time_are_those_of_fit(tmp_path: Path, name: str) -> None:
    model = load_model(model_file(tmp_path))
    found, best = predicted(model, board(name), shipped()), fastest(model, board(name))
    assert (found["cycles"], found["clock_mhz"]) == (best.cycles, best.megahertz)
    assert found["fits"]
    assert "100%" not in found["speed"]


def test_an_array_that_does_not_fit_is_told(tmp_path: Path) -> None:
    found = predicted(load_model(model_file(tmp_path)), BOARD, shipped(), array=(128, 2))
    assert not found["fits"]
    assert re.match(r"this array does not fit: \w+, \d+%; ", found["speed"])
