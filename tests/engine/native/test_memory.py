"""Steps take no memory: whatever a stream needs it has from its start."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format.files.modelfile import save_model
from csb_format.random_models import random_network
from engine.native.library import FLAGS, SOURCES, compiler, sources

PROGRAM = Path(__file__).with_name("steps.c")
WRAPPED = ("malloc", "calloc", "realloc", "posix_memalign")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("memory") / "steps"
    options = [flag for flag in FLAGS if flag not in ("-shared", "-fPIC")]
    wraps = [f"-Wl,--wrap={name}" for name in WRAPPED]
    words = [compiler(), *options, "-O0", *wraps, "-I", str(SOURCES), str(PROGRAM)]
    subprocess.run([*words, *map(str, sources()), "-o", str(made)], check=True)
    return made


@pytest.mark.parametrize("batch", [1, 37])
@pytest.mark.parametrize("more", [{}, {"projection": 90}, {"cell": "gru"}], ids=str)
def test_steps_allocate_nothing(
    program: Path, more: dict[str, Any], batch: int, tmp_path: Path
) -> None:
    """Of a network that threads share, one by one and side by side, on two threads."""
    rng = np.random.default_rng(2)
    path = tmp_path / "model.safetensors"
    save_model(path, random_network(rng, 300, 320, 10, (20, 9, 9), value_bits=8, **more))
    words = [str(program), str(path), str(batch), "2", "30"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    before, during = map(int, done.stdout.split())
    assert before > 0
    assert during == 0
