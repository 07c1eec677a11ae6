"""A broken accelerator in a suite: the story, the replay, and what to look at."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

import pytest
from pywellen import Waveform

from hdl.verilog import VerilogFiles
from sim.jobs.engines import LocalEngine
from sim.regress.jobs.bin_coverage import ALL_BINS, bins_of, covered
from sim.regress.jobs.runner import Places, run_suite
from sim.regress.jobs.verdicts import CaseResult
from sim.regress.records.artifacts import keep_artifacts
from sim.regress.records.replay import replay
from sim.regress.records.waves import groups
from sim.regress.suite.baseline import Baseline
from sim.regress.suite.hardware import Hardware
from sim.regress.suite.suite import Suite, read_suite

SUITE = """
timeout = 120
[models.small]
input_size = 6
hidden_size = 8
banks = 4
k = 1
[[cases]]
name = "lstm"
model = "small"
lengths = [2, 2]
stall = 0.3
"""


@pytest.fixture
def suite(tmp_path: Path) -> tuple[Suite, Places]:
    path = tmp_path / "suite.toml"
    path.write_text(SUITE)
    return read_suite(path), Places(path, tmp_path / "out", tmp_path / "cache")


def hardware(suite: Suite, places: Places) -> Hardware:
    (case,) = suite.cases
    return Hardware(case, suite.models[case.model], suite.folder, places.cache)


def break_a_product(cache: Path) -> None:
    """Lane 2 of every PE adds where it should multiply."""
    (path,) = (cache / "verilog").glob("*/sparseflow_pe.v")
    text = path.read_text()
    products = list(re.finditer(r"\$signed\([^()]+\) \* \$signed\([^()]+\)", text))
    assert len(products) == 4
    found = products[2]
    broken = found[0].replace(" * ", " + ")
    path.write_text(text[: found.start()] + broken + text[found.end() :])


def assert_all_there(fst: Path, save: Path, commands: Path) -> None:
    """Signals of both save files are in the waveforms, as Surfer's own library reads them."""
    there = {variable.full_name: variable.bitwidth for variable in Waveform(str(fst)).all_vars()}
    shown = [line for line in save.read_text().splitlines() if line[:1] not in "[*@-"]
    assert len(shown) > 50
    for name in shown:
        plain, _, width = name.partition("[")
        assert there[plain] == (int(width.partition(":")[0]) + 1 if width else 1), name
    added = re.findall(r"^variable_add (.*)$", commands.read_text(), re.MULTILINE)
    assert [name.partition("[")[0] for name in shown] == added


@pytest.mark.slow
def test_a_mismatch_is_a_story_with_a_replay(suite: tuple[Suite, Places]) -> None:
    given, places = suite
    hardware(given, places).verilog(places.out / "first")
    break_a_product(places.cache)
    run = run_suite(given, places, LocalEngine(1))
    (result,) = run.results
    assert result.failure is not None
    assert result.failure["kind"] == "mismatch"
    known = result.failure["details"]
    assert {"layer", "step", "gate", "row", "bank", "cycle", "expected", "got"} <= known.keys()
    assert known["bank"] == 2
    assert result.replay.endswith("--replay lstm")
    vectors = json.loads(Path(result.kept, "vectors.json").read_text())
    assert [len(v["frames"]) for v in vectors] == [4 * 2]
    found = replay(given, places)
    assert not found.passed
    assert str(known["cycle"]) in found.story
    fst, save, commands = found.waves
    assert fst.read_bytes()[:1] == b"\x00"  # the header block of an FST file
    text = save.read_text()
    assert_all_there(fst, save, commands)
    assert f'[dumpfile] "{fst.name}"' in text
    assert re.search(r"^-pe\d$", text, re.MULTILINE)
    assert re.search(r"^sparseflow\.pe\d\.product2\[31:0\]$", text, re.MULTILINE)
    marker = int(re.search(r"^\*\S+ (\d+)", text, re.MULTILINE)[1])  # type: ignore[index]
    assert marker > 10_000 * known["cycle"]
    assert f"cursor_set {marker}" in commands.read_text()
    keep_artifacts(given, places, run, places.out.parent / "red", "icarus", lambda text: None)
    assert_what_a_red_case_needs(places.out.parent / "red" / "lstm", known, result)


