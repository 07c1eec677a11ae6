"""What the blocks of a screen unit tell each other."""

from __future__ import annotations

from amaranth.hdl import signed
from amaranth.lib import data

from compiler.array.design import bits_for
from compiler.array.screen.design import ScreenDesign
from compiler.lower.screen import SECOND_FIELDS, kept_here, screen_depths, screen_widths

__all__ = [
    "bound_layout",
    "element_layout",
    "pair_layout",
    "query_layout",
    "second_layout",
    "write_layout",
]


def bound_layout(design: ScreenDesign) -> data.StructLayout:
    """A number of logits, whether a bound or the k-th largest; ``valid`` if it is known."""
    return data.StructLayout({"valid": 1, "value": signed(design.bound_bits)})


def write_layout(design: ScreenDesign) -> data.StructLayout:
    """A word for a memory: which by its place among :func:`compiler.lower.screen.kept_here`."""
    widths, depths = screen_widths(design), screen_depths(design)
    kept = [name for names in kept_here(design).values() for name in names]
    return data.StructLayout(
        {
            "en": len(kept),
            "address": bits_for(max(depths[name] for name in kept)),
            "word": max(widths[name] for name in kept),
        }
    )


def pair_layout(design: ScreenDesign) -> data.StructLayout:
    """An output and its logit."""
    return data.StructLayout({"index": design.row_bits, "logit": signed(design.logit_bits)})


def query_layout(design: ScreenDesign) -> data.StructLayout:
    """Numbers of a hidden state, :class:`csb_format.screening.bounds.Query`."""
    return data.StructLayout(
        {
            "shift": 4,
            "beyond": signed(max(design.norm_bits, 24) + 1),
            "first": design.reach_bits,
            "second": design.reach_bits,
        }
    )


def element_layout(design: ScreenDesign) -> data.StructLayout:
    """A beat of elements: which, as they came, or rounded to 8 bits."""
    bits = max(1, (design.beats - 1).bit_length())
    value = data.ArrayLayout(signed(design.act_bits), design.elements)
    return data.StructLayout({"valid": 1, "rounded": 1, "beat": bits, "values": value})


def second_layout() -> data.StructLayout:
    """A word of the memory ``second``."""
    return data.StructLayout(
        {name: signed(bits) if name == "prior" else bits for name, bits in SECOND_FIELDS.items()}
    )
