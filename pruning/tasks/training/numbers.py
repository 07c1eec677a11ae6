"""The same numbers in every run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["reproducible"]


@contextmanager
def reproducible(threads: int = 1) -> Iterator[None]:
    """Run torch with deterministic algorithms only, and restore its settings afterwards.

    Parameters
    ----------
    threads : int
        Threads inside an operation, at least 1.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
