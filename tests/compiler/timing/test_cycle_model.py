"""The cycle model against the accelerator on Amaranth's simulator, frame by frame."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from compiler.array.latency import Latencies
from compiler.array.needs import design_for
from compiler.array.program import Frame, Sink
from compiler.lower.image import Image
from compiler.lower.passes import Pass
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import CycleModel, cycle_model, step_cycles
from csb_format.scales import DesignError
from csb_format.shape import uniform_shape
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job

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
    assert case.compare(outcome).first is None
    cycles = outcome.frame_cycles(case.image)
    np.testing.assert_array_equal(cycles, case.schedule.frame_done)


@pytest.mark.quick(6)
@pytest.mark.parametrize("name", CORNERS)
def test_corner(make_case: Any, name: str) -> None:
    sizes, array, options = CORNERS[name]
    check_run(make_case(1, sizes, array, (3, 1, 2), **options))


def finish(image: Image) -> Pass:
    """The pass of the (first) layer that feeds the element-wise lanes."""
    return next(p for p in image.parts[0].passes if p.sink == Sink.UNITS)


def test_corners_are_what_their_names_say(make_case: Any) -> None:
    images = {name: make_case(1, s, a, **o).image for name, (s, a, o) in CORNERS.items()}
    passes = {name: finish(image) for name, image in images.items()}
    lanes_slow = passes["lanes slower than products"].instruction
    assert lanes_slow.interval > lanes_slow.groups
    assert passes["one slot"].instruction.slots == 1
    assert images["four element-wise lanes"].design.units == 4
    beats = images["smallest output buffer"].parts[0].beats_out
    assert images["smallest output buffer"].design.output_depth == beats
    padded = passes["hidden size that lanes do not divide"].placement
    assert padded.elements > padded.size
    slow = images["frames slower than steps"]
    steps = CycleModel(images["one slot"]).run(5).steps
    assert slow.parts[0].input_width > steps.max()


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
        least = case.image.parts[0].beats_out
        depth = int(rng.integers(least, 2 * least + 1))
        sizes, array = (x, h, banks, k_ih, k_hh), (pes, lanes)
        return make_case(seed, sizes, array, units=units, output_depth=depth)


@pytest.mark.quick(3)
@pytest.mark.parametrize("seed", range(12))
def test_random_geometry(make_case: Any, seed: int) -> None:
    check_run(random_case(make_case, seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 40))
def test_more_random_geometries(make_case: Any, seed: int) -> None:
    check_run(random_case(make_case, seed))


def random_network_image(make_network: Any, seed: int) -> Image:
    """Stacked, projected or bidirectional layers on an array that may have several lanes."""
    rng = np.random.default_rng([7, seed])
    options: dict[str, Any] = {"contexts": int(rng.integers(1, 3))}
    network: dict[str, Any] = {"layers": int(rng.integers(1, 4))}
    network["projection"] = int(rng.choice([0, 5, 8]))
    network["directions"] = int(rng.integers(1, 3))
    if network["directions"] == 1 and rng.random() < 0.5:
        network["head"], options["head"] = 5, True
    array = (int(rng.choice([4, 8, 16])), int(rng.choice([1, 2, 4])))
    image: Image = make_network(seed, array, options=options, **network).image
    return image


@pytest.mark.parametrize("seed", range(40))
def test_schedules_are_monotone(make_case: Any, make_network: Any, seed: int) -> None:
    image = random_case(make_case, seed).image
    if seed % 2:
        image = random_network_image(make_network, seed)
    for part in range(len(image.parts)):
        schedule = CycleModel(image, part).run(12)
        issues = schedule.issues
        lengths = [image.program[issue.address].cycles for issue in issues]
        assert [i.end - i.start + 1 for i in issues] == lengths
        # passes do not overlap
        assert all(b.start > a.end for a, b in pairwise(issues))
        assert [b.idle for b in issues[1:]] == [b.start - a.end - 1 for a, b in pairwise(issues)]
        finals = [n for n, i in enumerate(issues) if image.program[i.address].final]
        assert [issues[n].frame for n in finals] == list(range(12))
        assert (schedule.frame_done > [issues[n].end for n in finals]).all()
        assert (schedule.steps > 0).all()
        assert schedule.steps.tolist() == np.diff(schedule.frame_done).tolist()


def test_a_longer_run_starts_with_the_shorter(make_case: Any) -> None:
    model = CycleModel(make_case(1, *CORNERS["smallest output buffer"][:2], output_depth=20).image)
    long, short = model.run(9), model.run(4)
    assert long.frame_done[:4].tolist() == short.frame_done.tolist()
    assert long.issues[: len(short.issues)] == short.issues


def test_passes_of_the_next_frame_run_only_if_it_is_there(make_network: Any) -> None:
    """The last frame takes the other way through the program."""
    image = make_network(3, (4, 4), layers=2, projection=6).image
    two = CycleModel(image).run(2).issues
    tries = {n for n, now in enumerate(image.program) if now.frame == Frame.TRY}
    assert tries
    assert [i.frame for i in two if i.address in tries] == [1]
    last = {i.address for i in two if i.frame == 1} - {i.address for i in two if i.frame == 0}
    assert max(tries) < max(last)


def step_by_the_book(image: Image) -> int:
    """The rule of docs/schedule.md for one layer, from the start of its finishing pass on.

    The next finishing pass starts with the home-coming of the first beat that is not earlier
    than its group g needs it, which reads no place of a bank above w - k + g.
    """
    park, given = image.program[1], finish(image)
    now, design = given.instruction, image.design
    per_slot, k, width = design.units_per_slot, now.groups, given.placement.bank_width
    way = Latencies(design).unit
    homes = [b // per_slot * now.interval + k - 1 + b % per_slot + way for b in range(now.beats)]
    places = [(g, max(0, min(width - 1, width - k + g))) for g in range(k)]
    turns = design.lanes // design.units
    needed = max(homes[(place + 1) * turns - 1] - g for g, place in places)
    return max(now.cycles + park.cycles, min(home for home in homes if home >= needed))


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
        busy = image.program[1].cycles + finish(image).cycles
        bubbles.append(step_by_the_book(image) - busy)
    assert bubbles.count(0) >= 2
    assert sum(bubble > 0 for bubble in bubbles) >= 2


@pytest.mark.parametrize("frames", [0, -3])
def test_no_frames_have_no_schedule(case: Any, frames: int) -> None:
    with pytest.raises(ValueError, match=rf"frames {frames}: schedule at least one"):
        CycleModel(case.image).run(frames)


UNEVEN = {
    "120 units": (uniform_shape(120, 120, (8, 8), (2, 2)), 8),
    "projected": (uniform_shape(40, 100, (4, 4, 4), (2, 2, 2), projection=48), 4),
    "GRU": (uniform_shape(12, 60, (4, 4), (1, 2), cell="gru"), 4),
    "reset first": (uniform_shape(12, 60, (4, 4), (1, 2), cell="gru0"), 4),
    "one channel": (uniform_shape(1, 32, (8, 8), (1, 1)), 8),
}


@pytest.mark.parametrize("name", UNEVEN)
def test_more_pes_are_never_slower(name: str) -> None:
    shape, lanes = UNEVEN[name]
    fewest = 4 if shape.cell == "lstm" else 1
    designs = [design_for(shape, pes, lanes) for pes in range(fewest, 73, 4)]
    cycles = [step_cycles(schedule(shape, design)) for design in designs]
    assert cycles == sorted(cycles, reverse=True)


def test_pes_are_left_idle_where_lanes_would_be_slower() -> None:
    """64 units: of 128 PEs half have rows, as no lane has a second unit then to take."""
    shape = uniform_shape(3, 64, (8, 8), (1, 1), cell="gru")
    some, every = (design_for(shape, 128, 8, all_pes=whole) for whole in (False, True))
    assert (some.slot_units, every.slot_units, every.units_per_slot) == (1, 0, 2)
    assert step_cycles(schedule(shape, some)) < step_cycles(schedule(shape, every))


def test_a_step_is_the_mean_of_those_that_repeat() -> None:
    """Frames that are in the way of results now and then: two steps of three are shorter."""
    shape = uniform_shape(512, 256, (8, 8), (8, 4), directions=2)
    plan = schedule(shape, design_for(shape, 160, 8, all_pes=True))
    steps = np.diff(cycle_model(plan).run(33).frame_done)[9:-2]
    assert len(set(steps.tolist())) > 1
    assert step_cycles(plan) == steps.mean()


@pytest.mark.parametrize(("inputs", "least"), [(128, 1.0), (40, 0.93)])
def test_more_streams_are_never_slower(inputs: int, least: float) -> None:
    """128 units on 64 x 16: half of the cycles are waits for one stream, none for four."""
    shape = uniform_shape(inputs, 128, (16, 16), (1, 1))
    made = [(n, design_for(shape, 64, 16, contexts=n)) for n in (1, 2, 3, 4, 6, 9)]
    cycles = [step_cycles(schedule(shape, design), n) for n, design in made]
    assert cycles == sorted(cycles, reverse=True)
    assert (cycles[0], cycles[3]) == (34, 16)
    kept = sum(g.real_nonzeros for g in shape.layers[0].geometries.values())
    assert kept / (cycles[3] * 64 * 16) >= least
