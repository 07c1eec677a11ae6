"""The same masks on every rank of a distributed run."""

from __future__ import annotations

from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Group", "agree", "forget_local", "keep_local", "mean", "unwrapped"]

ModuleT = TypeVar("ModuleT", bound=nn.Module)
_IGNORED = "_ddp_params_and_buffers_to_ignore"

Group = dist.ProcessGroup | None


def _ranks(group: Group) -> int:
    if not (dist.is_available() and dist.is_initialized()):
        return 1
    return dist.get_world_size(group)


def mean(values: Tensor, group: Group) -> Tensor:
    """Mean over the ranks, each of which saw other data; without ranks, the values."""
    ranks = _ranks(group)
    if ranks == 1:
        return values
    total = values.clone()
    dist.all_reduce(total, group=group)
    return total / ranks


def agree(mask: Tensor, group: Group) -> Tensor:
    """The mask of the first rank: ranks that round differently would drift apart."""
    if _ranks(group) == 1:
        return mask
    sent = mask.to(torch.uint8)
    dist.broadcast(sent, group=group, group_src=0)
    return sent.bool()


def unwrapped(module: ModuleT) -> ModuleT:
    """Return the module inside DistributedDataParallel and ``torch.compile``."""
    inner: nn.Module = module
    while True:
        if isinstance(inner, DistributedDataParallel):
            inner = inner.module
        elif isinstance(getattr(inner, "_orig_mod", None), nn.Module):
            inner = cast(nn.Module, inner._orig_mod)
        else:
            return cast(ModuleT, inner)


def keep_local(module: nn.Module, buffers: list[str]) -> None:
    """Spare buffers the broadcast before every forward pass: the ranks agree already."""
    setattr(module, _IGNORED, [*getattr(module, _IGNORED, []), *buffers])


def forget_local(module: nn.Module, buffers: list[str]) -> None:
    """Undo :func:`keep_local`."""
    rest = [name for name in getattr(module, _IGNORED, []) if name not in buffers]
    if rest:
        setattr(module, _IGNORED, rest)
    elif hasattr(module, _IGNORED):
        delattr(module, _IGNORED)
