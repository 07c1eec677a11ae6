"""The single commands that lead to a run's figures, for its report: file names only, no paths."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from compiler.array.design import Design
from csb_format.model import LstmLayer
from csb_format.precision import Balance

__all__ = ["preparation", "reporting", "simulation"]

_PRUNE = "prune dense.safetensors --data train.npz --out pruned.safetensors"


def preparation(said: Mapping[str, Any], layer: LstmLayer, design: Design, model: str) -> list[str]:
    """From the dense checkpoint to Verilog.

    Parameters
    ----------
    said : mapping
        The model's provenance: ``banks, sparsity_requested, epochs, seed``, ``budget``, and what
        else was said in ``options`` (pruning) and ``pack``. Pruning is left out where one of the
        first four is missing: somebody else has pruned.
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
    pruned = None not in options.values()
    # Files from before matrices could share say nothing: theirs did not.
    budget = said.get("budget", "equal")
    options |= {"budget": budget} if budget != Balance.budget else {}
    options |= said.get("options", {})
    bits = {"value-bits": layer.weight_hh.geometry.value_bits, "act-bits": layer.hidden.width}
    bits |= said.get("pack", {})
    name = shlex.quote(model)
    return [
        *([_line(_PRUNE, options)] if pruned else []),
        _line(f"pack pruned.safetensors --calibration train.npz --out {name}", bits),
        _line(f"verilog {name} --out verilog", {"pes": design.pes, "lanes": design.lanes}),
    ]


def simulation(
    model: str,
    data: str,
    simulator: str,
    design: Design,
    utterances: int | None,
    seed: int,
    measured: bool,
    beside: Mapping[str, int],
) -> str:
    """One run of one simulator, and what ran beside it; ``measured`` float checkpoints are named.

    Parameters
    ----------
    model, data, simulator : str
    design : Design
    utterances : int, optional
        Of which only so many were chosen, with ``seed``.
    seed : int
    measured : bool
    beside : mapping of str to int
        Sequences that cocotb ran too, by engine.
    """
    options = {
        "simulator": simulator,
        "pes": design.pes,
        "lanes": design.lanes,
        # by default some may run: the line repeats its own rows
        "icarus": beside.get("icarus", 0) if simulator not in ("icarus", "verilator") else None,
        "cocotb": beside.get("verilator"),
        "utterances": utterances,
        "seed": None if utterances is None else seed,
        "dense": "dense.safetensors" if measured else None,
        "pruned": "pruned.safetensors" if measured else None,
    }
    return _line(f"simulate {shlex.quote(model)} --data {shlex.quote(data)} --build run", options)


def reporting() -> str:
    """The last step."""
    return _line("report run --out report", {})


def _line(start: str, options: Mapping[str, Any]) -> str:
    given = [_option(name, value) for name, value in options.items() if value is not None]
    return " ".join(["sparseflow", start, *given])


def _option(name: str, value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_option(name, item) for item in value)
    return f"--{name}" if value is True else f"--{name} {shlex.quote(str(value))}"
