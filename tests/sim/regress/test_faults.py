"""Bit flips: classified, counted, and never the end of the accelerator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.random_models import random_frames, random_network
from hdl.verilog import emit_verilog
from sim.regress.faults import BLIND, PLACES, Injection, campaign, table
from sim.run.free_running import Damage, Flip


def injection(place: str, outcome: str, *flags: bool) -> Injection:
    return Injection(place, Flip("load", 0, 0), Damage(outcome, *flags))


def test_the_table_counts_each_flip_once() -> None:
    found = [
        injection("bias", "masked", False, False, True, True),
        injection("bias", "mismatch", False, False, True, True),
        injection("packet", "mismatch", True, False, True, True),
        injection("packet", "stopped", False, True, False, True),
        injection("program", "late", False, False, True, False),
    ]
    rows = {str(row["place"]): row for row in table(found)}
    assert rows["bias"] | {"masked": 1, "mismatch": 1, "detected": 0} == rows["bias"]
    assert rows["packet"] | {"detected": 2, "fault": 1, "stopped": 1} == rows["packet"]
    assert rows["packet"]["needs_reset"] == 1
    assert rows["all"]["hung"] == 1
    assert rows["program"] | {"mismatch": 1, "late": 1, "masked": 0} == rows["program"]
    effects = ("masked", "detected", "mismatch")
    assert sum(int(rows["all"][effect]) for effect in effects) == rows["all"]["flips"] == 5


def flipped(tmp_path: Path, **options: bool) -> Callable[[], list[Injection]]:
    """A campaign on a small network."""
    rng = np.random.default_rng(3)
    model = random_network(rng, 8, 8, 4, (1, 1, 1))
    image = compile_model(model, design_for(model, 4, 4, **options))
    stimulus = Stimulus.of(image, random_frames(rng, model, [3, 2]))
    files = emit_verilog(image.design, tmp_path / "v")
    return lambda: campaign(image, files, stimulus, 1000, 3, tmp_path)


@pytest.mark.slow
def test_a_thousand_flips_hang_nothing(tmp_path: Path) -> None:
    run = flipped(tmp_path)
    found = run()
    rows = {str(row["place"]): row for row in table(found)}
    assert {place: rows[place]["flips"] for place in PLACES} == dict.fromkeys(PLACES, 100)
    assert rows["all"]["hung"] == 0
    assert int(rows["matrix value"]["mismatch"]) > 40
    assert rows["matrix value"]["detected"] == 0  # this hardware has no parity
    assert int(rows["vector"]["mismatch"]) > 40
    assert int(rows["packet"]["fault"]) > 20
    assert int(rows["packet"]["stopped"]) > 20
    assert run() == found


@pytest.mark.slow
def test_a_checked_design_sees_every_flip(tmp_path: Path) -> None:
    rows = {str(row["place"]): row for row in table(flipped(tmp_path, checked=True)())}
    assert rows["all"]["hung"] == 0
    # the parity of a word says nothing of two bits of it
    assert rows["all"]["mismatch"] == rows["two bits"]["mismatch"] != 0
    assert all(int(rows[place]["detected"]) for place in PLACES if place not in BLIND)
    assert rows["unread"]["detected"] == 0


@pytest.mark.slow
def test_a_walk_tells_of_every_flip_in_a_constant_memory(tmp_path: Path) -> None:
    rows = {str(row["place"]): row for row in table(flipped(tmp_path, checked=True, walk=True)())}
    assert rows["all"]["hung"] == rows["all"]["mismatch"] == 0
    for place in ("matrix value", "matrix index", "bias", "program", *BLIND):
        assert rows[place]["detected"] == rows[place]["flips"] == 100
