"""Sparseflow: from a trained PyTorch LSTM to an FPGA accelerator, proven bit for bit.

``import sparseflow as sf`` gives the whole way:

==========================  ===================================================================
``sf.prune``                masks with equally many weights in every bank, while you train
``sf.LightningPruning``     the same as a callback of Lightning's trainer
``sf.TransformersPruning``  and of the Trainer of Hugging Face's transformers
``sf.quantise``             integers in compressed sparse banks
``sf.pack``                 any pruned matrices alone
``sf.adapt``                the integers go on learning from new data
``sf.score``                accuracy of the integers, errors of numbers, where they come from
``sf.replace``              your whole torch module with its recurrent part in integers
``sf.load``, ``sf.save``    files that no longer need PyTorch, and run no code when they are read
``sf.compile``              the program and memories of an array of M x N multipliers
``sf.emit``                 its Verilog
``sf.verify``               every state and every cycle of the simulated Verilog against the models
``sf.simulate``             what the Verilog computes
``sf.estimate``             which arrays fit a board, how fast they are
``sf.build``                a bitstream, or the project of a vendor's tool
``sf.open``                 the driver of a board, of its simulation, of the integer model
``sf.Accelerator``          that driver; all of it is in :mod:`sparseflow.driver`
``sf.Hosted``               a larger network: a part on the array, the rest in ONNX Runtime
==========================  ===================================================================

Each is imported when it is first used, so that a host that only drives a board needs neither
PyTorch nor a simulator; where a package is missing, the error names the extra that brings it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sparseflow_rooms import check

if TYPE_CHECKING:
    from boards.host.driver import Accelerator
    from boards.host.whole.hosted import Hosted
    from pruning.callbacks.lightning import LightningPruning
    from pruning.callbacks.transformers import TransformersPruning
    from pruning.face import pack, prune, quantise

    from .api import build, compile, emit, estimate, load, open, save, score, simulate, verify
    from .hosting import replace
    from .learning import adapt

__all__ = [
    "Accelerator",
    "Hosted",
    "LightningPruning",
    "TransformersPruning",
    "adapt",
    "build",
    "compile",
    "emit",
    "estimate",
    "load",
    "open",
    "pack",
    "prune",
    "quantise",
    "replace",
    "save",
    "score",
    "simulate",
    "verify",
]

__version__ = "0.2.0"

_TRAINING = ("pack", "prune", "quantise")
# Callbacks, by the extra and the module that bring them.
_CALLBACKS = {"LightningPruning": "lightning", "TransformersPruning": "transformers"}
_MODULES = {"replace": "hosting", "adapt": "learning"}  # beside api
# Rooms that a name needs besides; for all the rest these are enough.
_ALWAYS = ("csb_format", "compiler", "engine")
_NEEDS = {
    **dict.fromkeys((*_TRAINING, *_CALLBACKS, "replace"), ("pruning",)),
    **dict.fromkeys(("Accelerator", "Hosted", "estimate", "open"), ("boards",)),
    **dict.fromkeys(("simulate", "verify"), ("hdl", "sim")),
    "build": ("hdl", "sim", "boards"),
    "score": ("pruning",),
    "emit": ("hdl",),
}


if not TYPE_CHECKING:  # else any name would pass a type checker

    def __getattr__(name: str) -> Any:
        """What the face gives, imported when it is asked for (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        check(*_ALWAYS, *_NEEDS.get(name, ()))
        if name == "Accelerator":
            return importlib.import_module("boards.host.driver").Accelerator
        if name == "Hosted":
            return importlib.import_module("boards.host.whole.hosted").Hosted
        if name in _MODULES:
            return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
        if name not in _TRAINING and name not in _CALLBACKS:
            return getattr(importlib.import_module(f"{__name__}.api"), name)
        from csb_format.extras import needs

        if extra := _CALLBACKS.get(name):
            with needs(extra):
                return getattr(importlib.import_module(f"pruning.callbacks.{extra}"), name)
        with needs("train"):
            return getattr(importlib.import_module("pruning.face"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
