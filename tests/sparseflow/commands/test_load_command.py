"""``load`` and ``job`` as a user types them."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from boards.board import board, board_names
from boards.host.emulator import EmulatedLine
from boards.host.line_settings import rate_now
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format import load_model
from pruning.tasks.data.datasets import load_sequences, save_sequences
from sparseflow.steps.given import target_at
from sparseflow.steps.runs.share import share_of
from tests.boards.load.test_load import HERE, built
from tests.docs.blocks import one
from tests.test_rooms import ROOT

if TYPE_CHECKING:
    from tests.sparseflow.conftest import Chain

Run = Callable[..., int]
Text = pytest.CaptureFixture[str]


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{HERE}:/usr/bin:/bin")
    monkeypatch.setenv("STAND_IN_ARGV", str(tmp_path / "argv"))
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [])


def test_load_says_what_it_did_and_which_port(
    run: Run, loader: None, tmp_path: Path, capsys: Text
) -> None:
    folder = built(tmp_path / "b", "ulx3s")
    assert run("load", "ulx3s", folder) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"loaded {folder}/sparseflow.bit into ULX3S-85F"
    assert out[1].startswith("port: none of an adapter 0403:6015 is there: unplug the board")


def test_load_says_that_a_clock_is_missed(
    run: Run, loader: None, tmp_path: Path, capsys: Text
) -> None:
    assert run("load", "ulx3s", built(tmp_path / "b", "ulx3s", fmax_mhz=80.0)) == 0
    assert "note: it misses its clock, 80 MHz reached of 100 MHz" in capsys.readouterr().err


def test_load_ends_with_one_line(
    run: Run, loader: None, tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_DOES", "absent")
    assert run("load", "ulx3s", built(tmp_path / "b", "ulx3s")) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: no adapter of this board")
    for words in (["ulx3s", tmp_path], ["ulx4s", tmp_path], ["arty_a7", tmp_path]):
        assert run("load", *words) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")


@pytest.fixture
def made(chain: Chain, tmp_path: Path) -> Path:
    """The folder of a build that the chain's model fits, at a rate of its own."""
    folder = built(tmp_path / "made", "ulx3s", baud=921_600)
    design = design_for(load_model(chain.model), 4, 4)
    (folder / "design.json").write_text(json.dumps(asdict(design)))
    return folder


