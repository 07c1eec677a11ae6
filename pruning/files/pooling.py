"""What a head takes of the outputs of a padded batch."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pooled"]


def pooled(outputs: Tensor, lengths: Tensor, pool: str, directions: int) -> Tensor:
    """As :func:`csb_format.pooling.pooled`, of a batch and in real numbers: a mean is not rounded.

    Parameters
    ----------
    outputs : Tensor
        (B, T, D * R); frames at and after ``lengths`` are ignored.
    lengths : Tensor
        int64 (B,), 1..T.
    pool : {"last", "hn", "mean", "every"}
    directions : int
        D, 1 or 2.

    Returns
    -------
    Tensor
        (B, D * R); of every frame (B, T, D * R), without meaning after ``lengths``.
    """
    if pool == "every":
        return outputs
    each = torch.arange(len(lengths), device=outputs.device)
    if pool == "mean":
        live = torch.arange(outputs.shape[1], device=outputs.device) < lengths[:, None]
        total = torch.where(live[..., None], outputs, 0.0).sum(1)
        # A division, no product with the reciprocal: halves must be exactly halves.
        return total / lengths[:, None].to(outputs.dtype)
    last = outputs[each, lengths - 1]
    if pool == "last" or directions == 1:
        return last
    forward = outputs.shape[-1] // 2
    return torch.cat([last[:, :forward], outputs[:, 0, forward:]], -1)
