"""The single commands that lead to a run's figures, for its report: file names only, no paths."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from csb_format.design import Design
from csb_format.model import LstmLayer

__all__ = ["preparation", "reporting", "simulation"]


def preparation(said: Mapping[str, Any], layer: LstmLayer, design: Design, model: str) -> list[str]:
    """From the dense checkpoint to Verilog.

    Parameters
    ----------
    said : mapping
        The model's provenance: ``banks, sparsity_requested, epochs, seed``. Pruning is left
        out where one is missing: somebody else has pruned.
    layer : LstmLayer
    design : Design
    model : str
        File name of the packed model.
    """
    options = {
        "banks": said.get("banks"),
        "sparsity": said.get("sparsity_requested"),
        "epochs": said.get("epochs"),
        "seed": said.get("seed"),
    }
    prune = _line("prune dense.safetensors --data train.npz --out pruned.safetensors", options)
    bits = {"value-bits": layer.weight_hh.geometry.value_bits, "act-bits": layer.hidden.width}
    name = shlex.quote(model)
    return [
        *([] if None in options.values() else [prune]),
        _line(f"pack pruned.safetensors --calibration train.npz --out {name}", bits),
        _line(f"verilog {name} --out verilog", {"pes": design.pes, "lanes": design.lanes}),
    ]


def simulation(
    model: str, data: str, simulator: str, design: Design, utterances: int | None, measured: bool
) -> str:
    """One run of one simulator; ``measured`` float checkpoints are named."""
    options = {
        "simulator": simulator,
        "pes": design.pes,
        "lanes": design.lanes,
        "utterances": utterances,
        "dense": "dense.safetensors" if measured else None,
        "pruned": "pruned.safetensors" if measured else None,
    }
    return _line(f"simulate {shlex.quote(model)} --data {shlex.quote(data)} --build run", options)


def reporting() -> str:
    """The last step."""
    return _line("report run --out report", {})


def _line(start: str, options: Mapping[str, Any]) -> str:
    given = [f"--{name} {value}" for name, value in options.items() if value is not None]
    return " ".join(["sparseflow", start, *given])