def assert_what_a_red_case_needs(red: Path, known: dict[str, Any], result: CaseResult) -> None:
    """Waveforms, the frame that went wrong, what went in, the command: nothing is run by hand."""
    frame = json.loads((red / "frame.json").read_text())
    assert frame | known == frame
    assert len(frame["inputs"]) == 1
    assert frame["step"] == known["step"]
    assert (red / "vectors.json").read_bytes() == Path(result.kept, "vectors.json").read_bytes()
    assert (red / "replay.txt").read_text() == result.replay + "\n"
    assert result.story in (red / "story.txt").read_text()
    assert (red / "simulation.log").exists()
    assert_all_there(*(red / f"waves.{kind}" for kind in ("fst", "gtkw", "sucl")))
    assert not [path for path in red.iterdir() if path.is_dir()]


def test_a_green_case_leaves_nothing_heavy(suite: tuple[Suite, Places]) -> None:
    given, places = suite
    run = run_suite(given, places, LocalEngine(1))
    assert run.passed, run.failed[0].story
    assert run.hardware == 1
    assert not list(places.case(given.cases[0]).iterdir())
    assert run.results[0].figures["mismatches"] == 0
    assert set(run.results[0].bins) < set(run.results[0].reach) < set(ALL_BINS)
    # of this case alone, nobody asks for bins of cases that are not there
    groups = run.coverage
    assert groups["simulator"] == {"bins": 1, "hit": 1, "missed": []}
    assert "bus" not in groups
    assert groups["state"]["missed"]


@pytest.mark.slow
def test_a_replay_is_red_as_the_run_was(suite: tuple[Suite, Places]) -> None:
    """By figures that moved; with waveforms all the same."""
    given, places = suite
    run = run_suite(given, places, LocalEngine(1))
    (case,) = given.cases
    was = Baseline({case.name: run.results[0].figures | {"cycles": 1}})
    found = replay(given, places, baseline=was)
    assert not found.passed
    assert re.search(r"^  cycles 1 -> \d+ ", found.story, re.MULTILINE)
    assert all(path.exists() for path in found.waves)


def scopes(vcd: str) -> set[str]:
    """Full names of all signals of a VCD file, with their ranges."""
    path, found = list[str](), set[str]()
    for line in vcd.splitlines():
        words = line.split()
        if words[:1] == ["$scope"]:
            path.append(words[2])
        elif words[:1] == ["$upscope"]:
            path.pop()
        elif words[:1] == ["$var"]:
            found.add(".".join([*path, words[4]]) + (words[5] if words[5] != "$end" else ""))
    return found


def dumped(files: VerilogFiles, folder: Path) -> set[str]:
    """Signals that Icarus writes for a design."""
    dump = folder / "dump.v"
    dump.write_text(
        f'module dump; initial begin $dumpfile("d.vcd"); $dumpvars(0, {files.top}); '
        "#1 $finish; end endmodule\n"
    )
    program = folder / "d.vvp"
    command = ["iverilog", "-g2005", "-s", files.top, "-s", "dump", "-o", str(program)]
    subprocess.run([*command, *map(str, files.paths), str(dump)], check=True)
    subprocess.run(["vvp", "-n", str(program)], cwd=folder, check=True, capture_output=True)
    return scopes((folder / "d.vcd").read_text())


def test_save_files_name_signals_that_there_are(
    suite: tuple[Suite, Places], tmp_path: Path
) -> None:
    files = hardware(*suite).verilog(tmp_path / "w")
    for image in files.images:
        (tmp_path / image).symlink_to(files.folder / image)
    there = dumped(files, tmp_path)
    chosen = groups(files, "pe3.product1 is 7, should be 8; word 2 of matrix_003")
    assert [group.name for group in chosen] == ["streams", "controller", "pe3"]
    for group in chosen:
        assert len(group.signals) > 5
        assert set(group.signals) <= there
    assert [group.name for group in groups(files)] == ["streams", "controller", "pe0", "lane0"]


