"""The routes of `sparseflow serve` behind uvicorn, to see what HTTP of a kept server costs.

Needs ``pip install uvicorn``. ``python -m bench.cpu.serving --uvicorn`` starts it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from sparseflow.serve.limits import Limits
from sparseflow.serve.served import Served
from sparseflow.serve.server import Server
from sparseflow.serve.wire import Request, Response

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class App:
    """One model, in ASGI's words."""

    def __init__(self, path: Path, limits: Limits):
        self._path, self._limits = path, limits
        self._server: Server | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request."""
        loop = asyncio.get_running_loop()
        if self._server is None:
            self._server = Server(Served(self._path, "model"), self._limits, "0")
        headers, body = dict(scope["headers"]), await _body(receive)
        request = Request(scope["method"], scope["path"], headers, body, False, loop.time())
        found: asyncio.Future[Response] = loop.create_future()
        self._server.routes(request, found.set_result)
        answer = await found
        length = str(len(answer.body)).encode()
        heads = [(b"content-type", answer.kind.encode()), (b"content-length", length)]
        await send({"type": "http.response.start", "status": answer.status, "headers": heads})
        await send({"type": "http.response.body", "body": answer.body})


async def _body(receive: Receive) -> bytes:
    parts, more = list[bytes](), True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def main(path: Path, most: int) -> None:
    """Serve on a free port, which is printed as `sparseflow serve` prints it."""
    try:
        uvicorn: Any = import_module("uvicorn")  # no dependency: nothing else wants it
    except ModuleNotFoundError:
        raise SystemExit("error: uvicorn is missing: pip install uvicorn") from None
    app = App(path, Limits(streams=most, connections=2 * most, idle=20.0))
    place = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(f"serving at http://127.0.0.1:{place.getsockname()[1]}/v2/models/model", flush=True)
    about: dict[str, Any] = {"http": "httptools", "loop": "uvloop", "lifespan": "off"}
    config = uvicorn.Config(app, access_log=False, log_level="warning", **about)
    uvicorn.Server(config).run(sockets=[place])


if __name__ == "__main__":
    typer.run(main)
