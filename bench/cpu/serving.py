"""A server of many streams under load: latencies, and whether any answer is another stream's.

``python -m bench.cpu.serving [--streams 1000] [--seconds 600] [--json FILE]``. The server is
``sparseflow serve`` in a process of its own, the clients are in this one, on the same machine; they
take their processor time from each other, and from whatever else runs. Every stream sends its
frames at their times, and every answer is compared with the integer model, byte for byte. Clients
are killed at random. ``--together 50`` sends the frames of 50 streams in one request, as a gateway
does; with 1 each stream has a connection of its own.

Latency is from when a frame was due to when its answer had been read.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from csb_format.files.modelfile import save_model
from csb_format.model import Model
from csb_format.random_models import random_network
from engine.reference import IntegerModel

from ..record import Smallest, processor, with_others, write_record
from .serving_client import Found, Plan, run_clients

SHAPE: dict[str, Any] = {"input_size": 12, "hidden_size": 128, "banks": 8, "k": (1, 2, 0)}
LENGTH = 100  # frames of a sequence, after which the stream ends and another begins
POINTS = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "most": 100.0}


def main(
    streams: Annotated[int, typer.Option(min=1, help="At a time.")] = 1000,
    rate: Annotated[float, typer.Option(min=0.1, help="Frames a second of each.")] = 10.0,
    seconds: Annotated[float, typer.Option(min=0.5, help="That it takes.")] = 600.0,
    deaths: Annotated[float, typer.Option(min=0, help="Clients that die, a second.")] = 1.0,
    together: Annotated[int, typer.Option(min=1, help="Streams in one request.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of model, frames and deaths.")] = 0,
    uvicorn: Annotated[bool, typer.Option("--uvicorn", help="Its HTTP, not ours.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the row here, beside others.")] = None,
    smallest: Smallest = False,
) -> None:
    """Serve, ask, compare, print, write JSON."""
    if smallest:
        streams, seconds = min(streams, 4), min(seconds, 1.0)
    model = random_network(np.random.default_rng(seed), **SHAPE, head=9)
    frames, outputs = _material(model, streams, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(path, model)
        with _server(path, 3 * streams + 100, uvicorn) as port:
            plan = Plan(
                port,
                "/v2/models/model/infer",
                frames,
                outputs,
                rate,
                seconds,
                deaths,
                together,
                seed,
            )
            before = {"process_cpu_seconds_total": _metrics(port)["process_cpu_seconds_total"]}
            found, used = _asked(plan)
            told = _metrics(port)
    told |= {"client": used} | {n: told[n] - value for n, value in before.items()}
    row = _row(plan, found, told, " behind uvicorn" * uvicorn)
    print("\n".join(f"{name}: {value}" for name, value in row.items()))
    if json:
        case = str(row["case"])
        kept = with_others(json, [row], sorted({case, *_cases(json)}))
        write_record(json, "bench.cpu.serving", seed, kept, cores=os.cpu_count())
    if found.mixed or found.lost or found.refused or found.unsent:
        raise SystemExit("error: answers were mixed up, lost or refused, or frames never sent")


def _material(model: Model, streams: int, seed: int) -> tuple[Any, Any]:
    """A sequence of each stream, and what the integer model gives for it."""
    rng = np.random.default_rng(seed)
    fixed = model.layers[0].input
    most = fixed.max * fixed.lsb
    frames = rng.uniform(-most, most, (streams, LENGTH, SHAPE["input_size"])).astype(np.float32)
    reference = IntegerModel(model)
    traces = reference.run(reference.quantise(list(frames)))
    return frames, np.stack([trace.output for trace in traces]).astype("<i4")


@contextmanager
def _server(path: Path, most: int, uvicorn: bool) -> Iterator[int]:
    """``sparseflow serve`` in another process, or its routes behind uvicorn; its port."""
    words = ["sparseflow", "serve", str(path), "--port", "0", "--max-streams", str(most)]
    words += ["--idle-timeout", "20", "--max-connections", str(2 * most)]
    if uvicorn:
        words = ["bench.cpu.asgi", str(path), str(most)]
    server = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.PIPE,
        start_new_session=True,  # as from a terminal of its own
        text=True,
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if (match := re.search(r":(\d+)/v2", line)) is None:
            raise SystemExit(f"error: the server did not begin: {line}")
        yield int(match[1])
    finally:
        server.send_signal(signal.SIGTERM)
        status = server.wait(60)
    if status not in {0, -signal.SIGTERM * uvicorn}:  # uvicorn hands its signal on
        raise SystemExit(f"error: the server ended with status {status}")


def _asked(plan: Plan) -> tuple[Found, float]:
    """What clients found, and the processor's seconds that they took."""
    import uvloop

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = len(plan.frames) // plan.together + 100
    if soft < want:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(want, hard), hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        begin = time.process_time()
        found = runner.run(run_clients(plan))
        return found, time.process_time() - begin


def _metrics(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.split() for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def _row(plan: Plan, found: Found, told: dict[str, float], how: str) -> dict[str, Any]:
    count = len(plan.frames)
    each = "each" if plan.together == 1 else f"{plan.together} a request"
    return {
        "case": f"{count} streams, {plan.rate:g} frames a second, {plan.seconds:g} s, {each}{how}",
        "streams": count,
        "frames_a_second_of_each": plan.rate,
        "seconds": plan.seconds,
        "streams_in_a_request": plan.together,
        "cpu": processor(),
        "load_average": os.getloadavg()[0],
        "requests": found.requests,
        "frames_right": found.right,
        "mixed_up": found.mixed,
        "lost": found.lost,
        "refused": found.refused,
        "clients_killed": found.killed,
        "sent_late": found.late,
        "never_sent": found.unsent,
        "ms_from_due": _percentiles(found.due),
        "ms_from_sent": _percentiles(found.sent),
        "frames_a_batch": told["sparseflow_rows_total"] / told["sparseflow_steps_total"],
        "server_cpu_seconds": told["process_cpu_seconds_total"],
        "server_compute_seconds": told["sparseflow_compute_seconds_total"],
        "server_megabytes": told["process_resident_memory_bytes"] / 1e6,
        "client_cpu_seconds": told["client"],
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    return {name: round(float(np.percentile(values, p)), 3) for name, p in POINTS.items()}


def _cases(path: Path) -> list[str]:
    import json

    return [row["case"] for row in json.loads(path.read_text())["rows"]] if path.exists() else []


if __name__ == "__main__":
    typer.run(main)
