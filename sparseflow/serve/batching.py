"""Requests wait here; those that are here together run together, in a thread of their own."""

from __future__ import annotations

import asyncio
import queue
import threading
import traceback
from collections import deque
from collections.abc import Callable

from .limits import Limits
from .messages import Asked
from .metrics import Metrics
from .served import Served
from .streams import Streams
from .wire import FAULT, Refused
from .work import Job, Row, Worker

__all__ = ["Batching"]

MOST_ROWS = 1024  # of requests that begin together
Done = Callable[[Asked | Refused], None]


class Batching:
    """What lies between requests and the thread that computes; belongs to the loop.

    Rows that wait are run as one batch. While it runs others come in, which are the next one: the
    busier the server, the larger its batches, and nobody waits for a batch to fill.

    Parameters
    ----------
    served : Served
    limits : Limits
    metrics : Metrics
    """

    def __init__(self, served: Served, limits: Limits, metrics: Metrics):
        self._served, self._limits, self._metrics = served, limits, metrics
        self._loop = asyncio.get_running_loop()
        self.streams = Streams(limits.streams, limits.idle)
        self.worker = Worker(served, limits.streams)
        self._waiting = deque[Job]()
        self._going: list[Job] = []  # begun, with frames left
        self._done: dict[Job, Done] = {}
        self._running = self._called = False
        self._inbox = queue.SimpleQueue[list[Job] | None]()
        self._thread = threading.Thread(target=self._compute, name="compute", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that have not begun."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether there is a request in work."""
        return bool(self._done)

    def submit(self, asked: Asked, received: float, done: Done) -> None:
        """Queue a request; ``done`` gets it with its answers, or why there are none.

        Raises
        ------
        Refused
            If it cannot be taken; no stream has changed then.
        """
        if len(self._waiting) >= self._limits.queue:
            text = f"{len(self._waiting)} requests wait: come again later"
            raise Refused(429, text, "queue")
        wait = min(self._limits.deadline, asked.timeout or self._limits.deadline)
        job = Job(asked, self._rows(asked), received + wait, received)
        self._done[job] = done
        self._waiting.append(job)
        self._call()

    def expire(self, now: float) -> None:
        """Refuse what has waited too long, and forget streams that are idle; every second or so."""
        self.streams.reap(now)
        late = [job for job in self._waiting if job.deadline < now]
        if late:
            self._waiting = deque(job for job in self._waiting if job.deadline >= now)
            for job in late:
                self._refuse_late(job, now)

    def give_up(self) -> None:
        """Tell those that are left that there is no time; their states are lost with the server."""
        while self._done:
            _, done = self._done.popitem()
            done(Refused(503, "the server has ended before this request was done", "draining"))
        self._waiting.clear()

    def end(self) -> None:
        """Let the thread end behind what it does."""
        self._inbox.put(None)
        self._thread.join()

    def _rows(self, asked: Asked) -> list[Row]:
        (count, length, _), now = asked.frames.shape, self._loop.time()
        if asked.turns is None:
            return [Row(stream, True, True, length) for stream in self.streams.lend(count, now)]
        if not self._served.streams:
            text = "the model has two directions: it takes whole sequences, without a sequence_id"
            raise Refused(400, text)
        streams = self.streams.claim(asked.turns, now)
        each = zip(streams, asked.turns, strict=True)
        return [Row(stream, turn.start, turn.end, length) for stream, turn in each]

    def _call(self) -> None:
        """Begin behind what the loop has to do now: other requests may be in it."""
        if not (self._running or self._called):
            self._called = True
            self._loop.call_soon(self._go)

    def _go(self) -> None:
        """Give the thread what is here."""
        self._called = False
        if self._running:
            return
        jobs, rows, now = self._going, sum(len(job.rows) for job in self._going), self._loop.time()
        while self._waiting and (not jobs or rows + len(self._waiting[0].rows) <= MOST_ROWS):
            job = self._waiting.popleft()
            if job.deadline < now:
                self._refuse_late(job, now)
                continue
            jobs.append(job)
            rows += len(job.rows)
        if jobs:
            self._running = True
            self._inbox.put(jobs)

    def _compute(self) -> None:
        """The thread: nothing but this touches states."""
        while (jobs := self._inbox.get()) is not None:
            try:
                self.worker.run(jobs)
            except BaseException:
                traceback.print_exc()
                for job in jobs:
                    job.error = Refused(500, FAULT, "fault")
            self._loop.call_soon_threadsafe(self._finish, jobs)

    def _finish(self, jobs: list[Job]) -> None:
        """Hand out what is done, go on with the rest."""
        self._running = False
        jobs = [job for job in jobs if job in self._done]  # others were given up
        self._going = [job for job in jobs if not job.done]
        self._go()  # the thread works while answers are written
        for job in jobs:
            if job.done:
                self._hand_out(job)

    def _hand_out(self, job: Job) -> None:
        now, error = self._loop.time(), job.error
        for row in job.rows:
            if error is None or row.stream.id is None:
                self.streams.give_back(row.stream, now, end=row.end)
            elif error.status >= 500:  # nobody knows where it stands
                self.streams.give_back(row.stream, now, end=True, why="fault")
            else:
                self.streams.take_back(row.stream, now)
        self._done.pop(job)(error or job.asked)

    def _refuse_late(self, job: Job, now: float) -> None:
        waited = now - job.received
        text = f"it waited {waited:.3g} seconds and has not begun: states are as they were"
        job.error = Refused(504, text, "deadline")
        for row in job.rows:
            self.streams.take_back(row.stream, now)
        self._done.pop(job)(job.error)
