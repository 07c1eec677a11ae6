"""Slots of a round that have groups and cycles of their own; how far each row is shifted."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring

from compiler.array.design import Design
from compiler.array.program import Sink
from compiler.array.rounds import Round

from .layouts import gates_layout

__all__ = ["Turns", "aligns_of"]


class Turns:
    """Which slot of a round the controller is in, in a design with ``by_gate``.

    Parameters
    ----------
    design : Design
    now : View
        The instruction under way; see :mod:`compiler.array.program`.
    last_step : Signal
        The last cycle of a row, from 0 on: written here.

    Attributes
    ----------
    row_ends : Signal
        To be driven: the last cycle of a row.
    groups : Signal
        Of the slot.
    turn, first : Signal
        Which slot of its round it is; the round is the pass's first.
    """

    def __init__(self, design: Design, now: data.View, last_step: Signal):
        self._design, self._now, self._last_step = design, now, last_step
        self.row_ends, self.first = Signal(name="row_ends"), Signal(name="first_round")
        self.groups = Signal.like(now.turn_groups[0], name="groups")
        self.turn = Signal(range(design.turns), name="turn")

    @property
    def short(self) -> Value:
        """The round has fewer slots than others."""
        return self.first & self._now.opening.any()

    @property
    def last(self) -> Value:
        """The slot is the last of its round."""
        whole = self.turn == self._now.last_turn
        if not self._design.collects:
            return whole
        return Mux(self.short, self.turn + 1 == self._now.opening, whole)

    @property
    def block(self) -> Value:
        """Slots of the round, less 1: as many as it makes blocks ready."""
        return Mux(self.short, self._now.opening - 1, self._now.last_turn)

    def load(self, m: Module, given: data.View) -> None:
        """An instruction is loaded: its first slot is next. To be called behind :meth:`advance`."""
        m.d.sync += [self.turn.eq(0), self.first.eq(1)]
        self._enter(m, given.turn_groups[0], given.turn_intervals[0])
        if self._design.collects:
            with m.If(given.opening.any()):
                self._enter(m, given.opening_groups[0], given.opening_intervals[0])

    def advance(self, m: Module) -> None:
        """With the end of a row the next slot begins."""
        now = self._now
        with m.If(self.row_ends & self.last):
            m.d.sync += [self.turn.eq(0), self.first.eq(0)]
            self._enter(m, now.turn_groups[0], now.turn_intervals[0])
        with m.Elif(self.row_ends):
            m.d.sync += self.turn.eq(self.turn + 1)
            with m.Switch(self.turn):
                for n in range(1, self._design.turns):
                    with m.Case(n - 1):
                        self._follow(m, n)

    def _follow(self, m: Module, turn: int) -> None:
        """A slot that is not the first of its round."""
        now = self._now
        self._enter(m, now.turn_groups[turn], now.turn_intervals[turn])
        if self._design.collects and turn < self._design.turns - 1:
            with m.If(self.short):
                self._enter(m, now.opening_groups[turn], now.opening_intervals[turn])

    def _enter(self, m: Module, groups: Value, interval: Value) -> None:
        m.d.sync += [self.groups.eq(groups), self._last_step.eq(interval - 1)]

    def gates(self, m: Module) -> data.View:
        """The gates of the rows of a slot; see :class:`~compiler.array.rounds.Round`."""
        abreast = self._design.abreast
        found = Signal(gates_layout(self._design), name="gates_now")
        with m.Switch(self.block):
            for block in range(self._design.blocks):
                rows = Round(tuple(range(abreast)), abreast, block + 1)
                with m.Case(block), m.Switch(self.turn):
                    for turn, gates in enumerate(rows.gates.tolist()):
                        with m.Case(turn):
                            m.d.comb += [found[n].eq(gate) for n, gate in enumerate(gates)]
        return found


def aligns_of(
    m: Module, ports: wiring.Component, now: data.View, turns: Turns | None, row_ends: Value
) -> data.View:
    """Of the rows that a slot has of its units; and which these are, if others follow them.

    Parameters
    ----------
    m : Module
    ports : Controller
        Its ``group`` and ``update`` are told which rows they are.
    now : View
        The instruction under way.
    turns : Turns, optional
        Of a design with ``by_gate``.
    row_ends : Value
        The last cycle of a row.
    """
    design, update = ports.design, ports.update
    if design.passes > 1:
        m.d.comb += update.kind.eq(now.kind)
    if design.turns == 1:
        return now.align
    if turns:
        m.d.comb += turns.row_ends.eq(row_ends)
    aligns = Signal.like(ports.aligns, name="aligns_now")
    if design.collects:
        assert turns is not None
        return _collected(m, ports, now, turns, aligns)
    turn = turns.turn if turns else Signal.like(now.last_turn, name="turn")
    last, abreast = turn == now.last_turn, design.abreast
    if not turns:
        with m.If(row_ends):
            m.d.sync += turn.eq(Mux(last, 0, turn + 1))
        with m.If(ports.restart):
            m.d.sync += turn.eq(0)
    with m.Switch(turn):
        for n in range(design.turns):
            with m.Case(n):
                for row in range(abreast):
                    m.d.comb += aligns[row].eq(now.align[n * abreast + row])
    m.d.comb += [update.turn.eq(turn), update.ready.eq(last)]
    if design.arithmetic.apart:
        m.d.comb += [
            ports.group.apart.eq((now.sink == Sink.UNITS) & last),
            update.swapped.eq(now.swapped),
        ]
    return aligns


def _collected(
    m: Module, ports: wiring.Component, now: data.View, turns: Turns, aligns: data.View
) -> data.View:
    """Of the rows of a slot, and which they are for PEs and for who takes the sums."""
    gates = turns.gates(m)
    m.d.comb += [aligns[n].eq(now.align[gates[n]]) for n in range(ports.design.abreast)]
    m.d.comb += [
        ports.gates.eq(gates),
        ports.group.ready.eq(turns.last),
        ports.update.block.eq(turns.block),
    ]
    return aligns
