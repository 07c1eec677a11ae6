"""Which path answers what."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import msgspec

from .batching import Batching
from .limits import Limits
from .messages import Asked, read_inference, write_inference
from .metrics import Metrics
from .served import VERSION, Served
from .wire import FAULT, Refused, Reply, Request, Response, refusal

__all__ = ["EXTENSIONS", "Routes"]

EXTENSIONS = ["sequence", "binary_tensor_data"]
_LONGEST = 100  # characters of a path in a message


class Routes:
    """Answers requests.

    Parameters
    ----------
    served : Served
    batching : Batching
    limits : Limits
    metrics : Metrics
    version : str
        Of the server.
    """

    def __init__(
        self, served: Served, batching: Batching, limits: Limits, metrics: Metrics, version: str
    ):
        self._served, self._batching, self._limits = served, batching, limits
        self._metrics, self._loop = metrics, asyncio.get_running_loop()
        self.ready = True
        about = {"name": "sparseflow", "version": version, "extensions": EXTENSIONS}
        self._read: dict[str, Callable[[], Response]] = {
            "/v2": lambda: _json(about),
            "/v2/health/live": lambda: _json({"live": True}),
            "/v2/health/ready": lambda: self._is_ready({}),
            "/metrics": lambda: Response(200, metrics.text(), metrics.KIND),
        }
        self._infer = set[str]()
        for model in (f"/v2/models/{served.name}", f"/v2/models/{served.name}/versions/{VERSION}"):
            self._read[model] = lambda: _json(served.metadata())
            self._read[f"{model}/ready"] = lambda: self._is_ready({"name": served.name})
            self._infer.add(f"{model}/infer")

    def __call__(self, request: Request, reply: Reply) -> None:
        """Answer, at once or when it is computed."""
        path = request.path
        if path not in self._infer and path not in self._read:  # as some clients write it
            path = unquote(path).rstrip("/") or "/"
        inference = path in self._infer and request.method == "POST"
        try:
            if inference:
                self._submit(request, reply)
            else:
                reply(self._found(request.method, path))
        except Refused as refused:
            self._metrics.turned_away(refused.status, refused.reason, inference=inference)
            reply(refusal(refused))
        except Exception:
            self._fault(reply, inference=inference)

    def told(self, refused: Refused) -> None:
        """Count what a connection has refused."""
        self._metrics.turned_away(refused.status, refused.reason, inference=False)

    def _submit(self, request: Request, reply: Reply) -> None:
        if not self.ready:
            raise Refused(503, "the server is ending", "draining")
        limits, served = self._limits, self._served
        asked = read_inference(request, served.inputs, served.outputs, limits.frames)

        def done(found: Asked | Refused) -> None:
            self._answer(request, found, reply)

        self._batching.submit(asked, request.received, done)

    def _answer(self, request: Request, found: Asked | Refused, reply: Reply) -> None:
        """Of inference, when it is computed."""
        try:
            if isinstance(found, Refused):
                raise found
            response = write_inference(found, self._served.name, VERSION)
        except Refused as refused:
            self._metrics.turned_away(refused.status, refused.reason, inference=True)
            reply(refusal(refused))
        except Exception:
            self._fault(reply, inference=True)
        else:
            reply(response)
            b, t, _ = found.frames.shape
            self._metrics.answered(self._loop.time() - request.received, b * t)

    def _fault(self, reply: Reply, *, inference: bool) -> None:
        """Of ours: the client is told that there is one, the log which."""
        traceback.print_exc()
        self._metrics.turned_away(500, "fault", inference=inference)
        reply(refusal(Refused(500, FAULT, "fault")))

    def _found(self, method: str, path: str) -> Response:
        if path not in self._read and path not in self._infer:
            raise Refused(404, self._missing(path), "path")
        allow = ("POST",) if path in self._infer else ("GET", "HEAD")
        if method in allow:
            return self._read[path]()
        refused = Refused(405, f"{method} {path}: it takes {' and '.join(allow)}", "method")
        self.told(refused)
        response = refusal(refused)
        response.headers = {"allow": ", ".join(allow)}
        return response

    def _missing(self, path: str) -> str:
        start, name = "/v2/models/", self._served.name
        model = path[len(start) :].partition("/")[0]
        if path.startswith(start) and model != name:
            return f"model {model[:_LONGEST]!r} is not served here: there is {name!r}"
        return f"{path[:_LONGEST]!r} is no path of the Open Inference Protocol, nor /metrics"

    def _is_ready(self, told: dict[str, Any]) -> Response:
        return _json(told | {"ready": self.ready}, 200 if self.ready else 503)


def _json(what: Any, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode(what))
