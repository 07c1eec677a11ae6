"""Formats shared by training and hardware: fixed point, compressed sparse banks, models."""

from .cells.lstm import CellArithmetic, Gates
from .cells.piecewise import Piecewise
from .csb import Csb, UnbalancedError
from .files.matrixfile import PackedMatrix, load_matrices, save_matrices
from .files.modelfile import FORMAT_VERSION, ModelFileError, load_model, save_model
from .fixed import Fixed, IntArray, round_shift, saturate
from .geometry import MAX_VALUE_BITS, MIN_VALUE_BITS, Geometry
from .inputs.scale import InputScale, ScaleError
from .model import GATE_ORDER, DenseLayer, GateFormats, LstmLayer, Model, Projection
from .scales import MAX_ALIGN, DesignError, Scales
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
    "DesignError",
    "Fixed",
    "GateFormats",
    "Gates",
    "Geometry",
    "InputScale",
    "IntArray",
    "LstmLayer",
    "Model",
    "ModelFileError",
    "PackedMatrix",
    "Piecewise",
    "Projection",
    "ScaleError",
    "Scales",
    "UnbalancedError",
    "join_fields",
    "load_matrices",
    "load_model",
    "round_shift",
    "saturate",
    "save_matrices",
    "save_model",
    "split_fields",
]
