"""docs/spec_wire.md is enough: words written from it are those of the compiler."""

from __future__ import annotations

import re
import runpy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.link.protocol import Command, Request, check_sequence, enframe
from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.registers import PACKET, PACKET_MAGIC
from compiler.abi.wire import state_packing, state_payloads
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.array.placement import Placement
from compiler.array.program import Frame, Op, Place, Sink, instruction_bits, instruction_fields
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.lower.load import Space, space_depths, space_targets, space_widths
from compiler.lower.passes import HEAD
from csb_format import Model
from csb_format.csb import Csb
from csb_format.fixed import round_rows
from csb_format.random_models import random_frames, random_model, random_network

WRITER = runpy.run_path(str(Path(__file__).parent / "wire_writer.py"))
RNG = np.random.default_rng
ONE = random_model(RNG(1), 7, 6, 4, 1, 1, 8, 12)
TWO = random_network(RNG(2), 6, 6, (2, 2, 2), (2, 1, 1), 2, 1, 4, 8, 12)
FAR = random_network(RNG(5), 6, 6, 2, (2, 1, 1), 3, 1, 4, 8, 12, reach=(64, 8, 16))
BOTH = random_network(RNG(3), 6, 6, (2, 2, 2), (2, 1, 1), 1, 2, 0, 16, 16)


def compact() -> Image:
    model = random_model(RNG(1), 4, 6, 2, 1, 2, 8, 12)
    return compile_model(model, design_for(model, 4, 2, compact=True, pieces=2))


def with_head() -> Image:
    model = random_model(RNG(4), 7, 6, 4, 1, 1, 8, 12, head=3)
    return compile_model(model, design_for(model, 8, 4, head=True), head=True)


def with_layers() -> Image:
    model = random_model(RNG(4), 7, 6, 4, 1, 1, 8, 12, head=3, hidden=(9, 5))
    return compile_model(model, design_for(model, 8, 4, head=True), head=True)


def with_dense_head() -> Image:
    model = random_model(RNG(4), 7, 6, 4, 1, 1, 8, 12, head=13)
    return compile_model(model, design_for(model, 8, 4, head=True, dense=True), head=True)


def compiled(model: Model, pes: int, lanes: int, **options: Any) -> Image:
    return compile_model(model, design_for(model, pes, lanes, **options))


IMAGES = {
    "one": compiled(ONE, 8, 4),
    "merged banks, contexts": compiled(ONE, 8, 2, contexts=3),
    "idle PEs": compiled(ONE, 20, 2, units=2),
    "lanes of two places": compiled(ONE, 32, 2, units=4, contexts=5),
    "stacked, projected": compiled(TWO, 8, 2),
    "three reaches": compiled(FAR, 8, 2),
    "two directions": compiled(BOTH, 4, 2),
    "compact, in pieces": compact(),
    "head": with_head(),
    "head without indices": with_dense_head(),
    "head of three layers": with_layers(),
}


def test_parity_and_what_a_walk_is_told() -> None:
    model = random_model(RNG(4), 7, 6, 4, 1, 1, 8, 12, head=3)
    made = [
        compile_model(model, design_for(model, 8, 4, head=True, **options), head=True)
        for options in ({}, {"checked": True, "walk": True})
    ]
    plain_words, checked = (image.memories for image in made)
    for name, words in plain_words.items():
        width = made[0].width(name)
        assert checked[name] == [WRITER["even"](word, width) for word in words]
    spaces = ("program", "bias", "linear", "matrix")
    names = [[name for name in plain_words if name.startswith(space)] for space in spaces]
    told = WRITER["walk_words"](
        [[checked[name] for name in mine] for mine in names],
        [made[1].width(mine[0]) for mine in names],
    )
    packet = [8 << 28, 2, *told]
    end = [*WRITER["sealed"](packet), *WRITER["sealed"]([4 << 28 | made[1].parts[0].entry])]
    assert made[1].load_words()[-len(end) :] == end


@pytest.fixture(params=list(IMAGES))
def image(request: pytest.FixtureRequest) -> Image:
    return IMAGES[request.param]


def plain(design: Design) -> dict[str, Any]:
    return asdict(design)


