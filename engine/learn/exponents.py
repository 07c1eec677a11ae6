"""Exponents of gradients: one a tensor and time step, from earlier batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from csb_format.fixed import IntArray

from .integers import bit_length

__all__ = ["LEAST", "SPAN", "Exponents", "Seen"]

LEAST, MOST = -60, 60
#: Bits between the exponents of a tensor whose products are summed over time.
SPAN = 16
#: Bits that are left free above the largest number of the last batch, by what a tensor is.
FREE = {"d": 0, "r": 0, "h": 1, "c": 1, "v": 1, "up": 2, "head": 1}
_SUMMED = ("d", "r")


@dataclass
class Seen:
    """What a batch, or a piece of one, showed of its gradients.

    Parameters
    ----------
    bits : dict of str to int64 array (T,)
        By tensor, bits of the largest magnitude at each step from the sequences' end, before it
        was saturated and in units of the tensor's exponent.
    clipped : dict of str to int
        Numbers that were saturated.
    """

    bits: dict[str, IntArray] = field(default_factory=dict)
    clipped: dict[str, int] = field(default_factory=dict)

    def note(self, name: str, at: int, largest: int, clipped: int) -> None:
        """Add what one step of a tensor showed."""
        self._take(name, np.array([0] * at + [bit_length(largest)], np.int64), clipped)

    def note_steps(self, name: str, bits: IntArray, clipped: int) -> None:
        """Add what all steps of a tensor showed."""
        self._take(name, bits, clipped)

    def _take(self, name: str, bits: IntArray, clipped: int) -> None:
        known = self.bits.get(name)
        if known is not None and len(known) < len(bits):
            known, bits = bits, known
        if known is None:
            known = bits.copy()
        else:
            known[: len(bits)] = np.maximum(known[: len(bits)], bits)
        self.bits[name] = known
        self.clipped[name] = self.clipped.get(name, 0) + clipped

    def add(self, other: Seen) -> None:
        """Add another piece of the same batch."""
        for name, bits in other.bits.items():
            self._take(name, bits.copy(), other.clipped[name])


class Exponents:
    """Of all tensors that a training quantises: a number q stands for ``q * 2**exponent``.

    Names are ``"d.0"``: the kind, and the number of its layer or level. Steps are counted from
    the end of a sequence, in the direction of its layer.

    Parameters
    ----------
    widths : mapping of str to int
        Bits of each tensor.
    """

    def __init__(self, widths: Mapping[str, int]):
        self.widths = dict(widths)
        self.known: dict[str, IntArray] = {}

    def of(self, name: str, steps: int) -> IntArray:
        """int64 (steps,): a step that was never seen takes that of the last one that was."""
        known = self.known[name]
        if steps <= len(known):
            return known[:steps]
        return np.concatenate([known, np.full(steps - len(known), known[-1])])

    def start(self, name: str, exponents: IntArray) -> None:
        """Begin with, or add, what a first look found: the larger one counts."""
        known = self.known.get(name, np.zeros(0, np.int64))
        common = min(len(known), len(exponents))
        longer = known if len(known) > len(exponents) else exponents
        both = np.maximum(known[:common], exponents[:common])
        self.known[name] = self._bounded(name, np.concatenate([both, longer[common:]]))

    def follow(self, seen: Seen) -> int:
        """Take what a batch showed; the number of exponents that changed.

        Upwards at once, downwards one a batch: a number too large is lost, one too small costs
        a bit of it.
        """
        changed = 0
        for name, bits in seen.bits.items():
            old = self.of(name, max(len(bits), len(self.known[name])))
            new = old.copy()
            new[: len(bits)] += np.maximum(bits + (self.free(name) - self.widths[name] + 1), -1)
            self.known[name] = self._bounded(name, new)
            changed += int((self.known[name] != old).sum())
        return changed

    def free(self, name: str) -> int:
        """Bits left free of a tensor."""
        return FREE[name.partition(".")[0]]

    def _bounded(self, name: str, exponents: IntArray) -> IntArray:
        low = LEAST
        if name.partition(".")[0] in _SUMMED and len(exponents):
            low = max(low, int(exponents.max()) - SPAN)
        return np.minimum(np.maximum(exponents, low), MOST)

    def state(self) -> dict[str, IntArray]:
        """All of them, copies."""
        return {name: known.copy() for name, known in self.known.items()}

    def restore(self, state: Mapping[str, IntArray]) -> None:
        """What :meth:`state` gave."""
        self.known = {name: np.array(known, np.int64) for name, known in state.items()}
