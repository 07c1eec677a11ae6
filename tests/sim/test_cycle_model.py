"""The cycle model against the accelerator on Amaranth's simulator, frame by frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from csb_format import DesignError
from hdl.compiler import Image
from hdl.latency import Latencies
from sim.compare import compare
from sim.cycle_model import CycleModel
from sim.pysim import simulate_amaranth
from sim.scenario import Job

# name: X, H, banks, k_ih, k_hh; M, N; options
CORNERS: dict[str, tuple[tuple[int, ...], tuple[int, int], dict[str, int]]] = {
    "one lane": ((5, 6, 1, 3, 2), (4, 1), {}),
    "no input weights": ((9, 10, 2, 0, 3), (4, 2), {}),
    "no recurrent weights": ((9, 10, 2, 2, 0), (4, 2), {}),
    "no weights": ((3, 4, 2, 0, 0), (8, 2), {}),
    "hidden size that lanes do not divide": ((8, 11, 8, 1, 1), (8, 8), {}),
    "two element-wise lanes": ((9, 8, 4, 1, 1), (8, 4), {"units": 2}),
    "four element-wise lanes": ((9, 20, 4, 1, 3), (16, 4), {"units": 4}),
    "lanes slower than products": ((9, 20, 4, 1, 1), (16, 4), {"units": 1}),
    "one slot": ((6, 4, 4, 1, 1), (16, 4), {}),
    "short passes": ((3, 2, 1, 1, 1), (8, 1), {}),
    "frames slower than steps": ((90, 8, 2, 1, 1), (16, 2), {}),
    "smallest output buffer": ((8, 20, 2, 2, 2), (8, 2), {"output_depth": 20}),
    "output buffer of a frame and a bit": ((8, 20, 2, 1, 1), (8, 2), {"output_depth": 23}),
    "merged banks": ((20, 18, 8, 1, 2), (8, 2), {}),
    "narrow numbers": ((9, 9, 3, 2, 2), (4, 3), {"bits": (5, 7)}),  # type: ignore[dict-item]
}


def check_run(case: Any) -> None:
    """Every state and every cycle of a run."""
    outcome = simulate_amaranth(case.image, Job.of(case.image, case.sequences))
    assert compare(case.image, outcome, case.traces).first is None
    cycles = outcome.frame_cycles(case.image)
    np.testing.assert_array_equal(cycles, CycleModel(case.image).run(len(cycles)).frame_done)


@pytest.mark.parametrize("name", CORNERS)
def test_corner(make_case: Any, name: str) -> None:
    sizes, array, options = CORNERS[name]
    check_run(make_case(1, sizes, array, (3, 1, 2), **options))


def test_corners_are_what_their_names_say(make_case: Any) -> None:
    images = {name: make_case(1, s, a, **o).image for name, (s, a, o) in CORNERS.items()}
    passes = {name: image.program[2] for name, image in images.items()}
    lanes_slow = passes["lanes slower than products"]
    assert lanes_slow.interval > lanes_slow.groups
    assert passes["one slot"].slots == 1
    assert images["four element-wise lanes"].design.units == 4
    units = images["smallest output buffer"].placement.units_per_lane
    assert images["smallest output buffer"].design.output_depth == units
    padded = images["hidden size that lanes do not divide"].placement
    assert padded.units > padded.hidden_size
    slow = images["frames slower than steps"]
    assert slow.input_width > CycleModel(images["one slot"]).run(5).steps.max()


def random_case(make_case: Any, seed: int) -> Any:
    """Geometry, array and options from a seed; drawn again until the array can carry it."""
    rng = np.random.default_rng([2024, seed])
    while True:
        lanes, fold = int(rng.choice([1, 2, 3, 4, 8])), int(rng.choice([1, 2]))
        banks, pes = lanes * fold, int(rng.choice([4, 8, 12, 16]))
        x, h = (int(rng.integers(banks, banks + 20)) for _ in range(2))
        k_ih = int(rng.integers(0, min(3, -(-x // banks)) + 1))
        k_hh = int(rng.integers(0, min(4, -(-h // banks)) + 1))
        units = int(rng.choice([1, 2, 4])) if rng.random() < 0.5 else None
        try:
            case = make_case(seed, (x, h, banks, k_ih, k_hh), (pes, lanes), units=units)
        except DesignError:  # these element-wise lanes do not divide the array
            continue
        if rng.random() < 0.7:
            return case
        least = case.image.placement.units_per_lane
        depth = int(rng.integers(least, 2 * least + 1))
        sizes, array = (x, h, banks, k_ih, k_hh), (pes, lanes)
        return make_case(seed, sizes, array, units=units, output_depth=depth)


@pytest.mark.parametrize("seed", range(25))
def test_random_geometry(make_case: Any, seed: int) -> None:
    check_run(random_case(make_case, seed))


@pytest.mark.parametrize("seed", range(40))
def test_schedules_are_monotone(make_case: Any, seed: int) -> None:
    image = random_case(make_case, seed).image
    schedule = CycleModel(image).run(12)
    one, other = image.program[1:3]
    starts = np.stack([schedule.input_start, schedule.recurrent_start], axis=1).ravel()
    lengths = np.tile([one.slots * one.interval, other.slots * other.interval], 12)
    assert (np.diff(starts) >= lengths[:-1]).all()  # passes do not overlap
    assert (schedule.frame_done > schedule.recurrent_start).all()
    assert (schedule.steps > 0).all()
    assert schedule.steps.tolist() == np.diff(schedule.frame_done).tolist()


def test_a_longer_run_starts_with_the_shorter(make_case: Any) -> None:
    model = CycleModel(make_case(1, *CORNERS["smallest output buffer"][:2], output_depth=20).image)
    long, short = model.run(9), model.run(4)
    for name in ("frame_done", "input_start", "recurrent_start"):
        assert getattr(long, name)[:4].tolist() == getattr(short, name).tolist()


def step_by_the_book(image: Image) -> int:
    """The formula of docs/architecture.md; L from the last group to the last write of h."""
    one, other = image.program[1:3]
    per_slot = image.design.units_per_slot
    rest = other.interval - other.groups  # the pass ends after its last group by this
    last_write = Latencies(image.design).bubble - 1 - rest
    inputs = one.slots * one.groups
    return inputs + other.slots * max(other.groups, per_slot) + max(0, last_write - inputs)


BOOK = [
    # recurrent pass covered by the input pass; partly; not at all
    ((40, 40, 4, 8, 4), (8, 4), {}),
    ((12, 20, 4, 1, 3), (8, 4), {}),
    ((4, 16, 4, 1, 4), (64, 4), {}),
    ((12, 20, 4, 2, 1), (16, 4), {"units": 1}),  # element-wise lanes set the pace
    ((6, 30, 1, 6, 20), (4, 1), {}),
]


@pytest.mark.parametrize(("sizes", "array", "options"), BOOK)
def test_steady_steps_follow_the_formula(
    make_case: Any, sizes: Any, array: Any, options: Any
) -> None:
    image = make_case(1, sizes, array, **options).image
    steps = CycleModel(image).run(12).steps
    assert set(steps[2:].tolist()) == {step_by_the_book(image)}


def test_the_formula_is_tried_with_and_without_a_bubble(make_case: Any) -> None:
    bubbles = []
    for sizes, array, options in BOOK:
        image = make_case(1, sizes, array, **options).image
        one, other = image.program[1:3]
        busy = one.slots * one.interval + other.slots * other.interval
        bubbles.append(step_by_the_book(image) - busy)
    assert bubbles.count(0) >= 2
    assert sum(bubble > 0 for bubble in bubbles) >= 2


@pytest.mark.parametrize("frames", [0, -3])
def test_no_frames_have_no_schedule(case: Any, frames: int) -> None:
    with pytest.raises(ValueError, match=rf"frames {frames}: schedule at least one"):
        CycleModel(case.image).run(frames)
