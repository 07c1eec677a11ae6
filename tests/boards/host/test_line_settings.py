"""A serial port of Python's driver is set, read back, and refused where it did not take it."""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator

import pytest

from boards.host import line_settings
from boards.host.line_settings import rate_now
from boards.host.lines import SerialLine, port_and_baud
from boards.link.protocol import BAUD


@pytest.fixture
def terminal() -> Iterator[int]:
    """The board's end of a line as it is after boot: cooked, 38400 baud."""
    ours, theirs = os.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("baud", [BAUD, 115_200, 1_234_567])
def test_a_port_is_raw_and_at_its_rate(terminal: int, baud: int) -> None:
    assert termios.tcgetattr(terminal)[3] & termios.ICANON
    SerialLine(os.ttyname(terminal), baud).close()
    _, oflag, cflag, lflag, *_ = termios.tcgetattr(terminal)
    assert rate_now(terminal) == baud
    assert cflag & (termios.CSIZE | termios.PARENB | termios.CSTOPB) == termios.CS8
    assert not lflag & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert not oflag & termios.OPOST


def test_a_port_that_keeps_its_rate_is_refused(
    terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(termios, "tcsetattr", lambda *_: None)
    before = len(os.listdir("/proc/self/fd"))
    told = r"/dev/pts/\d+' does not take 1000000 baud, it is at 38400: take another adapter, or a"
    with pytest.raises(ValueError, match=told):
        SerialLine(os.ttyname(terminal), BAUD)
    assert len(os.listdir("/proc/self/fd")) == before  # it is closed
    with pytest.raises(ValueError, match="does not take raw bytes of 8 bits, no parity, one stop"):
        SerialLine(os.ttyname(terminal), 38_400)


def test_a_rate_that_is_a_little_off_is_none_of_it(
    terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter divides its own clock; the board bears 3 %."""
    monkeypatch.setattr(line_settings, "rate_now", lambda _: BAUD - BAUD // 50)
    SerialLine(os.ttyname(terminal), BAUD).close()
    monkeypatch.setattr(line_settings, "rate_now", lambda _: BAUD - BAUD // 40)
    with pytest.raises(ValueError, match="it is at 975000"):
        SerialLine(os.ttyname(terminal), BAUD)


def test_a_url_of_pyserial_has_no_terminal() -> None:
    line = SerialLine("loop://", BAUD)
    line.write(b"abc")
    assert line.read(1.0) == b"abc"
    line.close()


@pytest.mark.parametrize("text", ["abc", "-1", "0", "1e6", "", "9" * 30])
def test_a_rate_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"baud '.*': give the bitstream's rate as a whole number"):
        port_and_baud(f"/dev/ttyUSB0?baud={text}", BAUD)