def entries(matrix: Csb) -> Any:
    """Value and index of each row, group and lane."""
    return [
        [
            [(int(v), int(i)) for v, i in zip(*group, strict=True)]
            for group in zip(*row, strict=True)
        ]
        for row in zip(matrix.values, matrix.indices, strict=True)
    ]


def test_fields_of_instructions_have_the_widths_of_the_page(image: Image) -> None:
    written = WRITER["fields"](plain(image.design))
    fields = instruction_fields(image.design)
    assert written == [(f.name, f.width, f.count or 1) for f in fields]
    assert sum(width * count for _, width, count in written) == instruction_bits(image.design)


def test_the_program(image: Image) -> None:
    instructions = [vars(now) for now in image.program]
    assert WRITER["program"](instructions, plain(image.design)) == image.memories["program"]


def test_matrices_lie_as_the_page_says(image: Image) -> None:
    found, design = 0, plain(image.design)
    for number, part in enumerate(image.parts):
        for given in part.whole:
            gates = 1 if given.sink == Sink.PROJECT else 4
            width = given.placement.bank_width
            matrix = entries(image.matrix(number, given))
            at = given.instruction.matrix
            assert not (image.design.indexed and given.matrix == HEAD) or at == image.design.indexed
            kinds = {"matrix": 0, "index": 1} if image.design.indexed else {"matrix": None}
            for kind, only in kinds.items():
                if kind == "index" and given.matrix == HEAD:
                    continue
                words = WRITER["matrix_words"](matrix, gates, width, design | {"only": only})
                for pe, mine in enumerate(words):
                    assert image.memories[f"{kind}_{pe:03d}"][at : at + len(mine)] == mine
                    found += len(mine)
    kept = (w for name, w in image.memories.items() if name.startswith(("matrix", "index")))
    assert found == sum(map(len, kept))


@pytest.mark.parametrize("value_bits", [8, 16])
def test_a_stream_of_a_linear_layer_lies_as_the_page_says(value_bits: int) -> None:
    model = random_model(RNG(4), 7, 6, 4, 1, 1, value_bits, 12, head=25)
    design = design_for(model, 8, 2, head=True, streamed=True, dense=True)
    image = compile_model(model, design, head=True)
    (head,) = (given for given in image.parts[0].whole if given.matrix == HEAD)
    rows, values = head.placement.rows, image.matrix(0, head).values
    for pe in range(design.pes):
        mine = [g for row in rows[:, pe] for g in (values[row] if row >= 0 else 0 * values[0])]
        words = WRITER["packed_words"]([g.tolist() for g in mine], plain(design))
        assert image.part_words()[-len(words) :, pe].tolist() == words
    assert len(image.part_words()) == design.indexed + len(words)
    assert len(words) < len(mine)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_linear_layer_of_few_bits_lies_as_the_page_says(streamed: bool) -> None:
    model = random_model(RNG(4), 7, 6, 4, 1, 1, 16, 12, head=25)
    assert model.head is not None
    weight = round_rows(model.head.weight >> np.arange(25)[:, None] % 16, 5)
    model = replace(model, head=replace(model.head, weight=weight, row_bits=5))
    design = design_for(model, 8, 2, head=True, streamed=streamed, dense=True)
    image = compile_model(model, design, head=True)
    (head,) = (given for given in image.parts[0].whole if given.matrix == HEAD)
    assert model.head is not None
    assert design.row_bits == 5
    shifts = model.head.row_shifts
    few = image.matrix(0, head).values
    np.testing.assert_array_equal(few.reshape(25, -1).sum(1) << shifts, weight.sum(1))
    for pe in range(design.pes):
        rows = head.placement.rows[:, pe]
        mine = [g.tolist() for row in rows for g in (few[row] if row >= 0 else 0 * few[0])]
        words = WRITER["row_words"](mine, plain(design))
        found = (
            image.part_words()[:, pe].tolist() if streamed else image.memories[f"matrix_{pe:03d}"]
        )
        assert found[design.indexed :] == words
    width = head.placement.bank_width
    lists = (model.head.bias.tolist(), shifts.tolist())
    bias, above = (WRITER["linear_words"](each, width, plain(design)) for each in lists)
    for lane, both in enumerate(zip(bias, above, strict=True)):
        joined = [low | high << design.acc_bits for low, high in zip(*both, strict=True)]
        assert image.memories[f"linear_{lane:03d}"] == joined


