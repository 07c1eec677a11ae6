"""docs/spec_wire.md, "Screen unit": its words from a file's bytes, by the page alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import save_model
from csb_format.random_models import random_model
from csb_format.screening.layer import ScreenedLayer
from tests.docs.model_reader import Ints, fields

#: Units, outputs, M, N, lanes of the unit.
CASES = {
    "padded": (13, 37, 8, 4, 3, 2),
    "narrow": (8, 20, 4, 2, 16, 1),
    "wide": (9, 50, 8, 8, 5, 1),
}
#: Space and memory of a header, as the page has them.
PLACES = {
    "marks": (11, 0), "second": (11, 1), "whole": (11, 2), "blocks": (11, 3), "first": (12, 0),
    "middle": (13, 0), "low": (14, 0),
}  # fmt: skip


def join(values: Sequence[int], bits: int) -> int:
    return sum((int(value) & (1 << bits) - 1) << n * bits for n, value in enumerate(values))


def image(case: str, value_bits: int) -> Image:
    hidden, outputs, pes, lanes, digits, refined = CASES[case]
    rng = np.random.default_rng(7)
    model = random_model(rng, 6, hidden, lanes, 1, 1, value_bits=value_bits, head=outputs)
    assert model.head is not None
    model = replace(model, head=ScreenedLayer.of(model.head))
    units = design_for(model, pes, lanes, largest=0).units
    sizes: dict[str, Any] = {"screen_digits": digits, "screen_lanes": refined * units}
    return compile_model(model, design_for(model, pes, lanes, largest=3, **sizes))


def tensors_of(made: Image, path: Path) -> dict[str, Any]:
    save_model(path, made.model)
    with safetensors.safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def numbers(tensor: Any) -> Ints:
    return np.asarray(tensor.astype(np.int64) @ (256 ** np.arange(4)))


def words_of(made: Image, tensors: dict[str, Any]) -> Iterator[tuple[str, list[int]]]:
    """The page's table, row by row."""
    screen, lanes = made.design.screen, made.design.lanes
    assert screen is not None
    second, order = numbers(tensors["head.second"]), numbers(tensors["head.order"])
    first = numbers(tensors["head.first"])
    columns, rest_bits = screen.columns, made.model.head.bits - 5  # type: ignore[union-attr]
    p, m = (fields(tensors[f"head.planes.{n}"], 2 + n, columns) for n in (0, 1))
    rest = fields(tensors["head.planes.2"], rest_bits, columns) if rest_bits else 0 * m
    w, z, f = (second >> 16 & 15) + 1, second >> 20 & 15, second >> 24
    q = next(n for n in range(20) if 4**n >= columns)
    yield "marks", first.tolist()
    yield "blocks", numbers(tensors["head.blocks"]).tolist()
    bias, bits = tensors["head.bias"], screen.logit_bits
    yield "whole", [int(bias[n]) & (1 << bits) - 1 | int(n) << bits for n in order]
    t = np.maximum(w + z + q - 11, 0)
    rows = zip(first & 0xFFF, second & 0xFFFF, w - 5 - f + z, t, z + (w != 5 + f), f, strict=True)
    yield (
        "second",
        [
            int(a) | int(b) << 12 | int(c) << 28 | int(d) << 32 | int(e) << 36 | int(g) << 40
            for a, b, c, d, e, g in rows
        ],
    )
    low = low_digits(p, m, rest, w[:, None], f[:, None])
    places = [
        t % lanes * screen.bank_width + t // lanes if t < lanes * screen.bank_width else columns
        for t in range(screen.places)
    ]
    for name, content, each, at_once in (
        ("first", p, 2, screen.digits),
        ("middle", p + 4 * m, 5, screen.lanes),
        ("low", low, screen.low_bits, screen.lanes),
    ):
        yield name, list(laid(content, places, each, at_once))


def low_digits(p: Ints, m: Ints, rest: Ints, w: Ints, f: Ints) -> Ints:
    """By the specification's table of p, m and r."""
    large, below = (p == 1) | (p == 2), p >= 2
    g = 4 * 2**f
    folded = large & (f > 0)
    size = np.where(folded, m * 2 ** (w - 4) + rest, (m + 8 * large) * 2 ** (w - 5 - f) + rest)
    middle = np.where(folded, (np.maximum(m * g, 16) + (m + 1) * g) // 2, 2 * m + 1 + 16 * large)
    v, c = np.where(below, -1 - size, size), np.where(below, -middle, middle)
    whole = np.asarray(2 * v - c)
    return np.where(w == 5 + f, whole, (2 * v - c * 2 ** (w - 5 - f)) // 2)


def laid(content: Ints, places: list[int], bits: int, at_once: int) -> Iterator[int]:
    for row in content.tolist():
        ordered = [row[place] if place < len(row) else 0 for place in places]
        ordered += [0] * (-len(ordered) % at_once)
        for n in range(0, len(ordered), at_once):
            yield join(ordered[n : n + at_once], bits)


@pytest.mark.parametrize("value_bits", [6, 16])
@pytest.mark.parametrize("case", CASES)
def test_words_are_those_of_the_page(case: str, value_bits: int, tmp_path: Path) -> None:
    made = image(case, value_bits)
    found = dict(words_of(made, tensors_of(made, tmp_path / "m")))
    assert found.keys() == PLACES.keys()
    for name, words in found.items():
        assert made.memories[f"screen_{name}"] == words, name


def test_packets_are_those_of_the_page() -> None:
    made = image("padded", 16)
    chunks: dict[int, int] = {}
    for name, (space, _) in PLACES.items():
        width = made.width(f"screen_{name}")
        chunks[space] = max(chunks.get(space, 0), -(-width // 32))
    sent = made.load_words()
    for name, (space, number) in PLACES.items():
        words = made.memories[f"screen_{name}"]
        packet = [space << 28 | number << 16, len(words)]
        for word in words:
            packet += [word >> 32 * n & 0xFFFFFFFF for n in range(chunks[space])]
        at = next(n for n in range(len(sent)) if sent[n : n + 2] == packet[:2])
        assert sent[at : at + len(packet)] == packet, name
