"""A layer forward and back in C (``engine/c/learn``): bit for bit the numpy reference."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from csb_format.cells.lstm import CellArithmetic
from csb_format.fixed import Fixed
from csb_format.model import LstmLayer, Model
from csb_format.scales import Scales

from ...native.library import NativeError, library
from ..integers import LARGEST, Move, Real
from ..network import LayerPass
from ..reference import names_of
from ..settle import Settling
from ..tape import Gradient, Piece, Signal
from ..weights import Masters
from .matrix import Array, address, aligned, matrices_of
from .structures import LayerStruct, RateStruct, TensorStruct, functions
from .tensors import Tensors

__all__ = ["LANES", "CompiledPasses", "kernels"]

#: Sequences that are worked on together.
LANES = 16
_NARROW = LARGEST.bit_length() - 1
_PROJECTION = "weight_hr"
_CELLS = ("lstm", "gru", "gru0")  # as learn.h counts them


@cache
def kernels() -> tuple[str, ...]:
    """Kernels that this processor can run, the fastest last; a missing one is empty."""
    name, found = functions(library()).kernel, list[str]()
    while (one := name(len(found))) is not None:
        found.append(one.decode())
    return tuple(found)


def kernel_number(name: str | None) -> int:
    """Of a kernel, by default the fastest.

    Raises
    ------
    NativeError
        If this processor lacks it.
    """
    there = [n for n, known in enumerate(kernels()) if known and name in (None, known)]
    if not there:
        known = ", ".join(filter(None, kernels()))
        raise NativeError(f"no kernel {name} for training here: choose one of {known}")
    return there[-1]


class CompiledPasses:
    """Makes the passes of a model's layers.

    Parameters
    ----------
    model : Model
    threads : int
        That share the work of a step.
    kernel : str, optional
        One of :func:`kernels`.
    watch : bool
        Whether what is seen of gradients is noted; without it exponents cannot follow, which
        serves measurements.
    """

    lanes = LANES

    def __init__(
        self, model: Model, threads: int = 1, kernel: str | None = None, watch: bool = True
    ):
        self.functions = functions(library())
        self.kernel, self.watch = kernel_number(kernel), watch
        step = sum(m.matrix.geometry.slots for layer in model.layers for m in layer.matrices)
        self.team = self.functions.start(threads, step * LANES)
        if self.team:
            weakref.finalize(self, self.functions.end, self.team)
        self._known: dict[int, CompiledPass] = {}

    def __call__(self, masters: Masters, n: int) -> LayerPass:
        """The pass of a layer with the weights of now."""
        layer = masters.start.layers[n]
        if n not in self._known:
            self._known[n] = CompiledPass(self, layer, n)
        self._known[n].take(masters)
        return self._known[n]

    def move(self, masters: Array, sums: Array, real: Real, by: Move) -> None:
        """As :func:`engine.learn.integers.move`."""
        rate = RateStruct(by.factor, by.place, by.bits, by.start)
        sums = np.ascontiguousarray(sums)
        self.functions.update(
            address(masters), address(sums), address(real), len(masters), ctypes.byref(rate)
        )


class CompiledPass:
    """One direction of a layer; :class:`engine.learn.reference.ReferencePass` has the words."""

    def __init__(self, made: CompiledPasses, layer: LstmLayer, n: int):
        self.made, self.layer, self.n = made, layer, n
        self._size: tuple[int, ...] = ()
        self._kept: dict[str, Array] = {}
        cell, self.right = layer.arithmetic, Scales.of(layer).shift
        self.matrices = matrices_of(layer)
        states = np.arange(cell.state.min, cell.state.max + 1)
        self.sigmoid = cell.piecewise.sigmoid(states).astype(np.int32)
        self.tanh = cell.piecewise.tanh(states).astype(np.int32)
        reads = {"weight_ih": layer.input, "weight_hh": layer.output, "weight_hn": layer.output}
        self.reads: dict[str, Fixed] = reads | {"weight_hr": layer.hidden}
        together = all(self._fits(name) for name in self.matrices if name != _PROJECTION)
        self.narrow = dict.fromkeys(self.matrices, together)
        if _PROJECTION in self.matrices:
            self.narrow[_PROJECTION] = self._fits(_PROJECTION)

    def _fits(self, name: str) -> bool:
        """Whether sums forward fit 32 bits, and shifted weights 16."""
        matrix = self.matrices[name]
        fits = matrix.width + int(matrix.left.max()) <= 16
        # both products of a gate, and the rounding
        return fits and matrix.forward_bits(self.reads[name].width) <= _NARROW - 2

    def take(self, masters: Masters) -> None:
        """The weights of now."""
        start = f"layers.{self.n}"
        for name, matrix in self.matrices.items():
            key = f"{start}.{_tensor(name)}"
            moves = key in masters.values
            matrix.take(masters.weight(key) if moves else matrix.of.values, self.narrow[name])
        key = f"{start}.bias"
        bias = masters.weight(key) if key in masters.values else self.layer.bias
        self.bias = bias.astype(np.int32)

    def forward(self, x: Signal, piece: Piece) -> Signal:
        """As :meth:`ReferencePass.forward`."""
        self.piece = piece
        self.slots = (piece.steps + 1) | 1  # odd: elements lie in different sets of a cache
        self.arrays = self._room(piece)
        self.arrays["live"] = piece.live.astype(np.int32)
        for name in ("r", "c"):
            self.arrays[name][:, 0] = 0
        self.arrays["now_r"][0] = 0
        self.arrays["x"][:, : piece.steps] = x
        self._call(self.made.functions.forward, self._struct({}, {}))
        found: Signal = self.arrays["r"][:, 1 : piece.steps + 1]
        return found

    def _room(self, piece: Piece) -> dict[str, Array]:
        """Arrays of a piece; kept for the next one of its size."""
        size = (self.slots, piece.steps, piece.lanes)
        if size == self._size:
            return self._kept
        layer, units, outputs = self.layer, self.layer.hidden_size, self.layer.output_size
        sums = len(layer.arithmetic.sums) * units
        signals = {"x": layer.input_size, "r": outputs, "gates": sums, **self._of_cell()}
        vectors = {"now_h": units, "now_d": sums}
        if layer.projection is not None:
            signals |= {"h": units, "dr": outputs}
            vectors["now_dr"] = outputs
        slots, lanes = self.slots, piece.lanes
        found = {name: aligned((n, slots, lanes), np.int16) for name, n in signals.items()}
        found |= {name: aligned((n, lanes), np.int16) for name, n in vectors.items()}
        wide = ["c", "nh"] if layer.arithmetic.apart else ["c"]
        found |= {name: aligned((units, slots, lanes), np.int32) for name in wide}
        found["now_x"] = aligned((piece.steps, layer.input_size, lanes), np.int16)
        found["now_r"] = aligned((2, outputs, lanes), np.int16)
        scratch = ["carried", "reset"] if layer.arithmetic.resets else ["carried"]
        found |= {name: aligned((units, lanes), np.int32) for name in scratch}
        widths = {"recurrent": outputs, "through": units, "below": layer.input_size}
        found |= {name: aligned((n, lanes), np.int64) for name, n in widths.items()}
        self._size, self._kept = size, found
        return found

    def _of_cell(self) -> dict[str, int]:
        """Signals of 16 bits that only some cells keep."""
        cell, units = self.layer.arithmetic, self.layer.hidden_size
        if isinstance(cell, CellArithmetic):
            return {"squashed": units}
        return {"h": units} if cell.resets else {}

    def _struct(self, tensors: dict[str, TensorStruct], wide: Mapping[str, bool]) -> LayerStruct:
        layer, cell, piece = self.layer, self.layer.arithmetic, self.piece
        found = LayerStruct(watch=self.made.watch, **tensors)
        found.cell, found.sums = _CELLS.index(cell.name), len(cell.sums)
        found.inputs, found.units, found.outputs = (
            layer.input_size, layer.hidden_size, layer.output_size
        )  # fmt: skip
        found.steps, found.slots, found.lanes = piece.steps, self.slots, piece.lanes
        found.gate_frac, found.state_frac = cell.gate.frac, cell.state.frac
        found.state_bits, found.right = cell.state.width, (ctypes.c_int32 * 4)(*self.right)
        for name, matrix in self.matrices.items():
            setattr(found, name.removeprefix("weight_"), matrix.struct(wide.get(name, False)))
        if (projection := layer.projection) is not None:
            point = projection.weight_format.frac + layer.hidden.frac
            found.project_right = point - projection.output.frac
            found.output_bits = projection.output.width
        for name in ("bias", "sigmoid", "tanh"):
            setattr(found, name, address(getattr(self, name)))
        for name, array in self.arrays.items():
            setattr(found, name, address(array))
        return found

    def _call(self, function: Any, struct: LayerStruct) -> None:
        if function(ctypes.byref(struct), self.made.kernel, self.made.team):
            raise NativeError("the library refused a layer's step: report this with the model file")

    def backward(
        self, up: Signal, up_exponent: int, settling: Settling, below: str = ""
    ) -> tuple[dict[str, Gradient], Signal | None]:
        """As :meth:`ReferencePass.backward`."""
        steps, lanes, layer = self.piece.steps, self.piece.lanes, self.layer
        names = names_of(layer, self.n)
        for name in (*names, *([below] if below else [])):
            settling.begin(name, steps if name != below else 1)
        bits = settling.exponents.widths[f"d.{self.n}"]
        wide = self._wides(bits)
        found: Signal | None = None
        self.arrays["up"] = np.ascontiguousarray(up, np.int32)
        if below:
            found = self.arrays["down"] = np.empty((layer.input_size, steps, lanes), np.int32)
        self.arrays["bias_sums"] = np.zeros(len(self.bias), np.int64)
        finest = {key: matrix.finest for key, matrix in self.matrices.items()}
        tensors = Tensors(layer, self.n, steps, finest, settling, up_exponent, below)
        self.arrays |= tensors.lifts
        self._call(self.made.functions.backward, self._struct(tensors.structs(), wide))
        tensors.note()
        gradients = self._gradients(tensors)
        for name in ("up", "down", *tensors.lifts):
            self.arrays.pop(name, None)
        return gradients, found

    def _wides(self, bits: int) -> dict[str, bool]:
        found = {name: self._wide(name, bits) for name in self.matrices}
        together = any(wide for name, wide in found.items() if name != _PROJECTION)
        # the others share d
        return {name: found[name] if name == _PROJECTION else together for name in found}

    def _wide(self, name: str, bits: int) -> bool:
        """Whether sums of gradients need 64 bits, or more than bytes are multiplied."""
        matrix = self.matrices[name]
        others = self.matrices["weight_hh"].most if matrix.adds else 0
        bytes_ = bits == 8 and self.reads[name].width <= 8 and matrix.turned is not None
        return not bytes_ or matrix.back_bits(bits, others) > _NARROW

    def _gradients(self, tensors: Tensors) -> dict[str, Gradient]:
        start = f"layers.{self.n}"
        found = {f"{start}.bias": Gradient(self.arrays["bias_sums"], tensors.low["d"])}
        for name, matrix in self.matrices.items():
            low = tensors.low["r" if name == _PROJECTION else "d"]
            gradient, key = matrix.gradient(low - self.reads[name].frac), f"{start}.{_tensor(name)}"
            if key in found:  # other rows of it
                gradient.sums = np.concatenate([found[key].sums, gradient.sums])
            found[key] = gradient
        return found


def _tensor(matrix: str) -> str:
    """What a model file calls that whose rows a matrix has."""
    return "weight_hh" if matrix == "weight_hn" else matrix
