"""The server's routes in ASGI's words, which `bench.cpu.serving` holds beside our HTTP."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cpu.asgi import App, main
from csb_format import save_model
from csb_format.random_models import random_model
from sparseflow.serve.limits import Limits


async def asked(app: App, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    """Its status and what it says; the body comes in two parts."""
    parts, sent = [body[:9], body[9:]], list[dict[str, Any]]()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": path, "headers": []}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_a_model_answers_and_what_is_wrong_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "model", random_model(np.random.default_rng(0), 4, 8, 2, 1, 1))

    async def all_of_it() -> None:
        app, infer = App(tmp_path / "model", Limits()), "/v2/models/model/infer"
        tensor = {
            "name": "frames",
            "datatype": "FP32",
            "shape": [1, 1, 4],
            "data": [0.5, -0.5, 0, 1],
        }
        status, found = await asked(app, "POST", infer, json.dumps({"inputs": [tensor]}).encode())
        assert status == 200
        assert {output["name"] for output in found["outputs"]} >= {"output", "position"}
        assert (await asked(app, "POST", infer, b"{}"))[0] == 400
        assert (await asked(app, "GET", "/elsewhere"))[0] == 404

    asyncio.run(all_of_it())


def test_without_uvicorn_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SystemExit, match=r"error: uvicorn is missing: pip install uvicorn"):
        main(tmp_path / "model", 1)
