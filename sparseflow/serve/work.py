"""What is done in the thread that computes: steps of all rows that have a frame."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from csb_format.fixed import IntArray
from csb_format.pooling import pooled

from .messages import Asked
from .served import Served
from .streams import Stream
from .tensors import Array
from .wire import Refused

__all__ = ["Job", "Row", "Worker"]

_SLOT = attrgetter("stream.slot")
PLAIN = {"output", "position"}  # what needs no head
SLICE = 0.005  # seconds after which rows that go on make room for others


@dataclass(slots=True, eq=False)
class Row:
    """A sequence of a request.

    Parameters
    ----------
    stream : Stream
        One without an id for a whole sequence.
    start : bool
        From the zero state.
    end : bool
        Nothing is kept behind it.
    left : int
        Frames to run.
    frames : int array (T, X)
        Once they are looked at.
    outputs : list of int32 arrays (R,)
        As far as it is.
    position : int
        Frames of its stream, with this row's.
    """

    stream: Stream
    start: bool
    end: bool
    left: int
    frames: IntArray | None = None
    outputs: list[Array] = field(default_factory=list)
    position: int = 0
    total: IntArray | None = None  # of the stream so far, where the head takes the mean


@dataclass(slots=True, eq=False)
class Job:
    """A request in work."""

    asked: Asked
    rows: list[Row]
    deadline: float
    received: float
    begun: bool = False
    error: Refused | None = None

    @property
    def done(self) -> bool:
        """Whether nothing is left to run."""
        if self.error is None:
            for row in self.rows:
                if row.left:
                    return False
        return True


class Worker:
    """The states of all streams; belongs to one thread.

    Parameters
    ----------
    served : Served
    slots : int
        Streams that there may be; their memory is taken here.
    """

    def __init__(self, served: Served, slots: int):
        self._served = served
        self._states = served.native.start(slots) if served.streams else None
        self._means, self._heads = served.model.pool == "mean", {*served.outputs} - PLAIN
        self.steps = self.rows = 0  # so far
        self.seconds = 0.0

    def run(self, jobs: list[Job]) -> None:
        """Some milliseconds of work on these jobs; those that are done have answers or an error."""
        begin = time.perf_counter()
        self._look_at([job for job in jobs if not job.begun])
        rows = [row for job in jobs if job.error is None for row in job.rows]
        if self._states is None:
            self._run_whole(rows)
        else:
            self._run_steps(rows, begin + SLICE)
        self._answer([job for job in jobs if job.done and job.error is None])
        self.seconds += time.perf_counter() - begin

    def _look_at(self, jobs: list[Job]) -> None:
        """Frames of new jobs as integers, all of one kind at a time; faults are their own."""
        by_kind: dict[np.dtype, list[Job]] = {}
        for job in jobs:
            job.begun = True
            by_kind.setdefault(job.asked.frames.dtype, []).append(job)
        for alike in by_kind.values():
            given = [job.asked.frames.reshape(-1, self._served.inputs) for job in alike]
            try:
                self._deal(alike, self._served.integers(np.concatenate(given)))
            except Refused:
                for job in alike:
                    self._look_at_one(job)

    def _look_at_one(self, job: Job) -> None:
        try:
            self._deal([job], self._served.integers(job.asked.frames))
        except Refused as refused:
            job.error = refused

    def _deal(self, jobs: list[Job], integers: IntArray) -> None:
        """Each row its frames, and its place to begin at."""
        frames, at = integers.reshape(-1, self._served.inputs), 0
        for job in jobs:
            length = job.asked.frames.shape[1]
            for row in job.rows:
                row.frames = frames[at : at + length]
                at += length
                if row.start:
                    if self._states is not None:
                        self._states.reset(row.stream.slot)
                    row.stream.frames, row.stream.total = 0, None

    def _run_steps(self, rows: list[Row], until: float) -> None:
        """One frame of every row, and again while there is time."""
        assert self._states is not None
        live = sorted((row for row in rows if row.left), key=_SLOT)
        while live:
            slots = list(map(_SLOT, live))
            frames = [row.frames[len(row.outputs)] for row in live]  # type: ignore[index]
            given = np.concatenate(frames).reshape(len(live), -1)  # sooner than `stack`
            outputs = self._states.step_some(slots, given).astype(np.int32)
            for row, output in zip(live, outputs, strict=True):
                row.outputs.append(output)
                row.left -= 1
            self.steps, self.rows = self.steps + 1, self.rows + len(live)
            if time.perf_counter() > until:
                return
            live = [row for row in live if row.left]

    def _run_whole(self, rows: list[Row]) -> None:
        given = [row.frames for row in rows if row.frames is not None]
        for row, outputs in zip(rows, self._served.whole(given), strict=True):
            row.outputs, row.left = list(outputs.astype(np.int32)), 0
        self.rows += sum(map(len, given))

    def _answer(self, jobs: list[Job]) -> None:
        """Outputs of finished jobs."""
        asking = []
        for job in jobs:
            for row in job.rows:
                self._count(row)
            self._put_out(job)
            if not self._heads.isdisjoint(job.asked.outputs):
                asking.append(job)
        if asking:
            self._put_heads(asking)

    def _put_out(self, job: Job) -> None:
        asked, rows, size = job.asked, job.rows, self._served.size
        b, t, _ = asked.frames.shape
        outputs = rows[0].outputs if b == 1 else [o for row in rows for o in row.outputs]
        all_of = outputs[0] if b * t == 1 else np.array(outputs, np.int32)
        asked.answers = {
            "output": all_of.reshape(b, t, size),
            "position": np.array([row.position for row in rows], np.int64),
        }

    def _put_heads(self, jobs: list[Job]) -> None:
        """What the heads make of them, of all jobs in one product."""
        none = np.zeros((0, self._served.size), np.int64)
        fed = [none, *(self._fed(row) for job in jobs for row in job.rows)]
        heads, at = self._served.heads(np.concatenate(fed)), 0
        for job in jobs:
            b, t, _ = job.asked.frames.shape
            count = t if self._served.every else min(t, 1)
            for name, of in heads.items():
                one = of[at : at + b * count]
                job.asked.answers[name] = one.reshape(b, count, *of.shape[1:])
            at += b * count

    def _count(self, row: Row) -> None:
        """Where the stream stands behind this row."""
        stream, length = row.stream, len(row.outputs)
        stream.frames = row.position = stream.frames + length
        if self._means and self._states is not None and length:
            total = np.array(row.outputs, np.int64).sum(axis=0)
            row.total = total if stream.total is None else stream.total + total
            stream.total = row.total

    def _fed(self, row: Row) -> Array:
        """What the head takes of a row (n, R): of the stream so far, where that counts."""
        model = self._served.model
        if not row.outputs:
            return np.zeros((0, self._served.size), np.int64)
        if row.total is not None:
            return (2 * row.total + row.position)[None] // (2 * row.position)
        alone = self._served.every or self._states is None
        outputs = row.outputs if alone else row.outputs[-1:]
        return pooled(outputs, model.pool, model.directions).reshape(-1, self._served.size)
