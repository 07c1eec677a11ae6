"""The one write port of the vectors: results, loaded words, input frames."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from compiler.array.design import Design

from ..frames import FrameLoader
from ..layouts import vector_write_layout
from ..loader import Loader

__all__ = ["vector_write", "write_back"]


def vector_write(design: Design) -> data.View:
    """A register of :func:`vector_write_layout`; a reset clears its enables alone."""
    layout = vector_write_layout(design)
    enables = design.lanes * design.write_ports
    rest = Signal(layout.size - enables, name="write", reset_less=True)
    return data.View(layout, Cat(Signal(enables, name="write_en"), rest))


def write_back(
    m: Module,
    design: Design,
    loader: Loader,
    frames: FrameLoader,
    homes: list[tuple[data.View, list[Signal]]],
    write: data.View,
) -> Signal:
    """Who writes the vectors in a cycle.

    Parameters
    ----------
    m : Module
        Of the core.
    design : Design
    loader : Loader
    frames : FrameLoader
        Waits while anyone else writes.
    homes : list of (View, list of Signal)
        Where the beats of the lanes go and what they are, and those of the projectors, if any.
    write : View
        :func:`~hdl.core.layouts.vector_write_layout`, a register.

    Returns
    -------
    Signal
        Two wrote at once; sticky until a start.
    """
    writing = [home.valid & home.write for home, _ in homes]
    loading, collision = loader.vector_en, Signal()
    m.d.comb += frames.blocked.eq(Cat(*writing).any() | loading)
    with m.If(writing[0]):
        _put(m, design, write, *homes[0])
    with m.Elif(writing[1] if len(writing) > 1 else 0):
        _put(m, design, write, *homes[-1])
    with m.Elif(loading):
        _put_all(m, design, write, loader.write_addr, loader.write_data)
    with m.Else():  # whether there is a frame's beat is known late: the enables alone hang on it
        covered, places = design.frame_ports, Value.cast(frames.write_data)
        if design.checked:
            places = Cat(_evened(design, element) for element in frames.write_data)
        _put_all(m, design, write, frames.write_addr, places, covered)
        with m.If(~frames.write_en):
            m.d.sync += write.en.eq(0)
    if len(writing) > 1:
        with m.If(writing[0] & writing[1]):
            m.d.sync += collision.eq(1)
    with m.If(loader.start):
        m.d.sync += collision.eq(0)
    return collision


def _put(
    m: Module, design: Design, write: data.View, home: data.View, values: list[Signal]
) -> None:
    """Write a beat of results: part of a place, a whole one, or several."""
    lanes, ports, beat = design.lanes, design.write_ports, len(values)
    m.d.sync += write.row.eq(home.place >> _log2(ports))
    covered = max(1, beat // lanes)  # places of a beat
    for port in range(ports):
        first = port - port % covered
        all_of = beat > lanes and covered == ports
        here = 1 if all_of else (home.place & (ports - covered)) == first
        for bank in range(lanes):
            at = port * lanes + bank
            turn, lane = divmod(port % covered * lanes + bank, beat)
            m.d.sync += [
                write.en[at].eq(here & (home.turn == turn)),
                write.data[at].eq(_evened(design, values[lane])),
            ]


def _put_all(
    m: Module, design: Design, write: data.View, place: Value, values: Value, covered: int = 1
) -> None:
    """Write ``covered`` places of all banks."""
    ports = design.write_ports
    size = write.data.shape().size // ports * covered
    m.d.sync += [
        write.row.eq(place >> _log2(ports)),
        write.data.eq(Cat(*[Value.cast(values)[:size]] * (ports // covered))),
    ]
    for port in range(ports):
        every = (1 << design.lanes) - 1
        here = (place & (ports - covered)) == port - port % covered
        m.d.sync += write.en.word_select(port, design.lanes).eq(Mux(here, every, 0))


def _evened(design: Design, element: Value) -> Value:
    """An element of a vector, with its parity where it has one."""
    return Cat(element, Value.cast(element).xor()) if design.checked else element


def _log2(ports: int) -> int:
    """Bits that tell powers of two apart."""
    return (ports - 1).bit_length()