def test_biases_lie_as_the_page_says(image: Image) -> None:
    parts = 4 if image.design.compact else 1
    for number, part in enumerate(image.parts):
        for given in part.whole:
            bias = image.bias(number, given)
            if bias is None or given.sink == Sink.PROJECT:
                continue
            width = given.placement.bank_width
            words = WRITER["bias_words"](bias.tolist(), width, plain(image.design))
            at = given.instruction.bias * parts
            for lane, mine in enumerate(words):
                assert image.memories[f"bias_{lane:03d}"][at : at + len(mine)] == mine


def test_load_packets(image: Image) -> None:
    words: list[int] = []
    for name, contents in image.memories.items():
        space, _, target = name.partition("_")
        words += WRITER["load_packet"](space, int(target or 0), 0, contents, image.width(name))
    assert [*words, WRITER["header"]("start", 0, image.parts[0].entry)] == image.load_words()


def test_frames_of_one_direction() -> None:
    names = ("one", "merged banks, contexts", "stacked, projected", "lanes of two places")
    for name in (*names, "compact, in pieces"):
        image = IMAGES[name]
        (frames,) = random_frames(RNG(3), image.model, [3])
        (packet,) = frame_packets(Stimulus.of(image, [frames]), 32)
        assert WRITER["frame_packet"](frames.tolist(), 1, 0, plain(image.design)) == packet


NAMES = ["one", "merged banks, contexts", "compact, in pieces", "head", "lanes of two places"]


@pytest.mark.parametrize("name", NAMES)
def test_states_that_leave(name: str) -> None:
    image = IMAGES[name]
    design = image.design
    (emission, *_) = image.parts[0].emissions
    assert emission.kind == "states"
    assert isinstance(emission.placement, Placement)
    size, width = emission.placement.size, emission.placement.bank_width
    h = RNG(4).integers(design.gate.min, design.gate.max + 1, size)
    c = RNG(5).integers(design.state.min, design.state.max + 1, size)
    payloads = state_payloads(design, emission, {"h": h, "c": c})
    words = [state_packing(design, 32).pack(payload) for payload in payloads]
    assert WRITER["state_beats"](h.tolist(), c.tolist(), width, plain(design)) == words


def test_streams_that_share_the_words() -> None:
    options: dict[str, Any] = {"streamed": True, "batched": True, "contexts": 3}
    image = compiled(TWO, 8, 2, **options)
    design, d = image.design, plain(image.design)
    named = [(field.name, field.width, field.count or 1) for field in instruction_fields(design)]
    assert WRITER["fields"](d) == named
    frames = random_frames(RNG(3), image.model, [2, 1, 1])
    packets = [
        WRITER["frame_packet"](given.tolist(), first, context, d, closes)
        for given, first, context, closes in (
            *((frames[0][:1], 1, 0, 0), (frames[1], 1, 1, 0), (frames[2], 1, 2, 1)),
            (frames[0][1:], 0, 0, 1),  # two streams have ended
        )
    ]
    assert frame_packets(Stimulus.of(image, frames, contexts=3), 32) == packets
    (emission, *_) = image.parts[0].emissions
    assert isinstance(emission.placement, Placement)
    h, c = (RNG(n).integers(-9, 9, emission.placement.size) for n in (4, 5))
    payloads = state_payloads(design, emission, {"h": h, "c": c}, stream=2)
    words = [state_packing(design, 32).pack(payload) for payload in payloads]
    width = emission.placement.bank_width
    assert WRITER["state_beats"](h.tolist(), c.tolist(), width, d, 2) == words


def test_biases_of_a_linear_layer() -> None:
    image = IMAGES["head"]
    (given,) = (p for p in image.parts[0].whole if p.matrix == HEAD)
    bias = image.bias(0, given)
    assert bias is not None
    words = WRITER["linear_words"](bias.tolist(), given.placement.bank_width, plain(image.design))
    at = given.instruction.bias
    for lane, mine in enumerate(words):
        assert image.memories[f"linear_{lane:03d}"][at : at + len(mine)] == mine


