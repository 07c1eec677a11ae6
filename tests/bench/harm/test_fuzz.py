"""Every parser takes broken files as errors of its own type."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harm.faults import link_row
from bench.harm.fuzz import CHECKS, STRUCTURE, foreign_parsers, parsers
from bench.harm.onnx_files import onnx_seeds, same_network
from bench.harm.structure import in_json
from bench.harm.workers import Worker
from boards.link.protocol import Damaged, FrameFinder, ProtocolError, Request, enframe
from csb_format.files.images import ImageError, read_mif
from pruning.importers import import_model
from sim.regress.fuzz import Parser, fuzz, mutated

NAMES = ["model file", "matrix file", "suite", "baseline", "history", "design.json",
         "link frames", "load packets", "link requests", "link answers", "program",
         "image .mem", "image .coe", "image .mif", "image .ihex"]  # fmt: skip


def _one_word_less(path: Path, found: Any) -> Any:
    path.write_bytes(path.read_bytes()[:-4])  # the start of the program
    return found


SPOILT: dict[str, Callable[[Path, Any], Any]] = {
    "design.json": lambda _, found: replace(found, slots=found.slots + 1),
    "load packets": _one_word_less,
    "link requests": lambda _, found: found[:9] + bytes([found[9] ^ 1]) + found[10:],
}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Parser]:
    return {parser.name: parser for parser in parsers(tmp_path_factory.mktemp("seeds"))}


def test_all_parsers_are_there(known: dict[str, Parser]) -> None:
    assert list(known) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_broken_files_are_refused_by_type(
    known: dict[str, Parser], name: str, tmp_path: Path
) -> None:
    tally = fuzz(known[name], 60, seed=1, folder=tmp_path, most=60)
    assert not tally.escapes, tally.escapes[0].trace
    assert tally.read + tally.refused == 60


def test_changed_inside_and_sealed_again_is_refused_or_the_same(
    known: dict[str, Parser], tmp_path: Path
) -> None:
    parsers = {**known, **{p.name: p for p in foreign_parsers(tmp_path)}}
    assert set(STRUCTURE) <= set(parsers)
    for name, mutate in STRUCTURE.items():
        path, worker = tmp_path / "x", Worker(parsers[name], CHECKS.get(name))
        for number in range(12):
            path.write_bytes(mutate(parsers[name].seeds[0], random.Random(number)))
            outcome = worker.feed(path)
            assert outcome.kind in ("read", "refused"), outcome.trace
            assert 0 < outcome.peak < 1 << 30
        worker.stop()


def test_the_same_seed_gives_the_same_file() -> None:
    """Found by the fuzzer in itself: a list that one file was given went on into the next."""
    content = b'{"a": 1, "b": 2}'
    files = [[in_json(content, random.Random(n)) for n in range(200)] for _ in range(2)]
    assert files[0] == files[1]


def test_second_readers_tell_a_difference(known: dict[str, Parser], tmp_path: Path) -> None:
    """Each check says no where what was read is not what the file holds."""
    path = tmp_path / "x"
    for name, spoil in SPOILT.items():
        parser = known[name]
        path.write_bytes(parser.seeds[0])
        found = parser.read(path)
        assert CHECKS[name](path, found), name
        assert not CHECKS[name](path, spoil(path, found)), name


def test_a_worker_tells_hangs_deaths_and_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.harm.workers.SECONDS", 0.5)
    reads: dict[str, Callable[[Path], object]] = {
        "hung": lambda _: time.sleep(60),
        "died": lambda _: os.abort(),
        "different": lambda _: None,
        "escaped": lambda _: bytearray(1 << 40),
    }
    for kind, read in reads.items():
        worker = Worker(Parser(kind, read, (ValueError,), [b""]), lambda *_: False)
        assert worker.feed(tmp_path).kind == kind
        assert worker.feed(tmp_path).kind == kind  # the one that took its place
        worker.stop()


@pytest.mark.parametrize("depth", ["2222222222", "9" * 5000])
def test_a_depth_beyond_any_memory_is_refused(tmp_path: Path, depth: str) -> None:
    """Found by the fuzzer: the whole range was listed before it was compared."""
    path = tmp_path / "m.mif"
    path.write_text(f"DEPTH = {depth};\nCONTENT\nBEGIN\n0 : 1;\nEND;\n")
    with pytest.raises(ImageError):
        read_mif(path)


def test_an_escape_is_kept_with_its_file(tmp_path: Path) -> None:
    parser = Parser("bad", lambda path: 1 / 0, (ValueError,), [b"abc"])
    tally = fuzz(parser, 60, seed=0, folder=tmp_path)
    assert len(tally.escapes) == 10
    assert "ZeroDivisionError" in tally.escapes[0].trace
    assert tally.escapes[0].content == mutated(b"abc", _after_choice())


def _after_choice() -> random.Random:
    rng = random.Random(0)
    rng.choice([b"abc"])
    return rng


@given(st.binary(max_size=80))
def test_any_bytes_on_the_link(data: bytes) -> None:
    for found in FrameFinder().feed(data):
        assert isinstance(found, bytes | Damaged)
        if isinstance(found, bytes):
            assert enframe(found)
    try:
        assert Request.decode(data).encode() == data
    except ProtocolError:
        return


def test_a_flip_on_the_link_is_always_noticed() -> None:
    row = link_row(list(range(100)), 200, seed=0)
    assert row["mismatch"] == 0
    assert row["flips"] == 200


def test_onnx_runtime_tells_another_network(tmp_path: Path) -> None:
    content, other = onnx_seeds(tmp_path)[:2]
    path = tmp_path / "x"
    path.write_bytes(content)
    found = import_model(path)
    assert same_network(path, found)
    path.write_bytes(other)
    assert not same_network(path, found)
