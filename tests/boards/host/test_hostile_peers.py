"""Peers that mean no good: an error of its own for each, as in C, in bounded time."""

from __future__ import annotations

import inspect
import os
import re
import time
import tty
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from boards.host import errors
from boards.host.bus import LinkBus
from boards.host.driver import Accelerator
from boards.host.emulator import EmulatedLine
from boards.host.errors import (
    EndlessOutputError,
    LinkError,
    LinkTimeoutError,
    LinkVersionError,
    MalformedAnswerError,
    MisalignedError,
    NoiseError,
    RefusedError,
    ShortAnswerError,
    StaleAnswersError,
    StuckError,
    UnsettledError,
)
from boards.host.lines import SerialLine
from boards.link.protocol import (
    ANSWER_BYTES,
    DRAIN_WORDS,
    MAX_WORDS,
    REPLY,
    SETTLE_READS,
    Code,
    Command,
    Reply,
    Request,
    enframe,
)
from compiler.abi.registers import REGISTERS
from compiler.array.needs import design_for
from csb_format.random_models import random_frames, random_model

MODEL = random_model(np.random.default_rng(1), 6, 5, 2, 1, 2)
DESIGN = design_for(MODEL, 4, 2)
FRAMES = random_frames(np.random.default_rng(5), MODEL, [2])[0]
SECONDS = 10.0
Change = Callable[[Reply], Reply]


class Peer(EmulatedLine):
    """A board whose answers to one command are changed."""

    def __init__(self, **changes: Change):
        super().__init__(DESIGN)
        self.changes = changes

    def _carry_out(self, request: Request) -> Reply:
        reply = super()._carry_out(request)
        change = self.changes.get(Command(request.command).name)
        return change(reply) if change else reply


class Talker(Peer):
    """Bytes for ever, whatever is asked."""

    def __init__(self, data: bytes):
        super().__init__()
        self.data = data

    def read(self, timeout: float) -> bytes:
        return self.data


def answer(request: Reply, code: int, count: int, *words: int, flags: int = 0) -> Reply:
    return Reply(request.sequence, request.command, code, flags, count, words)


def unsettled(reply: Reply) -> Reply:
    """Status that settles never; other registers as they are."""
    if len(reply.words) == 1 and reply.words[0] == REGISTERS["status"].encode(halted=1):
        return answer(reply, Code.OK, 1, REGISTERS["status"].encode(settling=1))
    return reply


def endless(reply: Reply) -> Reply:
    return answer(reply, Code.OK, MAX_WORDS, *range(MAX_WORDS), flags=1)


def nothing_written(reply: Reply) -> Reply:
    return answer(reply, Code.OK, 0)


PEERS = [
    (Talker(b"U" * 100), NoiseError, r"\d+ bytes came and no frame to answer HELLO"),
    (
        Talker(enframe(Reply(99, Command.READ | REPLY).encode())),
        StaleAnswersError,
        r"\d+ frames came and none answers HELLO: another program",
    ),
    (Peer(RECEIVE=endless), EndlessOutputError, "words came after a reset and more"),
    (Peer(READ=unsettled), UnsettledError, "status.settling does not clear"),
    (
        Peer(WRITE=nothing_written),
        ShortAnswerError,
        r"a write to 0x\w+ moved 0 of 1 words and refused none",
    ),
]


@pytest.mark.parametrize(("peer", "error", "match"), PEERS)
def test_a_hostile_peer_ends_in_its_own_error(
    peer: Peer, error: type[Exception], match: str
) -> None:
    began = time.monotonic()
    with pytest.raises(error, match=match):
        Accelerator.on(peer, DESIGN, timeout=0.2).load(MODEL)
    assert time.monotonic() - began < SECONDS


def met(peer: Peer) -> Accelerator:
    """A driver that has met a peer and loaded a model."""
    board = Accelerator.on(peer, DESIGN)
    board.load(MODEL)
    return board


ANSWERS: list[tuple[str, Change, type[Exception], str]] = [
    ("HELLO", lambda r: answer(r, 0, 1, 7, flags=9), LinkVersionError, "version 9 of the"),
    ("HELLO", lambda r: answer(r, 4, 1, 7, flags=1), LinkVersionError, "version 1 of the"),
    ("READ", lambda r: answer(r, 0, 2, 1, 2), MalformedAnswerError, "READ of 1 words answ"),
    ("READ", lambda r: answer(r, 0, 1, 1, 2), MalformedAnswerError, "with 2 words, 1 moved"),
    (
        "READ",
        lambda r: answer(r, 77, 1, 1),
        MalformedAnswerError,
        "READ answered with code 77",
    ),
    (
        "READ",
        lambda r: answer(r, 4, 0),
        MalformedAnswerError,
        "READ answered with code LENGTH",
    ),
    ("READ", lambda r: answer(r, 0, 0), ShortAnswerError, r"0x000 moved 0 of 1 words"),
    (
        "READ",
        lambda r: answer(r, 5, 0),
        RefusedError,
        "a read at 0x000 was refused at word 0",
    ),
    ("WRITE", lambda r: answer(r, 0, 9), MalformedAnswerError, "WRITE of 1 words answered"),
    ("WRITE", lambda r: answer(r, 0, 1, 1), MalformedAnswerError, "with 1 words, 1 moved"),
    ("SEND", lambda r: answer(r, 0, 200), MalformedAnswerError, "SEND of"),
    ("SEND", lambda r: answer(r, 5, 0), MalformedAnswerError, "SEND answered with code REF"),
    ("RECEIVE", lambda r: answer(r, 0, 3, 1), MalformedAnswerError, "1 words, 3 moved"),
]


