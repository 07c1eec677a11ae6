"""The driver for memory-mapped accelerators: alone, and on a RISC-V core beside one."""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from boards.build.ip import write_block
from boards.build.tops.tops import Top
from boards.host.job import answers, job_of
from compiler.abi.register_text import HEADER_FILE, c_header
from compiler.abi.registers import DMA_MINOR, MAGIC, REGISTERS, VERSION
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.random_models import random_frames, random_model
from hdl.dram.reader import ReadBus

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "bare_metal"
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


def needed(package: str) -> Path:
    """Folder of an installed package, which only slow tests want."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.fail(f"{package} is missing: pip install -e '.[slow]'")
    return Path(spec.submodule_search_locations[0])


@pytest.mark.slow
def test_a_risc_v_core_loads_a_model_and_runs_it(tmp_path: Path) -> None:
    picorv32 = needed("pythondata_cpu_picorv32") / "verilog" / "picorv32.v"
    needed("ziglang")
    rng = np.random.default_rng(1)
    model = random_model(rng, 6, 5, 2, 1, 2)
    image = compile_model(model, design_for(model, 4, 2))
    top = Top("dram", 32, ReadBus(64))
    files = write_block(image.design, image, tmp_path / "rtl", top, base=BASE)
    job = job_of(image, random_frames(rng, model, [5]))
    ((packet, _),) = job.packets
    vectors = {"packet": packet, "expected": answers(image, job)}
    lines = [
        f"static const uint32_t {name}[] = {{{', '.join(f'{w}u' for w in words)}}};"
        for name, words in vectors.items()
    ]
    (tmp_path / "vectors.h").write_text("\n".join(lines) + "\n")
    zig = [sys.executable, "-m", "ziglang"]
    include = [f"-I{tmp_path}", f"-I{tmp_path / 'rtl'}", f"-I{DRIVER}"]
    sources = [str(EXAMPLE / "main.c"), str(DRIVER / "sparseflow_mmio.c")]
    target = ["-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m", "-nostdlib", "-Os"]
    link = ["-T", str(EXAMPLE / "link.ld"), "-o", "program.elf"]
    subprocess.run(
        [*zig, "cc", *target, *STRICT, *include, *sources, *link], cwd=tmp_path, check=True
    )
    copy = [*zig, "objcopy", "-O", "binary", "program.elf", "program.bin"]
    subprocess.run(copy, cwd=tmp_path, check=True)
    for name, source, bits in (
        ("program.hex", tmp_path / "program.bin", 32),
        ("model.hex", tmp_path / "rtl" / "sparseflow_model.bin", 64),
    ):
        data = source.read_bytes()
        data += bytes(-len(data) % (bits // 8))
        words = np.frombuffer(data, f"<u{bits // 8}")
        (tmp_path / name).write_text("\n".join(f"{word:x}" for word in words) + "\n")
    verilog = [str(EXAMPLE / "soc.v"), str(picorv32), *map(str, files.paths)]
    subprocess.run(
        ["iverilog", "-g2005", "-o", "soc", "-s", "soc", *verilog], cwd=tmp_path, check=True
    )
    done = subprocess.run(["vvp", "soc"], cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert "PASS" in done.stdout.splitlines(), done.stdout[-500:]
