"""Logs are bounded on disk and in memory, whatever a program prints."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from sim.run.errors import Timeout, ToolFailed
from sim.run.logs import HEAD, TAIL, logged, plain_text, tail, telling
from sim.run.processes import watched

LOUD = "yes abcdefghijklmnopqrstuvwxyz | head -c {bytes}; echo the end; exit 3"


def test_a_loud_program_leaves_a_bounded_log_and_its_end(tmp_path: Path) -> None:
    log, size = tmp_path / "x.log", 100_000_000
    tracemalloc.start()
    with pytest.raises(ToolFailed, match=r"the end$"):
        watched("x", ["sh", "-c", LOUD.format(bytes=size)], log, 60)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20
    assert HEAD + TAIL < log.stat().st_size < HEAD + TAIL + 100
    content = log.read_bytes()
    assert content.startswith(b"abcdefgh")
    assert f"\n... {size + 8 - HEAD - TAIL} bytes are left out here ...\n".encode() in content


@pytest.mark.parametrize("size", [0, 10, HEAD, HEAD + 1, HEAD + TAIL, HEAD + TAIL + 1])
def test_what_fits_is_kept_as_it_is(tmp_path: Path, size: int) -> None:
    log, data = tmp_path / "x.log", bytes(range(256)) * (size // 256 + 1)
    with logged(log) as sink:
        subprocess.run(["head", "-c", str(size)], input=data, stdout=sink, check=True)
    if size <= HEAD + TAIL:
        assert log.read_bytes() == data[:size]
    else:
        assert b"... 1 bytes are left out here ..." in log.read_bytes()


def test_one_line_without_end_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"a" * 5_000_000)
    assert 0 < len(tail(log)) <= 2000


def test_the_end_of_a_log_can_be_shown_anywhere(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"\xff\x00 \x1b[31mred\x1b[0m \x1b]0;title\x07\r\nnext \xed\xa0\x80\n")
    shown = tail(log)
    assert shown.isprintable() or (set(shown) - {"\n"} and "\x1b" not in shown)
    assert "red" in shown
    assert shown.encode()
    assert plain_text("a\ud800b\uffffc\x85") == "a b c "


def test_a_process_that_left_its_group_does_not_hold_the_log(tmp_path: Path) -> None:
    program = (
        "import subprocess; subprocess.Popen(['sleep', '5'], start_new_session=True); print('x')"
    )
    started = time.monotonic()
    watched("x", [sys.executable, "-c", program], tmp_path / "x.log", 60)
    assert time.monotonic() - started < 4
    assert (tmp_path / "x.log").read_text() == "x\n"


def test_what_a_program_leaves_running_ends_with_it(tmp_path: Path) -> None:
    watched("x", ["sh", "-c", "(sleep 0.5; touch late) & exit 0"], tmp_path / "x.log", 60,
            folder=tmp_path)  # fmt: skip
    time.sleep(0.8)
    assert not (tmp_path / "late").exists()


def test_the_last_words_of_what_was_killed_are_there(tmp_path: Path) -> None:
    with pytest.raises(Timeout, match=r"killed after 0.5 s\nhello"):
        watched("x", ["sh", "-c", "echo hello; sleep 60"], tmp_path / "x.log", 0.5)


def test_a_log_that_cannot_be_written_is_named_and_blocks_nobody() -> None:
    full = Path("/dev/full")
    with pytest.raises(OSError, match="/dev/full"), logged(full) as sink:
        subprocess.run(["head", "-c", "1000000", "/dev/zero"], stdout=sink, check=True, timeout=20)


def test_a_log_without_what_cocotb_says_of_itself() -> None:
    ours = (
        "     -.--ns INFO     gpi                                GPI: VPI support registered\n"
        "     0.00ns WARNING  gpi                                vpi_iterate returned NULL\n"
        "    52.00ns WARNING  ..ocotb.regression                 bench failed\n"
        f"{'':55}Traceback (most recent call last):\n"
    )
    ours = ours.replace("..ocotb", "cocotb")
    said = "my_model.v:7: $finish called\n     1.00ns ERROR    cocotb    it broke"
    assert telling(ours + said + "\n" + ours) == said
