"""A classifier of every frame on an LSTM, and its frame error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout
from torch.optim import AdamW, Optimizer

from ..data.datasets import FloatArray
from ..data.timit import IGNORED, PHONES, Utterance
from ..training.longrun import Carry

__all__ = ["DELAY", "FrameClassifier", "FrameTask", "count_errors", "delayed", "frame_error"]

#: Frames that the network hears before it answers for one.
DELAY = 5


class FrameClassifier(nn.Module):
    """One LSTM layer, perhaps projected, and a linear layer on every output.

    Parameters
    ----------
    inputs, hidden : int
    projection : int
        Outputs of the projection; 0 for none.
    classes : int
    dropout : float
        Of the outputs in training, 0..1.
    seed : int
        Of the initial weights; the global generator is left alone.
    """

    def __init__(
        self,
        inputs: int = 153,
        hidden: int = 256,
        projection: int = 0,
        classes: int = len(PHONES),
        dropout: float = 0.3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.lstm = nn.LSTM(inputs, hidden, proj_size=projection)
            self.head = nn.Linear(projection or hidden, classes)

    def forward(self, frames: Tensor) -> Tensor:
        """Logits (T, B, classes) of frames (T, B, inputs)."""
        outputs, _ = self.lstm(frames)
        logits: Tensor = self.head(dropout(outputs, self.dropout, self.training))
        return logits


def delayed(u: Utterance, delay: int = DELAY) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Frames and the phone that each is to answer: that of ``delay`` frames ago.

    Parameters
    ----------
    u : Utterance
    delay : int
        At least 0.

    Returns
    -------
    float32 array (T + delay, X), int64 array (T + delay,)
        The last frame is repeated, and the first answers do not count.
    """
    frames = np.concatenate([u.frames, np.repeat(u.frames[-1:], delay, axis=0)])
    return frames, np.concatenate([np.full(delay, IGNORED), u.phones])


@dataclass(frozen=True, eq=False)
class FrameTask:
    """Cross entropy of all frames of a batch of utterances.

    Parameters
    ----------
    utterances : sequence of Utterance
        At least one.
    batch : int
        Utterances a step.
    noise : float
        Standard deviation of noise on the normalised features.
    clip : float
        Largest gradient norm.
    """

    utterances: Sequence[Utterance]
    batch: int = 8
    noise: float = 0.3
    clip: float = 1.0
    _pairs: list[tuple[Tensor, Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        pairs = [tuple(map(torch.from_numpy, delayed(u))) for u in self.utterances]
        object.__setattr__(self, "_pairs", pairs)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.utterances) // self.batch)

    def optimizer(self, module: nn.Module, rate: float) -> Optimizer:
        """A new optimizer of the module."""
        return AdamW(module.parameters(), rate, weight_decay=1e-2)

    def loss(
        self, module: nn.Module, position: int, seed: int, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """Mean cross entropy of a batch in nats."""
        epoch, place = divmod(position, self.steps)
        random = torch.Generator().manual_seed(seed * 100_003 + epoch)
        order = torch.randperm(len(self._pairs), generator=random)
        some = order[place * self.batch : (place + 1) * self.batch].tolist()
        frames = nn.utils.rnn.pad_sequence([self._pairs[n][0] for n in some])
        phones = nn.utils.rnn.pad_sequence(
            [self._pairs[n][1] for n in some], padding_value=float(IGNORED)
        )
        device = next(module.parameters()).device
        frames = frames + self.noise * torch.randn(frames.shape)
        logits = module(frames.to(device))
        return cross_entropy(logits.flatten(0, 1), phones.to(device).flatten()), []


@torch.no_grad()
def frame_error(module: nn.Module, utterances: Sequence[Utterance]) -> float:
    """Share of the frames whose largest logit is not their phone, 0..1; glottal stops aside."""
    module.eval()
    device = next(module.parameters()).device
    wrong = counted = 0
    for u in utterances:
        frames, phones = delayed(u)
        logits = module(torch.from_numpy(frames)[:, None].to(device))[:, 0]
        more, of = count_errors(logits.argmax(-1).cpu().numpy(), phones)
        wrong, counted = wrong + more, counted + of
    return wrong / counted


def count_errors(found: npt.NDArray[np.int64], phones: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Wrong answers, and answers that count."""
    real = phones != IGNORED
    return int((found[real] != phones[real]).sum()), int(real.sum())
