"""Arrays with a screen unit on boards: what it adds, and what to do where it does not fit."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from boards.advice import behind
from boards.board import BoardError, board
from boards.host.c_model import model_header
from boards.host.job import answers, job_of
from boards.resources import choice, choices, fastest
from compiler.array.needs import design_for
from compiler.array.screen.latency import screened_cycles
from compiler.lower.compile import compile_model
from csb_format import Model
from csb_format.random_models import random_model
from csb_format.screening.layer import ScreenedLayer
from engine.reference import IntegerModel
from engine.screened import of_all


def model(outputs: int) -> Model:
    made = random_model(np.random.default_rng(0), 12, 32, 8, 1, 1, head=outputs)
    assert made.head is not None
    return replace(made, head=ScreenedLayer.of(made.head))


def test_it_adds_what_it_takes() -> None:
    given, there = model(500), board("ecpix5")
    found, plain = (choice(given, there, 8, 4, largest=k) for k in (None, 0))
    screen = found.design.screen
    assert screen is not None
    assert plain.design == replace(found.design, screen=None)
    stored = 500 * 32 * screen.bits_per_weight
    blocks = found.usage.block_rams - plain.usage.block_rams
    assert stored / 18_432 <= blocks <= 2 * stored / 18_432 + 8
    assert (
        found.usage.multipliers - plain.usage.multipliers == screen.lanes + 3 * screen.elements + 8
    )
    assert found.usage.luts > plain.usage.luts
    assert found.cycles == screened_cycles(screen) > plain.cycles
    every = choices(given, there, largest=3)
    assert {one.design.screen.top for one in every if one.design.screen} == {3}
    assert all(one.largest == 3 for one in every)


def test_what_it_costs_is_told_and_where_the_whole_head_takes_less() -> None:
    """A unit takes a row a cycle, multipliers of an array several of a head this narrow."""
    given, there = model(500), board("ecpix5")
    for lanes, slower in ((8, True), (1, False)):
        best = choice(given, there, 8, lanes)
        assert best.design.screen is not None
        said = behind(given, there, best)
        cycles = f"{screened_cycles(best.design.screen):,}"
        assert f"the 5 largest of 500 logits: {cycles} cycles a frame, an estimate" in said
        assert ("verilog --head --dense" in said) is slower
    assert not behind(given, there, choice(given, there, 8, 8, largest=0))


def test_where_it_does_not_fit_the_head_may_stay_with_the_host() -> None:
    given, there = model(6000), board("ecpix5")
    with pytest.raises(BoardError, match=r"leave the screened head to the host .*--largest 0"):
        fastest(given, there)
    assert fastest(given, there, largest=0).fits


def test_a_frame_s_words_as_the_page_for_c_has_them() -> None:
    """docs/link.md: the last beats of a frame, by what the header for C says."""
    given = model(300)
    image = compile_model(given, design_for(given, 4, 2, largest=3))
    header = model_header(image, "m")
    said = {name: int(n) for name, n in re.findall(r"#define M_(\w+) (\d+)u", header)}
    frames = np.random.default_rng(1).integers(-200, 200, (4, 12))
    words = answers(image, job_of(image, [frames]))
    (trace,) = IntegerModel(given).run([frames])
    assert given.head is not None
    outputs, logits = of_all(given.head.logits(trace.output), said["LARGEST"])
    for n in range(len(frames)):
        frame = words[n * said["OUT_WORDS"] : (n + 1) * said["OUT_WORDS"]]
        pairs = frame[-said["LARGEST"] * said["BEAT_WORDS"] :]
        for k in range(said["LARGEST"]):
            beat = pairs[k * said["BEAT_WORDS"] : (k + 1) * said["BEAT_WORDS"]]
            raw = b"".join(word.to_bytes(4, "little") for word in beat)
            index, logit = said["INDEX_BITS"] // 8, said["LOGIT_BITS"] // 8
            assert int.from_bytes(raw[:index], "little") == outputs[n, k]
            found = int.from_bytes(raw[index : index + logit], "little", signed=True)
            assert found == logits[n, k]
