"""The C library on other processors, under qemu, and under the compilers' sanitisers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format.files.modelfile import save_model
from csb_format.fixed import IntArray
from csb_format.model import Model
from csb_format.random_models import random_frames, random_network
from engine.native.library import FLAGS, SOURCES, sources
from engine.reference import IntegerModel
from engine.screened import top
from tests import installed
from tests.engine.native.networks import any_network, any_screen

RUNNER = Path(__file__).with_name("runner.c")
OPTIONS = [flag for flag in FLAGS if flag not in ("-shared", "-fPIC")]
# Compiler, and what runs its programs; the last word chooses a processor.
MACHINES = {
    "dotprod": ("aarch64-linux-gnu-gcc", ["qemu-aarch64", "-cpu", "max"]),
    "neon": ("aarch64-linux-gnu-gcc", ["qemu-aarch64", "-cpu", "cortex-a53"]),
}
SANITISERS = {
    "address": "-fsanitize=address,undefined",
    "undefined": "-fsanitize=undefined",
}


def build(folder: Path, compiler: str, *more: str) -> Path:
    program = folder / "runner"
    words = [compiler, *OPTIONS, *more, "-I", str(SOURCES), str(RUNNER), *map(str, sources())]
    subprocess.run([*words, "-o", str(program)], check=True)
    return program


def states(
    run: list[str], path: Path, kernel: str, model: Model, sequences: list[IntArray]
) -> list[IntArray]:
    """Hidden and cell states and outputs of all frames."""
    words = [*run, str(path), kernel, *(str(len(s)) for s in sequences)]
    given = np.concatenate(sequences).astype("<i4").tobytes()
    done = subprocess.run(words, input=given, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    frames = sum(map(len, sequences))
    units = sum(layer.hidden_size for layer in model.levels[-1])
    sizes = np.cumsum([frames * units, frames * units])
    parts = np.split(np.frombuffer(done.stdout, "<i4").astype(np.int64), sizes)
    return [part.reshape(frames, -1) if frames else part for part in parts]


def check(run: list[str], folder: Path, kernel: str, seeds: range) -> None:
    for seed in seeds:
        model, sequences = any_network(seed)
        if not sum(map(len, sequences)):
            continue
        path = folder / "model.safetensors"
        save_model(path, model)
        want = IntegerModel(model).run(sequences)
        got = states(run, path, kernel, model, sequences)
        for name, array in zip(("hidden", "cell", "output"), got, strict=True):
            all_of = np.concatenate([getattr(trace, name) for trace in want])
            np.testing.assert_array_equal(array, all_of, f"{kernel}, seed {seed}, {name}")


def check_tops(run: list[str], folder: Path, kernel: str, seeds: range) -> None:
    """The largest logits of screened heads, and what they cost."""
    for seed in seeds:
        sizes = {} if seed % 4 else {"outputs": 70, "inputs": (100, 128, 200, 300)[seed // 4 % 4]}
        model, head, given = any_screen(seed, **sizes)
        path, k = folder / "screen.safetensors", min(1 + seed % 8, head.output_size)
        save_model(path, model)
        words = [*run, str(path), kernel, "top", str(k)]
        frames = given.astype("<i4").tobytes()
        done = subprocess.run(words, input=frames, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        form = np.dtype(
            [("indices", "<u4", k), ("logits", "<i8", k), ("rows", "<u4", 3), ("bytes", "<u8")]
        )
        found, want = np.frombuffer(done.stdout, form), top(head, given, k)
        rows = np.stack([want.first, want.second, want.exact], axis=1)
        parts = {"indices": want.indices, "logits": want.logits, "rows": rows, "bytes": want.bytes}
        for name, array in parts.items():
            same = found[name].reshape(array.shape)
            np.testing.assert_array_equal(same, array, f"{kernel}, {seed}, {name}")


def names(run: list[str]) -> list[str]:
    done = subprocess.run([*run, "kernels"], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
def test_arm(machine: str, tmp_path: Path) -> None:
    compiler, emulator = MACHINES[machine]
    for name in (compiler, emulator[0]):
        installed.program(name, "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user")
    run = [*emulator, str(build(tmp_path, compiler, "-static"))]
    assert names(run) == (["dotprod"] if machine == "dotprod" else []) + ["neon", "plain"]
    check(run, tmp_path, machine, range(200))
    check(run, tmp_path, "plain", range(20))
    check_tops(run, tmp_path, machine, range(32))


@pytest.mark.slow
def test_avx512_where_there_is_none(tmp_path: Path) -> None:
    """Its kernel with instructions in C: bits as on a processor that has them."""
    header = RUNNER.with_name("emulated.h")
    if not Path("/usr/include/simde/x86/avx512.h").exists():
        installed.missing("libsimde-dev")
    words = [f'-DSPARSEFLOW_RUN_EMULATED="{header}"', "-O2"]
    run = [str(build(tmp_path, "gcc", *words))]
    assert names(run)[0] == "avx512"
    check(run, tmp_path, "avx512", range(200))
    check_tops(run, tmp_path, "avx512", range(32))


@pytest.mark.slow
def test_any_bytes_are_refused_or_run(tmp_path: Path) -> None:
    """A minute of libFuzzer on the reader and what it lets through; SECONDS=600 for ten."""
    installed.program("clang", "clang libclang-rt-14-dev")
    program, corpus = tmp_path / "fuzz", tmp_path / "corpus"
    words = ["clang", *OPTIONS, "-O1", "-g", "-fsanitize=fuzzer,address,undefined"]
    words += ["-fno-sanitize-recover=all", "-DSPARSEFLOW_RUN_ANY_CHECKSUM", "-I", str(SOURCES)]
    files = [str(RUNNER.with_name("fuzz.c")), *map(str, sources())]
    made = subprocess.run(
        [*words, *files, "-o", str(program)], capture_output=True, text=True, check=False
    )
    if "libclang_rt" in made.stderr:
        installed.missing("libclang-rt-14-dev")
    assert made.returncode == 0, made.stderr
    corpus.mkdir()
    for seed in range(20):
        save_model(corpus / str(seed), any_network(seed, 9)[0])
        save_model(corpus / f"screen{seed}", any_screen(seed)[0])
    seconds = os.environ.get("SECONDS", "60")
    limits = ["-rss_limit_mb=2000", "-timeout=20", f"-max_total_time={seconds}", "-max_len=9000"]
    run = [str(program), *limits, str(corpus)]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_no_thread_reads_what_another_writes(tmp_path: Path) -> None:
    """On layers large enough to be shared; whole sequences, and steps of a stream."""
    words = ["-fsanitize=thread", "-fno-sanitize-recover=all", "-O1", "-g"]
    program, path = str(build(tmp_path, "gcc", *words)), tmp_path / "model.safetensors"
    rng = np.random.default_rng(1)
    cases: tuple[dict[str, Any], ...] = (
        {"projection": 90},
        {"cell": "gru", "directions": 2},
        {"cell": "gru0"},
    )
    for more in cases:
        model = random_network(rng, 300, 320, 10, (20, 9, 9), layers=2, value_bits=8, **more)
        sequences = random_frames(rng, model, [9, 5])
        save_model(path, model)
        want = IntegerModel(model).run(sequences)
        got = states([program], path, f"{names([program])[0]}:3", model, sequences)
        np.testing.assert_array_equal(got[2], np.concatenate([trace.output for trace in want]))


@pytest.mark.slow
@pytest.mark.parametrize("sanitiser", SANITISERS)
def test_sanitisers(sanitiser: str, tmp_path: Path) -> None:
    """Neither a byte outside its array nor arithmetic that C leaves open, on any kernel."""
    words = [SANITISERS[sanitiser], "-fno-sanitize-recover=all", "-O1", "-g"]
    program = build(tmp_path, "gcc", *words)
    for kernel in names([str(program)]):
        check([str(program)], tmp_path, kernel, range(60))
        check_tops([str(program)], tmp_path, kernel, range(32))
