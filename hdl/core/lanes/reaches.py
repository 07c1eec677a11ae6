"""What lanes do for layers of several reaches; where a design has one it costs nothing."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, signed

from compiler.array.design import Design

from ..activation import Activation

__all__ = ["activation", "lift_of", "lifted"]


def activation(
    m: Module, design: Design, name: str, function: str, argument: Value, reach: Value | None
) -> Activation:
    """An :class:`~hdl.core.activation.Activation` of a lane, its submodule ``name``.

    Parameters
    ----------
    m : Module
    design : Design
    name, function : str
    argument : Value
        In the ``state`` format of its layer.
    reach : Value or None
        With it, which of ``design.reaches`` the layer has; None in a design of one.
    """
    tables = tuple(arithmetic.piecewise for arithmetic in design.arithmetics)
    found = Activation(tables, function, design.deep, design.shallow)
    m.submodules[name] = found
    m.d.comb += found.argument.eq(argument)
    if reach is not None:
        m.d.comb += found.reach.eq(reach)
    return found


def lift_of(design: Design) -> int:
    """Fraction bits of a gate beyond those of the cell state, of the layer with the fewest."""
    return design.gate.frac - design.arithmetics[-1].state.frac


def lifted(m: Module, design: Design, added: Value, reach: Value | None) -> Value:
    """``i * g`` where it meets ``f * c << lift_of(design)``.

    The sum then has :func:`lift_of` more fraction bits than ``gate.frac`` and the layer's
    ``state.frac`` together, whatever this is: rounding has one place, and one product is shifted.

    Parameters
    ----------
    m : Module
    design : Design
        Of an LSTM.
    added : Value
        ``i * g``, exact.
    reach : Value or None
        With it; see :func:`activation`.
    """
    if reach is None:
        return added
    first, *others = (a.state.frac - design.arithmetics[-1].state.frac for a in design.arithmetics)
    found = Signal(signed(len(added) + first), name="lifted")
    m.d.comb += found.eq(added << first)
    with m.Switch(reach):
        for number, places in enumerate(others, 1):
            with m.Case(number):
                m.d.comb += found.eq(added << places)
    return found