@pytest.mark.parametrize("seed", range(20))
def test_frames_of_the_link(seed: int) -> None:
    rng = RNG(seed)
    words = tuple(int(w) for w in rng.integers(0, 1 << 32, 5))
    sequence, argument = int(rng.integers(256)), int(rng.integers(1 << 16))
    request = Request(sequence, Command.WRITE, 5, argument, words)
    assert WRITER["link_request"](sequence, 2, 5, argument, words) == enframe(request.encode())
    body = bytes(rng.integers(0x7C, 0x80, 30, np.uint8))
    assert WRITER["link_frame"](body) == enframe(body)
    assert check_sequence(b"123456789") == 0x906E


def page() -> str:
    text = (Path(__file__).parents[2] / "docs" / "spec_wire.md").read_text()
    return re.sub(r"\s+", " ", text)


def test_the_page_has_the_numbers_of_the_code() -> None:
    text = page()
    assert ", ".join(f"{int(s)} {s.name.lower()}" for s in Space) in text
    assert ", ".join(f"{int(op)} {op.name}" for op in Op) in text
    assert ", ".join(f"{int(frame)} {frame.name.lower()}" for frame in Frame) in text
    assert ", ".join(f"{int(sink)} {sink.name.lower()}" for sink in Sink) in text
    assert [place.name for place in Place] == ["FIXED", "FRAME", "OLD", "NEW"]
    assert f"`0x{PACKET_MAGIC:X}`" in text
    assert PACKET.encode(magic=PACKET_MAGIC, first=1, context=5) == 0xF5010005


def test_the_page_names_the_fields_in_their_order() -> None:
    text = page()
    table = text[text.index("| field | bits |") : text.index("`source_kind` and `target_kind`:")]
    named = [n for row in table.split(" | ")[2::1] for n in re.findall(r"`(\w+)`", row)]
    fields = [field.name for field in instruction_fields(IMAGES["one"].design)]
    assert list(dict.fromkeys(n for n in named if n in fields)) == fields


@pytest.mark.parametrize("name", list(IMAGES))
def test_the_sizes_of_memories(name: str) -> None:
    design = IMAGES[name].design
    d, parts = plain(design), 8 if design.compact else 1
    state, quarter = d["act_bits"] + 2, 4 if design.compact else 1
    size = sum(width * count for _, width, count in WRITER["fields"](d))
    contexts = d["contexts"]
    cells = d["cells"] if contexts == 1 else contexts << WRITER["bits"](d["cells"])
    entry = d["lanes"] * (d["value_bits"] + d["index_bits"])
    apart = {Space.INDEX: d["lanes"] * d["index_bits"]} if d["indexed"] else {}
    assert space_widths(design) == apart | {
        Space.MATRIX: d["lanes"] * d["value_bits"] if apart else -(-entry // d["pieces"]),
        Space.BIAS: 4 * state // quarter,
        Space.PROGRAM: -(-size // parts),
        Space.LINEAR: WRITER["accumulator"](d),
        Space.VECTOR: d["lanes"] * d["act_bits"],
        Space.CELL: state,
    }
    assert space_depths(design) == dict.fromkeys(apart, d["indexed"]) | {
        Space.MATRIX: d["matrix_depth"] * d["pieces"],
        Space.BIAS: d["cells"] * quarter,
        Space.PROGRAM: d["program_depth"] * parts,
        Space.LINEAR: d["linear"],
        Space.VECTOR: d["vector_depth"],
        Space.CELL: cells,
    }
    assert space_targets(design)[Space.MATRIX] == d["pes"]


def test_frames_of_two_directions() -> None:
    image = IMAGES["two directions"]
    (frames,) = random_frames(RNG(3), image.model, [3])
    (packet,) = frame_packets(Stimulus.of(image, [frames]), 32)
    d = plain(image.design)
    width = -(-frames.shape[1] // d["lanes"])
    start = max(1 << (width - 1).bit_length(), max(1, d["projectors"] // d["lanes"]))
    words = [0xF5 << 24 | 1 << 16]
    for forward, back in zip(frames.tolist(), frames[::-1].tolist(), strict=True):
        parts = [WRITER["frame_packet"]([part], 0, 0, d)[1:] for part in (forward, back)]
        beat = len(parts[0]) // width
        words += parts[0] + [0] * beat * (start - width) + parts[1]
    assert words == packet
