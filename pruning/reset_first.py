"""ONNX's GRU with ``linear_before_reset`` of 0 as a module of torch, which has none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

__all__ = ["MARK", "ResetFirstGRU", "in_order", "turned"]

#: Name of a tensor, 0, in state dicts: a ``torch.nn.GRU`` refuses to load one that has it.
MARK = "linear_before_reset"


def turned(lengths: Tensor, steps: int) -> Tensor:
    """Index (B, T) that turns every sequence round within its own length."""
    t = torch.arange(steps, device=lengths.device).expand(len(lengths), steps)
    return torch.where(t < lengths[:, None], lengths[:, None] - 1 - t, t)


def in_order(x: Tensor, order: Tensor) -> Tensor:
    """Frames (B, T, X) in another order (B, T)."""
    return torch.gather(x, 1, order[..., None].expand_as(x))


class ResetFirstGRU(nn.GRU):
    """``n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)``, all else as ``torch.nn.GRU``.

    It has the parameters and options of ``torch.nn.GRU``, and a tensor :data:`MARK` in its state
    dict that tells the two apart. Frame by frame in plain torch, so slower; with gradients.
    """

    linear_before_reset: Tensor

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        mark = torch.zeros((), dtype=torch.uint8, device=options.get("device"))
        self.register_buffer(MARK, mark)

    def forward(  # type: ignore[override]
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """As ``torch.nn.GRU``."""
        if isinstance(input, PackedSequence):
            frames, lengths = pad_packed_sequence(input, batch_first=True)
            outputs, last = self._run(frames, lengths.to(frames.device), hx)
            packed = pack_padded_sequence(outputs, lengths, batch_first=True, enforce_sorted=False)
            return packed, last
        single = input.ndim == 2
        frames = input[None] if single else input if self.batch_first else input.transpose(0, 1)
        whole = torch.full((len(frames),), frames.shape[1], device=frames.device)
        given = hx[:, None] if single and hx is not None else hx
        outputs, last = self._run(frames, whole, given)
        if single:
            return outputs[0], last[:, 0]
        return (outputs if self.batch_first else outputs.transpose(0, 1)), last

    def _run(self, x: Tensor, lengths: Tensor, hx: Tensor | None) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, D * H), zero after each length, and last states (L * D, B, H)."""
        ways, last = 1 + self.bidirectional, []
        zero = x.new_zeros(ways * self.num_layers, len(x), self.hidden_size)
        states = zero if hx is None else hx
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = nn.functional.dropout(x, self.dropout, self.training)
            found = [
                self._side(f"_l{layer}" + "_reverse" * way, x, lengths, states[ways * layer + way])
                for way in range(ways)
            ]
            x = torch.cat([outputs for outputs, _ in found], -1)
            last += [h for _, h in found]
        return x, torch.stack(last)

    def _side(self, end: str, x: Tensor, lengths: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        order = turned(lengths, x.shape[1]) if end.endswith("_reverse") else None
        given = nn.functional.linear(x, getattr(self, f"weight_ih{end}"), self._bias("ih", end))
        given = given if order is None else in_order(given, order)
        states = torch.stack(list(self._states(end, given, lengths, h)), 1)
        live = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        found = states * live[..., None]
        return (found if order is None else in_order(found, order)), states[:, -1]

    def _bias(self, kind: str, end: str) -> Tensor | None:
        return getattr(self, f"bias_{kind}{end}") if self.bias else None

    def _states(self, end: str, given: Tensor, lengths: Tensor, h: Tensor) -> Iterator[Tensor]:
        """States after every frame; those of a sequence that is over stay."""
        weight, bias, units = getattr(self, f"weight_hh{end}"), self._bias("hh", end), len(h[0])
        gates, rest = weight[: 2 * units], weight[2 * units :]
        of_gates, of_rest = (None, None) if bias is None else (bias[: 2 * units], bias[2 * units :])
        for t, x in enumerate(given.unbind(1)):
            total = x[:, : 2 * units] + nn.functional.linear(h, gates, of_gates)
            r, z = torch.sigmoid(total).chunk(2, -1)
            n = torch.tanh(x[:, 2 * units :] + nn.functional.linear(r * h, rest, of_rest))
            h = torch.where((t < lengths)[:, None], (1 - z) * n + z * h, h)
            yield h
