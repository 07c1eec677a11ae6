"""Training in integers, a batch at a time: from a model to the model with moved weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from csb_format.arguments import shown
from csb_format.fixed import IntArray
from csb_format.heads.mlp import MlpHead
from csb_format.model import Model

from . import integers
from .exponents import SPAN, Seen
from .head import Asked
from .integers import Exponent, Generator, Rate
from .network import LayerPass, Network, Outcome, exponents_for
from .pieces import pieces_of
from .reference import ReferencePass
from .settle import Settling
from .tape import Piece
from .weights import MASTER_BITS, Masters

__all__ = ["MODES", "LearnError", "Learner", "Mode", "Settings", "Told"]

Mode = Literal["head", "recurrent", "all"]
MODES: tuple[Mode, ...] = get_args(Mode)
_MOVES = {"head": ("head.",), "recurrent": ("layers.",), "all": ("layers.", "head.")}
#: Sequences of the first batch that exponents begin from.
FIRST = 16
MOST_BITS = 16


class LearnError(ValueError):
    """A model that cannot be trained in integers, or data it cannot be trained on."""


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Parameters
    ----------
    mode : {"head", "recurrent", "all"}
        What moves.
    rate : float
        Of gradient descent on the mean over a batch's answers, above 0.
    gradient_bits : {8, 16}
        Of the gradients that matrices are multiplied by.
    seed : int
        Of the rounding of updates.
    memory : int
        Bytes that tapes of a piece of a batch may take; 0: a batch is one piece.
    exponents : {"earlier", "own"}
        Of gradients: from earlier batches, or each tensor's own (NITI), which is for comparison
        and splits no batch.
    generator : {"splitmix", "crossed"}
        Of the dice of updates; an array that trains has the second.
    """

    mode: Mode = "all"
    rate: float = 0.125
    gradient_bits: int = 8
    seed: int = 0
    memory: int = 0
    exponents: Exponent = "earlier"
    generator: Generator = "splitmix"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode {self.mode!r}: choose one of {', '.join(MODES)}")
        if not (isinstance(self.rate, int | float) and 2.0**-30 <= self.rate <= 2.0**20):
            raise ValueError(f"rate {self.rate}: must be 2**-30 to 2**20")
        if self.gradient_bits not in (8, 16):
            raise ValueError(f"gradient_bits {self.gradient_bits}: must be 8 or 16")
        if self.generator not in get_args(Generator):
            raise ValueError(f"generator {self.generator!r}: choose splitmix or crossed")
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed {self.seed}: must be 0 to 2**63 - 1")
        if self.memory < 0:
            raise ValueError(f"memory {self.memory}: must be 0 or more bytes")


@dataclass(frozen=True)
class Told:
    """What a step told.

    Parameters
    ----------
    cost : float
        Mean over the answers, before the step.
    right, answers : int
        Answers that were right (of classes), and all.
    clipped : float
        Share of gradients that were saturated.
    moved : int
        Exponents that changed.
    pieces : int
        In which the batch was worked on.
    """

    cost: float
    right: int
    answers: int
    clipped: float
    moved: int
    pieces: int


