from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.link import protocol
from boards.link.c_header import LINK_HEADER, link_header, write_headers
from boards.link.c_header import main as write_by_command
from boards.link.protocol import (
    FLAG,
    MAX_WORDS,
    Code,
    Command,
    Damaged,
    FrameFinder,
    ProtocolError,
    Reply,
    Request,
    check_sequence,
    enframe,
)
from compiler.abi.register_text import HEADER_FILE, c_header

BYTE, WORD = st.integers(0, 255), st.integers(0, 2**32 - 1)
SHORT = st.integers(0, 2**16 - 1)
WORDS = st.lists(WORD, max_size=9).map(tuple)
REQUESTS = st.builds(Request, BYTE, BYTE, SHORT, SHORT, WORDS)
REPLIES = st.builds(Reply, BYTE, BYTE, BYTE, BYTE, SHORT, WORDS)
NOISE = st.binary(max_size=20)


def found(*pieces: bytes) -> list[bytes | Damaged]:
    finder = FrameFinder()
    return [frame for piece in pieces for frame in finder.feed(piece)]


def test_check_sequence_is_that_of_the_standard() -> None:
    assert check_sequence(b"123456789") == 0x906E  # the check value of CRC-16/IBM-SDLC


@given(REQUESTS)
def test_requests_come_back(request: Request) -> None:
    (body,) = found(enframe(request.encode()))
    assert isinstance(body, bytes)
    assert Request.decode(body) == request


@given(REPLIES)
def test_replies_come_back(reply: Reply) -> None:
    (body,) = found(enframe(reply.encode()))
    assert isinstance(body, bytes)
    assert Reply.decode(body) == reply


@given(st.lists(REQUESTS, max_size=4), st.data())
def test_pieces_may_have_any_size(requests: list[Request], data: st.DataObject) -> None:
    line = b"".join(enframe(request.encode()) for request in requests)
    cut = data.draw(st.integers(0, len(line)))
    assert found(line[:cut], line[cut:]) == [request.encode() for request in requests]


@given(NOISE, REQUESTS)
def test_a_frame_is_found_after_any_noise(noise: bytes, request: Request) -> None:
    frames = found(noise + enframe(request.encode()))
    assert frames[-1] == request.encode()
    assert all(isinstance(frame, Damaged) for frame in frames[:-1])


@given(REQUESTS, st.data())
def test_a_lost_or_changed_byte_gives_no_frame(request: Request, data: st.DataObject) -> None:
    line = enframe(request.encode())
    at = data.draw(st.integers(0, len(line) - 1))
    put = data.draw(st.binary(max_size=1))
    frames = found(line[:at] + put + line[at + 1 :], bytes([FLAG]))
    good = [frame for frame in frames if not isinstance(frame, Damaged)]
    # the flags at both ends may be lost: others follow
    assert good == ([request.encode()] if put == line[at : at + 1] or _flag(line, at, put) else [])


def _flag(line: bytes, at: int, put: bytes) -> bool:
    lost_first = at == 0 and put == b""
    return lost_first or (at == len(line) - 1 and put == b"")


@given(st.binary(max_size=2000))
def test_noise_never_ends_in_an_error(noise: bytes) -> None:
    for frame in found(noise):
        assert isinstance(frame, (bytes, Damaged))


def test_a_frame_that_is_too_long_is_damaged() -> None:
    words = bytes(6 + 4 * (MAX_WORDS + 1))
    (frame,) = found(enframe(words))
    assert isinstance(frame, Damaged)
    assert re.search(r"more than 520 bytes", frame.reason)


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        (Request(0, 2, 1, 0, (0,) * (MAX_WORDS + 1)), r"129 words: a frame carries 128"),
        (Request(256, 0), r"\(256, 0, 0, 0\)"),
        (Request(0, 2, 1, 0, (1 << 32,)), r"1 words"),
    ],
)
def test_what_does_not_fit_is_named(request_: Request, match: str) -> None:
    with pytest.raises(ProtocolError, match=match):
        request_.encode()


@pytest.mark.parametrize("size", [0, 5, 7])
def test_a_body_has_whole_words(size: int) -> None:
    with pytest.raises(ProtocolError, match=rf"^{size} bytes"):
        Reply.decode(bytes(size))


def test_the_c_header_has_every_constant(tmp_path: Path) -> None:
    defined = dict(re.findall(r"#define SPARSEFLOW_LINK_(\w+) 0x(\w+)u", link_header()))
    assert {int(defined[f"COMMAND_{c.name}"], 16) for c in Command} == set(Command)
    assert {int(defined[f"CODE_{c.name}"], 16) for c in Code} == set(Code)
    assert int(defined["MAX_WORDS"], 16) == protocol.MAX_WORDS
    write_headers(tmp_path)
    assert (tmp_path / LINK_HEADER).read_text() == link_header()
    assert (tmp_path / HEADER_FILE).read_text() == c_header()


def test_the_headers_are_written_by_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_by_command([str(tmp_path / "new" / "folder")])
    assert (tmp_path / "new" / "folder" / LINK_HEADER).read_text() == link_header()
    (tmp_path / "file").write_text("mine")
    for argv in ([], [str(tmp_path / "file")]):
        with pytest.raises(SystemExit, match="2"):
            write_by_command(argv)
        assert "error: " in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
