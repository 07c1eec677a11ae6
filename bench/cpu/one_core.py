"""One thread for everyone."""

from __future__ import annotations

import os
import sys

__all__ = ["POOLS", "restart_on_one_core"]

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def restart_on_one_core(module: str) -> None:
    """Start this command again with one thread: BLAS reads this when NumPy is imported."""
    wanted = dict.fromkeys(POOLS, "1")
    if wanted.items() <= os.environ.items():
        return
    command = [sys.executable, "-m", module, *sys.argv[1:]]
    os.execve(sys.executable, command, os.environ | wanted)
