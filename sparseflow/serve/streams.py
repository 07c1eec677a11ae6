"""Which streams there are, and where the state of each lies."""

from __future__ import annotations

from dataclasses import dataclass

from csb_format.fixed import IntArray

from .messages import Id, Turn
from .wire import Refused

__all__ = ["Stream", "Streams"]


@dataclass(slots=True, eq=False)
class Stream:
    """A sequence whose state is kept.

    Parameters
    ----------
    id : int or str
        Of the client; None for a whole sequence, which ends with its request.
    slot : int
        Where its state lies.
    seen : float
        When it was last used.
    busy : bool
        Whether a request of it is in work.
    fresh : bool
        Whether no frame of it has run yet.
    frames : int
        That have run; of the thread that computes, as is ``total``.
    total : int64 array (R,), optional
        Sum of its outputs, for a head that takes their mean.
    """

    id: Id | None
    slot: int
    seen: float
    busy: bool = True
    fresh: bool = True
    frames: int = 0
    total: IntArray | None = None


class Streams:
    """All of a server.

    Parameters
    ----------
    most : int
        That are kept at a time.
    idle : float
        Seconds without a frame, after which one is forgotten.
    """

    def __init__(self, most: int, idle: float):
        self.most, self.idle = most, idle
        self.open: dict[Id, Stream] = {}
        self.ended = dict.fromkeys(("end", "idle", "fault"), 0)
        self.started = 0
        self._free = list(range(most))[::-1]

    @property
    def taken(self) -> int:
        """Places in use, those of whole sequences too."""
        return self.most - len(self._free)

    def claim(self, turns: list[Turn], now: float) -> list[Stream]:
        """The streams of a request's rows, all or none of them.

        Raises
        ------
        Refused
            404 for one that is not open, 409 for one that is in work, 429 where none is free.
        """
        found = [self.open.get(turn.id) for turn in turns]
        for turn, stream in zip(turns, found, strict=True):
            if stream is None or stream.busy:
                self._check(turn, stream)
        self._check_room(found.count(None), len(turns))
        return [self._take(*of, now) for of in zip(turns, found, strict=True)]

    def lend(self, count: int, now: float) -> list[Stream]:
        """Places for whole sequences.

        Raises
        ------
        Refused
            429 where there are not so many.
        """
        self._check_room(count, count)
        return [Stream(None, self._free.pop(), now) for _ in range(count)]

    def give_back(self, stream: Stream, now: float, *, end: bool, why: str = "end") -> None:
        """Behind a request: the stream goes on, or its place is free."""
        stream.busy, stream.fresh, stream.seen = False, False, now
        if end:
            self._end(stream, why)

    def take_back(self, stream: Stream, now: float) -> None:
        """Behind a request of which nothing has run: a stream that it began is none."""
        stream.busy = False
        if stream.fresh:
            self._end(stream, "")

    def reap(self, now: float) -> int:
        """Forget streams that were idle too long; how many."""
        since = now - self.idle
        old = [stream for stream in self.open.values() if stream.seen < since and not stream.busy]
        for stream in old:
            self._end(stream, "idle")
        return len(old)

    def _check(self, turn: Turn, stream: Stream | None) -> None:
        if stream is None and not turn.start:
            raise Refused(
                404,
                f"sequence {turn.id!r} is not open: it has not started, has ended, or was without "
                f"a frame for {self.idle:g} seconds; start it with sequence_start",
                "unknown",
            )
        if stream is not None and stream.busy:
            text = f"sequence {turn.id!r} has a request in work: send one behind the other"
            raise Refused(409, text, "busy")

    def _check_room(self, new: int, of: int) -> None:
        if of > self.most:
            raise Refused(400, f"{of} sequences: {self.most} are kept at most", "streams")
        if new > len(self._free):
            text = f"{self.most} streams are open, the most that are kept: come again later"
            raise Refused(429, text, "streams")

    def _take(self, turn: Turn, stream: Stream | None, now: float) -> Stream:
        if stream is None:
            stream = self.open[turn.id] = Stream(turn.id, self._free.pop(), now)
            self.started += 1
        stream.busy = True
        return stream

    def _end(self, stream: Stream, why: str) -> None:
        self._free.append(stream.slot)
        if stream.id is not None:
            self.open.pop(stream.id, None)
            if why:
                self.ended[why] += 1
