"""Float training of the same masks from the same weights, by PyTorch: the yardstick."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from csb_format import Model
from pruning.tasks.data.datasets import SequenceData

__all__ = ["FloatNetwork", "epoch_order"]


def epoch_order(count: int, seed: int, epoch: int) -> Any:
    """In what order sequences come: the same for floats and integers."""
    return np.random.default_rng([seed, 2, epoch]).permutation(count)


class FloatNetwork:
    """An LSTM of one layer with its head, out of a packed model, trained by gradient descent.

    Parameters
    ----------
    model : Model
        Its real weights are where it begins.
    mode : {"head", "recurrent", "all"}
    rate : float
    clip : float
        The largest norm of all gradients together, to which larger ones are scaled; 0: none.
    """

    def __init__(self, model: Model, mode: str, rate: float, clip: float = 0.0):
        (layer,), head = model.layers, model.head
        assert head is not None
        self.pool = model.pool
        self.lstm = nn.LSTM(layer.input_size, layer.hidden_size, batch_first=True)
        self.head = nn.Linear(layer.hidden_size, head.output_size)
        real = {
            **{f"{m.name}_l0": m.matrix.to_real(m.formats) for m in layer.matrices},
            "bias_ih_l0": layer.state.dequantise(layer.bias),
            "bias_hh_l0": np.zeros(len(layer.bias)),
        }
        own = dict(self.lstm.named_parameters())
        with torch.no_grad():
            for name, values in real.items():
                own[name].copy_(torch.as_tensor(values))
            weight = head.weight_format.dequantise(head.weight)
            self.head.weight.copy_(torch.as_tensor(weight))
            self.head.bias.copy_(torch.as_tensor(head.bias * head.last_bit))
        masks = {f"{m.name}_l0": torch.tensor(m.matrix.to_mask()) for m in layer.matrices}
        self.masks = [(own[name], mask) for name, mask in masks.items()]
        moves = [own[name] for name in own if name != "bias_hh_l0"] if mode != "head" else []
        moves += list(self.head.parameters()) if mode != "recurrent" else []
        self.optimizer = torch.optim.SGD(moves, lr=rate)
        self._moves, self._clip = moves, clip

    def epoch(self, data: SequenceData, batch: int, seed: int, number: int) -> None:
        """Go through the data once."""
        order = epoch_order(len(data), seed, number)
        parts = data.split(data.labels)
        for at in range(0, len(order), batch):
            places = order[at : at + batch].tolist()
            logits = self._logits([data.sequences[n] for n in places])
            labels = torch.as_tensor(np.concatenate([parts[n] for n in places]))
            self.step(nn.functional.cross_entropy(logits, labels, ignore_index=-1))

    def step(self, loss: Tensor) -> None:
        """One step of the optimizer; what is pruned stays 0."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for weight, mask in self.masks:
            if weight.grad is not None:
                weight.grad *= mask
        if self._clip:
            nn.utils.clip_grad_norm_(self._moves, self._clip)
        self.optimizer.step()

    def _logits(self, sequences: Sequence[Any]) -> Tensor:
        lengths = [len(each) for each in sequences]
        frames = nn.utils.rnn.pad_sequence([torch.as_tensor(s) for s in sequences], True)
        out, _ = self.lstm(frames)
        if self.pool == "every":
            found = [out[n, :length] for n, length in enumerate(lengths)]
            logits: Tensor = self.head(torch.cat(found))
        else:
            logits = self.head(out[torch.arange(len(lengths)), torch.tensor(lengths) - 1])
        return logits

    def score(self, data: SequenceData) -> float:
        """Share of right answers."""
        with torch.no_grad():
            given = np.concatenate([part.argmax(1).numpy() for part in self._parts(data)])
        counts = data.labels >= 0
        return float((given == data.labels)[counts].mean())

    def _parts(self, data: SequenceData) -> Iterator[Tensor]:
        for at in range(0, len(data), 64):
            yield self._logits(data.sequences[at : at + 64])
