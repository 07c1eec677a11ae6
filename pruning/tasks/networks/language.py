"""A language model on an LSTM, and its perplexity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout
from torch.optim import SGD, Adam, Optimizer

from ..data.corpora import TokenArray
from ..training.longrun import Carry
from .entropy import mean_cross_entropy

__all__ = ["LanguageModel", "LanguageShape", "LanguageTask", "log_loss", "perplexity", "streams"]

State = tuple[Tensor, Tensor]
_IGNORED = -100  # torch's own mark of a target that does not count


@dataclass(frozen=True)
class LanguageShape:
    """Sizes of a language model.

    Parameters
    ----------
    embedding, hidden, layers : int
    tied : bool
        Whether the output layer shares the matrix of the embedding (Press & Wolf 2017), which
        must then be as wide as the hidden state.
    dropout : float
        Of what goes in and out of every layer in training, 0..1 (Zaremba et al. 2014).
    """

    embedding: int
    hidden: int
    layers: int
    tied: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.tied and self.embedding != self.hidden:
            raise ValueError(f"{self}: a tied embedding must be as wide as the hidden state")


class LanguageModel(nn.Module):
    """Embedding, LSTM and a linear layer over all words.

    Parameters
    ----------
    words : int
        Of the vocabulary.
    shape : LanguageShape
    seed : int
        Of the initial weights; the global generator is left alone.
    """

    def __init__(self, words: int, shape: LanguageShape, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(words, shape.embedding)
            inner = shape.dropout if shape.layers > 1 else 0.0
            self.lstm = nn.LSTM(shape.embedding, shape.hidden, shape.layers, dropout=inner)
            self.head = nn.Linear(shape.hidden, words)
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
            nn.init.uniform_(self.head.weight, -0.1, 0.1)
            nn.init.zeros_(self.head.bias)
        if shape.tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of the next token, and the state after the last.

        Parameters
        ----------
        tokens : int64 Tensor (T, B)
        state : two Tensors (layers, B, H), optional
            Zero by default.

        Returns
        -------
        Tensor (T, B, words), (Tensor, Tensor)
        """
        outputs, state = self.lstm(self.frames(tokens), state)
        return self.head(dropout(outputs, self.shape.dropout, self.training)), state

    def frames(self, tokens: Tensor) -> Tensor:
        """What the LSTM is fed for tokens, (..., embedding)."""
        return dropout(self.embedding(tokens), self.shape.dropout, self.training)


@dataclass(frozen=True, eq=False)
class LanguageTask:
    """Truncated back-propagation through a text in parallel streams.

    Parameters
    ----------
    tokens : int64 array (N,)
        Training text.
    batch : int
        Streams side by side.
    window : int
        Tokens per step in every stream; the state is carried on.
    adam : bool
        Adam instead of plain stochastic gradient descent.
    clip : float
        Largest gradient norm.

    Raises
    ------
    ValueError
        If the text is shorter than one window in every stream.
    """

    tokens: TokenArray
    batch: int = 20
    window: int = 35
    adam: bool = False
    clip: float = 0.25

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(
                f"{len(self.tokens)} tokens for {self.batch} streams of {self.window}: at least "
                f"{self.batch * self.window + 1} are needed"
            )

    @property
    def steps(self) -> int:
        """Windows of an epoch; a remainder that fills none is left out."""
        return (len(self.tokens) - 1) // (self.batch * self.window)

    def optimizer(self, module: nn.Module, rate: float) -> Optimizer:
        """A new optimizer of the module."""
        return (Adam if self.adam else SGD)(module.parameters(), rate)

    def window_at(self, position: int) -> tuple[Tensor, Tensor]:
        """Tokens and their successors of one step, int64 (window, batch) each."""
        length = self.steps * self.window
        start = position % self.steps * self.window
        rows = np.arange(self.batch) * length + start + np.arange(self.window)[:, None]
        return torch.from_numpy(self.tokens[rows]), torch.from_numpy(self.tokens[rows + 1])

    def loss(
        self, module: nn.Module, position: int, seed: int, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """Mean cross entropy of a window, in nats, and the state after it."""
        device = next(module.parameters()).device
        tokens, targets = (part.to(device) for part in self.window_at(position))
        logits, state = module(tokens, (carry[0], carry[1]) if carry else None)
        loss = mean_cross_entropy(logits.flatten(0, 1), targets.flatten())
        return loss, [part.detach() for part in state]


def streams(tokens: TokenArray, count: int) -> tuple[Tensor, Tensor]:
    """Cut a text into equal streams for testing, nothing left out.

    Parameters
    ----------
    tokens : int64 array (N,)
        At least 2.
    count : int
        Streams, 1..N - 1.

    Returns
    -------
    int64 Tensor (T, count), int64 Tensor (T, count)
        Tokens and targets; where the last stream is too short, -100 is the target and 0 the
        token.
    """
    pairs = len(tokens) - 1
    if not 1 <= count <= pairs:
        raise ValueError(f"{count} streams of {len(tokens)} tokens: choose 1 to {pairs}")
    steps = -(-pairs // count)
    padding = count * steps - pairs
    inputs = np.concatenate([tokens[:-1], np.zeros(padding, np.int64)])
    targets = np.concatenate([tokens[1:], np.full(padding, _IGNORED)])
    cut = (torch.from_numpy(a.reshape(count, steps).T.copy()) for a in (inputs, targets))
    first, second = cut
    return first, second


def log_loss(logits: Tensor, targets: Tensor) -> float:
    """Sum of the cross entropies of targets that count, in nats, in float64."""
    loss = cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    return float(loss.double().sum())


@torch.no_grad()
def perplexity(model: LanguageModel, tokens: TokenArray, count: int = 10) -> float:
    """Exponential of the mean cross entropy of every token but the first.

    Parameters
    ----------
    model : LanguageModel
        Set to evaluation mode.
    tokens : int64 array (N,)
    count : int
        Streams that the text is cut into; each starts from a zero state.
    """
    model.eval()
    device = model.head.weight.device
    state: State | None = None
    total = 0.0
    for inputs, targets in _chunks(*streams(tokens, count)):
        logits, state = model(inputs.to(device), state)
        total += log_loss(logits, targets.to(device))
    return math.exp(total / (len(tokens) - 1))


def _chunks(inputs: Tensor, targets: Tensor, steps: int = 100) -> Iterator[tuple[Tensor, Tensor]]:
    # A step has words x streams logits: all at once would not fit in memory.
    for start in range(0, len(inputs), steps):
        yield inputs[start : start + steps], targets[start : start + steps]
