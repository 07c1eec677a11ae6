"""Streams that share the words from DRAM: what is committed is what the models say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.array.dram import main, shared_job
from sim.dram.stream_cycles import stream_cycles

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "bench/results/batched.json"
ROWS: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))["rows"]


def row_of(streams: int, bits: int) -> dict[str, Any]:
    (row,) = (row for row in ROWS if (row["streams"], row["bus_bits"]) == (streams, bits))
    return row


def test_a_row_is_that_of_the_models() -> None:
    row = row_of(8, 512)
    job, array = shared_job(8, 512)
    said = stream_cycles(
        job.bus, job.image, job.frames, base=job.base, lateness=job.lateness, pause=job.pause_of,
        hold=job.hold_of,
    )  # fmt: skip
    assert said.taken[-1] - said.taken[-1 - job.image.groups] == row["model_cycles"]
    assert array == row["array_cycles"]


@pytest.mark.parametrize("bits", [128, 512])
def test_eight_streams_take_eight_times_the_frames(bits: int) -> None:
    one, eight = row_of(1, bits), row_of(8, bits)
    assert eight["frames_a_second"] >= 7.99 * one["frames_a_second"]
    assert eight["bytes"] == one["bytes"]
    assert all(row["rtl_cycles"] == row["model_cycles"] for row in ROWS)


@pytest.mark.slow
def test_a_row_is_made_again(tmp_path: Path) -> None:
    main(tmp_path / "rows.json", [512], None, [2])
    (row,) = json.loads((tmp_path / "rows.json").read_text("utf-8"))["rows"]
    assert row == row_of(2, 512)
