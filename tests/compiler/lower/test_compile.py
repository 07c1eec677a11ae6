"""compile_model: every weight once and in its place, nothing else, in any network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from compiler.abi.wire import to_beats
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.array.placement import Placement
from compiler.array.program import Frame, Instruction, Op, Place, Sink
from compiler.array.shapes import merged
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.lower.load import Space, header
from csb_format import Csb, IntArray, Model
from csb_format.geometry import Geometry
from csb_format.random_models import random_model
from csb_format.scales import Scales
from csb_format.words import split_fields

# X, H, banks, k_ih, k_hh, value bits, act bits, M, N, E
CASES = [
    (6, 8, 2, 1, 2, 16, 16, 8, 2, 1),
    (7, 5, 4, 2, 1, 8, 12, 4, 4, 1),
    (9, 6, 4, 1, 2, 12, 8, 16, 4, 2),
    (5, 3, 1, 2, 3, 4, 6, 16, 1, 1),
    (16, 16, 8, 1, 1, 16, 16, 8, 4, 2),
    (11, 10, 8, 1, 2, 18, 18, 8, 2, 2),
    (8, 9, 8, 1, 1, 16, 16, 32, 8, 4),
    (6, 6, 2, 0, 1, 16, 16, 4, 2, 1),
    (6, 6, 3, 1, 0, 16, 16, 4, 1, 1),
    (4, 4, 4, 0, 0, 16, 16, 8, 4, 2),
    (3, 2, 1, 3, 2, 16, 16, 24, 1, 1),
    (40, 4, 4, 5, 1, 16, 16, 4, 4, 1),
    (4, 34, 4, 1, 3, 16, 16, 16, 4, 2),
]
# what the random ones must have among them
NETWORKS: list[dict[str, Any]] = [
    {"layers": 2, "directions": 1, "projection": False},
    {"layers": 2, "directions": 1, "projection": True},
    {"layers": 2, "directions": 2, "projection": True},
    *({} for _ in range(9)),
    {"layers": 2, "directions": 1, "cell": "gru0"},
    {"layers": 1, "directions": 2, "cell": "gru0"},
]
Compiled = tuple[Model, Image]


def build(case: tuple[int, ...], seed: int = 1) -> Compiled:
    *sizes, pes, lanes, units = case
    model = random_model(np.random.default_rng(seed), *sizes)
    return model, compile_model(model, design_for(model, pes, lanes, units))


@pytest.fixture(params=[*CASES, *enumerate(NETWORKS)], ids=lambda p: str(p))
def compiled(request: pytest.FixtureRequest, draw: Any) -> Compiled:
    if isinstance(request.param[1], int):
        return build(request.param)
    seed, fixed = request.param
    rng = np.random.default_rng(seed)
    network = draw(lambda low, high: int(rng.integers(low, high + 1)), **fixed)
    return network.model, network.image


@dataclass(frozen=True)
class Stored:
    """A matrix, or the rows of one gate of it, as the memories hold it from its first word on."""

    matrix: Csb
    geometry: Geometry  # as the array sees it
    gates: int
    alone: int | None  # the gate, where gates have passes of their own
    width: int  # of its results' vector in a bank
    first: int
    groups: int
    slots: int

    @property
    def size(self) -> int:
        return self.geometry.rows // self.gates

    def row_of(self, design: Design, slot: int, pe: int) -> int | None:
        """Row that a PE works on in a slot, from the architecture's formula."""
        abreast = self.gates if self.alone is None else 1
        lanes = design.units if self.gates == design.gates else design.projectors
        beats = design.slot_units if self.gates == design.gates else design.slot_results
        # beats that are not whole have no rows, nor have those that a design leaves idle
        whole = (beats or design.pes // abreast // lanes) * lanes
        if pe // abreast >= whole:
            return None
        t = slot * whole + pe // abreast
        element = (t % design.lanes) * self.width + t // design.lanes
        if t >= design.lanes * self.width or element >= self.size:
            return None
        return ((self.alone or 0) + pe % abreast) * self.size + element

    @property
    def rows(self) -> range:
        """Those that it has."""
        first = (self.alone or 0) * self.size
        return range(self.geometry.rows) if self.alone is None else range(first, first + self.size)


def stored(model: Model, image: Image, role: Any) -> Iterator[Stored]:
    """All matrices; where they lie is told by the instructions alone."""
    ends = [*(part.entry for part in image.parts[1:]), len(image.program)]
    for number, (part, end) in enumerate(zip(image.parts, ends, strict=True)):
        found: dict[tuple[str, int, int], list[Instruction]] = {}
        for now in image.program[part.entry + 1 : end]:
            found.setdefault((*role(image, number, now), now.kind), []).append(now)
        for (name, layer, kind), passes in sorted(found.items()):
            matrix, gates, width = described(model, image, part.layers[layer], name)
            first = min(passes, key=lambda now: now.slot)
            # what is cut into pieces lies in one piece
            assert {p.matrix - (p.slot - first.slot) * p.groups for p in passes} == {first.matrix}
            geometry = merged(matrix.geometry, image.design.lanes)
            slots = max(p.slot + p.slots for p in passes) - first.slot
            alone = kind if gates > 1 and model.cell == "gru0" else None
            yield Stored(matrix, geometry, gates, alone, width, first.matrix, first.groups, slots)


def described(model: Model, image: Image, index: int, name: str) -> tuple[Csb, int, int]:
    """Matrix, rows for each element, places of its results in a bank."""
    lanes = image.design.lanes
    if name == "head":
        head = model.head
        assert head is not None
        width = merged(model.layers[-1].weight_hh.geometry, lanes).bank_width
        bits = head.weight_format.width
        geometry = Geometry(head.output_size, head.input_size, lanes, width, bits, width)
        dense = Csb.pack(head.weight, geometry, np.ones(head.weight.shape, bool), fill=True)
        return dense, 1, -(-head.output_size // lanes)
    layer = model.layers[index]
    projection = layer.projection
    output = merged(layer.weight_hh.geometry, lanes).bank_width
    if name == "hr":
        assert projection is not None
        return projection.weight, 1, output
    hidden = merged(projection.weight.geometry, lanes).bank_width if projection else output
    return {"ih": layer.weight_ih, "hh": layer.weight_hh}[name], image.design.gates, hidden


def entries(image: Image, pe: int, first: int, count: int) -> tuple[IntArray, IntArray]:
    """Values and indices, (count, N) each, of words of a matrix memory."""
    design = image.design
    words = image.memories[f"matrix_{pe:03d}"][first : first + count]
    widths = [design.value_bits, design.index_bits + 1] * design.lanes
    if not words:
        return np.zeros((0, design.lanes), np.int64), np.zeros((0, design.lanes), np.int64)
    fields = split_fields([widened(word, design) for word in words], widths)
    return fields[:, 0::2], fields[:, 1::2]


def widened(word: int, design: Design) -> int:
    """The word with a zero bit above every index, as ``split_fields`` is signed."""
    size, result = design.entry_bits, 0
    for lane in range(design.lanes):
        entry = word >> (lane * size) & ((1 << size) - 1)
        result |= entry << (lane * (size + 1))
    return result


def test_every_pe_multiplies_its_rows(compiled: Compiled, role: Any) -> None:
    model, image = compiled
    lane, expected_end = np.arange(image.design.lanes)[None, :], 0
    for one in sorted(stored(model, image, role), key=lambda one: one.first):
        assert one.first == expected_end  # nothing between the matrices
        expected_end = one.first + one.slots * one.groups
        geometry, seen = one.geometry, np.zeros(one.geometry.rows, int)
        dense = np.zeros((geometry.rows, geometry.padded_columns), np.int64)
        dense[:, : geometry.columns] = one.matrix.to_dense()
        for pe in range(image.design.pes):
            values, indices = entries(image, pe, one.first, one.slots * one.groups)
            for slot in range(one.slots):
                here = slice(slot * one.groups, (slot + 1) * one.groups)
                row = np.zeros((image.design.lanes, geometry.bank_width), np.int64)
                np.add.at(row, (lane, indices[here]), values[here])
                number = one.row_of(image.design, slot, pe)
                if number is None:
                    assert not row.any()
                    continue
                np.testing.assert_array_equal(row.ravel(), dense[number])
                assert (np.diff(indices[here], axis=0) > 0).all()
                seen[number] += 1
        assert np.flatnonzero(seen).tolist() == list(one.rows)
        assert seen.max() == 1  # every row once
    assert expected_end == len(image.memories["matrix_000"])


def test_every_real_weight_is_stored_exactly_once(compiled: Compiled, role: Any) -> None:
    model, image = compiled
    depth = len(image.memories["matrix_000"])
    found = np.concatenate(
        [entries(image, pe, 0, depth)[0].ravel() for pe in range(image.design.pes)]
    )
    matrices = [m for layer in model.layers for m in (layer.weight_ih, layer.weight_hh)]
    matrices += [layer.projection.weight for layer in model.layers if layer.projection]
    kept = [m.to_dense()[m.to_mask()] for m in matrices]
    if any(e.kind == "linear" for part in image.parts for e in part.emissions):
        assert model.head is not None
        kept.append(model.head.weight.ravel())
    real = np.concatenate(kept)
    np.testing.assert_array_equal(np.sort(found[found != 0]), np.sort(real[real != 0]))
    assert all(len(image.memories[f"matrix_{pe:03d}"]) == depth for pe in range(image.design.pes))
    assert depth <= image.design.matrix_depth


def test_biases_meet_their_units(compiled: Compiled) -> None:
    model, image = compiled
    design = image.design
    for part in image.parts:
        finishing = [p for p in part.passes if p.sink == Sink.UNITS]
        for given in finishing:
            sums = design.sums
            bias = model.layers[part.layers[given.layer]].bias.reshape(sums, -1)
            order = given.placement.order
            for lane in range(design.units):
                base = given.instruction.bias
                words = image.memories[f"bias_{lane:03d}"][base : base + given.placement.beats]
                for n, four in enumerate(split_fields(words, [design.state.width] * sums)):
                    unit = order[n * design.units + lane]
                    expected = np.zeros(sums) if unit < 0 else bias[:, unit]
                    np.testing.assert_array_equal(four, expected)


def test_biases_of_linear_layers_meet_their_outputs(compiled: Compiled) -> None:
    model, image = compiled
    design, heads = image.design, [p for p in image.parts[-1].passes if p.name == "head"]
    for given in heads:
        assert model.head is not None
        found = np.zeros(model.head.output_size, np.int64)
        for lane in range(design.projectors):
            words = image.memories[f"linear_{lane:03d}"]
            values = split_fields(words[: given.placement.beats], [design.acc_bits])[:, 0]
            outputs = given.placement.order[lane :: design.projectors][: len(values)]
            found[outputs[outputs >= 0]] += values[outputs >= 0]
            assert not values[outputs < 0].any()
        np.testing.assert_array_equal(found, model.head.bias)
    assert bool(heads) == bool(design.linear)


def test_cells_of_layers_are_apart(compiled: Compiled) -> None:
    _, image = compiled
    finishing = [
        p
        for part in image.parts
        for p in part.passes
        if p.sink == Sink.UNITS and p.writes and p.writes[0] != "reset"
    ]
    places = [p.instruction.bias + n for p in finishing for n in range(p.placement.beats)]
    assert len(set(places)) == len(places)
    assert max(places) < image.design.cells


def test_load_words_parse_back_to_the_memories(compiled: Compiled) -> None:
    _, image = compiled
    names = {1: "matrix_{:03d}", 2: "bias_{:03d}", 3: "program", 5: "linear_{:03d}"}
    for number, part in enumerate(image.parts):
        words, found = iter(image.load_words(number)), {}
        for head in words:
            space, target, address = head >> 28, head >> 16 & 0xFFF, head & 0xFFFF
            if space == Space.START:
                break
            assert address == 0
            name = names[space].format(target)
            chunks = -(-image.width(name) // 32)
            found[name] = [
                sum(next(words) << (32 * i) for i in range(chunks)) for _ in range(next(words))
            ]
        assert list(words) == []  # start is the last word
        assert [head] == image.start_words(number) == [header(Space.START, 0, part.entry)]
        assert found == image.memories


def test_words_fit_their_memories(compiled: Compiled) -> None:
    _, image = compiled
    design = image.design
    depths = {"matrix": "matrix_depth", "bias": "cells", "program": "program_depth"}
    depths |= {"linear": "linear"}
    counts = {"matrix": design.pes, "bias": design.units}
    counts |= {"linear": design.projectors if design.linear else 0}
    names = [f"{kind}_{n:03d}" for kind, count in counts.items() for n in range(count)]
    assert sorted(image.memories) == sorted([*names, "program"])
    for name, words in image.memories.items():
        assert 0 <= min(words) <= max(words) < 1 << image.width(name)
        assert len(words) <= getattr(design, depths[name.partition("_")[0]])


def test_beats_put_every_element_at_its_bank_and_place(compiled: Compiled) -> None:
    model, image = compiled
    for number, part in enumerate(image.parts):
        size = (4, model.directions, part.input_size)
        frames = np.random.default_rng(3).integers(1, 100, size)
        beats = to_beats(part, frames)
        lanes, ports = image.design.lanes, part.frame_ports
        assert beats.shape == (4, part.frame_beats, ports * lanes)
        beats = beats.reshape(4, -1, lanes)  # ports of a beat, one place behind the other
        assert np.count_nonzero(beats) == frames.size
        step = part.needs.regions(number).part
        for direction in range(model.directions):
            for column in range(part.input_size):
                bank, place = divmod(column, part.input_width)
                got = beats[:, direction * step + place, bank]
                np.testing.assert_array_equal(got, frames[:, direction, column])


def test_program_is_decoded_from_its_words(compiled: Compiled) -> None:
    _, image = compiled
    words = image.memories["program"]
    count = len(image.program)
    assert [Instruction.decode(w, image.design) for w in words[:count]] == list(image.program)
    assert set(words[count:]) <= {0}
    assert [n for n, now in enumerate(image.program) if now.op == Op.SETUP] == [
        part.entry for part in image.parts
    ]


def test_one_layer_is_a_setup_and_two_matrices(role: Any) -> None:
    for case in CASES:
        model, image = build(case)
        scales, program = Scales.of(model.layers[0]), image.program
        setup, entry, *rest = program
        assert (setup.op, entry.frame, entry.source_kind) == (Op.SETUP, Frame.WAIT, Place.FRAME)
        assert {now.op for now in (entry, *rest)} == {Op.PASS}
        inputs = [now for now in (entry, *rest) if role(image, 0, now) == ("ih", 0)]
        steps = [now for now in rest if role(image, 0, now) == ("hh", 0)]
        assert len(inputs) + len(steps) == len(rest) + 1
        for now in inputs:
            assert (now.sink, now.align, now.advance) == (Sink.PARK, scales.align_ih, False)
        for now in steps:
            assert (now.sink, now.parked, now.advance) == (Sink.UNITS, True, True)
            assert (now.recurrent, now.emit, now.final) == (True, True, True)
            assert (now.align, now.shift) == (scales.align_hh, scales.shift)
            assert now.interval == max(now.groups, image.design.units_per_slot)


def test_regions_are_aligned_and_apart(compiled: Compiled) -> None:
    """``base | index`` of one vector never meets another."""
    _, image = compiled
    for number, part in enumerate(image.parts):
        regions, shapes = part.needs.regions(number), part.needs.programs[number]
        spans = [(base, part.frame_beats) for base in regions.frames]
        for n, base in enumerate(regions.states):
            width, size = shapes[n].widths.output, regions.sizes[n]
            spans += [(base + r * size, width) for r in range(2 * image.design.contexts)]
            assert 1 << regions.span(n) == size
        spans += [(regions.hidden[n], s.hidden) for n, s in enumerate(shapes) if s.hr]
        spans += [(regions.reset[n], s.hidden) for n, s in enumerate(shapes) if s.resets]
        places = [base | place for base, width in spans for place in range(width)]
        assert places == [base + place for base, width in spans for place in range(width)]
        assert len(set(places)) == len(places)
        assert max(places) < image.design.vector_depth
        assert all(base % image.design.write_ports == 0 for base, _ in spans)


@pytest.mark.parametrize("name", ["ih", "hh"])
def test_matrix_without_weights_has_one_group_of_zeros(name: str, role: Any) -> None:
    k_ih, k_hh = (0, 2) if name == "ih" else (2, 0)
    model, image = build((6, 6, 3, k_ih, k_hh, 16, 16, 8, 3, 1))
    (one,) = (one for one in stored(model, image, role) if one.matrix.geometry.nonzeros == 0)
    assert (one.groups, one.gates) == (1, 4)
    for pe in range(8):
        assert not entries(image, pe, one.first, one.slots)[0].any()


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_fewer_lanes_than_banks_merge_them(lanes: int, role: Any) -> None:
    model, image = build((16, 24, 8, 1, 2, 16, 16, 8, lanes, 1))
    hh, ih = stored(model, image, role)
    assert (ih.groups, hh.groups) == (8 // lanes, 16 // lanes)
    placement = image.parts[0].emissions[0].placement
    assert isinstance(placement, Placement)
    assert placement.bank_width == 24 // lanes
    assert Csb.merge_banks(model.layers[0].weight_hh, 8 // lanes).geometry.banks == lanes


def test_compiling_twice_gives_the_same_image() -> None:
    first, second = (build(CASES[2])[1] for _ in range(2))
    assert (first.memories, first.program) == (second.memories, second.program)
    np.testing.assert_array_equal(first.matrix_words, second.matrix_words)


def test_design_larger_than_the_model_needs(role: Any) -> None:
    model, tight = build(CASES[1])
    larger = {
        name: getattr(tight.design, name) + 3
        for name in ("row_groups", "matrix_depth", "vector_depth", "slots", "cells")
    }
    image = compile_model(model, replace(tight.design, **larger, value_bits=18, index_bits=5))
    for first, second in zip(stored(model, image, role), stored(model, tight, role), strict=True):
        assert (first.first, first.groups, first.slots) == (
            second.first,
            second.groups,
            second.slots,
        )
        for pe in range(tight.design.pes):
            found = entries(image, pe, first.first, first.groups * first.slots)
            expected = entries(tight, pe, second.first, second.groups * second.slots)
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)
