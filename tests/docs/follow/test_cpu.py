"""docs/cpu.md: its C program answers with the model's integers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format.files.modelfile import save_model
from csb_format.random_models import random_frames, random_model
from engine.native.library import SOURCES, compiler, library
from engine.reference import IntegerModel
from tests.docs.blocks import ROOT, one, reader_shell
from tests.installed import program

PAGE = "docs/cpu.md"
MODEL = random_model(np.random.default_rng(1), 6, 8, 2, 1, 1)


def check(program: Path) -> None:
    path = program.parent / "model.safetensors"
    save_model(path, MODEL)
    frames = random_frames(np.random.default_rng(2), MODEL, [5])
    given = frames[0].astype("<i4").tobytes()
    done = subprocess.run([str(program), str(path)], input=given, capture_output=True, check=True)
    got = np.frombuffer(done.stdout, "<i4").reshape(5, 8)
    np.testing.assert_array_equal(got, IntegerModel(MODEL).run(frames)[0].output)
    path.write_bytes(b"nothing")
    done = subprocess.run([str(program), str(path)], capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: no safetensors file")


def test_the_program_of_the_page(tmp_path: Path) -> None:
    built = Path(library()._name)
    (tmp_path / "app.c").write_text(one(PAGE, "c"))
    words = [compiler(), "-std=c99", "-pedantic", "-Wall", "-Werror", "app.c", "-I", str(SOURCES)]
    words += [str(built), f"-Wl,-rpath,{built.parent}", "-o", "app"]
    subprocess.run(words, cwd=tmp_path, check=True)
    check(tmp_path / "app")


def test_python_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(tmp_path / "model.safetensors", MODEL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(one(PAGE, "python"), PAGE, "exec"), names)
    want = IntegerModel(MODEL).run([np.zeros((5, 6), np.int64)])[0].output
    np.testing.assert_array_equal(names["outputs"], want)
    np.testing.assert_array_equal(names["output"], [want[-1], want[-1]])


@pytest.mark.slow
def test_it_is_installed_as_the_page_says(tmp_path: Path) -> None:
    program("cmake", "cmake")
    program("pkg-config", "pkg-config")
    (tmp_path / "engine").symlink_to(ROOT / "engine")
    (tmp_path / "app.c").write_text(one(PAGE, "c"))
    done = reader_shell(one(PAGE, "sh", "From C"), tmp_path, HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    check(tmp_path / "app")
