"""The passes of a frame and their order: what each reads and writes, what fills the waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.array.design import Design
from compiler.array.latency import Latencies
from compiler.array.needs import Needs, design_for
from compiler.array.program import Frame, Op, Place, Sink
from compiler.lower.compile import compile_model
from compiler.lower.order import Order, Timing, leads, put_in_order
from compiler.lower.passes import LayerPasses, Pass, layer_passes
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from csb_format.random_models import random_network
from csb_format.scales import Scales


def layers_of(design: Design, needs: Needs, number: int = 0) -> list[LayerPasses]:
    found, slot = [], 0
    for index in range(len(needs.programs[number])):
        found.append(layer_passes(needs, design, number, index, slot))
        slot += sum(p.instruction.slots for p in found[-1].parks)
    return found


def build(pes: int = 8, lanes: int = 2, **options: Any) -> tuple[Design, list[LayerPasses], Needs]:
    sizes: dict[str, Any] = {"input_size": 10, "hidden_size": 8, "banks": 2, "k": (2, 2, 1)}
    streamed = options.pop("streamed", False)
    model = random_network(np.random.default_rng(1), **(sizes | options))
    needs = Needs(model, pes, lanes)
    design = needs.design(streamed=streamed)
    return design, layers_of(design, needs), needs


def test_an_entry_layer_parks_the_inputs_sums() -> None:
    _, (layer,), needs = build()
    scales, instruction = Scales.of(needs.model.layers[0]), layer.parks[0].instruction
    assert (layer.parks[0].reads, layer.parks[0].writes) == (("frame", 0), None)
    assert (instruction.sink, instruction.source_kind) == (Sink.PARK, Place.FRAME)
    assert instruction.align == scales.align_ih
    assert (layer.finishes[0].reads, layer.finishes[0].writes) == (("state", 0), ("state", 0))
    finish = layer.finishes[0].instruction
    assert (finish.parked, finish.recurrent, finish.advance, finish.write) == (True,) * 4
    assert (finish.source_kind, finish.target_kind) == (Place.OLD, Place.NEW)
    assert (finish.align, finish.shift) == (scales.align_hh, scales.shift)
    assert list(layer) == [layer.parks[0], layer.finishes[0]]
    assert layer.output is layer.finishes[0]


def test_a_later_layer_parks_its_own_last_state() -> None:
    _, (first, second), _ = build(layers=2)
    assert (second.parks[0].reads, second.finishes[0].reads) == (("state", 1), ("state", 0))
    assert second.parks[0].instruction.recurrent
    assert not second.finishes[0].instruction.recurrent
    assert second.finishes[0].instruction.source_kind == Place.NEW
    assert (first.finishes[0].instruction.advance, second.finishes[0].instruction.advance) == (
        True,
        False,
    )
    # parked sums lie behind each other
    assert second.parks[0].instruction.slot == first.parks[0].instruction.slots
    assert second.finishes[0].instruction.slot == second.parks[0].instruction.slot


def test_a_projection_stands_between_hidden_state_and_state() -> None:
    _, (layer,), needs = build(projection=4)
    assert layer.project is not None
    assert (layer.finishes[0].writes, layer.project.reads) == (("hidden", 0), ("hidden", 0))
    assert (layer.project.writes, layer.output) == (("state", 0), layer.project)
    shape, now = needs.model.shape.layers[0], layer.project.instruction
    assert shape.weight_hr_format is not None
    fracs = shape.weight_hr_format.frac + shape.hidden.frac
    assert now.shift == (fracs - shape.output.frac,) * 4
    assert (now.sink, now.source_kind, now.target_kind) == (Sink.PROJECT, Place.FIXED, Place.NEW)


def test_rows_that_wait_for_the_reset_have_passes_of_their_own() -> None:
    """Rows r write what rows n read, rows z nothing; the state is written once, by the last."""
    _, (layer, above), needs = build(cell="gru0", layers=2)
    reset, state = ("reset", 0), ("state", 0)
    assert [p.reads for p in layer.parks] == [("frame", 0)] * 3
    assert [(p.reads, p.writes) for p in layer.finishes] == [
        (state, reset), (state, None), (reset, state)
    ]  # fmt: skip
    now = [p.instruction for p in layer.finishes]
    assert [p.advance for p in now] == [True, False, False]
    assert [p.recurrent for p in now] == [True, True, False]
    assert [p.write for p in now] == [True, False, True]
    assert (now[0].target, now[0].target_kind) == (needs.regions(0).reset[0], Place.FIXED)
    assert (now[2].source, now[2].source_kind) == (now[0].target, Place.FIXED)
    scales = Scales.of(needs.model.shape.layers[0])
    assert [(p.align, p.shift) for p in now] == [
        ((scales.align_hh[n],), (scales.shift[n],)) for n in range(3)
    ]
    assert layer.output is layer.finishes[2]
    # above, rows n of the input are parked as well, when the layer below is done
    assert [p.reads for p in above.parks] == [("state", 1), ("state", 1), state]
    assert [p.reads for p in above.finishes] == [state, state, ("reset", 1)]
    assert [p.name for p in above.chain] == [
        f"layer 1 weight_{one}" for one in ("ih r", "ih z", "ih n", "hh n")
    ]
    slots = [p.instruction.slot for one in (layer, above) for p in one.parks]
    assert slots == [now[0].slots * n for n in range(6)]


def test_directions_read_their_part_of_the_frame() -> None:
    _, layers, needs = build(directions=2)
    assert [layer.parks[0].reads for layer in layers] == [("frame", 0), ("frame", 1)]
    part = needs.regions(0).part
    assert [layer.parks[0].instruction.source for layer in layers] == [0, part]
    assert [layer.finishes[0].instruction.advance for layer in layers] == [True, False]


@pytest.mark.parametrize(("pes", "interval"), [(8, 2), (16, 4), (64, 8)])
def test_rows_are_as_far_apart_as_their_results_take(pes: int, interval: int) -> None:
    needs = Needs(build()[2].model, pes, 2, units=1)
    (layer,) = layers_of(needs.design(), needs)
    assert layer.parks[0].instruction.interval == layer.parks[0].instruction.groups == 2
    assert layer.finishes[0].instruction.interval == max(2, pes // 4) >= interval


def test_a_chunk_is_some_of_the_slots() -> None:
    _, (layer,), _ = build()
    whole = layer.parks[0].at(matrix=100, slot=3)
    part = whole.chunk(1, 2)
    assert (part.instruction.slot, part.instruction.slots, part.instruction.matrix) == (4, 2, 102)
    assert part.cycles == 2 * whole.instruction.interval
    assert replace(part, instruction=whole.instruction) == whole


SHAPES = st.fixed_dictionaries(
    {
        "layers": st.integers(1, 3),
        "directions": st.sampled_from([1, 1, 2]),
        "projection": st.sampled_from([0, 4, 8]),
        "hidden_size": st.sampled_from([8, 12, 24]),
        "k": st.tuples(*[st.integers(1, 4)] * 3),
        "pes": st.sampled_from([4, 8, 16, 32]),
        "streamed": st.booleans(),
        "cell": st.sampled_from(["lstm", "lstm", "gru", "gru0"]),
    }
)


def ordered(shape: dict[str, Any]) -> tuple[Design, list[LayerPasses], Order]:
    if shape.get("cell", "lstm") != "lstm":
        shape = shape | {"projection": 0}
    design, layers, needs = build(**shape)
    parallel = needs.model.directions == 2
    return design, layers, put_in_order(layers, [], design, parallel=parallel)


def pieces(passes: Sequence[Pass], name: str) -> list[int]:
    """Slots of a matrix in the order in which they run."""
    found = [p.instruction for p in passes if p.name == name]
    return [now.slot + n for now in found for n in range(now.slots)]


@settings(max_examples=60, deadline=None)
@given(SHAPES)
def test_every_slot_once_a_frame_on_each_path(shape: dict[str, Any]) -> None:
    _, layers, order = ordered(shape)
    tried = [n for n, p in enumerate(order.frame) if p.instruction.frame]
    late = [*order.entry, *order.frame[: tried[0] if tried else None], *order.late]
    inputs = {p.name for p in order.entry}
    for given_pass in (p for layer in layers for p in layer):
        whole = pieces([given_pass], given_pass.name)
        assert pieces(late, given_pass.name) == whole
        fast = pieces(order.frame, given_pass.name)
        assert fast == (whole if tried or given_pass.name not in inputs else [])


@settings(max_examples=60, deadline=None)
@given(SHAPES)
def test_marks_of_frames(shape: dict[str, Any]) -> None:
    """A frame is taken once and given back once, by the last pass that reads it."""
    _, _, order = ordered(shape)
    for passes, kind in ((order.entry, Frame.WAIT), (order.frame, Frame.TRY)):
        inputs = [p.instruction for p in passes if p.reads[0] == "frame"]
        if not inputs:
            assert order.late == ()
            continue
        assert [now.frame for now in inputs] == [kind] + [Frame.NONE] * (len(inputs) - 1)
        assert [now.release_frame for now in inputs] == [False] * (len(inputs) - 1) + [True]
    assert not any(p.reads[0] == "frame" for p in order.late)


@settings(max_examples=60, deadline=None)
@given(SHAPES)
def test_sums_are_parked_before_they_are_taken(shape: dict[str, Any]) -> None:
    """Also those of the next frame: only behind the pass that takes this frame's."""
    _, layers, order = ordered(shape)
    names = [p.name for p in order.frame]
    for layer in layers:
        for park, finish in zip(layer.parks, layer.finishes, strict=True):
            taken = names.index(finish.name)
            if park.reads[0] == "frame":
                assert park.name not in names[:taken]
            else:
                assert max(n for n, name in enumerate(names) if name == park.name) < taken
                assert names.index(park.name) > names.index(layers[0].finishes[0].name)


