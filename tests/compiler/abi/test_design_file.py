"""``design.json``: read whole, or refused with the field and the mend."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from boards.host.emulator import EmulatedLine
from compiler.abi.design_file import read_design
from compiler.array.design import Design
from csb_format.scales import DesignError

DESIGN = Design(16, 4, 2, 4, 12, 24, 3, 6, 12, 3, 16, 12, program_depth=8, contexts=3)
GOOD = asdict(DESIGN)


def _refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(DesignError) as told:
        read_design(path)
    text = str(told.value)
    assert text.startswith(f"{path} is no design")
    assert len(text) < len(str(path)) + 300
    return text.removeprefix(str(path))


@pytest.mark.parametrize("where", ["", "design.json"])
def test_what_was_written_is_read(tmp_path: Path, where: str) -> None:
    (tmp_path / "design.json").write_text(json.dumps(GOOD))
    assert read_design(tmp_path / where) == DESIGN


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{}", "it lacks pes, lanes, units"),
        (b"[1]", "it holds a JSON list, not an object"),
        (b"null", "it holds a JSON NoneType"),
        (b"{", "it is no whole JSON"),
        (b"", "an empty file"),
        (b"\xff\xfe\x00{", "it is no whole JSON"),
        (b"[" * 60_000, "it is no whole JSON"),
        (b'{"pes": ' + b"9" * 5000 + b"}", "it is no whole JSON"),
        (b" " * 70_000, "more than 65536 bytes"),
        (b'{"pes": 4, "pes": 8}', "it holds 'pes' twice"),
        (b"PK\x03\x04", "archive"),
    ],
)
def test_no_design_at_all(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in _refused(tmp_path / "d", content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pes": float("nan")}, "pes = NaN: must be a whole number"),
        ({"pes": 4.0}, "pes = 4.0: must be a whole number"),
        ({"pes": True}, "pes = true: must be a whole number"),
        ({"lanes": "4"}, 'lanes = "4": must be a whole number'),
        ({"lanes": None}, "lanes = null: must be a whole number"),
        ({"streamed": 1}, "streamed = 1: must be true or false"),
        ({"deep": []}, "deep = []: must be true or false"),
        ({"lanes": 10**9}, "lanes = 1000000000: must be 0 to 65535"),
        ({"cells": 10**300}, "cells = a number of 997 bits: must be 0 to 4294967295"),
        ({"units": -1}, "units = -1: must be 0 to 65535"),
        ({"units": 0}, "units = 0: must be a whole number of at least 1"),
        ({"wider": [64.0]}, "reach = 64.0: must be a whole number"),
        ({"wider": 64}, "wider = 64: must be a list of whole numbers"),
        ({"wider": [16]}, "wider = 16: must ascend from above reach = 16"),
        ({"wider": [32] * 9}, "wider = [32, 32, 32, 32, 32, 32, 32, 32, 32]: must be a list"),
        ({"pes": 6}, "pes = 6: must be a multiple of 4"),
        ({"index_bits": 17}, "index_bits = 17: must be 1 to 16"),
        ({"lights\x1b[31m": 1}, r"a field 'lights\x1b[31m' that no design has"),
    ],
)
def test_a_field_that_is_none(tmp_path: Path, change: dict[str, object], words: str) -> None:
    assert words in _refused(tmp_path / "d", json.dumps(GOOD | change).encode())


def test_further_reaches_are_read(tmp_path: Path) -> None:
    several = replace(DESIGN, wider=(32, 64))
    (tmp_path / "design.json").write_text(json.dumps(asdict(several)))
    assert read_design(tmp_path) == several


@pytest.mark.parametrize("name", ["pes", "lanes", "row_groups", "index_bits"])
def test_a_field_is_left_out(tmp_path: Path, name: str) -> None:
    text = json.dumps({key: value for key, value in GOOD.items() if key != name})
    assert f"it lacks {name})" in _refused(tmp_path / "d", text.encode())


def test_the_largest_is_bounded_work(tmp_path: Path) -> None:
    largest = GOOD | {"lanes": 65532, "pes": 65532, "units": 1, "contexts": 65535}
    assert "no device has more" in _refused(tmp_path / "d", json.dumps(largest).encode())
    for pes, lanes in ((65532, 1), (4, 16384)):
        (tmp_path / "d").write_text(json.dumps(largest | {"pes": pes, "lanes": lanes}))
        EmulatedLine(read_design(tmp_path / "d"))


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "d")
    with pytest.raises(OSError, match="is a pipe or a device"):
        read_design(tmp_path / "d")
    with pytest.raises(FileNotFoundError):
        read_design(tmp_path / "none")
