"""Training with an array: the head learns on it, loss and bias are the host's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from compiler.learn.commands import Update, read_packet, word_packets
from compiler.learn.layout import LearningLayout
from compiler.learn.memories import restored, tensor_of
from compiler.lower.compile import compile_model
from compiler.lower.learning.masters import master_of
from compiler.lower.load import Space, packet
from compiler.lower.words import bias_words
from csb_format import IntArray, Model
from engine.learn.crossed import COLUMN_BITS
from engine.learn.head import Asked, HeadPass
from engine.learn.integers import Rate, place_of, random_bits, start_of
from engine.learn.learner import Learner, LearnError, Settings, Told
from engine.learn.settle import Part, Settling
from engine.learn.tape import Gradient
from engine.learn.weights import MASTER_BITS

from ..host.driver import Accelerator

__all__ = ["ArrayLearner"]

WEIGHT, BIAS = "head.weight", "head.bias"


class ArrayLearner(Learner):
    """A learner whose linear output layer learns where it runs.

    The array computes logits, sums of gradients times inputs, and moves weights and masters; the
    host computes the loss's gradient, and moves the bias. Bit for bit what
    :class:`engine.learn.learner.Learner` does with the same settings.

    Parameters
    ----------
    model : Model
    settings : Settings
        Of mode ``head``; the generator is that of arrays.
    accelerator : Accelerator
        Of a design that trains.
    answers : int
        Most answers of a batch.

    Raises
    ------
    LearnError
        For another mode, or a model that the design cannot train.
    DesignError
        If the design is too small.
    """

    def __init__(self, model: Model, settings: Settings, accelerator: Accelerator, answers: int):
        if settings.mode != "head":
            raise LearnError(f"mode {settings.mode!r}: arrays train the head alone so far")
        super().__init__(model, replace(settings, generator="crossed"))
        self._accelerator, self._most = accelerator, answers
        self._image = compile_model(model, accelerator.design, head=True)
        self._layout = LearningLayout(self._image, answers)
        self._layout.check()
        accelerator.load(self._image)
        self._stale = False  # masters here are not those of the array

    @property
    def model(self) -> Model:
        """The model with the weights of now, read from the array."""
        self._pull()
        return super().model

    def step(self, sequences: Sequence[IntArray], asked: Asked) -> Told:
        """Learn from a batch; see :meth:`engine.learn.learner.Learner.step`."""
        self._check_size(sum(map(len, sequences)))
        if not asked.counted:
            raise LearnError("a batch without an answer that counts: leave it out")
        if not self.steps:
            self._look(sequences, asked)
        # the longest first, as the reference has them: so costs are the same floats
        order = sorted(range(len(sequences)), key=lambda n: -len(sequences[n]))
        sequences, asked = [sequences[n] for n in order], asked.chosen(order)
        fed, logits = self._forward(sequences)
        settling = Settling(self.exponents)
        assert self.masters.start.head is not None
        head = HeadPass(self.masters.start, self.masters.start.head)
        delta, cost, right = head.delta(logits, asked, settling)
        self._move(delta, fed, Rate.of(self.settings.rate, asked.counted))
        moved = self.exponents.follow(settling.seen)
        self.steps += 1
        counted = self._width * sum(map(len, sequences))
        clipped = sum(settling.seen.clipped.values()) / max(counted, 1)
        return Told(cost / asked.counted, right, asked.counted, clipped, moved, 1)

    def _forward(self, sequences: Sequence[IntArray]) -> tuple[IntArray, IntArray]:
        """What the head took (F, I), and its logits (F, O): of every frame, or of the last ones."""
        every = self.masters.start.pool == "every"
        taken, found = list[IntArray](), list[IntArray]()
        for sequence in sequences:
            states = self._accelerator.run(sequence, given="integers")
            assert states.linear is not None
            part = slice(None) if every else slice(-1, None)
            taken.append(states.output[part])
            found.append(states.linear[part])
        return np.concatenate(taken), np.concatenate(found)

    def _move(self, delta: Part, fed: IntArray, rate: Rate) -> None:
        """Sums and update of the weights on the array; the bias here, and there as it became."""
        head, masters = self.masters.start.head, self.masters
        assert head is not None
        if len(fed) > self._most:
            raise LearnError(f"a batch of {len(fed)} answers: the array takes {self._most}")
        layout = LearningLayout(self._image, len(fed))
        start = start_of(self.settings.seed, self.steps, masters.order.index(WEIGHT))
        dice = random_bits(start, head.output_size).astype(np.int64)
        exponent = delta.exponent - head.input.frac
        place = place_of(-(exponent + head.weight_format.frac + MASTER_BITS), rate)
        update = Update(layout, place, rate.factor, start >> COLUMN_BITS)
        words = layout.tape_packets(fed) + layout.gradient_packets(delta.value, dice)
        self._accelerator.command(words + update.packet())
        self._stale = True
        found = {BIAS: Gradient(delta.value.sum(axis=0), delta.exponent)}
        masters.update(found, rate, self.settings.seed, self.steps, generator="crossed")
        self._accelerator.command(self._bias_packets(masters.weight(BIAS)))

    def _bias_packets(self, bias: IntArray) -> list[int]:
        design, given = self._accelerator.design, self._layout.given
        if np.abs(bias).max(initial=0) >= 1 << (design.acc_bits - 1):
            raise LearnError(f"the bias has grown beyond {design.acc_bits} bits: lower the rate")
        memories, at = bias_words([(given, bias)], design), given.instruction.bias
        words: list[int] = []
        for q in range(design.projectors):
            contents = memories[f"linear_{q:03d}"][at : at + given.placement.beats]
            words += packet(design, Space.LINEAR, q, at, contents, "linear")
        return words

    def _pull(self) -> None:
        """Read all masters of the array."""
        if not self._stale:
            return
        layout, design = self._layout, self._accelerator.design
        numbers = np.zeros((layout.given.words, design.lanes, design.pes), np.int64)
        rows = layout.given.placement.rows
        for word in range(layout.given.words):
            self._accelerator.command(word_packets(layout, word))
            pes = np.flatnonzero(rows[word // layout.groups] >= 0)
            for pe in pes.tolist():
                for lane in range(design.lanes):
                    numbers[word, lane, pe] = self._read(pe, lane)
        self.masters.values[WEIGHT] = tensor_of(layout, numbers)
        self._stale = False

    def _read(self, pe: int, lane: int) -> int:
        """A master of the word that was named."""
        self._accelerator.command(read_packet(self._accelerator.design, pe, lane))
        shown = self._accelerator.register("learnt")
        sign = 1 << (self._accelerator.design.value_bits - 1)
        weight = (shown["weight"] ^ sign) - sign
        return int(master_of(np.array([weight]), np.array([shown["master"]]))[0])

    def state(self) -> dict[str, IntArray]:
        """See :meth:`engine.learn.learner.Learner.state`; read from the array."""
        self._pull()
        return super().state()

    def restore(self, state: Mapping[str, IntArray]) -> None:
        """See :meth:`engine.learn.learner.Learner.restore`; the array takes it."""
        super().restore(state)
        self._stale = False
        at = self._layout.given.instruction.matrix
        words = self._image.matrix_words[at : at + self._layout.given.words]
        masters = self.masters.values
        self._accelerator.command(restored(self._layout, words, masters[WEIGHT]))
        self._accelerator.command(self._bias_packets(self.masters.weight(BIAS)))
