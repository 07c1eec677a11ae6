"""The driver for memory-mapped accelerators: alone, and on RISC-V cores beside one.

Its machines are those of docs/integration.md.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from compiler.abi.register_text import HEADER_FILE, c_header
from compiler.abi.registers import DMA_MINOR, MAGIC, REGISTERS, VERSION

ROOT = Path(__file__).resolve().parents[3]
WEIGHT = 16  # a byte of the model that the examples draw, in its rows
DRIVER = resources.files("boards") / "c"
STRICT = ["-std=c99", "-ffreestanding", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
HASH, BASE = 0x12345678, 0x80000000


def version(major: int = VERSION[0], minor: int = DMA_MINOR) -> int:
    """The word of the register."""
    return REGISTERS["version"].encode(major=major, minor=minor)


class Board(ctypes.Structure):
    """``struct sparseflow_mmio``."""

    _fields_ = (("registers", ctypes.POINTER(ctypes.c_uint32)), ("polls", ctypes.c_uint32))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("mmio")
    (folder / HEADER_FILE).write_text(c_header())
    library = folder / "mmio.so"
    source = str(DRIVER / "sparseflow_mmio.c")
    command = ["gcc", *STRICT, "-shared", "-fPIC", f"-I{folder}", source, "-o", str(library)]
    subprocess.run(command, check=True)
    found = ctypes.CDLL(str(library))
    found.sparseflow_mmio_load.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32]
    return found


@pytest.mark.parametrize(
    ("changes", "opened", "loaded"),
    [
        ({}, 0, 0),
        ({"magic": 0}, -1, 0),
        ({"version": version(minor=DMA_MINOR - 1)}, -2, 0),
        ({"version": version(major=VERSION[0] + 1)}, -2, 0),
        ({"design_hash": HASH + 1}, -3, 0),
        ({"status": REGISTERS["status"].encode(settling=1)}, 0, -5),
        ({"dma_status": REGISTERS["dma_status"].encode(loading=1)}, 0, -5),
    ],
    ids=str,
)
def test_what_the_registers_say(
    driver: ctypes.CDLL, changes: dict[str, int], opened: int, loaded: int
) -> None:
    words = (ctypes.c_uint32 * 1024)()
    told = {"magic": MAGIC, "version": version(), "design_hash": HASH} | changes
    for name, word in told.items():
        words[REGISTERS[name].address // 4] = word
    board = Board(words, 5)
    assert driver.sparseflow_mmio_open(ctypes.byref(board), HASH) == opened
    # what is written to `errors` reads back here, its bit of a failed transfer too
    found = driver.sparseflow_mmio_load(ctypes.byref(board), 0x1_2345_6000, 7)
    assert found == (loaded or -4)
    if not loaded:
        at = {name: words[REGISTERS[name].address // 4] for name in REGISTERS}
        assert (at["dma_base"], at["dma_base_high"], at["dma_start"]) == (0x23456000, 1, 3)
        assert at["frame"] == 7


def run(module: str, out: Path) -> str:
    """What an example prints, which ends with an error where a word is not its model's."""
    command = [sys.executable, "-m", f"examples.{module}.run", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def spoilt(path: Path, bits: int) -> None:
    """Change one bit of a memory image: one of a weight."""
    words = path.read_text().split()
    at = 8 * WEIGHT // bits
    words[at] = f"{int(words[at], 16) ^ 1:x}"
    path.write_text("\n".join(words) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("machine", "model", "bits", "again"),
    [
        ("bare_metal", "model.hex", 64, ["vvp", "soc"]),
        ("litex", "soc_models.init", 32, ["./simulation"]),
    ],
)
def test_a_risc_v_core_loads_a_model_and_runs_it(
    machine: str, model: str, bits: int, again: list[str], tmp_path: Path
) -> None:
    told = run(machine, tmp_path).splitlines()
    assert told[0] == "seed 1: 4 packets, 192 words to come"
    assert re.fullmatch(r"PASS after \d+ cycles", told[-1])
    spoilt(tmp_path / model, bits)
    done = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert "FAIL" in done.stdout
    assert "PASS" not in done.stdout
