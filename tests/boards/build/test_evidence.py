"""What a build leaves that came to nothing, with stand-ins for the tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.board import board
from boards.build import bitstream
from boards.build.bitstream import BitstreamError, Built, build_bitstream
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.files.ownership import PlaceError
from csb_format.random_models import random_model

ECPIX5 = board("ecpix5")
Plan = Callable[[dict[str, Any]], None]


def build(out: Path, **options: Any) -> Built:
    model = random_model(np.random.default_rng(0), 4, 8, 1, 1, 1, value_bits=8, act_bits=8)
    image = compile_model(model, design_for(model, 4, 1, deep=True))
    return build_bitstream(ECPIX5, image.design, image, out, seed=1, **options)


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_a_build_that_fails_leaves_its_logs_and_says_where(planned: Plan, tmp_path: Path) -> None:
    planned({"static 1": "frozen", "heap 1": "broken"})
    with pytest.raises(BitstreamError, match=r"unsupported cell; logs in .*made\.failed$"):
        build(tmp_path / "made")
    kept = files(tmp_path / "made.failed") - {".sparseflow.json"}
    assert kept == {"yosys.log", "nextpnr-ecp5.log", "attempts/seed1-static/nextpnr-ecp5.log"}
    assert not (tmp_path / "made").exists()


def test_all_files_are_kept_if_one_wishes(planned: Plan, tmp_path: Path) -> None:
    planned({"static 1": "broken"})
    with pytest.raises(BitstreamError, match=r"; all files in .*made\.failed$"):
        build(tmp_path / "made", keep=True)
    assert {"plan.json", "nextpnr-ecp5.log", "verilog/sparseflow.v"} <= files(
        tmp_path / "made.failed"
    )


@pytest.mark.parametrize("keep", [False, True])
def test_a_build_that_is_ended_keeps_its_files_only_if_one_wishes(
    keep: bool, planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: Any) -> None:
        raise SystemExit(143)

    planned({"static 1": 80.0})
    monkeypatch.setattr(bitstream, "pack", ended)
    told: list[str] = []
    with pytest.raises(SystemExit):
        build(tmp_path / "made", keep=keep, tell=told.append)
    place = tmp_path / "made.failed"
    assert place.exists() == keep
    assert (told[-1] == f"ended: all files in {place}") == keep


def test_what_others_have_at_that_place_is_refused_before_the_work(
    planned: Plan, tmp_path: Path
) -> None:
    place = tmp_path / "made.failed"
    place.mkdir()
    (place / "thesis.tex").touch()
    planned({"static 1": "broken"})
    told: list[str] = []
    with pytest.raises(PlaceError, match=r"made\.failed .*thesis\.tex"):
        build(tmp_path / "made", tell=told.append)
    assert told == []
    assert files(place) == {"thesis.tex"}


def test_a_build_says_what_was_tried_and_where_its_cells_are(planned: Plan, tmp_path: Path) -> None:
    planned({"static 1": "frozen", "heap 1": 80.0, "heap 2": 76.0})
    told: list[str] = []
    found = build(tmp_path / "made", seeds=2, tell=told.append)
    assert (found.seed, found.placer, found.fmax_mhz) == (1, "heap", 80.0)
    assert [str(attempt)[:16] for attempt in found.attempts] == [
        "seed 1, static: ", "seed 1, heap: 80", "seed 2, heap: 76",
    ]  # fmt: skip
    assert (tmp_path / "made" / "sparseflow.bit").read_text() == "heap 1\n"
    blocks = {block.name: (block.instances, block.cells["ff"]) for block in found.blocks}
    assert blocks == {"link.master": (1, 0), "core.pe": (2, 2)}
    again = build(tmp_path / "again", seeds=2)
    assert again == found
    build(tmp_path / "made")  # a folder of ours is replaced, attempts and all
