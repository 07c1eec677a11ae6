"""What programs print: kept in a file of bounded size, and read by its end."""

from __future__ import annotations

import os
import re
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["HEAD", "TAIL", "logged", "plain_text", "tail", "telling"]

#: Bytes kept of the beginning of a log.
HEAD = 8 << 20
#: Bytes kept of its end.
TAIL = 1 << 20
WINDOW, LINE = 64 << 10, 2000  # bytes of a log that are looked at for its last lines; of a line
_CHUNK = 64 << 10
_IDLE = 0.1  # seconds
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# A line of cocotb's log that tells of no error, and how those that belong to it begin.
_COCOTB = re.compile(r" *(-\.--|[\d.]+)ns (DEBUG|INFO|WARNING) +(gpi|pygpi|cocotb)")
_CONTINUED = " " * 40
# What neither a terminal nor XML may be given; surrogates cannot even be written.
_CONTROL = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@contextmanager
def logged(path: Path) -> Iterator[int]:
    """A file descriptor to print to; what comes is in the file when the block ends.

    Of more than :data:`HEAD` bytes only these, from the beginning, and the last
    :data:`TAIL` are kept, with a line between that says how many are left out.

    Parameters
    ----------
    path : Path
        Replaced.

    Raises
    ------
    OSError
        If the file cannot be written; the program was not disturbed by that.
    """
    source, sink = os.pipe()
    with path.open("wb", buffering=0) as file, open(source, "rb", buffering=0) as pipe:
        copying = _Copying(pipe, file)
        copying.start()
        try:
            yield sink
        finally:
            os.close(sink)
            copying.ended.set()
            copying.join()
    if copying.error:
        raise OSError(copying.error.errno, copying.error.strerror, str(path)) from copying.error


class _Copying(threading.Thread):
    """Reads a pipe to its end, or until it is idle after ``ended`` was set.

    Processes that have left the program's group may hold the pipe for ever.
    """

    def __init__(self, pipe: IO[bytes], file: IO[bytes]):
        super().__init__(daemon=True)
        self._pipe, self._file = pipe, file
        self.ended = threading.Event()
        self.error: OSError | None = None
        self._size, self._end = 0, bytearray()

    def run(self) -> None:
        left = TAIL  # what may still lie in the pipe
        while left > 0:
            ended = self.ended.is_set()
            if not select.select([self._pipe], [], [], 0 if ended else _IDLE)[0]:
                if ended:
                    break
                continue
            chunk = self._pipe.read(_CHUNK)
            if not chunk:
                break
            left -= len(chunk) * ended
            self._take(chunk)
        self._finish()

    def _take(self, chunk: bytes) -> None:
        head = chunk[: max(0, HEAD - self._size)]
        self._size += len(chunk)
        self._write(head)
        self._end += chunk[len(head) :]
        if len(self._end) > 2 * TAIL:
            del self._end[:-TAIL]

    def _finish(self) -> None:
        end = bytes(self._end[-TAIL:])
        if (out := self._size - HEAD - len(end)) > 0:
            self._write(f"\n... {out} bytes are left out here ...\n".encode())
        self._write(end)

    def _write(self, data: bytes) -> None:
        try:
            while data and not self.error:
                data = data[self._file.write(data) :]
        except OSError as error:
            self.error = error


def tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log, as :func:`~sim.run.logs.plain_text`; only its end is read."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - WINDOW))
        text = plain_text(file.read(WINDOW).decode(errors="replace"))
    return "\n".join(line[:LINE] for line in text.splitlines()[-lines:])


def telling(text: str) -> str:
    """Lines of a simulator's log but those in which cocotb reports its own start and end."""
    kept, ours = [], False
    for line in text.splitlines():
        ours = bool(_COCOTB.match(line)) or (ours and line.startswith(_CONTINUED))
        if not ours:
            kept.append(line)
    return "\n".join(kept)


def plain_text(text: str) -> str:
    """A text without colours, control characters and what no file can hold; lines stay."""
    return _CONTROL.sub(" ", _ESCAPES.sub("", text.replace("\r\n", "\n")))
