"""A server in a thread of this process, on a port of its own, and a client over the loopback."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format.files.modelfile import save_model
from csb_format.inputs.scale import InputScale
from csb_format.model import Model
from csb_format.random_models import random_network
from engine.reference import IntegerModel
from sparseflow.serve.limits import Limits
from sparseflow.serve.served import Served
from sparseflow.serve.server import Server

X, R, CLASSES = 5, 6, 3
NAMES = ("ja", "nein", "weiß nicht")


def network(**more: Any) -> Model:
    """A classifier that knows the scale of its inputs and the names of its classes."""
    pool = more.pop("pool", "last")
    rng = np.random.default_rng(1)
    model = random_network(rng, X, R, 2, (1, 2, 1), **({"head": CLASSES} | more))
    scale = InputScale(rng.normal(size=X), rng.uniform(0.5, 2, X))
    names = NAMES if model.head is not None else ()
    return replace(model, pool=pool, input_scale=scale, label_names=names)


MODEL = network()


class Client:
    """One connection to a server.

    Parameters
    ----------
    server : Server
    port : int
    model : Model
    loop : event loop of the server
    """

    def __init__(self, server: Server, port: int, model: Model, loop: Any):
        self.server, self.port, self.model, self.loop = server, port, model, loop
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.headers: dict[str, str] = {}

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Status and body; headers are kept."""
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, answer.read()

    def get(self, path: str) -> tuple[int, Any]:
        status, body = self.ask("GET", path)
        return status, json.loads(body) if body else None

    def post(self, request: Any, path: str = "/v2/models/model/infer") -> tuple[int, Any]:
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        status, answer = self.ask("POST", path, body)
        return status, json.loads(answer)

    def infer(self, frames: Any, *outputs: str, **parameters: Any) -> dict[str, Any]:
        """Outputs as arrays, of frames (B, T, X)."""
        status, found = self.post(request(frames, *outputs, **parameters))
        assert status == 200, found
        return arrays(found)

    def error(self, what: Any, status: int) -> str:
        """Of a request that is refused so."""
        code, found = self.post(what)
        assert (code, list(found)) == (status, ["error"]), (code, found)
        assert "\n" not in found["error"]
        assert "Traceback" not in found["error"]
        return str(found["error"])

    def raw(self) -> socket.socket:
        """A line of its own."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def metric(self, name: str) -> float:
        lines = self.ask("GET", "/metrics")[1].decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Until it is so, as the server's loop sees it; fails after seconds."""

        async def until() -> None:
            async with asyncio.timeout(20):
                while not what():
                    await asyncio.sleep(0.005)

        asyncio.run_coroutine_threadsafe(until(), self.loop).result()


def request(frames: Any, *outputs: str, **parameters: Any) -> dict[str, Any]:
    """As JSON has it."""
    array = np.asarray(frames)
    kind = {"f": "FP32", "i": "INT32"}[array.dtype.kind]
    given = {"name": "frames", "shape": list(array.shape), "datatype": kind}
    found: dict[str, Any] = {"inputs": [given | {"data": array.reshape(-1).tolist()}]}
    if parameters:
        found["parameters"] = parameters
    if outputs:
        found["outputs"] = [{"name": name} for name in outputs]
    return found


def arrays(found: dict[str, Any]) -> dict[str, Any]:
    """Outputs of an answer."""
    return {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in found["outputs"]}


def wanted(model: Model, frames: Any) -> Any:
    """Outputs (T, R) of the integer model."""
    assert model.input_scale is not None
    reference = IntegerModel(model)
    array = np.asarray(frames)
    if array.dtype.kind == "f":
        array = reference.quantise([model.input_scale.apply(array)])[0]
    return reference.run([array])[0].output


def features(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=(*shape, X)).astype(np.float32)


Starter = Callable[..., Client]


@contextmanager
def running(path: Path, model: Model, **limits: Any) -> Iterator[Client]:
    """A server of a model, until the end of the block."""
    save_model(path, model)
    served, loop = Served(path, "model"), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> tuple[Server, int]:
        server = Server(served, replace(Limits(streams=8), **limits), "0")
        return server, await server.listen("127.0.0.1", 0)

    server, port = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    try:
        yield Client(server, port, model, loop)
    finally:
        asyncio.run_coroutine_threadsafe(server.end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Start a server with limits of its own: ``start(model, streams=2)``."""
    with ExitStack() as stack:

        def begin(model: Model = MODEL, **limits: Any) -> Client:
            return stack.enter_context(running(tmp_path / "model.safetensors", model, **limits))

        yield begin


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server of ``MODEL`` for tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("serve") / "model.safetensors", MODEL) as found:
        yield found
