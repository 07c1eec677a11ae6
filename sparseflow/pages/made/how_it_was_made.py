"""The commands that lead to a run's figures, for its report.

They are those that the user typed, where files say so. What was done from Python, or before files
said it, is told as the command that does the same, with file names that are examples: a comment
says which those are.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from compiler.array.design import Design
from csb_format.model import LstmLayer
from csb_format.precision import Balance

from .typed import as_argument

__all__ = ["EXAMPLES", "preparation", "reporting", "simulation"]

EXAMPLES = "# nobody typed the next, so its file names are examples:"

_PRUNE = "prune dense.safetensors --data train.npz --out pruned.safetensors"


def preparation(said: Mapping[str, Any], layer: LstmLayer, model: str) -> list[str]:
    """From the dense checkpoint to the packed model.

    Parameters
    ----------
    said : mapping
        The model's provenance: ``banks, sparsity_requested, epochs, seed``, ``budget``, and what
        else was said in ``options`` (pruning) and ``pack``. Pruning is left out where one of the
        first four is missing: somebody else has pruned. ``commands``: what was typed.
    layer : LstmLayer
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
    name = shlex.quote(as_argument(model))
    packed = _line(f"pack pruned.safetensors --calibration train.npz --out {name}", bits)
    noted = _noted(said.get("commands"))
    return [
        *_typed(noted, "prune", _line(_PRUNE, options) if pruned else ""),
        *_typed(noted, "pack", packed),
    ]


def _noted(commands: Any) -> list[str]:
    """What a model says of commands; notes of others may be anything."""
    lines = commands if isinstance(commands, list) else []
    return [line for line in lines if isinstance(line, str) and line.startswith("sparseflow ")]


def _typed(noted: Sequence[str], step: str, instead: str) -> list[str]:
    """Commands of a step, or one that does the same; of neither, nothing."""
    found = [line for line in noted if line.split()[1:2] == [step]]
    return found or ([EXAMPLES, instead] if instead else [])


def simulation(
    model: str,
    data: str,
    simulator: str,
    design: Design,
    utterances: int | None,
    seed: int,
    measured: bool,
    beside: Mapping[str, int],
    largest: int | None = None,
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
    largest : int, optional
        Of a screened head: logits that its unit finds, 0 for no unit.
    """
    options = {
        "simulator": simulator,
        "pes": design.pes,
        "lanes": design.lanes,
        "contexts": design.contexts if design.contexts > 1 else None,
        "batched": design.batched or None,
        "largest": largest,
        "head": design.linear > 0 or None,
        "dense-head": design.indexed > 0 or None,
        "planes": design.plane_bits or None,
        # by default some may run: the line repeats its own rows
        "icarus": beside.get("icarus", 0) if simulator not in ("icarus", "verilator") else None,
        "cocotb": beside.get("verilator"),
        "utterances": utterances,
        "seed": None if utterances is None else seed,
        "dense": "dense.safetensors" if measured else None,
        "pruned": "pruned.safetensors" if measured else None,
    }
    files = f"{shlex.quote(as_argument(model))} --data {shlex.quote(as_argument(data))}"
    return _line(f"simulate {files} --build run", options)


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
