"""The C example at a real terminal: how it sets the line, and what it says when that fails."""

from __future__ import annotations

import errno
import os
import select
import shutil
import subprocess
import tempfile
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from boards.host.c_model import model_header
from boards.host.driver import Accelerator
from boards.host.emulator import EmulatedLine
from boards.host.inputs import integers_of
from boards.host.job import Job, answers, job_of
from boards.host.line_settings import rate_now
from boards.host.states import joined
from boards.link.protocol import BUS_BITS
from compiler.abi.frames import Stimulus
from compiler.abi.states import cut_packets, outcome_of
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format import InputScale
from csb_format.random_models import random_frames, random_model, random_network
from csb_format.scales import DesignError

MODEL = random_model(np.random.default_rng(7), 3, 4, 2, 1, 1)
IMAGE = compile_model(MODEL, design_for(MODEL, 4, 2))
TURNED = random_network(np.random.default_rng(8), 5, 6, (2, 2, 2), (1, 1, 1), directions=2)
BOTH = compile_model(TURNED, design_for(TURNED, 4, 2))
HERE = Path(__file__).parent
NOTHING = Job(1_000_000, 1, 1, (0,), (((0,), 1),))


def job(baud: int = 1_000_000) -> Job:
    return job_of(IMAGE, random_frames(np.random.default_rng(3), MODEL, [3, 1]), baud)


@dataclass
class Terminal:
    """A line of the system as it is after boot: cooked, 38400 baud; and a board on it."""

    ours: int
    theirs: int

    @property
    def name(self) -> str:
        return os.ttyname(self.theirs)


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    """Its board runs what a test gives, ``IMAGE`` by default."""
    image = getattr(request, "param", IMAGE)
    ours, theirs = os.openpty()
    board, ended = EmulatedLine(image.design), threading.Event()
    board.know(image)

    def pump() -> None:
        while not ended.is_set():
            if select.select([ours], [], [], 0.02)[0]:
                board.write(os.read(ours, 4096))
                os.write(ours, board.read(0))

    thread = threading.Thread(target=pump)
    thread.start()
    yield Terminal(ours, theirs)
    ended.set()
    thread.join()
    os.close(ours)
    os.close(theirs)


