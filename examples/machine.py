"""What the machines of ``bare_metal`` and ``litex`` share: models, their jobs, a RISC-V program.

Two models of one array lie in memory. Frames of two sequences for each are drawn from the seed;
what must come is what the integer models say.
Programs are compiled by zig, whose clang knows RISC-V: ``pip install -e '.[slow]'``.
"""

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from boards.build.tops.tops import Top
from boards.host.job import answers, job_of
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format import ModelFileError, load_model
from csb_format.random_models import random_frames, random_model
from csb_format.scales import DesignError
from hdl.dram.reader import ReadBus
from hdl.prefix import OURS
from hdl.verilog import VerilogFiles
from sparseflow.steps.generating.tops import emit_top

DRIVER = Path(str(resources.files("boards") / "c"))
STRICT = ("-std=c99", "-ffreestanding", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
TARGET = ("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m", "-nostdlib", "-Os")
BUS = ReadBus(64)
BITS = 32  # of both streams: a word of the processor
LENGTHS = (5, 3)
MOST_SECONDS = 900


@dataclass(frozen=True)
class Given:
    """What to run; see the help of the options."""

    out: Path
    model: Path | None
    also: Path | None
    pes: int
    lanes: int
    seed: int


def given(text: str | None, out: str) -> Given:
    """Options from the command line."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--out", type=Path, default=Path(out), help="folder for all that is made")
    parser.add_argument("--model", type=Path, help="default: a small random one")
    parser.add_argument("--also", type=Path, help="the second model; default: the first again")
    parser.add_argument("--pes", type=int, default=4)
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1, help="of the frames, and random models")
    found = Given(**vars(parser.parse_args()))
    if found.also and not found.model:
        parser.error("--also is a model beside that of --model: give both")
    return found


@contextmanager
def plainly() -> Iterator[None]:
    """What is wrong with a model or an array in one line."""
    try:
        yield
    except (DesignError, ModelFileError, OSError) as error:
        raise SystemExit(f"error: {error}") from error


def needed(package: str) -> Path:
    """The folder of a package that only these machines need."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"error: {package} is missing: pip install -e '.[slow]'")
    return Path(spec.submodule_search_locations[0])


def deliver(asked: Given, base: int) -> VerilogFiles:
    """Write the accelerator with its model's bytes to ``rtl``, and its job to ``vectors.h``."""
    with plainly():
        return _deliver(asked, base)


def _deliver(asked: Given, base: int) -> VerilogFiles:
    rng = np.random.default_rng(asked.seed)
    if asked.model:
        models = [load_model(asked.model), load_model(asked.also or asked.model)]
    else:
        models = [random_model(rng, 6, 5, 2, 1, 2) for _ in range(2)]
    design = design_for(models[0], asked.pes, asked.lanes)
    images = [compile_model(model, design) for model in models]
    asked.out.mkdir(parents=True, exist_ok=True)
    top = Top("dram", BITS, BUS)
    files = emit_top(images[0], asked.out / "rtl", top, OURS, base, images[1:])
    frames = [random_frames(rng, model, list(LENGTHS)) for model in models]
    jobs = [job_of(image, given) for image, given in zip(images, frames, strict=True)]
    packets = [packet for job in jobs for packet in job.packets]
    arrays = {
        "packets": [word for words, _ in packets for word in words],
        "packet_words": [len(words) for words, _ in packets],
        "answers": [word for pair in zip(images, jobs, strict=True) for word in answers(*pair)],
        "answer_words": [count for _, count in packets],
    }
    lines = [
        f"static const uint32_t {name}[] = {{{', '.join(f'{word}u' for word in words)}}};"
        for name, words in arrays.items()
    ]
    (asked.out / "vectors.h").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"seed {asked.seed}: {len(packets)} packets, {len(arrays['answers'])} words to come")
    return files


def compile_c(folder: Path, example: Path, includes: Sequence[str]) -> bytes:
    """The program ``main.c`` of an example with the driver, as it lies in memory."""
    needed("ziglang")
    zig = [sys.executable, "-m", "ziglang"]
    # Whole paths: zig knows programs again by the words of their commands.
    folder = folder.resolve()
    paths = [str(folder), str(folder / "rtl"), str(DRIVER), *includes]
    sources = [str(example / "main.c"), str(DRIVER / "sparseflow_mmio.c")]
    link = ["-T", str(example / "link.ld"), "-o", "program.elf"]
    command = [*zig, "cc", *TARGET, *STRICT, *(f"-I{path}" for path in paths), *sources, *link]
    if subprocess.run(command, cwd=folder, check=False).returncode:
        raise SystemExit(f"error: no program: see above; {example.name}/link.ld has its memories")
    copy = [*zig, "objcopy", "-O", "binary", "program.elf", "program.bin"]
    subprocess.run(copy, cwd=folder, check=True)
    return (folder / "program.bin").read_bytes()


def hex_words(data: bytes, bits: int) -> str:
    """Bytes as ``$readmemh`` takes them, a word a line."""
    size = bits // 8
    words = (data[n : n + size] for n in range(0, len(data), size))
    return "\n".join(f"{int.from_bytes(word, 'little'):x}" for word in words) + "\n"


def simulated(command: Sequence[str], folder: Path) -> None:
    """Run a simulation to its end; what it prints last is the verdict."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=MOST_SECONDS)
    verdict = [line for line in done.stdout.splitlines() if line.startswith(("PASS", "FAIL"))]
    print("\n".join(verdict) or done.stdout[-500:] + done.stderr[-500:])
    if done.returncode or not verdict or not verdict[-1].startswith("PASS"):
        raise SystemExit(1)
