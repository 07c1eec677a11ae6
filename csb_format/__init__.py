"""Formats shared by training and hardware: fixed point, compressed sparse banks, models."""

from .cell import CellArithmetic, Gates
from .csb import Csb, UnbalancedError
from .design import MAX_ALIGN, Design, DesignError, Scales, bits_for
from .fixed import Fixed, IntArray, round_shift, saturate
from .geometry import MAX_VALUE_BITS, MIN_VALUE_BITS, Geometry
from .matrixfile import PackedMatrix, load_matrices, save_matrices
from .model import GATE_ORDER, DenseLayer, GateFormats, LstmLayer, Model, Projection
from .modelfile import FORMAT_VERSION, ModelFileError, load_model, save_model
from .piecewise import Piecewise
from .words import join_fields, split_fields

__all__ = [
    "FORMAT_VERSION",
    "GATE_ORDER",
    "MAX_ALIGN",
    "MAX_VALUE_BITS",
    "MIN_VALUE_BITS",
    "CellArithmetic",
    "Csb",
    "DenseLayer",
    "Design",
    "DesignError",
    "Fixed",
    "GateFormats",
    "Gates",
    "Geometry",
    "IntArray",
    "LstmLayer",
    "Model",
    "ModelFileError",
    "PackedMatrix",
    "Piecewise",
    "Projection",
    "Scales",
    "UnbalancedError",
    "bits_for",
    "join_fields",
    "load_matrices",
    "load_model",
    "round_shift",
    "saturate",
    "save_matrices",
    "save_model",
    "split_fields",
]
