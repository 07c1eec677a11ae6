"""MKL's sparse product, with hints: the strongest CSR that we know of on x86.

MKL comes from PyPI: ``pip install 'sparseflow[bench]'``.
"""

from __future__ import annotations

import ctypes
import re
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np

__all__ = ["MklCsr"]

INSTALL = "error: --mkl needs MKL: pip install 'sparseflow[bench]'"
SEQUENTIAL, GENERAL, PLAIN, AGGRESSIVE = 1, 20, 10, 81  # of mkl_service.h and mkl_spblas.h
CALLS = 1_000_000  # that we say will follow


class _Kind(ctypes.Structure):
    """``matrix_descr``."""

    _fields_ = (("type", ctypes.c_int), ("mode", ctypes.c_int), ("diagonal", ctypes.c_int))


@cache
def _library() -> ctypes.CDLL:
    try:
        files = metadata.files("mkl") or []
    except metadata.PackageNotFoundError:
        raise SystemExit(INSTALL) from None
    found = [f for f in files if re.match(r"libmkl_rt\.so|mkl_rt.*\.dll", f.name)]
    if not found:
        raise SystemExit(INSTALL)
    library = ctypes.CDLL(str(found[0].locate()))
    library.MKL_Set_Threading_Layer(SEQUENTIAL)
    return library


class MklCsr:
    """A float32 CSR matrix with int32 indices, as MKL stores it after its own optimisation.

    Parameters
    ----------
    csr : scipy CSR array
        Float32, int32 indices.
    """

    def __init__(self, csr: Any) -> None:
        self._kept = csr  # MKL may go on reading these
        self._mkl, self._matrix, self._kind = _library(), ctypes.c_void_p(), _Kind(GENERAL, 0, 0)
        self._rows, columns = csr.shape
        starts, ends = csr.indptr[:-1], csr.indptr[1:]
        arrays = (a.ctypes.data_as(ctypes.c_void_p) for a in (starts, ends, csr.indices, csr.data))
        self._call("s_create_csr", ctypes.byref(self._matrix), 0, self._rows, columns, *arrays)
        self._call("set_mv_hint", self._matrix, PLAIN, self._kind, CALLS)
        self._call("set_memory_hint", self._matrix, AGGRESSIVE)
        self._call("optimize", self._matrix)
        self._product = self._mkl.mkl_sparse_s_mv

    def _call(self, name: str, *given: Any) -> None:
        if status := getattr(self._mkl, f"mkl_sparse_{name}")(*given):
            raise SystemExit(f"error: mkl_sparse_{name} ends with status {status}")

    def __matmul__(self, x: Any) -> Any:
        """Product with a contiguous float32 vector."""
        y = np.empty(self._rows, np.float32)
        ends = (ctypes.c_void_p(a.ctypes.data) for a in (x, y))
        one, none = ctypes.c_float(1), ctypes.c_float(0)
        source, target = ends
        self._product(PLAIN, one, self._matrix, self._kind, source, none, target)
        return y