@pytest.mark.slow
def test_a_simulator_that_does_not_end_is_killed_at_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    long = SUITE.replace("[2, 2]", "[12000]").replace("timeout = 120", "timeout = 4")
    path.write_text(long.replace('"lstm"', '"long"') + SUITE[SUITE.index("[[cases]]") :])
    given, places = read_suite(path), Places(path, tmp_path / "out", tmp_path / "cache")
    kept = tuple(
        replaced(case, timeout=120) if case.name == "lstm" else case for case in given.cases
    )
    run = run_suite(replaced(given, cases=kept), places, LocalEngine(2))
    long_case, other = run.results
    assert other.passed, other.story
    assert long_case.failure is not None
    assert long_case.failure["kind"] == "timeout"
    assert "test killed after 4 s" in long_case.story
    assert "cocotb" in long_case.story  # the end of the simulator's log


@pytest.mark.slow
def test_verilator_replays_with_the_same_signals(suite: tuple[Suite, Places]) -> None:
    """Needs liblz4-dev and zlib1g-dev, as the option's help says."""
    found = replay(*suite, "verilator")
    assert found.passed, found.story
    assert_all_there(*found.waves)


@pytest.mark.slow
def test_a_bus_case_is_replayed_with_its_buses(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(SUITE + 'kind = "bus"\n')
    given, places = read_suite(path), Places(path, tmp_path / "out", tmp_path / "cache")
    found = replay(given, places)
    assert found.passed, found.story
    assert_all_there(*found.waves)
    text = found.waves[1].read_text()
    assert "sparseflow_axi.s_axi_awvalid\n" in text
    assert "sparseflow_axi.core.controller.pc" in text


@pytest.mark.slow
def test_models_take_turns_on_the_buses(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(SUITE + 'kind = "bus"\nreload = true\n')
    given, places = read_suite(path), Places(path, tmp_path / "out", tmp_path / "cache")
    run = run_suite(given, places, LocalEngine(1))
    assert run.passed, run.failed[0].story
    (result,) = run.results
    # 8 units, h and c, 4 frames, three models
    assert result.figures["values"] == 3 * 4 * 2 * 8
    assert {"memories/in turn", "bus/abandoned job", "bus/pauses"} <= set(result.bins)


def test_cell_states_are_driven_to_both_ends(suite: tuple[Suite, Places]) -> None:
    given, places = suite
    case = replaced(given.cases[0], lengths=[25])
    recipe = replaced(given.models["small"], saturating=True)
    met = bins_of(Hardware(case, recipe, given.folder, places.cache))
    assert {"state/c saturated low", "state/c saturated high"} <= set(met)
    assert not {b for b in bins_of(hardware(*suite)) if "saturated" in b}


def test_bins_say_what_a_case_has_met(suite: tuple[Suite, Places]) -> None:
    met = bins_of(hardware(*suite))
    assert {"shape/one layer", "padding/padded input", "stall/idle none, stall some"} <= set(met)
    assert "shape/projected" not in met
    groups = covered(met)
    assert groups["simulator"] == {
        "bins": 3, "hit": 1, "missed": ["verilator", "verilator-free"],
    }  # fmt: skip
    assert sum(group["hit"] for group in groups.values()) == len(met)


@pytest.mark.slow
def test_pauses_are_the_same_in_compiled_cplusplus(tmp_path: Path) -> None:
    """Same seeds, also beyond 32 bits; same cycles and outputs under Icarus and in C++."""
    path = tmp_path / "suite.toml"
    more = 'simulator = ["icarus", "verilator-free"]\nseed = [7, 4294967295]\nidle = 0.4\n'
    path.write_text(SUITE + more)
    given, places = read_suite(path), Places(path, tmp_path / "out", tmp_path / "cache")
    run = run_suite(given, places, LocalEngine(2))
    assert run.passed, run.failed[0].story
    assert run.hardware == 2
    first, second, third, fourth = (result.figures for result in run.results)
    assert first == third
    assert second == fourth
    assert first["cycles"] != second["cycles"]
