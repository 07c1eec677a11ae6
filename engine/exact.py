"""The network on integers, compiled: bit for bit :class:`engine.reference.IntegerModel`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from csb_format import Fixed, IntArray, Model

from .exact_layer import ExactLayer, Place
from .kernels.exact_loops import inside
from .reference import Trace

__all__ = ["FastModel", "State"]


@dataclass(frozen=True)
class State:
    """What a network keeps between two steps, of B sequences.

    Parameters
    ----------
    layers : tuple of Trace
        Hidden, cell and output state of every layer, int64 arrays (B, H), (B, H), (B, R).
    """

    layers: tuple[Trace, ...]

    @property
    def output(self) -> IntArray:
        """Output of the last layer, int64 array (B, R)."""
        return self.layers[-1].output


class FastModel:
    """A whole network in compiled loops on one core.

    Sequences run one by one or up to 64 side by side, whichever their number and the size of
    a layer make faster; side by side in int16 with sums in int32 where those are exact, else
    in float32 with sums in float64. One alone takes the products of
    :class:`engine.products.IntegerProduct` where they can read all banks in registers and the
    layer is large, else int64. The first call of a process compiles (some seconds)
    or reads what an earlier one compiled: numba keeps it in ``__pycache__`` beside the
    source, or in the user's cache folder (``NUMBA_CACHE_DIR``) where that is read-only.

    Parameters
    ----------
    model : Model

    Raises
    ------
    DesignError
        If the products of a layer lie too far apart; see :class:`csb_format.scales.Scales`.
    ValueError
        If a sum could leave 64 bits.
    """

    def __init__(self, model: Model):
        self.model = model
        names = (f"layer {n}" for n in range(len(model.layers)))
        layers = [ExactLayer(layer, name) for layer, name in zip(model.layers, names, strict=True)]
        step = model.directions
        self._levels = [layers[n : n + step] for n in range(0, len(layers), step)]

    @property
    def input(self) -> Fixed:
        """Format of input frames."""
        return self.model.layers[0].input

    @property
    def bytes(self) -> int:
        """Bytes of weights and indices that a step of one sequence reads."""
        layers = (layer for level in self._levels for layer in level)
        return sum(layer.bytes for layer in layers)

    def run(self, sequences: Sequence[npt.ArrayLike]) -> list[Trace]:
        """All states of many sequences, each from a zero state.

        Parameters
        ----------
        sequences : sequence of int arrays (T_i, X)
            In the first layer's input format.

        Returns
        -------
        list of Trace
            Of the last layer, equal to those of :meth:`~engine.reference.IntegerModel.run`.

        Raises
        ------
        ValueError
            For another shape, a dtype that is not integer, or values outside the format.
        """
        if not len(sequences):
            return []
        size = self.model.layers[0].input_size
        checked = [_checked(f"sequence {n}", s, size, self.input) for n, s in enumerate(sequences)]
        ends = np.cumsum([len(s) for s in checked])
        frames = np.concatenate(checked)
        for level in self._levels:
            results = _side_by_side(level, frames, ends)
            frames = results.output
        return _cut(results, ends)

    def start(self, batch: int = 1) -> State:
        """The zero state of ``batch`` sequences.

        Raises
        ------
        ValueError
            For a bidirectional model, whose reverse layers start at the end.
        """
        if self.model.directions != 1:
            raise ValueError(
                f"the model has {self.model.directions} directions: it cannot run step by step; "
                "give whole sequences to run()"
            )
        if batch < 1:
            raise ValueError(f"batch {batch}: must be at least 1")
        return State(tuple(level[0].zeros(batch) for level in self._levels))

    def step(self, x: npt.ArrayLike, state: State) -> State:
        """One step of B sequences through all layers.

        Parameters
        ----------
        x : int array (B, X)
            In the first layer's input format.
        state : State
            Of :meth:`start` or of the step before; it is left as it is.

        Raises
        ------
        ValueError
            For another shape, a dtype that is not integer, or values outside the formats.
        """
        if len(state.layers) != len(self._levels) or self.model.directions != 1:
            raise ValueError(
                f"a state of {len(state.layers)} layers for {len(self.model.layers)} layers in "
                f"{self.model.directions} directions: take it from start() of this model"
            )
        frames = _checked("x", x, self.model.layers[0].input_size, self.input)
        new = []
        for level, old in zip(self._levels, state.layers, strict=True):
            new.append(_advance(level[0], frames, old))
            frames = new[-1].output
        return State(tuple(new))


def _advance(layer: ExactLayer, frames: IntArray, old: Trace) -> Trace:
    output = _checked(
        f"output of {layer.name}", old.output, layer.layer.output_size, layer.layer.output
    )
    cell = _checked(f"cell of {layer.name}", old.cell, layer.layer.hidden_size, layer.kept)
    if len(output) != len(frames) or len(cell) != len(frames):
        raise ValueError(
            f"x holds {len(frames)} sequences, the state of {layer.name} {len(output)}: "
            f"take it from start({len(frames)})"
        )
    return layer.step(frames, output, cell)


def _side_by_side(level: list[ExactLayer], frames: IntArray, ends: IntArray) -> Trace:
    """Results (F, D * H) and (F, D * R) of a layer, or of a forward and a reverse one."""
    first = level[0].layer
    places = [Place(), Place(True, first.hidden_size, first.output_size)]
    hidden, output = (
        sum(getattr(one.layer, name) for one in level) for name in ("hidden_size", "output_size")
    )
    results = Trace(*(np.empty((len(frames), n), np.int64) for n in (hidden, hidden, output)))
    for one, place in zip(level, places, strict=False):
        one.run(frames, ends, one.zeros(len(ends)), results, place)
    return results


def _cut(results: Trace, ends: IntArray) -> list[Trace]:
    """Traces of the sequences, views of all results."""
    parts = (np.split(a, ends[:-1]) for a in (results.hidden, results.cell, results.output))
    return [Trace(*of) for of in zip(*parts, strict=True)]


def _checked(name: str, array: npt.ArrayLike, size: int, fixed: Fixed) -> IntArray:
    """An int64 array (any, size) in C order, within a format."""
    given = np.asarray(array)
    if given.ndim != 2 or given.shape[1] != size:
        raise ValueError(f"{name} has shape {given.shape}: it must be (any number, {size})")
    if given.dtype.kind not in "iu":
        raise ValueError(f"{name} has dtype {given.dtype}: quantise it to integers first")
    wraps = given.dtype == np.uint64 and given.max(initial=0) > fixed.max
    plain = np.ascontiguousarray(given, np.int64)
    if wraps or not inside(plain, fixed.min, fixed.max):
        low, high = given.min(), given.max()
        bad = int(low) if low < fixed.min else int(high)
        raise ValueError(
            f"{name} holds {bad}: its format {fixed} holds {fixed.min} to {fixed.max}; "
            "quantise it to this format"
        )
    return plain
