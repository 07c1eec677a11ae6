"""docs/boards.md from top to bottom: from a model to a bitstream, a project, and the driver."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format import save_model
from csb_format.random_models import random_frames, random_model
from engine.reference import IntegerModel
from tests.docs.blocks import ROOT, blocks, one, reader_shell

PAGE = "docs/boards.md"
# Tools that no test has, and pip: each must be given files that are there.
GIVEN = """#!/bin/bash
echo "$(basename "$0") $*" >> "{log}"
for word; do
    case $word in
        *.tcl | *.qsf | *.qpf | *.bit | *.fs | *.sof | *.bin)
            [[ -e $word ]] || {{ echo "$word is not there" >&2; exit 1; }} ;;
    esac
done
"""
STAND_INS = ("pip", "vivado", "quartus_sh", "quartus_cpf", "openFPGALoader")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in STAND_INS:
        (folder / name).write_text(GIVEN.format(log=tmp_path / "log"))
        (folder / name).chmod(0o755)
    return folder


def test_its_extra_is_there() -> None:
    extras = re.findall(r"pip install -e '\.\[(\w+)\]'", (ROOT / PAGE).read_text("utf-8"))
    assert extras
    for extra in extras:
        assert re.search(rf"^{extra} = \[", (ROOT / "pyproject.toml").read_text("utf-8"), re.M)


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.vendor
def test_the_page_from_top_to_bottom(
    tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the smallest array of every board: a full device takes the better part of an hour
    model = random_model(np.random.default_rng(1), 4, 4, 1, 1, 1, value_bits=8, act_bits=8)
    save_model(tmp_path / "model.safetensors", model)
    (tmp_path / "my_board.toml").write_text(one(PAGE, "toml", "A board of your own"))
    for block in blocks(PAGE, "sh"):
        if block.mark == "skip":
            continue
        for board in sorted(set(re.findall(r"cd build/(\w+)", block.text))):
            build = f"sparseflow build model.safetensors --board {board} --out build/{board}"
            made = reader_shell(build, tmp_path)
            assert made.returncode == 0, made.stderr
        for line in block.text.splitlines():  # each `cd` is from where the reader began
            done = reader_shell(line, tmp_path, tools)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    (frames,) = random_frames(np.random.default_rng(2), model, [3])
    names: dict[str, Any] = {"frames": frames}
    monkeypatch.chdir(tmp_path)
    talk = one(PAGE, "python", "Talk to it")
    port = re.search(r'"serial:[^"]*"', talk)
    assert port is not None
    exec(compile(talk.replace(port[0], '"model"'), PAGE, "exec"), names)  # behind it a model
    (trace,) = IntegerModel(model).run([frames])
    assert np.array_equal(names["states"].hidden, trace.hidden)
