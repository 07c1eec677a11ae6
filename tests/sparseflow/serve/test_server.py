"""Queue, deadline, faults of our own, and the end of a server."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format.files.modelfile import save_model
from sparseflow.serve.served import Served
from tests.sparseflow.serve.conftest import (
    MODEL,
    Client,
    Starter,
    features,
    network,
    request,
    wanted,
)
from tests.sparseflow.serve.test_http import read_all


class Gate:
    """Holds the thread that computes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.open, self.reached = threading.Event(), threading.Event()
        integers = Served.integers

        def held(served: Served, frames: Any) -> Any:
            self.reached.set()
            assert self.open.wait(20)
            return integers(served, frames)

        monkeypatch.setattr(Served, "integers", held)


def in_a_thread(what: Callable[[], Any]) -> Callable[[], Any]:
    """Begin it; what is returned waits for its result."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(what()))
    thread.start()

    def result() -> Any:
        thread.join(30)
        return found[0]

    return result


def other(client: Client) -> Client:
    return Client(client.server, client.port, client.model, client.loop)


def test_what_comes_in_while_it_computes_is_one_batch(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, gate = start(), Gate(monkeypatch)
    frames = features(0, 6, 4)
    first = in_a_thread(lambda: other(client).infer(frames[:1]))
    assert gate.reached.wait(20)
    rest = [in_a_thread(partial(other(client).infer, frames[n : n + 1])) for n in range(1, 6)]
    client.wait_for(lambda: client.server.batching.waiting == 5)
    assert client.get("/v2/health/live")[0] == 200  # the loop is free
    gate.open.set()
    for n, result in enumerate([first, *rest]):
        np.testing.assert_array_equal(result()["output"][0], wanted(MODEL, frames[n]))
    assert 4 < client.server.batching.worker.steps <= 8  # not 24
    assert client.server.batching.worker.rows == 24


def test_queue_deadline_and_busy_streams(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    client, frame = start(queue=2, deadline=0.4), features(1, 1, 1)
    client.infer(frame, sequence_id=1, sequence_start=True)
    gate = Gate(monkeypatch)
    first = in_a_thread(lambda: other(client).infer(frame, sequence_id=1))
    assert gate.reached.wait(20)
    assert "sequence 1 has a request in work" in client.error(request(frame, sequence_id=1), 409)
    late = [
        in_a_thread(partial(other(client).post, what))
        for what in (request(frame, sequence_id=2, sequence_start=True), request(frame))
    ]
    client.wait_for(lambda: client.server.batching.waiting == 2)
    assert client.error(request(frame), 429) == "2 requests wait: come again later"
    assert client.headers["retry-after"] == "1"
    for result in late:
        status, found = result()
        assert status == 504
        assert re.match(r"it waited 0\.\d+ seconds and has not begun: states are", found["error"])
    short = request(frame, timeout=1000)
    assert "it waited" in client.error(short, 504)
    gate.open.set()
    assert first()["position"] == [2]
    assert list(client.server.batching.streams.open) == [1]
    assert client.server.batching.streams.taken == 1
    assert client.metric('sparseflow_refused_total{reason="deadline"}') == 3


def test_sequences_of_two_directions_are_bounded_over_all_requests(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(directions=2)
    client, gate = start(model, streams=3), Gate(monkeypatch)
    first = in_a_thread(lambda: other(client).infer(features(1, 2, 1)))
    assert gate.reached.wait(20)
    told = client.error(request(features(1, 2, 1)), 429)
    assert told == "3 streams are open, the most that are kept: come again later"
    gate.open.set()
    assert first()["position"].tolist() == [1, 1]
    assert client.server.batching.streams.taken == 0


def test_a_long_request_lets_others_through(start: Starter) -> None:
    client = start(frames=1 << 16, request_bytes=1 << 23)
    long = features(2, 1, 10000)
    first = in_a_thread(lambda: other(client).infer(long, "position"))
    client.wait_for(lambda: client.server.batching.busy)
    client.infer(features(3, 1, 1))
    assert client.server.batching.busy
    assert first()["position"] == [10000]


def test_a_fault_of_ours_is_told_without_its_insides(
    start: Starter, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    client, frame = start(), features(4, 1, 1)
    client.infer(frame, sequence_id=1, sequence_start=True)
    with monkeypatch.context() as patch:
        patch.setattr(Served, "integers", lambda served, frames: 1 / 0)
        told = client.error(request(frame, sequence_id=1), 500)
        assert told == "the server failed at this request; its log says how"
    assert "ZeroDivisionError" in capfd.readouterr().err
    assert "sequence 1 is not open" in client.error(request(frame, sequence_id=1), 404)
    with monkeypatch.context() as patch:
        patch.setattr("sparseflow.serve.routes.read_inference", lambda *_: 1 / 0)
        client.error(request(frame), 500)
    with monkeypatch.context() as patch:
        patch.setattr("sparseflow.serve.routes.write_inference", lambda *_: 1 / 0)
        client.error(request(frame), 500)
    client.infer(frame)
    assert client.server.batching.streams.taken == 0


def test_it_ends_behind_what_is_in_work(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    client, gate = start(), Gate(monkeypatch)
    idle, half = client.raw(), client.raw()
    body = json.dumps(request(features(5, 1, 2))).encode()
    half.sendall(b"POST /v2/models/model/infer HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body))
    first = in_a_thread(lambda: other(client).infer(features(5, 1, 2)))
    assert gate.reached.wait(20)
    ending = asyncio.run_coroutine_threadsafe(client.server.end(), client.loop)
    assert idle.recv(10) == b""
    with pytest.raises(ConnectionRefusedError):
        client.raw()
    half.sendall(body)
    assert half.recv(1000).startswith(b"HTTP/1.1 503 ")
    gate.open.set()
    assert first()["output"].shape == (1, 2, 6)
    ending.result(20)


def test_it_does_not_wait_for_ever(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    client, gate = start(drain=0.2), Gate(monkeypatch)
    line = client.raw()
    body = json.dumps(request(features(5, 1, 2))).encode()
    line.sendall(b"POST /v2/models/model/infer HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body))
    line.sendall(body)
    assert gate.reached.wait(20)
    ending = asyncio.run_coroutine_threadsafe(client.server.end(), client.loop)
    assert b"the server has ended before this request was done" in read_all(line)
    gate.open.set()
    ending.result(20)


@pytest.mark.parametrize("limits", [{"finish": 0.2}, {"drain": 0.2}, {"drain": 0}])
def test_a_request_that_is_half_here_does_not_hold_the_end(
    start: Starter, limits: dict[str, Any]
) -> None:
    client = start(**{"drain": 30} | limits)
    head, body = client.raw(), client.raw()
    head.sendall(b"GET /v2 HT")
    body.sendall(b"POST /v2/models/model/infer HTTP/1.1\r\ncontent-length: 9\r\n\r\n{")
    client.wait_for(lambda: sum(c.idle(1e99) == 0 for c in client.server.connections.open) == 2)
    ending = asyncio.run_coroutine_threadsafe(client.server.end(), client.loop)
    for line in (head, body):
        found = read_all(line)
        assert found.startswith(b"HTTP/1.1 503 ")
        assert b"the server is ending: a part of this is missing" in found
        line.close()
    ending.result(5)


def test_the_end_waits_for_work_and_not_for_a_half_behind_it(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, gate = start(finish=0.1), Gate(monkeypatch)
    line, body = client.raw(), json.dumps(request(features(5, 1, 2))).encode()
    head = b"POST /v2/models/model/infer HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)
    line.sendall(head + body + head)
    assert gate.reached.wait(20)
    ending = asyncio.run_coroutine_threadsafe(client.server.end(), client.loop)
    time.sleep(0.3)  # longer than halves have
    gate.open.set()
    found = read_all(line)
    assert (found[:13], found.count(b"HTTP/1.1 ")) == (b"HTTP/1.1 200 ", 1)
    line.close()
    ending.result(5)


def command(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sparseflow", "serve", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_the_command_serves_until_a_signal(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_model(path, MODEL)
    process = command(str(path), "--port", "0", "--threads", "2", "--max-streams", "3")
    assert process.stdout is not None
    told = process.stdout.readline()
    match = re.search(r"tiny.safetensors at http://127\.0\.0\.1:(\d+)/v2/models/tiny; Ctrl", told)
    assert match, told
    client = Client(None, int(match[1]), MODEL, None)  # type: ignore[arg-type]
    frames = features(6, 1, 3)
    what = request(frames, "output")
    found = client.post(what, "/v2/models/tiny/infer")[1]
    got = np.reshape(found["outputs"][0]["data"], (3, -1))
    np.testing.assert_array_equal(got, wanted(MODEL, frames[0]))
    taken = command(str(path), "--port", match[1])
    assert taken.wait(60) == 2
    assert taken.stderr is not None
    assert re.search(
        "error: 127.0.0.1:.*: cannot listen there: Address already in use; choose another --port",
        taken.stderr.read(),
    )
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--name", "a/b"], "name 'a/b': --name takes letters"),
        (
            ["--host", ""],
            "error: host '' is every address of this machine: give one of them, as 127",
        ),
        (["--host", " "], "error: host ' ' is every address of this machine"),
        (["--host", "*"], "error: host '*' is every address of this machine"),
        (["--host", "ö" * 70], "cannot listen there: it is no name of a host"),
        (["--max-streams", "0"], "0 must be 1 to 65536"),
        (["--port", "70000"], "70000 must be 0 to 65535"),
        (["--kernel", "mmx"], "kernel 'mmx': this CPU has"),
        (
            ["--host", "256.0.0.1", "--port", "0"],
            "error: 256.0.0.1:0: cannot listen there: Name or",
        ),
    ],
)
def test_words_that_are_wrong(
    words: list[str], told: str, tmp_path: Path, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.safetensors"
    save_model(path, MODEL)
    assert run("serve", path, *words) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("file", ["ö m.safetensors", "-m.safetensors", f"{'x' * 101}.safetensors"])
def test_a_file_whose_name_is_none_for_a_path(
    file: str, tmp_path: Path, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tmp_path / file, MODEL)
    assert run("serve", tmp_path / file) == 2
    name = file.removesuffix(".safetensors")[:100]
    told = (
        f"error: {tmp_path / file}: the file's name, {name!r}, is none for paths of the protocol: "
    )
    assert f"{told}give another with --name (letters, digits, " in capsys.readouterr().err