@pytest.mark.parametrize(("command", "change", "error", "match"), ANSWERS)
def test_codes_and_counts_of_answers_are_checked(
    command: str, change: Change, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        met(Peer(**{command: change})).run(FRAMES)


def test_a_board_that_takes_nothing_is_stuck() -> None:
    peer = Peer()
    board = met(peer)
    board.timeout = 0.05
    peer.changes = dict.fromkeys(("SEND", "RECEIVE"), lambda reply: answer(reply, Code.OK, 0))
    with pytest.raises(StuckError, match=r"nothing moved for 0\.05 s"):
        board.run(FRAMES)


def test_words_whose_last_ends_no_packet_are_misaligned() -> None:
    peer = Peer()
    board = met(peer)
    peer.changes = {"RECEIVE": lambda reply: answer(reply, 0, reply.count, *reply.words)}
    with pytest.raises(MisalignedError, match="the frames' ends are out of step: call reset"):
        board.run(FRAMES)


def test_a_trickle_of_bytes_does_not_prolong_the_wait() -> None:
    class Trickle(Peer):
        def read(self, timeout: float) -> bytes:
            time.sleep(0.02)
            return b"U"

    began = time.monotonic()
    with pytest.raises(LinkTimeoutError, match=r"no answer to HELLO within 0\.1 s: .* asked 2 t"):
        LinkBus(Trickle(), timeout=0.1, retries=1)
    assert time.monotonic() - began < 2.0


def test_a_port_that_takes_no_bytes_or_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boards.host.lines.WRITE_TIMEOUT", 0.05)
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    line = SerialLine(os.ttyname(theirs), 115200)
    with pytest.raises(LinkTimeoutError, match=r"took no bytes for 0\.05 s: check cable"):
        line.write(bytes(1 << 20))  # more than the terminal's buffer takes
    os.close(ours)
    with pytest.raises(LinkError, match=r"/dev/\S+ is gone \(.*\): plug the board in"):
        line.read(0.1)
    line.close()
    os.close(theirs)


def page() -> str:
    """docs/link.md, its numbers without commas."""
    text = (Path(__file__).parents[3] / "docs" / "link.md").read_text()
    return re.sub(r"(?<=\d),(?=\d{3})", "", text)


def documented() -> dict[str, tuple[int, str]]:
    """The table of docs/link.md: of each C result its number, and the driver's error."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| (-\d+) \| (?:`(\w+)`)? ?\|", page(), re.MULTILINE)
    return {name: (int(number), error) for name, number, error in rows}


def test_the_page_has_every_error_of_both_drivers() -> None:
    header = (resources.files("boards") / "c" / "sparseflow.h").read_text()
    results = re.findall(r"^    SPARSEFLOW_([A-Z_]+) = (-?\d+)", header, re.MULTILINE)
    table = documented()
    assert {name: number for name, (number, _) in table.items()} == {
        name: int(number) for name, number in results if name != "OK"
    }
    kinds = {name for name, kind in inspect.getmembers(errors, inspect.isclass)}
    named = {error for _, error in table.values()} - {"", "ValueError"}
    assert named == kinds - {"LinkError", "AcceleratorError"}


@pytest.mark.parametrize("name", ["DEADLINE_MS", "WORD_MS", "DEADLINE_READS", "WORD_READS"])
def test_the_page_has_the_deadlines_of_the_header(name: str) -> None:
    header = (resources.files("boards") / "c" / "sparseflow.h").read_text()
    (value,) = re.findall(rf"#define SPARSEFLOW_{name} (\d+)u\n", header)
    assert re.search(rf"\b{value} n?\b|\b{value} \+", page()), (name, value)


def test_the_page_has_the_limits_of_the_protocol() -> None:
    stuck = (resources.files("boards") / "c" / "sparseflow.h").read_text()
    assert "#define SPARSEFLOW_STUCK_POLLS 2000u" in stuck
    for value in (ANSWER_BYTES, SETTLE_READS, DRAIN_WORDS, 2000):
        assert re.search(rf"\| {value}\b", page()), value
