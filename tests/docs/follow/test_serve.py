"""docs/serve.md: its requests are answered, and what it names is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from csb_format.inputs.scale import InputScale
from csb_format.model import Model
from csb_format.random_models import random_network
from sparseflow.serve.http import MOST_HEAD
from sparseflow.serve.limits import BODIES, Limits
from sparseflow.serve.options import ServeOptions
from tests.docs.blocks import ROOT
from tests.sparseflow.serve.conftest import running

TEXT = (ROOT / "docs/serve.md").read_text("utf-8")
BODY = re.compile(r"curl -s localhost:8000(\S+) -d '(.*?)'", re.DOTALL)
CELL = re.compile(r"^\| (`.*?) \|", re.MULTILINE)


def model() -> Model:
    found = random_network(np.random.default_rng(0), 3, 4, 1, (2, 2, 0), head=2)
    scale = InputScale(np.zeros(3), np.ones(3))
    return Model(found.layers, found.head, input_scale=scale, label_names=("no", "yes"))


def names(part: str) -> list[str]:
    """What stands first in the rows of a table."""
    return [name for cell in CELL.findall(part) for name in re.findall(r"`(\S+?)`", cell)]


def test_its_requests_paths_and_outputs(tmp_path: Path) -> None:
    requests = BODY.findall(TEXT)
    assert len(requests) == 2
    with running(tmp_path / "model.safetensors", model()) as client:
        for path, body in requests:
            status, found = client.post(body.encode(), path)
            assert status == 200, found
        assert list(client.server.batching.streams.open) == [42]
        paths, outputs = (names(part) for part in TEXT.split("## Streams")[0].split("| output |"))
        for path in paths:
            status, _ = client.ask("GET", path.replace("NAME", "model"))
            assert status == (405 if path.endswith("/infer") else 200), path
        told = client.get("/v2/models/model")[1]
        assert outputs == [output["name"] for output in told["outputs"]]
    assert json.loads(requests[1][1])["parameters"]["sequence_start"]


def test_its_limits() -> None:
    options = [name for name in names(TEXT) if name.startswith("--")]
    assert len(options) == 8
    assert {name[2:].replace("-", "_") for name in options} <= set(ServeOptions.__annotations__)
    about = " ".join(TEXT.split())
    assert f"end at {MOST_HEAD // 1024} kB" in about
    assert f"within {Limits.receive:g} seconds" in about
    assert f"at most {BODIES} of the largest" in about


@pytest.mark.parametrize("status", [400, 404, 409, 413, 429, 503, 504])
def test_its_statuses_are_those_of_the_code(status: int) -> None:
    code = "".join(p.read_text() for p in (ROOT / "sparseflow/serve").glob("*.py"))
    assert str(status) in TEXT
    assert re.search(rf"Refused\(\s*{status}\b", code)
