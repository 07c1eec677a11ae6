"""HTTP as clients of every kind speak it, bad ones among them."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from typing import Any

import numpy as np
import pytest

from sparseflow.serve.http import MOST_HEAD
from tests.sparseflow.serve.conftest import (
    MODEL,
    Client,
    Starter,
    features,
    request,
    wanted,
)  # fmt: skip

BODY = json.dumps(request(features(0, 1, 1), "class")).encode()
POST = b"POST /v2/models/model/infer HTTP/1.1\r\nhost: x\r\n"
LIVE = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"


def whole(body: bytes = BODY, *lines: bytes) -> bytes:
    return b"\r\n".join([POST + b"content-length: %d" % len(body), *lines, b"", body])


def read_all(line: socket.socket) -> bytes:
    """Until the server closes."""
    found = b""
    while part := line.recv(1 << 16):
        found += part
    return found


def answers(client: Client, *sent: bytes) -> list[tuple[int, bytes]]:
    """Status and body of every answer, until the server closes; our half is ended."""
    with client.raw() as line:
        for part in sent:
            line.sendall(part)
        line.shutdown(socket.SHUT_WR)
        return split(read_all(line))


def split(found: bytes) -> list[tuple[int, bytes]]:
    result = []
    while found:
        head, _, found = found.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        size = int(length or 0)
        result.append((int(head.split()[1]), found[:size]))
        found = found[size:]
    return result


def refused(client: Client, *sent: bytes) -> tuple[int, str]:
    ((status, body),) = answers(client, *sent)
    return status, json.loads(body)["error"]


def test_requests_may_be_sent_ahead(client: Client) -> None:
    found = answers(client, whole() + LIVE + whole() * 20 + LIVE)
    assert [status for status, _ in found] == [200] * 23
    assert [n for n, (_, body) in enumerate(found) if body == b'{"live":true}'] == [1, 22]


def test_a_hundred_requests_of_one_packet_are_answered(client: Client) -> None:
    assert answers(client, LIVE * 100) == [(200, b'{"live":true}')] * 100


def test_a_request_may_come_byte_by_byte(client: Client) -> None:
    assert answers(client, *(bytes([byte]) for byte in whole()))[0][0] == 200


def test_bodies_in_chunks(client: Client) -> None:
    half = len(BODY) // 2
    parts = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (BODY[:half], BODY[half:]))
    what = POST + b"transfer-encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"
    assert answers(client, what)[0][0] == 200


def test_a_client_that_waits_for_100_is_told(client: Client) -> None:
    with client.raw() as line:
        line.sendall(POST + b"content-length: %d\r\nexpect: 100-continue\r\n\r\n" % len(BODY))
        assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(BODY)
        assert line.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_the_old_protocol_closes(client: Client) -> None:
    with client.raw() as line:
        line.sendall(b"GET /v2/health/live HTTP/1.0\r\n\r\n")
        assert b"connection: close" in read_all(line)


def test_an_upgrade_is_passed_over(client: Client) -> None:
    more = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
    with client.raw() as line:
        line.sendall(LIVE[:-2] + more + b"\r\n")
        assert split(read_all(line)) == [(200, b'{"live":true}')]


def padded(size: int) -> bytes:
    """A request of so many bytes; blanks are JSON."""
    return whole(BODY + b" " * (size - len(whole()) - 2))


@pytest.mark.parametrize("size", [4000, 8192, 18_000, 60_000, 200_000])
@pytest.mark.parametrize("part", [3, 40])
def test_the_end_of_a_read_belongs_to_the_next_request(
    client: Client, size: int, part: int
) -> None:
    with client.raw() as line:
        for _ in range(3):
            line.sendall(padded(size) + LIVE[:part])
            line.sendall(LIVE[part:])
        line.shutdown(socket.SHUT_WR)
        assert [status for status, _ in split(read_all(line))] == [200] * 6


def test_a_head_of_its_largest_size_is_taken_behind_another_request(client: Client) -> None:
    head = LIVE[:-2] + b"x: " + b"y" * (MOST_HEAD - 50) + b"\r\n\r\n"
    found = answers(client, padded(18_000) + head[:9000], head[9000:] + LIVE)
    assert [status for status, _ in found] == [200] * 3


@pytest.mark.parametrize("end", [b"", b"x: y\r\n" * 9, b"\r\nGET /"])
def test_what_stands_around_bodies_is_bounded(client: Client, end: bytes) -> None:
    chunked = POST + b"transfer-encoding: chunked\r\n\r\n"
    long = b"y" * (MOST_HEAD + 9000)
    for start in (chunked + b"0\r\nx: ", chunked + b"1;x=", padded(18_000) + LIVE[:-2] + b"x: "):
        status, body = answers(client, start + long + end)[-1]
        assert (status, b"line and headers of more than" in body) == (431, True), start
    many = b"".join(b"x%d: %s\r\n" % (n, b"y" * 2000) for n in range(20))
    assert answers(client, chunked + b"0\r\n" + many + end)[0][0] == 431


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://host/v2", 200),
        (b"HTTP://host:80/v2/?x=http://y/z", 200),
        (b"https://[::1]:8000/v2", 200),
        (b"http://host", 404),
        (b"http://host?/v2", 404),
        (b"/http://host/v2", 404),
        (b"*", 404),
    ],
)
def test_targets_may_name_the_server(client: Client, target: bytes, status: int) -> None:
    method = b"OPTIONS" if target == b"*" else b"GET"
    found = answers(client, method + b" " + target + b" HTTP/1.1\r\nhost: host\r\n\r\n")
    assert [status for status, _ in found] == [status]
    if status == 200:
        assert b'"name":"sparseflow"' in found[0][1]


@pytest.mark.parametrize("coding", [b"identity", b"Identity", b"", b"IDENTITY , identity"])
def test_bodies_as_they_are_may_say_so(client: Client, coding: bytes) -> None:
    assert answers(client, whole(BODY, b"Content-Encoding: " + coding))[0][0] == 200


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "this is no HTTP/1.1"),
        (b"GET\r\n\r\n", 400, "this is no HTTP/1.1"),
        (b"GET /v2 HTTP/1.1\r\nhost x\r\n\r\n", 400, "this is no HTTP/1.1"),
        (POST + b"content-length: -1\r\n\r\n", 400, "this is no HTTP/1.1"),
        (POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\nx", 400, "this is no HTTP/1.1"),
        (POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n", 400, "this is no HTTP/1.1"),
        (POST + b"content-length: 99999999999\r\n\r\n", 413, "a body of 99999999999 bytes: "),
        (POST + b"x: " + b"y" * MOST_HEAD + b"\r\n\r\n", 431, "line and headers of more than"),
        (b"GET /" + b"y" * MOST_HEAD, 431, "line and headers of more than"),
        (b"GET /v2 HTTP/2.0\r\nhost: x\r\n\r\n", 505, "HTTP/2.0 is not spoken here: send HTTP/1.1"),
        (b"GET /v2 HTTP/0.9\r\nhost: x\r\n\r\n", 505, "HTTP/0.9 is not spoken here: send HTTP/1.1"),
        (b"GET /v2 HTTP/1.2\r\nhost: x\r\n\r\n", 400, "this is no HTTP/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "this is no HTTP/1.1"),
        (whole(BODY, b"content-encoding: gzip"), 415, "content-encoding: send bodies as they are"),
        (whole(BODY, b"origin: http://evil"), 403, "pages of browsers may not ask"),
    ],
)  # fmt: skip
def test_what_is_refused(client: Client, sent: bytes, status: int, told: str) -> None:
    code, text = refused(client, sent)
    assert (code, text[: len(told)]) == (status, told)


def test_a_body_that_is_too_large_is_not_kept(start: Starter) -> None:
    client = start(request_bytes=2000)
    chunk = b"3e8\r\n" + b" " * 1000 + b"\r\n"
    what = POST + b"transfer-encoding: chunked\r\n\r\n" + chunk * 50
    assert refused(client, what) == (
        413, "a body of 3000 bytes: 2000 are taken; give fewer frames at a time"
    )  # fmt: skip
    assert client.server.connections.bytes == 0


def test_bodies_of_all_clients_are_bounded(start: Starter) -> None:
    client = start(request_bytes=2000)
    lines = [client.raw() for _ in range(64)]
    for line in lines:  # 64 bodies are allowed to be here
        line.sendall(POST + b"content-length: 2000\r\n\r\n" + b" " * 1999)
    client.wait_for(lambda: client.server.connections.bytes == 64 * 1999)
    status, told = refused(client, whole(b" " * 1000))
    assert (status, told) == (429, "too many bytes of requests are here: come again later")
    for line in lines:
        line.close()
    client.wait_for(lambda: client.server.connections.bytes == 0)
    assert answers(client, whole())[0][0] == 200


def test_slow_clients_are_ended_and_others_are_not_held(start: Starter) -> None:
    client = start(receive=0.3, keep_alive=0.6)
    with client.raw() as head, client.raw() as body, client.raw() as nothing:
        head.sendall(b"GET /v2 HTTP/1.1\r\nx: ")
        body.sendall(POST + b"content-length: 100\r\n\r\n{")
        client.infer(features(0, 1, 1))
        for line in (head, body):
            ((status, text),) = split(read_all(line))
            assert status == 408
            assert b"the request did not come in within 0.3 seconds" in text
        assert read_all(nothing) == b""


def test_a_client_that_does_not_read_is_cut(start: Starter) -> None:
    # a kernel whose buffers are full may let nothing through at all: then it is an idle one
    client = start(receive=0.3, keep_alive=1.0)
    with client.raw() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(1)
        with contextlib.suppress(OSError):  # our half is full: the server reads no further
            for _ in range(10_000):  # more than the buffers of any kernel
                line.sendall(b"GET /v2/models/model HTTP/1.1\r\n\r\n" * 100)
            raise AssertionError("it has taken a gigabyte of answers")
        client.wait_for(lambda: len(client.server.connections.open) == 0)
    assert client.server.connections.bytes == 0
    client.infer(features(0, 1, 1))


@pytest.mark.parametrize("way", ["end", "reset", "half"])
def test_a_client_that_dies_loses_nothing_of_others(start: Starter, way: str) -> None:
    client, frames = start(), features(1, 8)
    for t in range(8):
        dying = request(features(2, 1, 5), sequence_id=100 + t, sequence_start=True)
        with client.raw() as line:
            sent = whole(json.dumps(dying).encode())
            line.sendall(sent[: len(sent) // 2] if way == "half" else sent)
            if way == "reset":
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        got = client.infer(frames[None, t : t + 1], sequence_id=1, sequence_start=t == 0,
                           sequence_end=t == 7)  # fmt: skip
        np.testing.assert_array_equal(got["output"][0, 0], wanted(MODEL, frames)[t])
        client.wait_for(
            lambda: len(client.server.connections.open) == 1 and not client.server.batching.busy
        )
        for stream in list(client.server.batching.streams.open):
            if stream != 1:
                client.infer(features(2, 1, 1), sequence_id=stream, sequence_end=True)
    assert client.server.connections.bytes == 0
    assert client.server.batching.streams.taken == 0


def test_a_connection_that_does_nothing_makes_room(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(connections=3)
    lines = [client.raw() for _ in range(3)]
    client.wait_for(lambda: len(client.server.connections.open) == 3)
    lines[0].sendall(b"GET /v2")  # this one has something to do
    client.wait_for(lambda: sum(c._begun for c in client.server.connections.open) == 1)
    monkeypatch.setattr("sparseflow.serve.http.SPARE", 0.0)
    client.infer(features(0, 1, 1))
    assert lines[1].recv(10) == b""
    lines[0].sendall(b" HTTP/1.1\r\n\r\n")
    assert lines[0].recv(1000).startswith(b"HTTP/1.1 200 OK")
    for line in lines:
        line.close()


def test_damaged_requests_are_refused_and_never_a_fault_of_ours(client: Client) -> None:
    """Seed 1; each is a request with some bytes changed."""
    rng, sent = np.random.default_rng(1), np.frombuffer(whole(), np.uint8)
    found = set()
    for _ in range(300):
        damaged = sent.copy()
        at = rng.integers(len(POST), len(sent), rng.integers(1, 6))
        damaged[at] = rng.integers(0, 256, len(at))
        found |= {status for status, _ in answers(client, damaged.tobytes())}
    assert 400 in found
    assert 500 not in found


def test_no_more_connections_than_there_may_be(start: Starter) -> None:
    client = start(connections=3)
    lines: list[Any] = [client.raw() for _ in range(3)]
    client.wait_for(lambda: len(client.server.connections.open) == 3)
    assert refused(client, b"") == (503, "3 connections are open: come again later")
    for line in lines:
        line.close()
    client.wait_for(lambda: not client.server.connections.open)
    client.infer(features(0, 1, 1))