def test_the_page_of_the_link_to_the_letter(chain: Chain, made: Path, tmp_path: Path) -> None:
    """The commands of docs/link.md, with a board behind a terminal of the system."""
    commands = one("docs/link.md", "sh", "The example")
    files = {"model.safetensors": chain.model, "test.npz": chain.data, "boards": ROOT / "boards"}
    for name, path in files.items():
        (tmp_path / name).symlink_to(path)
    made.rename(made.with_name("ulx3s"))
    (tmp_path / "build").mkdir()
    made.with_name("ulx3s").rename(tmp_path / "build" / "ulx3s")
    line = EmulatedLine(design_for(load_model(chain.model), 4, 4))
    line.know(compile_model(load_model(chain.model), line.accelerator.design))
    ours, theirs = os.openpty()
    python = shlex.quote(sys.executable)
    shell = f'sparseflow() {{ {python} -m sparseflow "$@"; }}\npython() {{ {python} "$@"; }}\n'
    shell += commands.replace("/dev/ttyUSB1", os.ttyname(theirs))
    with subprocess.Popen(
        ["sh", "-e", "-c", shell],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        pump = threading.Thread(target=_pump, args=(ours, line, process))
        pump.start()
        out, errors = process.communicate(timeout=300)
        pump.join()
    assert process.returncode == 0, errors
    assert re.match(r"job\.txt: 6 sequences at 921600 baud, \d+ words to come back\n", out)
    assert errors.endswith("board at 100000000 Hz, 921600 baud\n")
    assert rate_now(theirs) == 921_600
    os.close(ours)
    os.close(theirs)
    assert (tmp_path / "words.txt").read_text()
    assert (tmp_path / "answers.txt").read_bytes() == (tmp_path / "words.txt").read_bytes()


def _pump(terminal: int, line: EmulatedLine, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        if select.select([terminal], [], [], 0.02)[0]:
            line.write(os.read(terminal, 4096))
            os.write(terminal, line.read(0))


def test_a_job_for_what_does_not_fit_is_refused(
    run: Run, chain: Chain, made: Path, tmp_path: Path, capsys: Text
) -> None:
    job, data = tmp_path / "job.txt", ["--data", chain.data]
    wrong: list[tuple[list[object], str]] = [
        ([chain.model, made, *data, "--out", chain.data], "is read by the same command"),
        ([chain.model, made, *data, "--out", job, "--words", job], "--out and --words are both"),
        ([chain.model, made, *data, "--out", job, "--baud", 0], "0 must be at least 1"),
        ([chain.model, made, *data, "--out", job, "--baud", 1 << 40], "baud = 1099511627776"),
        ([chain.model, tmp_path / "no", *data, "--out", job], "no"),
        ([chain.model, made, *data, "--out", tmp_path / "no" / "x"], "there is no folder"),
    ]
    for given, told in wrong:
        assert run("job", *given) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("error: ")
        assert told in last
    small = asdict(design_for(load_model(chain.model), 4, 4)) | {"matrix_depth": 1}
    (made / "design.json").write_text(json.dumps(small))
    assert run("job", chain.model, made, *data, "--out", job) == 2
    assert "does not fit the bitstream of" in capsys.readouterr().err
    assert not job.exists()


def test_a_share_in_the_job_is_that_of_simulate(
    run: Run, chain: Chain, made: Path, tmp_path: Path, capsys: Text
) -> None:
    whole = load_sequences(chain.data)
    numbers = replace(whole, labels=whole.labels * 0, targets=np.ones((len(whole), 3)))
    share = share_of(numbers, 2, 3)
    assert share.places not in (None, (0, 1))
    files = {"all": numbers, "some": share.data}
    for name, data in files.items():
        save_sequences(tmp_path / f"{name}.npz", data)
        few = ("--utterances", 2, "--seed", 3) if name == "all" else ()
        given = ("--data", tmp_path / f"{name}.npz", "--out", tmp_path / f"{name}.txt", *few)
        assert run("job", chain.model, made, *given) == 0
        assert (f"in the job: {share}\n" in capsys.readouterr().err) == (name == "all")
    assert (tmp_path / "all.txt").read_text() == (tmp_path / "some.txt").read_text()


@pytest.mark.parametrize("name", board_names())
def test_the_page_of_boards_has_each_line(name: str) -> None:
    text = (ROOT / "docs" / "boards.md").read_text("utf-8")
    (row,) = re.findall(
        rf"^\| `{name}` \| (`(?:openFPGALoader|quartus|sf\.).*)$", text, re.MULTILINE
    )
    found = board(name)
    assert found.load_line.partition(" in Python")[0] in row
    for told in (*found.adapter.loader, *found.adapter.usb) if found.adapter else ():
        assert told in row
    if found.adapter:
        assert f"interface {found.adapter.uart}" in row


def test_a_rate_of_the_folder_is_that_of_the_port(tmp_path: Path) -> None:
    folder = built(tmp_path / "b", "ulx3s", baud=921_600)
    assert target_at("serial:/dev/x", folder) == "serial:/dev/x?baud=921600"
    assert target_at("serial:/dev/x", str(folder)) == "serial:/dev/x?baud=921600"
    assert target_at("serial:/dev/x?baud=9600", folder) == "serial:/dev/x?baud=9600"
    assert target_at("serial:", folder) == "serial:"
    assert target_at("model", folder) == "model"


def test_a_job_for_a_folder_that_is_not_there_names_the_mend(
    chain: Chain, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    line = ("job", chain.model, nowhere, "--data", chain.data, "--out", tmp_path / "job.txt")
    assert run(*line) == 2
    assert f"--board BOARD --out {nowhere} makes one" in capsys.readouterr().err
    nowhere.mkdir()
    assert run(*line) == 2
    assert f"{nowhere} has no design.json: give a folder" in capsys.readouterr().err
