"""A broken accelerator in a suite: the story, the replay, and what to look at."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from hdl.verilog import VerilogFiles
from sim.regress.bins import ALL_BINS, bins_of, covered
from sim.regress.engines import LocalEngine
from sim.regress.hardware import Hardware
from sim.regress.replay import replay
from sim.regress.runner import Places, run_suite
from sim.regress.suite import Suite, read_suite
from sim.regress.waves import groups

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
    assert f'[dumpfile] "{fst.name}"' in text
    assert re.search(r"^-pe\d$", text, re.MULTILINE)
    assert re.search(r"^sparseflow\.pe\d\.product2\[31:0\]$", text, re.MULTILINE)
    marker = int(re.search(r"^\*\S+ (\d+)", text, re.MULTILINE)[1])  # type: ignore[index]
    assert marker > 10_000 * known["cycle"]
    assert f"cursor_set {marker}" in commands.read_text()


def test_a_green_case_leaves_nothing_heavy(suite: tuple[Suite, Places]) -> None:
    given, places = suite
    run = run_suite(given, places, LocalEngine(1))
    assert run.passed, run.failed[0].story
    assert run.hardware == 1
    assert not list(places.case(given.cases[0]).iterdir())
    assert run.results[0].figures["mismatches"] == 0
    assert set(run.results[0].bins) <= set(ALL_BINS)


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
    command = ["iverilog", "-g2012", "-s", files.top, "-s", "dump", "-o", str(program)]
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
