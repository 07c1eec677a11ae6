"""Cycles by cause: they sum to the step, and each is what its name says."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from compiler.array.latency import Latencies
from compiler.array.needs import design_for
from compiler.array.program import Sink
from compiler.lower.compile import compile_model
from compiler.timing.causes import CAUSES, Causes, causes
from compiler.timing.cycle_model import CycleModel
from csb_format.random_models import random_network

SIZES = [
    # X, H, banks, k_ih, k_hh; M, N; options
    ((10, 9, 4, 2, 2), (4, 4), {}),
    ((5, 6, 1, 3, 2), (4, 1), {}),
    ((9, 10, 2, 0, 3), (4, 2), {}),
    ((8, 11, 8, 1, 1), (8, 8), {}),
    ((4, 16, 4, 1, 4), (64, 4), {}),
    ((9, 20, 4, 1, 1), (16, 4), {"units": 1}),
    ((3, 2, 1, 1, 1), (8, 1), {}),
    ((90, 8, 2, 1, 1), (16, 2), {}),
    ((8, 20, 2, 2, 2), (8, 2), {"output_depth": 20}),
]
NETWORKS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"layers": 2, "projection": 8, "head": 5}, {"head": True, "contexts": 2}),
    ({"layers": 2, "directions": 2}, {}),
    ({"projection": 5}, {}),
    ({"projection": 16, "hidden_size": 24, "k": (2, 3, 5)}, {"shallow": True, "projectors": 4}),
]


def check(found: Causes, steps: Any) -> None:
    """Sums of a step whose cycles are known."""
    assert tuple(found.shares) == CAUSES
    assert all(share >= 0 for share in found.shares.values())
    assert found.cycles == Fraction(int(steps.sum()), len(steps))
    assert found.shares["products"] == Fraction(found.nonzeros, found.multipliers)
    assert found.utilisation == float(found.nonzeros / (found.cycles * found.multipliers))
    assert sum(found.by_cause.values()) == pytest.approx(float(found.cycles), rel=1e-12)


@pytest.mark.parametrize(("sizes", "array", "options"), SIZES)
def test_one_layer(make_case: Any, sizes: Any, array: Any, options: Any) -> None:
    case = make_case(1, sizes, array, **options)
    layer = case.model.layers[0]
    found = causes(case.image)
    steps = CycleModel(case.image).run(40).steps[20:36]
    check(found, steps)
    assert found.multipliers == array[0] * array[1]
    assert found.nonzeros == layer.weight_ih.real_nonzeros + layer.weight_hh.real_nonzeros
    assert found.dense == 4 * sizes[1] * (sizes[0] + sizes[1])
    lone = CycleModel(case.image).run(1)
    assert found.lone_step == lone.frame_done[0] - lone.frame_in[0]
    assert found.floor <= found.cycles


@pytest.mark.parametrize(("network", "options"), NETWORKS)
def test_networks(make_network: Any, network: Any, options: Any) -> None:
    case = make_network(3, (4, 4), options=options, **network)
    for part in range(len(case.image.parts)):
        for contexts in range(1, case.image.design.contexts + 1):
            found = causes(case.image, part, contexts=contexts)
            run = CycleModel(case.image, part).run(
                40, [n < contexts for n in range(40)], [n % contexts for n in range(40)]
            )
            check(found, run.steps[20:36])
    nonzeros = sum(
        m.real_nonzeros
        for layer in case.model.layers
        for m in (layer.weight_ih, layer.weight_hh, *_projection(layer))
    )
    nonzeros += case.model.head.weight.size if options.get("head") else 0
    parts = range(len(case.image.parts))
    assert sum(causes(case.image, part).nonzeros for part in parts) == nonzeros


def _projection(layer: Any) -> list[Any]:
    return [layer.projection.weight] if layer.projection else []


def test_padding_of_a_known_shape(make_case: Any) -> None:
    """9 units in 4 banks of 3: 12 rows of 4; bank 3 of h is empty, of x it has one column."""
    found = causes(make_case(1, (10, 9, 4, 2, 2), (4, 4)).image)
    assert found.shares["padding rows"] == Fraction(4 * 3 * 4 * (2 + 2), 16)
    # of every real row: one entry of x in its last bank, two of h
    assert found.shares["padded banks"] == Fraction(4 * 9 * (1 + 2), 16)
    assert found.floor == 12 * (2 + 2)


def test_lanes_slower_than_products_leave_slack(make_case: Any) -> None:
    image = make_case(1, (9, 20, 4, 1, 1), (16, 4), units=1).image
    slots, per_slot = 5, 4
    assert causes(image).shares["slack"] == slots * (per_slot - 1)
    assert causes(make_case(1, (10, 9, 4, 2, 2), (4, 4)).image).shares["slack"] == 0


def test_gates_that_keep_fewer_leave_slack(make_network: Any) -> None:
    """8 units on 4 PEs: the four gates of a unit lie abreast and wait for the fullest."""
    shape = {"input_size": 8, "hidden_size": 8, "banks": 4, "layers": 1}
    k = ((2, 1, 1, 0), (1, 2, 2, 1), 1)
    padded = {"by_gate": False}
    found = causes(make_network(1, (4, 4), k=k, options=padded, **shape).image)
    assert found.shares["products"] == 8 * 4 * (4 + 6) / 16
    assert found.shares["slack"] == 8 * (4 + 2) / 4
    assert found.floor == found.shares["products"]


def test_gates_in_slots_of_their_own_leave_none(make_network: Any) -> None:
    """8 units on 4 PEs: two rounds of four slots; of a gate that keeps nothing a group of 0."""
    shape = {"input_size": 8, "hidden_size": 8, "banks": 4, "layers": 1}
    found = causes(make_network(1, (4, 4), k=((2, 1, 1, 0), (1, 2, 2, 1), 1), **shape).image)
    assert found.shares["products"] == 8 * (4 + 6) / 4
    assert found.shares["slack"] == 8 * 1 / 4


def test_a_round_of_fewer_slots_waits_for_the_fullest(make_network: Any) -> None:
    """9 units on 4 PEs: first a slot of all gates of one of them."""
    shape = {"input_size": 9, "hidden_size": 9, "banks": 1, "layers": 1}
    found = causes(make_network(1, (4, 1), k=((2, 1, 1, 3), (1, 2, 2, 1), 1), **shape).image)
    assert found.shares["products"] == Fraction(9 * (7 + 6), 4)
    assert found.shares["slack"] == (3 + 2) - Fraction(7 + 6, 4)


def test_an_exposed_wait_is_the_end_of_the_chain(make_case: Any) -> None:
    """One slot: the chain is drain, lane, write; the input pass hides its first cycles."""
    image = make_case(1, (4, 16, 4, 1, 4), (64, 4)).image
    design = image.design
    assert (image.program[1].slots, design.units_per_slot) == (1, 4)
    found = causes(image)
    latencies = Latencies(design)
    drain = latencies.row - latencies.read
    dealt = design.units_per_slot - 1
    hidden = image.program[1].cycles  # the next input pass
    assert hidden < drain
    assert found.shares["drain"] == drain - hidden
    # the first group reads one beat less than the last one
    lane = dealt + latencies.lane(Sink.UNITS)
    assert lane - 3 <= found.shares["element-wise"] <= lane
    assert found.shares["write-back"] == 1
    rest = ("products", "padded banks", "padding rows", "drain", "element-wise", "write-back")
    assert sum(found.shares[name] for name in rest) == found.cycles


def test_waits_of_other_kinds_have_their_names(make_case: Any, make_network: Any) -> None:
    tiny = {"input_size": 4, "hidden_size": 4, "k": (1, 1, 1)}
    short = causes(make_network(1, (16, 4), layers=3, **tiny).image)  # passes of one cycle
    frames = causes(make_case(1, (90, 8, 2, 1, 1), (8, 2)).image)
    room = causes(make_case(1, (8, 20, 2, 2, 2), (8, 2), output_depth=20).image)
    assert short.shares["fetch"] > 0
    assert frames.shares["frame"] > frames.shares["products"]
    assert room.shares["room"] > 0
    assert [found.shares["frame"] > 0 for found in (short, frames, room)] == [0, 1, 0]
    assert [found.shares["room"] > 0 for found in (short, frames, room)] == [0, 0, 1]


def test_steps_that_alternate_are_a_mean(make_network: Any) -> None:
    """Four streams that take turns fill an output buffer of four frames."""
    tiny = {"input_size": 3, "hidden_size": 4, "banks": 1, "k": (1, 1, 1)}
    image = make_network(0, (8, 1), options={"contexts": 4}, **tiny).image
    found = causes(image, contexts=4)
    marks = [n < 4 for n in range(40)], [n % 4 for n in range(40)]
    steps = CycleModel(image).run(40, *marks).steps[20:36]
    assert len(set(steps.tolist())) > 1
    check(found, steps)
    assert found.cycles.denominator > 1


def test_figures_of_the_timit_layer() -> None:
    """153 -> 1024, projection 512, on 64 x 16: the products and nothing else."""
    rng = np.random.default_rng(0)
    model = random_network(rng, 153, 1024, 16, (1, 4, 8), projection=512)
    found = causes(compile_model(model, design_for(model, 64, 16)))
    assert found.by_cause == {name: 384.0 * (name == "products") for name in CAUSES}
    assert found.utilisation == 1
    dense = 4096 * (153 + 512) + 512 * 1024
    assert found.dense_operations_a_cycle == 2 * dense / 384
    assert found.operations_a_cycle == 2 * 1024


def test_contexts_that_the_design_lacks_are_refused(make_case: Any) -> None:
    image = make_case(1, (10, 9, 4, 2, 2), (4, 4)).image
    with pytest.raises(ValueError, match=r"contexts 2: the design keeps 1; generate it with more"):
        causes(image, contexts=2)
