"""Clients of a server of streams: one loop holds all of them, and compares every answer.

Frames are due at fixed times, whatever the server does; latency counts from there. An answer is
compared byte for byte with what the integer model gives. Some clients die: their connection is cut
with a request on it, whole or half; they come back as another stream.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Found", "Plan", "run_clients"]

LENGTH = b"inference-header-content-length"
ABRUPT = struct.pack("ii", 1, 0)  # SO_LINGER: a reset instead of an end
GRACE = 30.0  # seconds for the last answers


@dataclass(frozen=True)
class Plan:
    """What clients do.

    Parameters
    ----------
    port : int
    path : str
        Of inference.
    frames : float32 array (S, T, X)
        A sequence of each stream, that it repeats.
    outputs : int32 array (S, T, R)
        What the integer model gives.
    rate : float
        Frames a second of a stream.
    seconds : float
    deaths : float
        A second, of all clients.
    together : int
        Streams whose frames are in one request; 1: each has a connection of its own.
    seed : int
    """

    port: int
    path: str
    frames: npt.NDArray[np.float32]
    outputs: npt.NDArray[np.int32]
    rate: float
    seconds: float
    deaths: float
    together: int
    seed: int


@dataclass
class Found:
    """What came of it; milliseconds from when a frame was due, and from when it was sent."""

    due: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    requests: int = 0
    right: int = 0
    mixed: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    killed: int = 0
    late: int = 0  # requests that had to wait for the answer before them
    unsent: int = 0  # of these, those that waited until the end


class _Client(asyncio.Protocol):
    """A connection with some streams, all at the same frame of their sequences."""

    def __init__(self, all_: _Clients, which: range):
        self.all, self.which, self.at = all_, which, 0
        self.ids: list[int] = []
        self.transport: Any = None  # None: not connected
        self.answer = b""
        self.due = self.began = 0.0
        self.waiting = False  # for an answer
        self.owed: list[float] = []  # frames that were due meanwhile

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.answer = transport, b""
        self.ids, self.at = [self.all.fresh_id() for _ in self.which], 0

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.waiting:  # nobody killed this one
            self.all.found.lost += 1
            self.waiting = False
        self.all.again(self)

    def send(self, due: float) -> None:
        """A frame of each stream, or remember that it is owed."""
        if self.waiting or self.transport is None:
            self.owed.append(due)
            self.all.found.late += 1
            return
        self.due, self.began, self.waiting = due, self.all.loop.time(), True
        self.transport.write(self.all.request(self))
        self.all.found.requests += 1

    def die(self, rng: random.Random) -> None:
        """With a request on the line or half of one, by an end of the line or a reset."""
        if self.transport is None or self.waiting:
            return
        request = self.all.request(self)
        self.transport.write(request[: rng.choice([len(request), len(request) // 2])])
        if rng.random() < 0.5:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
        self.owed.clear()
        self.all.found.killed += 1
        dead, self.transport = self.transport, None  # nothing is sent on it before the loop tells
        dead.abort()

    def data_received(self, data: bytes) -> None:
        self.answer += data
        head, found, body = self.answer.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.find(b"content-length: ") + 16
        size = int(head[at : head.find(b"\r", at) if head.find(b"\r", at) > 0 else len(head)])
        if len(body) < size or not self.waiting:
            return
        now = self.all.loop.time()
        self.all.found.due.append(1e3 * (now - self.due))
        self.all.found.sent.append(1e3 * (now - self.began))
        self.answer, self.waiting = body[size:], False
        self.all.judge(self, head, body[:size])
        self.at = (self.at + 1) % self.all.plan.frames.shape[1]
        if not self.at:
            self.ids = [self.all.fresh_id() for _ in self.which]
        if self.owed:
            self.send(self.owed.pop(0))


class _Clients:
    def __init__(self, plan: Plan):
        self.plan, self.found = plan, Found()
        self.loop = asyncio.get_running_loop()
        self._ids = iter(range(1 << 40, 1 << 62))
        self._head = f"POST {plan.path} HTTP/1.1\r\nhost: localhost\r\n".encode()
        starts = range(0, len(plan.frames), plan.together)
        ends = (min(n + plan.together, len(plan.frames)) for n in starts)
        self.clients = [_Client(self, range(*of)) for of in zip(starts, ends, strict=True)]
        self.over = False

    def fresh_id(self) -> int:
        return next(self._ids)

    async def connect(self, client: _Client) -> None:
        await self.loop.create_connection(lambda: client, "127.0.0.1", self.plan.port)

    def again(self, client: _Client) -> None:
        """A client that died comes back as others."""
        if not self.over:
            self._task = self.loop.create_task(self.connect(client))

    def request(self, client: _Client) -> bytes:
        frames = self.plan.frames
        start, end = client.at == 0, client.at == frames.shape[1] - 1
        raw = frames[client.which.start : client.which.stop, client.at].tobytes()
        count, size = len(client.which), frames.shape[2]
        inputs: list[dict[str, object]] = [
            {
                "name": "frames",
                "datatype": "FP32",
                "shape": [count, 1, size],
                "parameters": {"binary_data_size": len(raw)},
            }
        ]
        about: dict[str, object] = {"binary_data_output": True}
        if self.plan.together == 1:
            about |= {"sequence_id": client.ids[0], "sequence_start": start, "sequence_end": end}
        else:
            inputs += [_flags("sequence_start", start, count), _flags("sequence_end", end, count)]
            inputs.append(_tensor("sequence_id", "UINT64", client.ids))
        wanted = [{"name": "output"}, {"name": "position"}]
        text = json.dumps(
            {"inputs": inputs, "parameters": about, "outputs": wanted}, allow_nan=False
        ).encode()
        sizes = f"content-length: {len(text) + len(raw)}\r\n{LENGTH.decode()}: {len(text)}\r\n\r\n"
        return b"".join([self._head, sizes.encode(), text, raw])

    def judge(self, client: _Client, head: bytes, body: bytes) -> None:
        """Every byte of outputs and positions."""
        if not head.startswith(b"HTTP/1.1 200"):
            told = f"{head[9:12].decode()}: {body[:150].decode(errors='replace')}"
            self.found.refused[told] = self.found.refused.get(told, 0) + 1
            return
        want = self.plan.outputs[client.which.start : client.which.stop, client.at].tobytes()
        want += np.full(len(client.which), client.at + 1, "<i8").tobytes()
        if body.endswith(want):
            self.found.right += len(client.which)
        else:
            self.found.mixed += 1

    def schedule(self) -> Iterator[tuple[float, _Client]]:
        """When which client has a frame, in seconds, in order."""
        count, gap = len(self.clients), 1 / self.plan.rate
        for n in range(int(self.plan.seconds * self.plan.rate)):
            for k, client in enumerate(self.clients):
                yield (n + k / count) * gap, client


def _tensor(name: str, datatype: str, values: list[int]) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": [len(values)], "data": values}


def _flags(name: str, value: bool, count: int) -> dict[str, object]:
    return {"name": name, "datatype": "BOOL", "shape": [count], "data": [value] * count}


async def run_clients(plan: Plan) -> Found:
    """Until all frames have been given, and their answers are here or lost."""
    all_, rng = _Clients(plan), random.Random(plan.seed)
    for client in all_.clients:
        await all_.connect(client)
    begin, killed = all_.loop.time() + 0.1, 0
    for due, client in all_.schedule():
        while (wait := begin + due - all_.loop.time()) > 0:
            await asyncio.sleep(max(wait, 0.001))
        client.send(begin + due)
        if due * plan.deaths > killed:
            killed += 1
            rng.choice(all_.clients).die(rng)
    until = all_.loop.time() + GRACE
    while any(c.waiting or c.owed for c in all_.clients) and all_.loop.time() < until:
        await asyncio.sleep(0.05)
    all_.over = True
    all_.found.lost += sum(c.waiting for c in all_.clients)
    all_.found.unsent = sum(len(c.owed) for c in all_.clients)
    for client in all_.clients:
        client.waiting = False
        if client.transport is not None:
            client.transport.abort()
    await asyncio.sleep(0)
    return all_.found
