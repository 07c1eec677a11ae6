"""Sparseflow: from a trained PyTorch LSTM to an FPGA accelerator, proven bit for bit.

``import sparseflow as sf`` gives the whole way:

==========================  ============================================================
Each is imported when it is first used, so that a host that only drives a board needs neither
PyTorch nor a simulator; where a package is missing, the error names the extra that brings it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sparseflow_rooms import check

if TYPE_CHECKING:
    from boards.host.driver import Accelerator
    from boards.host.hosted import Hosted
    from pruning.callbacks.lightning import LightningPruning
    from pruning.callbacks.transformers import TransformersPruning
    from pruning.face import pack, prune, quantise

    from .api import build, compile, emit, estimate, load, open, save, score, simulate, verify
    from .hosting import replace

__all__ = [
    "Accelerator",
    "Hosted",
    "LightningPruning",
    "TransformersPruning",
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
            return importlib.import_module("boards.host.hosted").Hosted
        if name == "replace":
            return importlib.import_module(f"{__name__}.hosting").replace
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