def test_a_streamed_design_runs_its_matrices_one_after_the_other() -> None:
    _, layers, order = ordered({"layers": 2, "streamed": True, "projection": 4})
    assert [p.name for p in (*order.entry, *order.frame)] == [
        "layer 0 weight_ih",
        "layer 0 weight_hh",
        "layer 0 weight_hr",
        "layer 1 weight_hh",
        "layer 1 weight_ih",
        "layer 1 weight_hr",
    ]
    assert layers[0].parks[0].name == order.entry[0].name


@settings(max_examples=60, deadline=None)
@given(SHAPES)
def test_no_pass_waits_for_more_than_there_is(shape: dict[str, Any]) -> None:
    design, _, order = ordered(shape)
    found = leads(order.frame, design)
    for given_pass, (same, other) in zip(order.frame, found, strict=True):
        assert 0 <= same <= other
        if not given_pass.instruction.recurrent:
            assert same == other


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.integers(0, 400))
def test_a_lead_holds_a_pass_until_its_cycle(shape: dict[str, Any], start: int) -> None:
    """With that many beats on their way it may start, with one more it is too early."""
    design, layers, _ = ordered(shape)
    for given_pass in (p for layer in layers for p in layer if p.sink != Sink.PARK):
        timing = Timing(Latencies(design), given_pass)
        beats = given_pass.instruction.beats
        homes = [timing.home(beat) for beat in range(beats)]
        assert homes == sorted(homes)
        start = min(start, homes[-1])
        lead = timing.lead(start)
        # the first cycle in which no more than `lead` beats are on their way
        assert homes[beats - 1 - lead] >= start
        if not design.streamed and lead + 1 < beats:
            assert homes[beats - 2 - lead] < start


