"""Sums of many operands, whose signs may be flipped for nothing."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Value

from compiler.array.screen.latency import FAN_IN

from ..pipeline import registered

__all__ = ["Term", "summed", "tree"]

# A value, and one bit that is still to be added: ``~x`` and 1 are ``-x``.
Term = tuple[Value, Value]


def summed(one: Term, other: Term) -> Term:
    """Both in one adder, whose carry in takes a bit; the other bit stays."""
    whole = Cat(1, one[0]).as_signed() + Cat(one[1], other[0]).as_signed()
    return whole[1:].as_signed(), other[1]


def tree(m: Module, terms: list[Term]) -> Term:
    """The sum, ``tree_latency(len(terms), FAN_IN)`` cycles later; one sum a cycle.

    Parameters
    ----------
    m : Module
    terms : list of Term
        Values are signed.
    """
    while len(terms) > 1:
        parts = [terms[n : n + FAN_IN] for n in range(0, len(terms), FAN_IN)]
        terms = [_registered(m, _pairwise(part)) for part in parts]
    return terms[0]


def _pairwise(terms: list[Term]) -> Term:
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        odd = terms[-1:] if len(terms) % 2 else []
        terms = [summed(one, other) for one, other in pairs] + odd
    return terms[0]


def _registered(m: Module, term: Term) -> Term:
    return registered(m, term[0]), registered(m, term[1])
