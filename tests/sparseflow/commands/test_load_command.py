"""``load`` and ``job`` as a user types them."""

from __future__ import annotations

import json
import os
import select
import subprocess
import threading
from collections.abc import Callable
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from boards.board import board
from boards.host.emulator import EmulatedLine
from boards.host.line_settings import rate_now
from boards.link.c_header import main as write_headers
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format import load_model
from tests.boards.load.test_load import HERE, built

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
    folder = built(tmp_path / "build", "ulx3s", baud=921_600)
    design = design_for(load_model(chain.model), 4, 4)
    (folder / "design.json").write_text(json.dumps(asdict(design)))
    return folder


def test_a_job_is_written_and_run_by_the_c_example(
    run: Run, chain: Chain, made: Path, tmp_path: Path, capsys: Text
) -> None:
    """As docs/link.md says it, with a board behind a terminal of the system."""
    job, words = tmp_path / "job.txt", tmp_path / "words.txt"
    given = [chain.model, made, "--data", chain.data, "--out", job, "--words", words]
    assert run("job", *given, "--utterances", 2) == 0
    assert f"{job}: 2 sequences at 921600 baud, " in capsys.readouterr().out
    write_headers([str(tmp_path / "c")])
    with resources.as_file(resources.files("boards") / "c") as sources:
        files = sorted(map(str, sources.glob("*.c")))
        options = [f"-I{tmp_path / 'c'}", f"-I{sources}", "-std=c99"]
        subprocess.run(["gcc", *options, *files, "-o", str(tmp_path / "host")], check=True)
    model = load_model(chain.model)
    line = EmulatedLine(design_for(model, 4, 4))
    line.know(compile_model(model, line.accelerator.design))
    ours, theirs = os.openpty()
    with job.open() as text, (tmp_path / "answers").open("w") as answers:
        command = [str(tmp_path / "host"), os.ttyname(theirs)]
        with subprocess.Popen(command, stdin=text, stdout=answers) as process:
            pump = threading.Thread(target=_pump, args=(ours, line, process))
            pump.start()
            assert process.wait(120) == 0
            pump.join()
    assert rate_now(theirs) == 921_600
    os.close(ours)
    os.close(theirs)
    assert words.read_text()
    assert (tmp_path / "answers").read_text() == words.read_text()


def _pump(terminal: int, line: EmulatedLine, process: subprocess.Popen[bytes]) -> None:
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


def test_summaries_say_how_to_load() -> None:
    for name in ("ulx3s", "icebreaker"):
        assert board(name).load_line.startswith("openFPGALoader --board ")
    assert board("de10_nano").load_line.startswith("quartus_pgm ")