class Learner:
    """A model that learns: :meth:`step` takes a batch, :attr:`model` is what it has become.

    Parameters
    ----------
    model : Model
        With a head.
    settings : Settings
    made : callable, optional
        From masters and a layer's number to its pass; the numpy reference by default.
    lanes : int
        Multiple of sequences that ``made`` works on.

    Raises
    ------
    LearnError
        For a model without a head, or of wider numbers than 16 bits.
    """

    def __init__(self, model: Model, settings: Settings, made: Any = None, lanes: int = 1):
        _check(model)
        self.settings, self.lanes = settings, lanes
        self.masters = Masters(model, _MOVES[settings.mode])
        self.exponents = exponents_for(model, settings.gradient_bits)
        self.steps = 0
        self._made = made or reference_pass
        self._width = sum(
            layer.hidden_size * (len(layer.arithmetic.sums) + 2) for layer in model.layers
        )

    @property
    def model(self) -> Model:
        """The model with the weights of now."""
        return self.masters.model()

    def step(self, sequences: Sequence[IntArray], asked: Asked) -> Told:
        """Learn from a batch.

        Parameters
        ----------
        sequences : sequence of int64 arrays (T, X)
            In the format of the input.
        asked : Asked
            In their order.

        Raises
        ------
        LearnError
            If nothing counts, the memory is too small for a sequence, or sums could overflow.
        """
        self._check_size(sum(map(len, sequences)))
        if not asked.counted:
            raise LearnError("a batch without an answer that counts: leave it out")
        if not self.steps and self.settings.exponents == "earlier":
            self._look(sequences, asked)
        outcome, seen, pieces = self.gradients(sequences, asked)
        rate = Rate.of(self.settings.rate, asked.counted)
        self._update(outcome, rate)
        moved = self.exponents.follow(seen) if self.settings.exponents == "earlier" else 0
        self.steps += 1
        counted = self._width * sum(map(len, sequences))
        return Told(
            outcome.cost / asked.counted,
            outcome.right,
            asked.counted,
            sum(seen.clipped.values()) / max(counted, 1),
            moved,
            pieces,
        )

    def _update(self, outcome: Outcome, rate: Rate) -> None:
        given = self.settings
        move = getattr(self._made, "move", integers.move)
        if given.generator != Settings.generator:
            move = integers.move  # compiled ones have their own dice
        gradients = outcome.gradients
        self.masters.update(gradients, rate, given.seed, self.steps, move, given.generator)

    def gradients(self, sequences: Sequence[IntArray], asked: Asked) -> tuple[Outcome, Seen, int]:
        """Exact gradients of a batch, what was seen of them, and its pieces; nothing moves."""
        own = self.settings.exponents == "own"
        network = self._network(self._made)
        pieces = pieces_of(
            self.masters.start, [len(s) for s in sequences], self.settings.memory, self.lanes, own
        )
        total: Outcome | None = None
        seen = Seen()
        for places, piece in pieces:
            settling = Settling(self.exponents, own)
            found = self._run(network, sequences, asked, places, piece, settling)
            seen.add(settling.seen)
            if total is None:
                total = found
            else:
                total.add(found)
        assert total is not None
        return total, seen, len(pieces)

    def _check_size(self, frames: int) -> None:
        """Sums of a batch must fit 62 bits."""
        most = 1 << (62 - SPAN - (MOST_BITS - 1) - (self.settings.gradient_bits - 1))
        if frames >= most:
            raise LearnError(f"a batch of {frames:,} frames: give fewer than {most:,} at a time")

    def _network(self, made: Any) -> Network:
        return Network(self.masters, made, self.settings.mode != "head")

    @staticmethod
    def _run(
        network: Network,
        sequences: Sequence[IntArray],
        asked: Asked,
        places: list[int],
        piece: Piece,
        settling: Settling,
    ) -> Outcome:
        frames = piece.place([sequences[n] for n in places], np.int16)
        return network.run(frames, piece, asked.chosen(places), settling)

    def _look(self, sequences: Sequence[IntArray], asked: Asked) -> None:
        """Exponents to begin with: of each of the first sequences alone, by its own maxima."""
        network = self._network(reference_pass)
        for n in range(min(FIRST, len(sequences))):
            settling = Settling(self.exponents, own=True)
            piece = Piece((len(sequences[n]),), 1)
            self._run(network, sequences, asked, [n], piece, settling)
            for name, found in settling.found.items():
                steps = np.array([found[at] for at in range(len(found))], np.int64)
                self.exponents.start(name, steps)

    def state(self) -> dict[str, IntArray]:
        """All that a training goes on from: masters, exponents, steps, and whose they are."""
        found = {f"master.{name}": values.copy() for name, values in self.masters.values.items()}
        found |= {f"exponent.{name}": e for name, e in self.exponents.state().items()}
        return found | {"steps": np.array([self.steps], np.int64), "settings": self._kind}

    @property
    def _kind(self) -> IntArray:
        """What exponents and masters are of."""
        settings = self.settings
        return np.array([MODES.index(settings.mode), settings.gradient_bits], np.int64)

    def restore(self, state: Mapping[str, IntArray]) -> None:
        """What :meth:`state` gave, of the same model and settings.

        Raises
        ------
        LearnError
            If it is of others.
        """
        if not isinstance(state, Mapping):
            raise LearnError(f"state = {shown(state)}: give what an earlier training returned")
        if not np.array_equal(state.get("settings", ()), self._kind):
            raise LearnError(
                "the state is of another mode, or of gradients of other bits, than "
                f"{self.settings.mode} and {self.settings.gradient_bits}: give those, or begin anew"
            )
        found = {name: self._master(name, state) for name in self.masters.values}
        start = "exponent."
        lacks = self.settings.mode != "head" and not any(name.startswith(start) for name in state)
        if lacks or "steps" not in state:
            raise LearnError("the state lacks steps or exponents: begin anew")
        self.masters.values.update(found)
        self.exponents.restore(
            {name[len(start) :]: e for name, e in state.items() if name.startswith(start)}
        )
        self.steps = int(state["steps"][0])

    def _master(self, name: str, state: Mapping[str, IntArray]) -> IntArray:
        """A tensor's of a state; a :class:`.LearnError` if it cannot be one of this model."""
        values = np.asarray(state.get(f"master.{name}", ()))
        top = 1 << (self.masters.tensors[name].bits + MASTER_BITS - 1)
        fits = values.shape == self.masters.values[name].shape and values.dtype.kind == "i"
        if not fits or not -top <= values.min(initial=0) <= values.max(initial=0) < top:
            raise LearnError(f"the state has no {name} of this model: begin anew")
        return values.astype(np.int64)


def reference_pass(masters: Masters, n: int) -> LayerPass:
    """A layer in numpy."""
    return ReferencePass(masters.layer(n), n)


def _check(model: Model) -> None:
    if model.head is None:
        raise LearnError(
            "the model has no head, so nothing tells it what is right: pack it with one"
        )
    if isinstance(model.head, MlpHead):
        raise LearnError(
            f"its head has {len(model.head.layers)} linear layers: heads that learn have one so "
            "far; train it in float (prune, pack), or pack it with one"
        )
    for n, layer in enumerate(model.layers):
        widths = {m.name: m.formats[0].width for m in layer.matrices}
        widths |= {"input": layer.input.width, "hidden": layer.hidden.width}
        widths |= {"output": layer.output.width}
        for name, width in widths.items():
            if width > MOST_BITS:
                raise LearnError(
                    f"layer {n}: {name} has {width} bits, training takes {MOST_BITS} at most: "
                    "pack the model with fewer"
                )
