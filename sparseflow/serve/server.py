"""A server from its first request to its last."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial

from .batching import Batching
from .http import Connections
from .limits import Limits
from .metrics import Metrics
from .routes import Routes
from .served import Served

__all__ = ["Server", "serve"]

TICK = 0.25  # seconds between looks at what takes too long
BACKLOG = 1024
FLUSH = 0.1  # seconds for the last answers
FILES = 64  # that are open beside connections
SWITCH = 0.002  # seconds that a thread keeps Python: the loop and the one that computes take turns
COLLECT = 20_000  # objects made before the collector looks: requests leave hardly any circles
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Server:
    """Listens, answers, and ends without losing a request that has come in.

    Parameters
    ----------
    served : Served
    limits : Limits
    version : str
        Of Sparseflow.
    """

    def __init__(self, served: Served, limits: Limits, version: str):
        self.limits, self.metrics = limits, Metrics()
        self._loop = asyncio.get_running_loop()
        self.batching = Batching(served, limits, self.metrics)
        self.routes = Routes(served, self.batching, limits, self.metrics, version)
        self.connections = Connections(limits, self.routes, self.routes.told)
        self._listening: asyncio.Server | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._watch()

    async def listen(self, host: str, port: int) -> int:
        """Begin; the port, which the system chooses for 0.

        Raises
        ------
        OSError
            If the place is taken or is none of this machine.
        """
        try:
            self._listening = await self._loop.create_server(
                self.connections, host, port, backlog=BACKLOG, reuse_address=sys.platform != "win32"
            )
        except OSError as error:
            raise OSError(error.errno, _why(error), f"{host}:{port}") from error
        except UnicodeError as error:  # of names that cannot be asked for
            text = "cannot listen there: it is no name of a host"
            raise OSError(errno.EINVAL, text, f"{host}:{port}") from error
        self._look()
        found: int = self._listening.sockets[0].getsockname()[1]
        return found

    async def end(self) -> None:
        """Take no more connections, answer what is here, then close."""
        self.routes.ready = False
        if self._listening is not None:
            self._listening.close()
        self.connections.drain()
        begin, limits = self._loop.time(), self.limits
        await self._done_by(begin + min(limits.finish, limits.drain))
        self.connections.refuse_halves()
        await self._done_by(begin + limits.drain)
        self.batching.give_up()
        if self.connections.open:
            await asyncio.sleep(FLUSH)
        self.connections.abort()
        if self._tick is not None:
            self._tick.cancel()
        await self._loop.run_in_executor(None, self.batching.end)

    async def _done_by(self, until: float) -> None:
        """Wait while there is something to wait for."""
        while (self.batching.busy or self.connections.open) and self._loop.time() < until:
            await asyncio.sleep(0.02)

    def _look(self) -> None:
        now = self._loop.time()
        self.batching.expire(now)
        self.connections.sweep(now)
        self._tick = self._loop.call_later(TICK, self._look)

    def _watch(self) -> None:
        batching, streams, watch = self.batching, self.batching.streams, self.metrics.watch
        worker = batching.worker
        watch("gauge", "streams_open", "Streams whose states are kept.", lambda: len(streams.open))
        watch("gauge", "streams_most", "That may be.", lambda: streams.most)
        watch("gauge", "waiting", "Requests that wait.", lambda: batching.waiting)
        watch("gauge", "connections", "That are open.", lambda: len(self.connections.open))
        watch("counter", "streams_started", "So far.", lambda: streams.started)
        for why in streams.ended:
            count = partial(streams.ended.__getitem__, why)
            watch("counter", f"streams_ended_by_{why}", f"By {why}.", count)
        watch("counter", "steps", "Of batches.", lambda: worker.steps)
        watch("counter", "rows", "Of all steps: frames that ran.", lambda: worker.rows)
        watch("counter", "compute_seconds", "Of the thread that computes.", lambda: worker.seconds)


def serve(
    served: Served, limits: Limits, version: str, host: str, port: int, told: Callable[[int], None]
) -> None:
    """Serve until a signal says that it is enough; a second one ends the process at once.

    Parameters
    ----------
    served, limits, version
        As for :class:`Server`.
    host, port
        As for :meth:`Server.listen`.
    told : callable
        Given the port when requests can come.
    """

    async def run() -> None:
        server = Server(served, limits, version)
        with _until_signal() as enough:
            try:
                told(await server.listen(host, port))
                await enough.wait()
            finally:
                await server.end()

    _allow_files(limits.connections + FILES)
    with _tuned(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(run())


@contextlib.contextmanager
def _tuned() -> Iterator[None]:
    """Threads that take turns sooner; a collector that leaves alone what is there for good."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(SWITCH)
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT, *threshold[1:])
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*threshold)
        gc.unfreeze()


def _why(error: OSError) -> str:
    """Why nothing can listen at a place."""
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen there: {os.strerror(error.errno)}; choose another --port"
    known = (error.errno or 0) > 0
    return f"cannot listen there: {os.strerror(error.errno or 0) if known else error.strerror}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster loop, where there is one."""
    try:
        import uvloop
    except ModuleNotFoundError:  # of Windows
        return None
    made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return made


def _allow_files(count: int) -> None:
    """Raise what this process may have open, as far as the system lets it."""
    try:
        import resource
    except ModuleNotFoundError:  # of Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextlib.contextmanager
def _until_signal() -> Iterator[asyncio.Event]:
    """Set by the first signal; the next one ends the process at once."""
    loop, enough = asyncio.get_running_loop(), asyncio.Event()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def ended() -> None:
        enough.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in _SIGNALS:
        loop.add_signal_handler(number, ended)
    try:
        yield enough
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
