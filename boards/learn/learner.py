"""Training with an array: products and updates are its own, loss, cells and biases the host's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from compiler.learn.design import learns_head
from compiler.learn.timing import BatchCycles, batch_cycles
from csb_format import DenseLayer, IntArray, Model
from engine.learn.exponents import Seen
from engine.learn.head import Asked, HeadPass
from engine.learn.integers import Rate, start_of
from engine.learn.learner import Learner, LearnError, Settings
from engine.learn.network import Network, Outcome
from engine.learn.settle import Settling
from engine.learn.tape import Piece
from engine.learn.weights import Masters

from ..host.driver import Accelerator
from .array import LearningAccelerator, Products
from .passes import ArrayHead, ArrayPass, Forward

__all__ = ["ArrayLearner"]


class ArrayLearner(Learner):
    """A learner whose network learns where it runs.

    The array computes states, logits, transposed products and sums of gradients times inputs, and
    moves weights and masters; the host computes the loss's gradient, goes back through the cells
    element by element, and moves biases. Bit for bit what :class:`engine.learn.learner.Learner`
    does with the same settings.

    Parameters
    ----------
    model : Model
    settings : Settings
        The generator is that of arrays.
    accelerator : Accelerator
        Of a design that trains; recurrent layers, if it is ``backward``.

    Raises
    ------
    LearnError
        For a mode that the design has not.
    DesignError
        If the design is too small.
    """

    def __init__(self, model: Model, settings: Settings, accelerator: Accelerator):
        if not accelerator.design.train:
            raise LearnError("this bitstream does not train: build one that does")
        if settings.mode != "head" and not accelerator.design.backward:
            raise LearnError(
                f"mode {settings.mode!r}: this bitstream trains the head alone; build one whose "
                "recurrent layers learn, or take mode 'head'"
            )
        super().__init__(model, replace(settings, generator="crossed"))
        self._array = LearningAccelerator(accelerator, model, settings.gradient_bits)
        tensors = self.masters.tensors.items()
        there = [n for n, t in tensors if n in self._array.passes and t.values.size]
        self._weights = sorted(there, key=lambda name: _turn(name, model))
        self._late: dict[str, Products] = {}
        self._stale = False  # masters here are not those of the array

    def cycles(self, steps: int, sequences: int) -> BatchCycles:
        """What the cycle model says of a batch of sequences of the same length."""
        bits, mode = self.settings.gradient_bits, self.settings.mode
        return batch_cycles(self._array.image, steps, sequences, bits, mode=mode)

    @property
    def model(self) -> Model:
        """The model with the weights of now, read from the array."""
        self._pull()
        return super().model

    def gradients(self, sequences: Sequence[IntArray], asked: Asked) -> tuple[Outcome, Seen, int]:
        """Gradients of biases; those of weights wait on the array to be summed."""
        order = sorted(range(len(sequences)), key=lambda n: -len(sequences[n]))
        chosen = [sequences[n] for n in order]
        forward = Forward(self._array, chosen)
        passes = list[ArrayPass | ArrayHead]()
        deep = self.settings.mode != "head"

        def layer(masters: Masters, n: int) -> ArrayPass:
            made = ArrayPass(masters.start.layers[n], n, self._array, forward.layers[n], deep)
            passes.append(made)
            return made

        def head(model: Model, of: DenseLayer) -> HeadPass:
            if not learns_head(model.shape):
                return HeadPass(model, of)
            return ArrayHead(model, of, self._array, forward)

        network = Network(self.masters, layer, deep, head)
        settling = Settling(self.exponents)
        piece = Piece(tuple(map(len, chosen)), len(chosen))
        found = self._run(
            network, chosen, asked.chosen(order), list(range(len(order))), piece, settling
        )
        if isinstance(network.head, ArrayHead):
            passes.append(network.head)
        for one in passes:
            self._late |= one.late
        return found, settling.seen, 1

    def _update(self, outcome: Outcome, rate: Rate) -> None:
        given, masters = self.settings, self.masters
        for name in self._weights:
            start = start_of(given.seed, self.steps, masters.order.index(name))
            self._array.update(name, self._late[name], rate, start)
        self._stale = bool(self._weights)
        self._late.clear()
        super()._update(outcome, rate)
        self._give_biases([name for name in outcome.gradients if name.endswith("bias")])

    def _give_biases(self, names: Sequence[str]) -> None:
        head = learns_head(self.masters.start.shape)
        for name in names:
            if head or not name.startswith("head."):
                self._array.bias(name, self.masters.weight(name))

    def _pull(self) -> None:
        """Read all masters of the array."""
        if self._stale:
            for name in self._weights:
                self.masters.values[name] = self._array.masters(name)
        self._stale = False

    def state(self) -> dict[str, IntArray]:
        """See :meth:`engine.learn.learner.Learner.state`; read from the array."""
        self._pull()
        return super().state()

    def restore(self, state: Mapping[str, IntArray]) -> None:
        """See :meth:`engine.learn.learner.Learner.restore`; the array takes it."""
        super().restore(state)
        self._stale = False
        for name in self._weights:
            self._array.set_masters(name, self.masters.values[name])
        self._give_biases([name for name in self.masters.values if name.endswith("bias")])


def _turn(name: str, model: Model) -> tuple[bool, int, bool]:
    """When a tensor's turn comes: first of those whose gradients lie in the array.

    These are of the lowest level's direction that went back last, on its way through time; of a
    GRU those of the recurrent matrix, of an LSTM both have the same.
    """
    start, layer, *_ = name.split(".")
    number = int(layer) ^ (model.directions - 1) if start == "layers" else 0
    apart = bool(model.layers[0].arithmetic.apart)
    return start == "head", number, apart and not name.endswith("weight_hh")
