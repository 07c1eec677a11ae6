"""Structures and functions of ``engine/c/learn/learn.h``, for ctypes."""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, NamedTuple

__all__ = [
    "PARTS",
    "Functions",
    "LayerStruct",
    "MatrixStruct",
    "RateStruct",
    "TensorStruct",
    "functions",
]

PARTS = 4  # of a tensor of gradients, at most


class MatrixStruct(ctypes.Structure):
    """``learn_matrix``."""

    _fields_ = (
        *((name, c_uint32) for name in ("rows", "stored", "entries", "banks", "bank_width")),
        *((name, c_uint32) for name in ("columns", "parts", "wide", "adds")),
        *((name, c_void_p) for name in ("values", "shifted", "halves", "columns_of", "starts")),
        *((name, c_void_p) for name in ("rows_of", "turned", "left", "back", "sums")),
    )


class TensorStruct(ctypes.Structure):
    """``learn_tensor``."""

    _fields_ = (
        ("shift", c_void_p * PARTS),
        ("seen", c_void_p),
        ("clipped", c_void_p),
        ("bits", c_int32),
    )


class LayerStruct(ctypes.Structure):
    """``learn_layer``."""

    _fields_ = (
        *((name, c_uint32) for name in ("cell", "sums", "inputs", "units", "outputs")),
        *((name, c_uint32) for name in ("steps", "slots", "lanes")),
        *((name, c_int32) for name in ("gate_frac", "state_frac", "state_bits")),
        ("right", c_int32 * 4),
        *((name, c_int32) for name in ("project_right", "output_bits")),
        *((name, MatrixStruct) for name in ("ih", "hh", "hr", "hn")),
        *((name, c_void_p) for name in ("bias", "sigmoid", "tanh", "live")),
        *((f"now_{name}", c_void_p) for name in ("x", "r", "h", "d", "dr")),
        *((name, c_void_p) for name in ("x", "r", "h")),
        *((name, c_void_p) for name in ("gates", "squashed", "nh", "dr", "c", "up", "down")),
        *((name, c_void_p) for name in ("recurrent", "below", "through", "carried", "reset")),
        ("bias_sums", c_void_p),
        *((f"of_{name}", TensorStruct) for name in "rhcdvx"),
        *((name, c_void_p) for name in ("lift", "lift_r")),
        ("watch", c_uint32),
    )


class RateStruct(ctypes.Structure):
    """``learn_rate``."""

    _fields_ = (("factor", c_int64), ("place", c_int32), ("bits", c_int32), ("start", c_uint64))


class Functions(NamedTuple):
    """Of the library, with their types."""

    kernel: Any
    start: Any
    end: Any
    forward: Any
    backward: Any
    update: Any


def functions(library: ctypes.CDLL) -> Functions:
    """Declare them: a pointer that ctypes takes for an int loses its upper half."""
    layer = (c_void_p, c_uint32, c_void_p)
    given: dict[str, tuple[tuple[Any, ...], Any]] = {
        "kernel": ((c_uint32,), ctypes.c_char_p),
        "start": ((c_uint32, c_size_t), c_void_p),
        "end": ((c_void_p,), None),
        "forward": (layer, c_int32),
        "backward": (layer, c_int32),
        "update": ((c_void_p, c_void_p, c_void_p, c_size_t, c_void_p), None),
    }
    found = []
    for name, (arguments, result) in given.items():
        function = getattr(library, f"sparseflow_run_learn_{name}")
        function.argtypes, function.restype = arguments, result
        found.append(function)
    return Functions(*found)
