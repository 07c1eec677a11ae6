"""Arrays enumerated without contents are those that are compiled; the front and its commands."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from boards.board import board
from boards.cells.learned import shipped
from boards.resources import choice, choices
from compiler.array.needs import design_for
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from csb_format import save_model
from csb_format.random_models import random_network
from sparseflow.commands.cli import app
from sparseflow.pages.tune.front import page
from sparseflow.tune.hardware import Candidate, candidates, front, space
from sparseflow.tune.network import Network

BOARD = board("ulx3s")


@pytest.mark.parametrize("name", ["ulx3s", "icebreaker"])
def test_a_space_is_what_single_designs_are(name: str) -> None:
    networks = [Network(12, 32, 4, k, 1, value_bits=v, act_bits=a)
                for k in (1, 2) for v, a in ((4, 8), (8, 12), (16, 16))]  # fmt: skip
    there = board(name)
    found = list(space(networks, there))
    assert len(found) >= 30
    for network, one in found[:: len(found) // 8]:
        design = design_for(network.shape, one.design.pes, one.design.lanes, **there.options)
        assert one.design == design
        assert one.usage == shipped().likely(design, there)
        assert one.cycles == step_cycles(schedule(network.shape, design))


def test_points_are_what_build_makes() -> None:
    model = random_network(np.random.default_rng(0), 12, 24, 4, ((1, 1, 2, 1), (2, 1, 1, 1), 1))
    found = list(candidates(model, BOARD))
    for one in found[::70]:
        made = choice(model, BOARD, one.design.pes, one.design.lanes)
        assert (made.design, made.cycles, made.fits) == (one.design, one.cycles, one.fits)


def test_matrices_lie_in_tables_where_blocks_run_out() -> None:
    model, there = random_network(np.random.default_rng(3), 100, 512, 16, (2, 8, 2)), board("kv260")
    made = choice(model, there, 8, 16)
    assert made.fits
    assert made.design.spread
    network = Network(100, 512, 16, 8, 2)
    (found,) = (one for _, one in space([network], there)
                if (one.design.pes, one.design.lanes) == (8, 16))  # fmt: skip
    assert (found.design, found.usage, found.fits) == (
        replace(made.design, value_bits=16, act_bits=16), made.usage, True,
    )  # fmt: skip


def test_the_front_is_not_dominated_and_no_slower_than_fit() -> None:
    shape = Network(300, 300, 10, 4, 4, value_bits=8, act_bits=8).shape
    found = list(candidates(shape, BOARD))
    kept = front(found)
    assert all(one.fits for one in kept)
    for one in found:
        if one.fits:
            assert any(k.microseconds <= one.microseconds and k.share <= one.share for k in kept)
    for a, b in pairwise(kept):
        assert a.microseconds < b.microseconds
        assert a.share > b.share
    usual = next(c for c in choices(shape, BOARD) if c.fits)
    assert kept[0].microseconds < 0.95 * usual.microseconds  # sizes between powers of two help here
    assert front([one for one in found if not one.fits]) == []


def written(tmp_path: Path, *more: str) -> list[str]:
    save_model(
        tmp_path / "m.safetensors", random_network(np.random.default_rng(0), 12, 24, 4, (1, 1, 1))
    )
    return ["tune", str(tmp_path / "m.safetensors"), "--board", "ulx3s", *more]


def test_the_command_gives_points_with_their_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [str(tmp_path / name) for name in ("front.html", "front.json")]
    with pytest.raises(SystemExit) as ended:
        app(written(tmp_path, "--html", places[0], "--json", places[1]))
    assert not ended.value.code
    told = capsys.readouterr().out
    found = json.loads(Path(places[1]).read_text())
    assert found["front"]
    for row in found["front"]:
        assert row["command"] in told
        words = re.search(r"--pes (\d+) --lanes (\d+) --out build/\1x\2$", row["command"])
        assert words
        assert [int(words[1]), int(words[2])] == [row["pes"], row["lanes"]]
    html = Path(places[0]).read_text()
    assert html.count("<svg") == 1
    assert re.sub(r"<[^>]+>", "", html).count("sparseflow build") == len(found["front"])
    assert "arrays in" in told


def test_a_front_of_one_point_is_drawn() -> None:
    shape = Network(12, 16, 2, 1, 1).shape
    one: Candidate = front(candidates(shape, BOARD))[0]
    row = {"pes": one.design.pes, "lanes": one.design.lanes, "cycles": one.cycles,
           "share": one.share,
           "megahertz": 80, "microseconds": one.microseconds, "multipliers": 1, "block_rams": 1,
           "luts": 1, "limit": one.limit, "command": "sparseflow build"}  # fmt: skip
    found = {"model": "m", "title": "t", "part": "p", "weights": 1, "arrays": 1, "front": [row],
             "points": [[one.microseconds, one.share]], "usual": row}  # fmt: skip
    assert "<svg" in page(found)
