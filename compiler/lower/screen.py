"""Memories of a screen unit: a head's planes, norms and biases as the unit reads them.

A word of lanes holds the fields of as many columns, the first column lowest; behind the last column
fields are 0. The lowest digits of a weight are stored as what the middle of its cell leaves,
``W = c * 2**unit + low``, so that lanes multiply and never shift: the sum of a row is
``(sum(c h) * 2**up + sum(low h) * 2**down) / 2``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csb_format.fixed import IntArray
from csb_format.screening.bounds import lift_of, second_shift
from csb_format.screening.layer import ScreenedLayer
from csb_format.screening.planes import Bytes, Cells
from csb_format.words import join_fields

from ..array.screen.bus import Field, PlaneLayout
from ..array.screen.design import ScreenDesign

__all__ = [
    "MEMORIES",
    "NAMES",
    "SECOND_FIELDS",
    "ScreenImage",
    "check_fits",
    "kept_here",
    "low_digits",
    "plane_bytes",
    "screen_depths",
    "screen_image",
    "screen_widths",
]

#: Bits of what is stored of a row for its second bound, the lowest field first.
SECOND_FIELDS = {"prior": 12, "norm": 16, "up": 4, "reach": 4, "down": 4, "fold": 2}


#: Of load packets: by kind of memory those that it has, whose words have the same chunks.
MEMORIES: dict[str, tuple[str, ...]] = {
    "screen": ("marks", "second", "whole", "blocks"),
    "digits": ("first",),
    "middle": ("middle",),
    "low": ("low",),
}
NAMES = tuple(name for names in MEMORIES.values() for name in names)
#: Those of a unit whose planes lie outside.
_FEW: dict[str, tuple[str, ...]] = {"screen": ("blocks",)}


@dataclass(frozen=True, eq=False)
class ScreenImage:
    """Contents of a screen unit.

    Parameters
    ----------
    design : ScreenDesign
    layer : ScreenedLayer
    memories : dict
        Words of ``blocks``, ``first``, ``marks``, ``middle``, ``second``, ``low`` and ``whole``.
    """

    design: ScreenDesign
    layer: ScreenedLayer
    memories: dict[str, list[int]]


def kept_here(design: ScreenDesign) -> dict[str, tuple[str, ...]]:
    """Memories on the chip, by kind: :data:`MEMORIES`, or with planes outside the blocks alone."""
    return _FEW if design.bus_bits else MEMORIES


def screen_widths(design: ScreenDesign) -> dict[str, int]:
    """Bits of a word of each memory."""
    return {
        "blocks": 32,
        "first": 2 * design.digits,
        "marks": 32,
        "middle": 5 * design.lanes,
        "second": design.second_bits,
        "low": design.low_bits * design.lanes,
        "whole": design.logit_bits + design.row_bits,
    }


def screen_image(
    design: ScreenDesign, layer: ScreenedLayer, order: IntArray | None = None
) -> ScreenImage:
    """Write a head into memories.

    Parameters
    ----------
    design : ScreenDesign
    layer : ScreenedLayer
    order : int64 array (places,), optional
        Which column comes at each place of a hidden state, -1 for none; by default as they are.

    Raises
    ------
    ValueError
        If the unit was made for another head: other sizes, or shifts, or narrower numbers.
    """
    check_fits(design, layer)
    cells, stored = layer.rows.cells, layer.stored
    first, middle = _signs(cells, stored), _middle(cells, stored)
    places = np.arange(layer.input_size) if order is None else order
    parts, words = layer.parts(), {}
    words["blocks"] = _numbers(parts.blocks)
    words["first"] = _lanes(first, places, 2, design.digits)
    words["marks"] = _numbers(parts.first)
    words["middle"] = _lanes(first | middle << 2, places, 5, design.lanes)
    words["second"] = _second(layer)
    low = low_digits(cells, stored) & ((1 << design.low_bits) - 1)
    words["low"] = _lanes(low, places, design.low_bits, design.lanes)
    words["whole"] = _whole(design, layer)
    return ScreenImage(design, layer, words)


def plane_bytes(image: ScreenImage, bits: int) -> bytes:
    """The planes of a unit's memories as they lie in a memory outside.

    Parameters
    ----------
    image : ScreenImage
    bits : int
        Of a beat of the bus.

    Returns
    -------
    bytes
        Both tables of :class:`~compiler.array.screen.bus.PlaneLayout`, what lies between 0.
    """
    layout, words, design = PlaneLayout(image.design, bits), image.memories, image.design
    octets = bytearray(layout.length)
    first, row_bytes = layout.strides
    for row in range(design.rows):
        signs = words["first"][row * design.groups :][: design.groups]
        given = {"marks": [words["marks"][row]], "signs": signs}
        _put(octets, row * first, layout.first, given)
        refined = {name: [words[name][row]] for name in ("second", "whole")}
        for name in ("middle", "low"):
            refined[name] = words[name][row * design.words : (row + 1) * design.words]
        _put(octets, layout.offset + row * row_bytes, layout.refined, refined)
    return bytes(octets)


def _put(octets: bytearray, at: int, fields: dict[str, Field], words: dict[str, list[int]]) -> None:
    """Write a row: the words of each field side by side, as far as places go."""
    value = end = 0
    for name, field in fields.items():
        joined = sum(word << n * field.word for n, word in enumerate(words[name]))
        value |= (joined & ((1 << field.bits) - 1)) << field.start
        end = max(end, field.end)
    size = -(-end // 8)
    octets[at : at + size] = value.to_bytes(size, "little")


def low_digits(cells: Cells, weight: IntArray) -> IntArray:
    """What the middles of weights' cells leave: twice of it where cells are one weight wide.

    Parameters
    ----------
    cells : Cells
    weight : int64 array (O, H)
        In the order of the rows.
    """
    moved = weight >> cells.shift[:, None]
    up = (cells.width - 5 - cells.fold)[:, None]
    doubled = 2 * moved - (cells.second(weight) << up)
    return np.asarray(np.where(up > 0, doubled >> 1, doubled))


def check_fits(design: ScreenDesign, layer: ScreenedLayer) -> None:
    """Raise a ``ValueError`` unless a unit holds a head: its sizes, shifts and widths."""
    wanted = ScreenDesign.of(
        layer, top=design.top, digits=design.digits, lanes=design.lanes, elements=design.elements
    )
    for name in ("rows", "columns", "prior_shift", "far_shift", "norm_shift", "typical"):
        if getattr(design, name) != getattr(wanted, name):
            raise ValueError(
                f"{name} {getattr(wanted, name)} of a head for a screen unit with "
                f"{getattr(design, name)}: make a unit for this head"
            )
    for name in ("low_bits", "logit_bits", "bound_bits", "act_bits"):
        if getattr(design, name) < getattr(wanted, name):
            raise ValueError(
                f"{name} {getattr(design, name)} of a screen unit: this head takes "
                f"{getattr(wanted, name)}"
            )


def _signs(cells: Cells, weight: IntArray) -> IntArray:
    """Signs and sizes: bit 1 below 0, bit 0 large, or not large if below 0."""
    digits = cells.first(weight)
    below, large = digits < 0, abs(digits) == 3
    return np.asarray(2 * below + (large ^ below), np.int64)


def _middle(cells: Cells, weight: IntArray) -> IntArray:
    """The three bits of the second plane, of the middles that they stand for."""
    middle, fold = abs(cells.second(weight)), cells.fold[:, None]
    coarse = (abs(cells.first(weight)) == 3) & (fold > 0)
    return np.asarray(np.where(coarse, middle >> (2 + fold), middle >> 1) & 7)


def _second(layer: ScreenedLayer) -> list[int]:
    rows, cells = layer.rows, layer.rows.cells
    up = cells.unit + 1
    down = cells.shift + (cells.width - 5 - cells.fold > 0)
    reach = second_shift(cells, lift_of(layer.input_size))
    fields = np.stack([rows.prior & 0xFFF, rows.second, up, reach, down, cells.fold], axis=-1)
    return [int(word) for word in join_fields(fields, list(SECOND_FIELDS.values()))]


def _whole(design: ScreenDesign, layer: ScreenedLayer) -> list[int]:
    mask = (1 << design.logit_bits) - 1
    pairs = zip(layer.bias[layer.order].tolist(), layer.order.tolist(), strict=True)
    return [bias & mask | output << design.logit_bits for bias, output in pairs]


def _lanes(fields: IntArray, places: IntArray, bits: int, lanes: int) -> list[int]:
    """Fields of rows (O, H) as words of so many lanes, the words of a row side by side."""
    rows, words = len(fields), -(-len(places) // lanes)
    padded = np.zeros((rows, words * lanes), np.int64)
    padded[:, : len(places)][:, places >= 0] = fields[:, places[places >= 0]]
    size = -(-bits * lanes // 8)
    single = (padded.reshape(-1, lanes, 1) >> np.arange(bits)) & 1
    packed = np.packbits(single.astype(np.uint8).reshape(-1, bits * lanes), 1, bitorder="little")
    flat = packed.tobytes()
    return [int.from_bytes(flat[at : at + size], "little") for at in range(0, len(flat), size)]


def _numbers(octets: Bytes) -> list[int]:
    return [int(word) for word in octets.astype(np.int64) @ (1 << 8 * np.arange(4))]


def screen_depths(design: ScreenDesign) -> dict[str, int]:
    """Words of each memory."""
    rows = design.rows
    return {
        "blocks": design.blocks,
        "first": rows * design.groups,
        "marks": rows,
        "middle": rows * design.words,
        "second": rows,
        "low": rows * design.words,
        "whole": rows,
    }