def run(host: Path, words: list[str], text: str, **more: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [str(host), *words],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | more,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("baud", [1_000_000, 115_200, 9600, 1_234_567, 31_250])
def test_a_job_runs_on_a_line_that_is_set_and_stays_so(
    c_host: Path, terminal: Terminal, baud: int
) -> None:
    before = termios.tcgetattr(terminal.theirs)
    assert before[3] & termios.ICANON
    assert rate_now(terminal.theirs) == 38400
    wanted = job(baud)
    code, out, errors = run(c_host, [terminal.name], wanted.text())
    assert (code, errors) == (0, f"board at 100000000 Hz, {baud} baud\n")
    assert [int(word) for word in out.split()] == answers(IMAGE, wanted)
    for end in (terminal.ours, terminal.theirs):  # both see the discipline between them
        iflag, oflag, cflag, lflag, into, onwards, _ = termios.tcgetattr(end)
        assert (iflag, oflag, lflag) == (0, 0, 0)
        framing = termios.CSIZE | termios.PARENB | termios.CSTOPB | termios.CRTSCTS
        assert cflag & (framing | termios.CREAD | termios.CLOCAL) == (
            termios.CS8 | termios.CREAD | termios.CLOCAL
        )
        assert rate_now(end) == baud
        if constant := getattr(termios, f"B{baud}", None):
            assert (into, onwards) == (constant, constant)


@pytest.mark.parametrize("terminal", [BOTH], indirect=True, ids=["both"])
def test_both_directions_of_a_layer_are_one_job(c_host: Path, terminal: Terminal) -> None:
    frames = random_frames(np.random.default_rng(3), TURNED, [3, 1])
    wanted = job_of(BOTH, frames)
    code, out, errors = run(c_host, [terminal.name], wanted.text())
    assert (code, errors) == (0, "board at 100000000 Hz, 1000000 baud\n")
    words = [int(word) for word in out.split()]
    assert words == answers(BOTH, wanted)
    assert len(words) == sum(count for _, count in wanted.packets) > 0


SHARED = random_network(np.random.default_rng(4), 6, 8, 2, (1, 2, 2), projection=4)
SHARED = replace(SHARED, input_scale=InputScale(np.arange(6.0), np.full(6, 0.3)))
BATCHED = compile_model(
    SHARED, design_for(SHARED, 16, 2, 1, streamed=True, batched=True, contexts=3)
)


def batches(stimulus: Stimulus, sequences: list[npt.NDArray[np.float64]]) -> str:
    """What the C program reads: for every batch each stream's raw features, or none."""
    lines, there = list[str](), dict[int, str]()
    for n, context in enumerate(stimulus.context.tolist()):
        step = int(stimulus.step[n])
        bits = sequences[stimulus.sequence[n]][step].view(np.uint64).tolist()
        there[context] = f"1 {int(step == 0)} " + " ".join(f"{one:016x}" for one in bits)
        if stimulus.closes[n]:
            lines += [there.get(stream, "0 0") for stream in range(3)]
            there = {}
    return "\n".join(lines)


@pytest.mark.parametrize("terminal", [BATCHED], indirect=True, ids=["batched"])
def test_streams_of_a_batched_design_run_together(
    c_host: Path, terminal: Terminal, tmp_path: Path
) -> None:
    raw = [np.random.default_rng(n).normal(0, 9, (t, 6)) for n, t in enumerate([2, 1, 3, 1])]
    frames = [integers_of(SHARED, one)[0] for one in raw]
    wanted = job_of(BATCHED, frames, together=True)
    assert 0 in [count for _, count in wanted.packets]
    code, out, _ = run(c_host, [terminal.name], wanted.text())
    words = [int(word) for word in out.split()]
    assert (code, words) == (0, answers(BATCHED, wanted))
    (tmp_path / "model.h").write_text(model_header(BATCHED))
    with resources.as_file(resources.files("boards") / "c") as sources:
        parts = ("sparseflow", "sparseflow_input", "posix_serial", "linux_rate")
        files = [str(HERE / "batch.c"), *(str(sources / f"{part}.c") for part in parts)]
        folders = [f"-I{folder}" for folder in (tmp_path, c_host.parent, sources)]
        strict = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-DSTREAMS=3", *folders]
        subprocess.run([*strict, *files, "-o", str(tmp_path / "batch")], check=True)
    given = Stimulus.of(BATCHED, frames, contexts=3)
    code, out, errors = run(tmp_path / "batch", [terminal.name], batches(given, raw))
    assert (code, errors) == (0, "0 -8\n")
    assert [int(word) for word in out.split()] == words
    driver = Accelerator.on(EmulatedLine(BATCHED.design), BATCHED.design)
    driver.load(BATCHED)
    cut = outcome_of(BATCHED, cut_packets(BATCHED, words, BUS_BITS), BUS_BITS)
    emitted = cut.emitted(BATCHED)
    for n, states in enumerate(driver.run_together(raw)):
        mine = joined([one.only(given.sequence == n) for one in emitted], 1)
        assert np.array_equal(mine.output, states.output)


@pytest.fixture(scope="session")
def stubborn(c_host: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same program on a system that sets nothing."""
    program = tmp_path_factory.mktemp("stubborn") / "host"
    with resources.as_file(resources.files("boards") / "c") as sources:
        files = [*sorted(map(str, sources.glob("*.c"))), str(HERE / "stubborn.c")]
        options = ["-std=c99", "-D_XOPEN_SOURCE=600", f"-I{c_host.parent}", f"-I{sources}"]
        subprocess.run(["gcc", *options, *files, "-o", str(program)], check=True)
    return program


@pytest.mark.parametrize("fails", [False, True])
def test_a_line_that_does_not_take_the_rate_is_refused(
    stubborn: Path, terminal: Terminal, fails: bool
) -> None:
    given = {"STUBBORN_FAILS": "1"} if fails else {}
    code, out, errors = run(stubborn, [terminal.name], job().text(), **given)
    assert (code, out) == (4, "")
    assert errors == (
        f"{terminal.name} does not take 1000000 baud, it is at 38400: another adapter, or a "
        "bitstream of another rate\n"
    )


def test_a_line_that_stays_cooked_is_refused(stubborn: Path, terminal: Terminal) -> None:
    code, _, errors = run(stubborn, [terminal.name], job(38_400).text())
    assert code == 4
    assert errors == (
        f"{terminal.name} does not take raw bytes of 8 bits, no parity, 1 stop bit: another "
        "adapter\n"
    )


def test_ports_that_are_none(c_host: Path, tmp_path: Path) -> None:
    absent = str(tmp_path / "ttyUSB7")
    code, _, errors = run(c_host, [absent], NOTHING.text())
    assert (code, errors) == (
        4,
        f"{absent} cannot be opened: {os.strerror(errno.ENOENT)}: plug the board in, name its "
        "port (ls -l /dev/serial/by-id)\n",
    )
    code, _, errors = run(c_host, ["/dev/null"], NOTHING.text())
    assert code == 4
    assert errors.startswith("/dev/null is no serial port: name one")


def test_a_port_of_others_names_its_group(c_host: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        port, program = Path(name, "ttyUSB7"), Path(shutil.copy(c_host, Path(name, "host")))
        port.touch(mode=0)
        command = [str(program), str(port)]
        if os.getuid() == 0:  # who may open everything: run it as nobody
            Path(name).chmod(0o755)
            command = ["setpriv", "--reuid=65534", "--clear-groups", *command]
        done = subprocess.run(
            command, input=NOTHING.text(), capture_output=True, text=True, check=False
        )
    assert done.returncode == 4, done.stderr
    assert done.stderr.endswith(
        "Permission denied: join the port's group (sudo usermod -aG dialout $USER), log in again\n"
    )


WHOLE = NOTHING.text()
JOBS = [
    ("", "line 1 of the job: wanted is sparseflow-job: "),
    ("hello", "line 1 of the job: wanted is sparseflow-job: "),
    (WHOLE.replace("job 1", "job 2"), "line 1 of the job: wanted is version 1: "),
    (WHOLE.replace("1000000", "0"), "line 2 of the job: wanted is a rate, 1 or more: "),
    (WHOLE.replace("1000000", "-1"), "line 2 of the job: wanted is a rate, 1 or more: "),
    (WHOLE.replace("1000000", "4294967296"), "line 2 of the job: wanted is a rate, 1 or more: "),
    (WHOLE.replace("end", ""), "line 12 of the job: wanted is end: "),
    (WHOLE.replace("end", "7"), "line 11 of the job: wanted is end: "),
    ("sparseflow-job 1\n9600 1 1 4294967295 5", "line 2 of the job: wanted is a word, 0 to "),
    ("sparseflow-job 1\n" + "9" * 100_000, "line 2 of the job: wanted is a rate, 1 or more: "),
]


@pytest.mark.parametrize(("text", "told"), JOBS, ids=range(len(JOBS)))
def test_what_is_no_job_is_told_by_its_line(c_host: Path, text: str, told: str) -> None:
    code, out, errors = run(c_host, ["/dev/null"], text)
    assert (code, out) == (2, "")
    assert errors.startswith(told)
    assert errors.endswith(": write it anew with sparseflow job\n")


@pytest.mark.parametrize("words", [[], ["a", "b"], ["--nonsense"]])
def test_how_it_is_called(c_host: Path, words: list[str]) -> None:
    code, out, errors = run(c_host, words, "")
    assert (code, out) == (2, "")
    assert errors.startswith("usage: posix_host DEVICE < JOB > WORDS")
    assert run(c_host, ["--help"], "")[:2] == (0, errors)


def test_a_model_of_two_programs_is_for_python() -> None:
    both = random_network(np.random.default_rng(3), 6, 6, 2, (1, 1, 1), layers=2, directions=2)
    image = compile_model(both, design_for(both, 4, 2))
    with pytest.raises(DesignError, match=r"runs as \d programs, the C example starts one: drive"):
        job_of(image, random_frames(np.random.default_rng(3), both, [2]))
