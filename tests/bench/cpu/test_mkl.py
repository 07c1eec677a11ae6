"""MKL is asked for by name; where it is not there the extra that brings it is told."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from bench.cpu import mkl


def test_without_mkl_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", none)
    mkl._library.cache_clear()
    with pytest.raises(SystemExit, match=r"--mkl needs MKL: pip install 'sparseflow\[bench\]'"):
        mkl.MklCsr(scipy.sparse.csr_array(np.eye(3, dtype=np.float32)))
