"""Training in the accelerator's integers, for networks that answer at every step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pruning.integers.formats import Formats
from pruning.integers.qat import QatLstm
from pruning.tasks.networks.language import LanguageModel, LanguageTask
from pruning.tasks.networks.speech import FrameClassifier
from pruning.tasks.training.longrun import Carry

__all__ = ["AwareNetwork", "WarmTask"]


class AwareNetwork(nn.Module):
    """A language model or frame classifier whose LSTM computes as the accelerator does.

    Parameters
    ----------
    model : LanguageModel or FrameClassifier
        Trained in place, without dropout. The head stays in float: it has 16 bits later.
    formats : Formats
    """

    def __init__(self, model: LanguageModel | FrameClassifier, formats: Formats) -> None:
        super().__init__()
        self.embedding = getattr(model, "embedding", None)
        self.lstm, self.head = QatLstm(model.lstm, formats), model.head

    def forward(self, given: Tensor, state: object = None) -> Tensor:
        """Logits (T, B, classes) of tokens (T, B) or frames (T, B, X), from a zero state."""
        frames = given if self.embedding is None else self.embedding(given)
        lengths = torch.full((frames.shape[1],), len(frames), device=frames.device)
        outputs = self.lstm(frames.transpose(0, 1), lengths).transpose(0, 1)
        logits: Tensor = self.head(outputs.float())
        return logits


@dataclass(frozen=True, eq=False)
class WarmTask(LanguageTask):
    """Windows that start from the state that the window before leaves, computed again."""

    def loss(
        self, module: nn.Module, position: int, seed: int, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """Mean cross entropy of the second of two windows in nats."""
        device = next(module.parameters()).device
        tokens, targets = (part.to(device) for part in self.window_at(position))
        if position % self.steps:
            before = self.window_at(position - 1)[0].to(device)
            tokens = torch.cat([before, tokens])
        logits = module(tokens)[-self.window :]
        return cross_entropy(logits.flatten(0, 1), targets.flatten()), []