def test_a_streamed_design_runs_each_pass_of_a_cell_whose_reset_comes_first() -> None:
    _, _, order = ordered({"layers": 2, "streamed": True, "cell": "gru0"})
    gates = [p.name.removeprefix("layer ") for p in (*order.entry, *order.frame)]
    assert [name.replace(" weight", "") for name in gates] == [
        "0_ih r", "0_ih z", "0_ih n", "0_hh r", "0_hh z", "0_hh n",
        "1_hh r", "1_ih r", "1_hh z", "1_ih z", "1_ih n", "1_hh n",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "deep", "large"), [("gru", 434, 129), ("gru0", 438, 121)], ids=["gru", "gru0"]
)
def test_a_gru_of_that_size_fills_its_waits(cell: str, deep: int, large: int) -> None:
    """Rows z fill the wait of rows n for ``r * h``; a large array, two lanes a bank, nearly.

    docs/gru.md has these cycles.
    """
    sizes = {"input_size": 153, "hidden_size": 1024, "banks": 16, "k": (1, 8, 1)}
    shape = random_network(np.random.default_rng(1), **sizes, cell=cell).shape  # type: ignore[arg-type]

    def cycles(pes: int, **options: bool) -> float:
        return step_cycles(schedule(shape, design_for(shape, pes, 16, **options)))

    assert cycles(64) == 3 * 16 * (1 + 8) == 432
    assert (cycles(64, deep=True), cycles(256)) == (deep, large)


def test_the_timit_layer_fills_its_waits() -> None:
    """64 x 16 on the layer of the paper: no cycle of a step is without a group."""
    sizes = {"input_size": 153, "hidden_size": 1024, "banks": 16, "k": (1, 4, 8)}
    model = random_network(np.random.default_rng(1), **sizes, projection=512)  # type: ignore[arg-type]
    image = compile_model(model, design_for(model, 64, 16))
    passes = [p.instruction for p in image.parts[0].passes]
    assert all(now.op == Op.PASS and now.groups == now.interval for now in passes)
    assert sum(now.cycles for now in passes) == 64 * (1 + 4) + 8 * 8 == 384
    assert any(now.frame == Frame.TRY for now in passes)
