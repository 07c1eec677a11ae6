"""Rows of dense layers, whose weights have no indices: these are counted."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from compiler.array.design import Design
from compiler.array.latency import Latencies
from compiler.lower.load import Space

from ..controller import Controller
from ..pipeline import delayed, registered
from .memories import Memories

__all__ = ["PLACED", "from_beside", "placed_groups", "unpacked", "with_indices"]

PLACED = 2  # cycles that placing a group takes


def placed_groups(m: Module, memories: Memories, controller: Controller) -> tuple[data.View, Value]:
    """Groups that read the vector where their weights belong.

    Parameters
    ----------
    m : Module
        Of the core.
    memories : Memories
    controller : Controller

    Returns
    -------
    View
        The group that was issued ``PLACED`` cycles before. Group k of a row without indices has k
        in its base, whose low bits are 0, as those of all regions.
    Value
        As late as the words of memories: the group has no indices.
    """
    design, clear = memories.design, memories.clear
    group = registered(m, controller.group, reset=True, clear=clear)
    dense = registered(m, controller.address >= design.indexed)
    place, told = Signal(range(design.row_groups)), Signal.like(group)
    now = Mux(group.first, 0, place)
    m.d.comb += [told.eq(group), told.base.eq(group.base | Mux(dense, now, 0))]
    with m.If(group.valid):
        m.d.sync += place.eq(now + 1)
    later = delayed(m, dense, Latencies(design).issue - 1)
    return registered(m, told, reset=True, clear=clear), later


def unpacked(
    m: Module, design: Design, controller: Controller, words: list[Value], dense: Value
) -> list[Value]:
    """Words of entries from those of a stream; see :mod:`compiler.lower.packed`.

    Parameters
    ----------
    m : Module
        Of the core.
    design : Design
    controller : Controller
    words : list of Value
        Of each PE, as late as ``dense``: the group has no indices, which are weights then.
    """
    if design.row_bits:
        return _shifted_out(m, design, controller, words, dense)
    wait = Latencies(design).issue
    packed = delayed(m, controller.packed, wait, reset=True)
    taken = delayed(m, controller.group.valid & ~controller.packed, wait, reset=True)
    entry, width = design.entry_bits, design.value_bits
    found = []
    for i, word in enumerate(words):
        entries: list[Value] = []
        for n in range(design.lanes):
            value, index = word[n * entry : n * entry + width], word[n * entry + width :]
            index = index[: design.index_bits]
            bits = design.packed_words * design.index_bits
            kept = Signal(bits, name=f"kept{i}_{n}", reset_less=True)
            with m.If(taken):
                m.d.sync += kept.eq(Cat(kept, index)[design.index_bits :])
            entries += [Mux(packed, kept[:width], value), Mux(dense, 0, index)]
        found.append(Cat(*entries))
    return found


def _shifted_out(
    m: Module, design: Design, controller: Controller, words: list[Value], dense: Value
) -> list[Value]:
    """As :func:`unpacked` where weights of several groups lie side by side."""
    wait, bits = Latencies(design).issue, design.row_bits
    packed = delayed(m, controller.packed, wait, reset=True)
    valid = delayed(m, controller.group.valid, wait, reset=True)
    found = []
    for i, word in enumerate(words):
        entries: list[Value] = []
        for n in range(design.lanes):
            entry = word.word_select(n, design.entry_bits)
            kept = Signal((design.groups_per_word - 1) * bits, name=f"kept{i}_{n}", reset_less=True)
            now = Mux(packed, kept, entry)
            with m.If(valid):
                m.d.sync += kept.eq(now >> bits)
            value, index = entry[: design.value_bits], entry[design.value_bits :]
            entries += [_weight(design, now[:bits], value, dense), Mux(dense, 0, index)]
        found.append(Cat(*entries))
    return found


def _weight(design: Design, few: Value, value: Value, dense: Value) -> Value:
    """The weight of few bits where there are no indices, else that of all bits."""
    signs = [few[-1]] * (design.value_bits - design.row_bits)
    return Mux(dense, Cat(few, *signs), value)


def from_beside(
    m: Module, design: Design, controller: Controller, words: list[Value], dense: Value
) -> list[Value]:
    """Words of values from those that have the weights of several groups side by side.

    Parameters
    ----------
    m : Module
        Of the core.
    design : Design
        With ``row_bits``.
    controller : Controller
    words : list of Value
        Of each PE, as late as ``dense``: the word has several groups.
    """
    bits, groups = design.row_bits, range(design.groups_per_word)
    place = delayed(m, controller.beside, Latencies(design).issue)
    found = []
    for i, word in enumerate(words):
        values: list[Value] = []
        for n in range(design.lanes):
            entry = word.word_select(n, design.value_bits)
            few = Signal(bits, name=f"few{i}_{n}")
            m.d.comb += few.eq(Array(entry.word_select(g, bits) for g in groups)[place])
            values.append(_weight(design, few, entry, dense))
        found.append(Cat(*values))
    return found


def with_indices(
    m: Module, memories: Memories, address: Value, words: list[Value], dense: Value
) -> list[Value]:
    """Words of entries from those of values, and from memories of indices that are less deep.

    Parameters
    ----------
    m : Module
        Of the core.
    memories : Memories
    address : Value
        That ``words`` were read from.
    words : list of Value
        Of each PE.
    dense : Value
        There are no indices: they are 0.
    """
    design, found = memories.design, []
    for i, word in enumerate(words):
        m.submodules[f"index{i}"] = ram = memories.ram("index", Space.INDEX, i)
        m.d.comb += ram.read_addr.eq(address)
        index = Mux(dense, 0, ram.read_data)
        entries = (
            (word.word_select(n, design.value_bits), index.word_select(n, design.index_bits))
            for n in range(design.lanes)
        )
        found.append(Cat(*entries))
    return found
