"""Formats shared by training and hardware: fixed point, compressed sparse banks, models."""

from .csb import Csb, UnbalancedError
from .fixed import Fixed, IntArray, round_shift, saturate
from .geometry import MAX_VALUE_BITS, MIN_VALUE_BITS, Geometry
from .model import GATE_ORDER, DenseLayer, LstmLayer, Model
from .modelfile import FORMAT_VERSION, ModelFileError, load_model, save_model

__all__ = [
    "FORMAT_VERSION",
    "GATE_ORDER",
    "MAX_VALUE_BITS",
    "MIN_VALUE_BITS",
    "Csb",
    "DenseLayer",
    "Fixed",
    "Geometry",
    "IntArray",
    "LstmLayer",
    "Model",
    "ModelFileError",
    "UnbalancedError",
    "load_model",
    "round_shift",
    "saturate",
    "save_model",
]
