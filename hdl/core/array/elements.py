"""The PEs with their matrix memories."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring

from compiler.array.design import Design
from compiler.array.latency import Latencies
from compiler.lower.load import Space

from ..controller import Controller
from ..hierarchy import Ram
from ..pe import ProcessingElement
from ..pipeline import delayed
from .bank import part_writes
from .dense import PLACED, from_beside, placed_groups, unpacked, with_indices
from .memories import Memories

__all__ = ["PE_MODULE", "elements"]

PE_MODULE = "sparseflow_pe"


def elements(
    m: Module,
    memories: Memories,
    controller: Controller,
    write: data.View,
    streamed: Value | None = None,
) -> list[wiring.Component]:
    """M PEs.

    Parameters
    ----------
    m : Module
        Of the core.
    memories : Memories
    controller : Controller
    write : View
        :func:`~hdl.core.layouts.vector_write_layout`.
    streamed : Value, optional
        Their words of the group that is issued, in a design whose matrices stream.

    Returns
    -------
    list of ProcessingElement
    """
    design, learning = memories.design, memories.learning
    issue, clear = Latencies(design).issue, memories.clear
    issued, wait, dense = controller.group, issue, None
    if learning:
        issued = learning.group(controller.group)
    if design.indexed:
        wait -= PLACED
        issued, dense = placed_groups(m, memories, controller)
    group = delayed(m, issued, wait, reset=True, clear=clear)
    aligns = delayed(m, controller.aligns, issue)
    gates = delayed(m, controller.gates, issue) if design.collects else []
    read = (
        _memory_words(m, memories, controller, dense)
        if streamed is None
        else _streamed_words(m, design, controller, streamed, dense)
    )
    if design.checked:
        for word in read:
            memories.used(word, group.valid)
    words, group = _gathered(m, memories, [memories.bare(word) for word in read], group)
    made = []
    writes = part_writes(m, design, write)
    for i in range(design.pes):
        pe = memories.hierarchy.place(PE_MODULE, lambda: ProcessingElement(design))
        m.submodules[f"pe{i}"] = pe
        m.d.comb += [
            pe.word.eq(words[i]),
            pe.group.eq(group),
            pe.group.align.eq(aligns[i % design.abreast]),
            pe.write.eq(writes),
        ]
        if design.collects:
            m.d.comb += pe.group.gate.eq(gates[i % design.abreast])
        if learning:
            learning.join(m, i, pe, words[i], memories.low_bits(i))
        made.append(pe)
    if design.checked:
        memories.changed += [pe.damaged for pe in made]
    return made


def _gathered(
    m: Module, memories: Memories, words: list[Value], group: data.View
) -> tuple[list[Value], data.View]:
    """Whole words of the PEs, and their control in the cycle of the last piece."""
    design = memories.design
    pieces, bits = design.pieces, design.piece_bits
    if pieces == 1:
        return words, group
    place, first = Signal(range(pieces)), Signal()
    whole, last = Signal.like(group), place == pieces - 1
    m.d.sync += place.eq(Mux(group.valid & ~last, place + 1, 0))
    with m.If(memories.clear):
        m.d.sync += place.eq(0)
    with m.If(place == 0):
        m.d.sync += first.eq(group.first)
    m.d.comb += [whole.eq(group), whole.valid.eq(group.valid & last), whole.first.eq(first)]
    gathered: list[Value] = []
    for n, word in enumerate(words):
        kept = Signal(bits * (pieces - 1), name=f"kept{n}", reset_less=True)
        m.d.sync += kept.eq(Cat(kept, word)[bits:])
        gathered.append(Cat(kept, word)[: design.word_bits])
    return gathered, whole


def _streamed_words(
    m: Module, design: Design, controller: Controller, words: Value, dense: Value | None
) -> list[Value]:
    """The PEs' words of a group that comes through a stream, as late as its control."""
    late = delayed(m, words, Latencies(design).issue)
    found = [late.word_select(i, design.word_bits) for i in range(design.pes)]
    return found if dense is None else unpacked(m, design, controller, found, dense)


def _memory_words(
    m: Module, memories: Memories, controller: Controller, dense: Value | None
) -> list[Value]:
    """The PEs' words of a group, from their memories, as late as its control."""
    design, learning = memories.design, memories.learning
    rams = [memories.ram("matrix", Space.MATRIX, i) for i in range(design.pes)]
    stages = Latencies(design).issue - Ram.latency - design.deep
    wanted = learning.address(controller.address) if learning else controller.address
    address = delayed(m, wanted, stages)
    if design.walk:
        m.d.comb += controller.walk.eq(memories.walk.address)
        spare = controller.spare.matrix
        memories.walks_with(Space.MATRIX, spare, Cat(ram.read_data for ram in rams))
    for i, ram in enumerate(rams):
        m.submodules[f"matrix{i}"] = ram
        m.d.comb += ram.read_addr.eq(address)
    words: list[Value] = [ram.read_data for ram in rams]
    if dense is None:
        return words
    if design.row_bits:
        words = from_beside(m, design, controller, words, dense)
    return with_indices(m, memories, address, words, dense)
