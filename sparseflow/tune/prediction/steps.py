"""Time of a step on a processor: the kernel that each layer gets, then a sum of terms.

As nn-Meter (Zhang et al., MobiSys 2021) adds up fused kernels: which one a layer gets, and how
its sums are added up, is not guessed but asked of the library; what each of its terms takes is
fitted to times of a machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.model import Model
from engine.native.model import LayerPlan, NativeModel

__all__ = ["PARTS", "Step", "Timed", "by_multiplications", "errors", "fitted", "left_out", "parse",
           "terms"]  # fmt: skip

Floats = npt.NDArray[np.float64]
BLOCK, ROWS = 16, 64  # units of a block of gates, and rows of one of a projection
PARTS = ((1, 0.5), (1, 1.0), (2, 0.5), (2, 0.75), (2, 1.0))
"""Of the two nearest caches: shares beyond which the weights of a step are counted."""
ALL, LAYER = "a step", "a layer"
ALIKE, LIKE = 0.01, 1.0
"""Pulls towards another machine, in squared relative errors: of groups of terms, then of each."""
GROUPS = ("block", "entries", "windows", "columns", "bytes beyond", "weights", "a ")
"""Words in the names of terms that one machine does faster than another, or slower, together."""
TAIL = 0.1  # of the times below an interval, and above


@dataclass(frozen=True)
class Timed:
    """A network and the time of its step.

    Parameters
    ----------
    terms : mapping of str to float
        What it is made of; see :func:`terms`.
    microseconds : float
        The fastest of many steps in several turns.
    multiplications : int
        Of weights that are kept: what one would count without a model.
    """

    terms: Mapping[str, float]
    microseconds: float
    multiplications: int


@dataclass(frozen=True)
class Step:
    """What a term takes on a processor.

    Parameters
    ----------
    microseconds : mapping of str to float
        By term.
    models : int
        They were fitted to.
    low, high : float
        Times over predictions, of 8 of 10 networks that are left out in turn.
    rate : float
        Microseconds of a multiplication, where they are all that is counted: a baseline.
    """

    microseconds: Mapping[str, float]
    models: int
    low: float = 1.0
    high: float = 1.0
    rate: float = 0.0

    def predict(self, found: Mapping[str, float]) -> float:
        """Microseconds of a step; a term that no network had takes none."""
        return sum(n * self.microseconds.get(name, 0.0) for name, n in found.items())

    def unknown(self, found: Mapping[str, float]) -> list[str]:
        """Terms that no network had."""
        return [name for name in found if name not in self.microseconds]

    @property
    def plain(self) -> dict[str, Any]:
        """As :func:`parse` reads it."""
        numbers = {name: float(f"{getattr(self, name):.4g}") for name in ("low", "high", "rate")}
        each = {name: float(f"{us:.4g}") for name, us in self.microseconds.items()}
        return {"cpu": {"models": self.models, **numbers, "microseconds": each}}


def terms(native: NativeModel, model: Model, caches: Sequence[int]) -> dict[str, float]:
    """What a step of a model is made of.

    By the bytes of states and weights that a layer's products take: blocks of 16 units, by their
    cell and by how many bits sums are added up in; entries that are worked on and windows that
    are loaded, those of a width once more; columns, which are cut into digits. Of all: weights
    that are added by themselves, layers, and bytes that the nearest caches have no room for.

    Parameters
    ----------
    native : NativeModel
    model : Model
        What it runs.
    caches : sequence of int
        Bytes of the two nearest ones.
    """
    found, read = {ALL: 1.0}, 0
    for layer, plan in zip(model.shape.layers, native.layers, strict=True):
        outputs = layer.output_size if layer.weight_hr is not None else 0
        columns = layer.input_size + layer.output_size + (layer.hidden_size if outputs else 0)
        blocks = -(-layer.hidden_size // BLOCK)
        for name, count in _of_layer(plan, layer.cell, blocks, columns, outputs):
            found[name] = found.get(name, 0.0) + count
        read += plan.bytes
    for level, part in PARTS:
        beyond = max(0.0, read - part * caches[level - 1])
        found[f"bytes beyond {part:.0%} of cache {level}"] = beyond
    return found


def _of_layer(
    plan: LayerPlan, cell: str, blocks: int, columns: int, outputs: int
) -> Iterator[tuple[str, float]]:
    kind = f"{plan.state_digits} x {plan.weight_digits} bytes"
    of = f"of {plan.window}" if plan.window else "by address"
    yield LAYER, 1
    yield f"{kind}: blocks of {cell}", blocks
    yield f"{kind}: blocks, sums of {plan.sum_bits} bits", blocks
    for name, count in (("entries", plan.entries), ("windows", plan.loads)):
        yield f"{kind}: {name}", count
        yield f"{kind}: {name} {of}", count  # what they take more than others
    yield f"{kind}: columns", columns
    yield "weights added by themselves", plan.rests
    if outputs:
        yield f"{kind}: blocks of a projection", -(-outputs // ROWS)


def fitted(samples: Sequence[Timed], base: Step | None = None) -> Step:
    """What each term takes: never less than nothing, the least sum of squared relative errors.

    Parameters
    ----------
    samples : sequence of Timed
    base : Step, optional
        Of another machine: few samples then say how much slower all is, and what differs most.
    """
    names = sorted({*(name for one in samples for name in one.terms),
                    *(base.microseconds if base else ())})  # fmt: skip
    table = _table(samples, names)
    before = np.array([base.microseconds.get(n, 0.0) for n in names]) if base else None
    found, beside = _weights(table, names, before), 1 / _left(table, names, before)
    low, high = np.quantile(beside, [TAIL, 1 - TAIL], method="weibull")
    each = {name: float(us) for name, us in zip(names, found, strict=True)}
    return Step(each, len(samples), float(low), float(high), _rate(samples))


def left_out(samples: Sequence[Timed]) -> Floats:
    """How far each is off as all others predict it, relative."""
    names = sorted({name for one in samples for name in one.terms})
    found: Floats = _left(_table(samples, names), names, None) - 1
    return found


def _table(samples: Sequence[Timed], names: Sequence[str]) -> Floats:
    """Terms over times: weights that give 1 predict all."""
    return np.array([[one.terms.get(n, 0.0) / one.microseconds for n in names] for one in samples])


def _weights(table: Floats, names: Sequence[str], before: Floats | None) -> Floats:
    """Of every term; with a base its own, changed by groups first, then each by itself."""
    if before is None:
        most = table.max(axis=0)
        return _drawn(table, 1 / np.where(most > 0, most, 1), 0.0)
    said = table @ before
    all_alike = before * said.sum() / (said**2).sum()  # the least sum of squared relative errors
    of = np.array([[float(_group(name) == word) for name in names] for word in GROUPS])
    groups = _drawn(table @ (of * all_alike).T, np.ones(len(GROUPS)), ALIKE)
    return _drawn(table, all_alike * (groups @ of), LIKE)


def _group(name: str) -> str:
    return next(word for word in GROUPS if word in name)


def _drawn(table: Floats, towards: Floats, pull: float) -> Floats:
    """Weights of the least sum of squared relative errors, none negative, drawn towards some."""
    from scipy.optimize import nnls

    root = np.sqrt(pull)
    rows = np.concatenate([table * towards, root * np.eye(len(towards))])
    wanted = np.concatenate([np.ones(len(table)), np.full(len(towards), root)])
    found: Floats = nnls(rows, wanted)[0] * towards
    return found


def _left(table: Floats, names: Sequence[str], before: Floats | None) -> Floats:
    every = np.arange(len(table))
    found = [table[n] @ _weights(table[every != n], names, before) for n in every]
    # what none of the others has may be all of one
    return np.maximum(np.array(found, np.float64), 1e-9)


def errors(step: Step, samples: Sequence[Timed]) -> list[float]:
    """How far each predicted time is off, relative."""
    return [step.predict(one.terms) / one.microseconds - 1 for one in samples]


def by_multiplications(taught: Sequence[Timed], judged: Sequence[Timed]) -> list[float]:
    """The same of the baseline: so many multiplications a microsecond, whatever the shape."""
    each = _rate(taught)
    return [one.multiplications * each / one.microseconds - 1 for one in judged]


def _rate(taught: Sequence[Timed]) -> float:
    """Microseconds of a multiplication: the least sum of squared relative errors."""
    rates = np.array([one.multiplications / one.microseconds for one in taught])
    return float(rates.sum() / (rates**2).sum())


def parse(text: str, name: str) -> Step:
    """What ``predict build --board cpu`` wrote.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        found = json.loads(text)["cpu"]
        each = {str(term): float(us) for term, us in found["microseconds"].items()}
        numbers = (float(found[name]) for name in ("low", "high", "rate"))
        step = Step(each, int(found["models"]), *numbers)
        every = (*each.values(), step.low, step.high, step.rate)
        if not each or not all(np.isfinite(us) and us >= 0 for us in every):
            raise ValueError("microseconds of a term are none, negative or not finite")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{name}: no times of a processor ({type(error).__name__}: {error}); give what "
            "`predict build --board cpu` wrote"
        ) from None
    return step
