"""What a learner asks of an array: products with gradients, updates, masters, biases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compiler.array.program import Sink
from compiler.learn.commands import Back, Update, read_packet, word_packets
from compiler.learn.design import learns_head
from compiler.learn.layout import GRADIENT_BITS, LearningLayout
from compiler.learn.memories import restored, tensor_of
from compiler.learn.transposed import turns_of
from compiler.lower.compile import compile_model
from compiler.lower.learning.masters import layer_of, learning_passes, master_of
from compiler.lower.load import Space, packet
from compiler.lower.passes import HEAD, Pass
from compiler.lower.plan import Plan
from compiler.lower.words import bias_words
from csb_format import IntArray, Model
from engine.learn.crossed import COLUMN_BITS
from engine.learn.integers import Rate, place_of, random_bits
from engine.learn.learner import LearnError
from engine.learn.settle import Part
from engine.learn.weights import MASTER_BITS

from ..host.driver import Accelerator
from .lying import Chunk, Lying

__all__ = ["LearningAccelerator", "Products", "tensor_name"]


def tensor_name(plan: Plan, given: Pass) -> str:
    """Of the weights of a pass, as a model file has them."""
    if given.matrix == HEAD:
        return "head.weight"
    return f"layers.{layer_of(plan, given)}.{given.matrix}"


class Products:
    """Sums of gradients times inputs of a matrix, not computed yet.

    Parameters
    ----------
    d : sequence of Part
        Of each step (L, rows).
    fed : sequence of int64 arrays (L, columns)
        What the matrix read.
    frac : int
        Fraction bits of that.
    """

    def __init__(self, d: Sequence[Part], fed: Sequence[IntArray], frac: int):
        self.d, self.fed, self.frac = list(d), list(fed), frac

    @property
    def low(self) -> int:
        """The least exponent of its steps."""
        return min(part.exponent for part in self.d)

    @property
    def exponent(self) -> int:
        """Of a sum."""
        return self.low - self.frac

    def answers(self, lanes: int) -> tuple[IntArray, IntArray, IntArray]:
        """Gradients (F, rows), inputs (F, columns), N of a step side by side, and their shifts."""
        wide = -(-len(self.fed[0]) // lanes) * lanes
        gradients, fed = (
            np.concatenate([np.pad(one, ((0, wide - len(one)), (0, 0))) for one in steps])
            for steps in ([part.value for part in self.d], self.fed)
        )
        lefts = [part.exponent - self.low for part in self.d for _ in range(wide // lanes)]
        return gradients, fed, np.array(lefts, np.int64)


class LearningAccelerator:
    """An accelerator of a design that trains, with a model in it.

    Parameters
    ----------
    accelerator : Accelerator
    model : Model
    bits : int
        Of gradients of recurrent layers.
    """

    def __init__(self, accelerator: Accelerator, model: Model, bits: int):
        self.accelerator, self.model, self._bits = accelerator, model, bits
        self.design = accelerator.design
        self.image = compile_model(model, self.design, head=learns_head(model.shape))
        self.passes = {
            tensor_name(self.image, given): given for given in learning_passes(self.image)
        }
        self._lying = Lying()
        accelerator.load(self.image)
        if self.design.backward:
            self._empty()

    def layout(self, name: str, answers: int) -> LearningLayout:
        """Where gradients of a tensor lie."""
        bits = GRADIENT_BITS if name == "head.weight" else self._bits
        return LearningLayout(self.image, answers, self.passes[name], bits)

    def _empty(self) -> None:
        """Accumulators of columns at 0, whatever was broken off."""
        self._columns(Back.empty(self.layout(next(iter(self.passes)), 1)), [])

    def _columns(self, command: Back, words: list[int]) -> IntArray:
        """Sums (columns, N) of one command."""
        beats = command.columns * turns_of(self.design)
        found = self.accelerator.columns([*words, *command.packets()], beats)
        return found.reshape(command.columns, -1)[:, : self.design.lanes]

    def back(self, name: str, d: Part, chunk: Chunk | None = None) -> Part:
        """The transposed product of a matrix, exact: of (L, rows) one (L, columns).

        N sequences at a time; digits of wide gradients in turn. With ``chunk`` gradients come to
        where :meth:`update` reads them, unless they lie there.
        """
        at = self.layout(name, chunk.answers if chunk else 1)
        at.check()
        if at.in_turn and not at.marks_rows:
            return self._back_in_turn(at, d)
        gates = at.abreast
        shifts = tuple((gates.max() - gates).tolist())  # to the finest format
        return Part(self._sums(at, d.value, shifts, chunk), d.exponent - int(at.fracs.max()))

    def _back_in_turn(self, at: LearningLayout, d: Part) -> Part:
        """Of rows of several formats that follow each other: a product for each format.

        Where shifted weights would outgrow multipliers; else words of gradients tell the formats.
        """
        finest = int(at.fracs.max())
        parts = [
            self._sums(at, d.value * (at.fracs == frac), (), None) << finest - frac
            for frac in np.unique(at.fracs).tolist()
        ]
        return Part(np.sum(parts, axis=0), d.exponent - finest)

    def _sums(
        self, at: LearningLayout, d: IntArray, shifts: tuple[int, ...], chunk: Chunk | None
    ) -> IntArray:
        """Sums (L, columns) of gradients (L, rows)."""
        lanes = self.design.lanes
        found = np.zeros((len(d), at.given.geometry.columns), np.int64)
        for n, first in enumerate(range(0, len(d), lanes)):
            rows = d[first : first + lanes]
            if chunk is None:
                self._lying.use_front(at.slots)
                digits = at.digits(rows)
                some = range(len(at.aligns))
                each = [(at.back_packets(digits[..., k]), at.gradients, 0) for k in some]
            else:
                each = self._put(at, chunk.first + n, chunk.left, rows)
            for shift, (words, place, marked) in zip(at.aligns.tolist(), each, strict=True):
                sums = self._columns(Back.of(at, shifts, place, marked), words)
                found[first : first + lanes] += sums[: found.shape[1], : len(rows)].T << shift
        return found

    def _put(
        self, at: LearningLayout, chunk: int, left: int, rows: IntArray
    ) -> list[tuple[list[int], int, int]]:
        """Of each digit the load packets that bring it, if any, its first word and its shift."""
        lying, words = self._lying.of(at), list[int]()
        rows = np.pad(rows, ((0, self.design.lanes - len(rows)), (0, 0)))
        if not lying.has(chunk, rows, left):
            words = at.chunk_packets(chunk, rows, left)
            lying.note(chunk, rows, left)
        place = at.chunk_at(chunk)
        return [
            (words if not n else [], place + n * at.slots, left + shift)
            for n, shift in enumerate(at.aligns.tolist())
        ]

    def update(self, name: str, products: Products, rate: Rate, start: int) -> None:
        """Sums of all kept places, and the move of their masters.

        Parameters
        ----------
        name : str
        products : Products
        rate : Rate
        start : int
            Of the dice.
        """
        gradients, fed, steps = products.answers(self.design.lanes)
        layout = self.layout(name, len(gradients))
        layout.check()
        # formats of gates differ: sums of finer ones are shifted left, so that one place serves all
        coarsest = int(layout.fracs.min())
        place = place_of(-(products.exponent + coarsest + MASTER_BITS), rate)
        shifts = () if layout.in_turn else tuple(layout.abreast.tolist())
        dice = random_bits(start, gradients.shape[1]).astype(np.int64)
        update = Update(layout, place, rate.factor, start >> COLUMN_BITS, shifts)
        there = self._there(layout, gradients, steps.tolist())
        words = layout.tape_packets(fed) + layout.gradient_packets(gradients, dice, steps, there)
        self.accelerator.command(words + update.packet(), wait=False)

    def _there(self, layout: LearningLayout, gradients: IntArray, lefts: list[int]) -> set[int]:
        """Chunks that lie in the array already; after it all are noted."""
        lying, lanes = self._lying.of(layout), self.design.lanes
        if layout.in_turn and not layout.marks_rows:  # W^T d had no shifts of rows
            lying.chunks.clear()
            return set()
        chunks = [(n, gradients[n * lanes : (n + 1) * lanes], left) for n, left in enumerate(lefts)]
        there = {n for n, rows, left in chunks if lying.has(n, rows, left)}
        for one in chunks:
            lying.note(*one)
        return there

    def bias(self, name: str, bias: IntArray) -> None:
        """Give a layer, or the head, another bias."""
        start, layer, _ = f"{name}.".split(".", 2)
        of = next(
            given for part in self.image.parts for given in part.whole
            if given.biased and (given.matrix == HEAD) == (start == "head")
            and (start == "head" or layer_of(self.image, given) == int(layer))
        )  # fmt: skip
        units = of.sink == Sink.UNITS
        if not units and np.abs(bias).max(initial=0) >= 1 << (self.design.forward_bits - 1):
            raise LearnError(
                f"the bias has grown beyond {self.design.forward_bits} bits: lower the rate"
            )
        memories, at, words = (
            bias_words([(of, bias)], self.design, np.zeros(len(bias), np.int64)),
            of.instruction.bias,
            list[int](),
        )
        kind, space = ("bias", Space.BIAS) if units else ("linear", Space.LINEAR)
        for lane in range(self.design.units if units else self.design.projectors):
            contents = memories[f"{kind}_{lane:03d}"][at : at + of.placement.beats]
            words += packet(self.design, space, lane, at, contents, kind)
        self.accelerator.command(words, wait=False)

    def masters(self, name: str) -> IntArray:
        """Those of a tensor, read from the array."""
        layout, design = self.layout(name, 1), self.design
        numbers = np.zeros((layout.given.words, design.lanes, design.pes), np.int64)
        rows = layout.given.placement.rows
        for word in range(layout.given.words):
            self.accelerator.command(word_packets(layout, word))
            for pe in np.flatnonzero(rows[word // layout.groups] >= 0).tolist():
                for lane in range(design.lanes):
                    numbers[word, lane, pe] = self._read(pe, lane)
        return tensor_of(layout, numbers, self._banks(name))

    def _banks(self, name: str) -> int:
        """Of a matrix in its file; 0 of a dense one."""
        if name == "head.weight":
            return 0
        _, layer, matrix = name.split(".")
        given = self.model.layers[int(layer)].matrices
        return next(one.matrix.geometry.banks for one in given if one.name == matrix)

    def _read(self, pe: int, lane: int) -> int:
        """A master of the word that was named."""
        self.accelerator.command(read_packet(self.design, pe, lane))
        shown = self.accelerator.register("learnt")
        sign = 1 << (self.design.value_bits - 1)
        weight = (shown["weight"] ^ sign) - sign
        return int(master_of(np.array([weight]), np.array([shown["master"]]))[0])

    def set_masters(self, name: str, masters: IntArray) -> None:
        """Give a tensor other masters, and their weights."""
        layout = self.layout(name, 1)
        at = layout.given.instruction.matrix
        words = self.image.matrix_words[at : at + layout.given.words]
        self.accelerator.command(restored(layout, words, masters))
