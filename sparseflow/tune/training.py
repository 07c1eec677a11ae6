"""One training of a search, as a job: prune to a pattern, fine-tune, score in integers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["CALL", "loss_of", "model_name", "train"]

CALL = f"{__name__}:train"


def train(arguments: dict[str, Any], inputs: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """What the commands ``prune`` and ``pack`` of a point do, for all of its bits.

    Parameters
    ----------
    arguments : dict
        ``banks``, ``wishes``, ``epochs``, ``seed``, ``bits`` (pairs of a weight's and an
        activation's), ``suffixes`` of the inputs.
    inputs : mapping of str to Path
        ``checkpoint``, ``data`` and, unless that is scored too, ``val``.
    folder : Path

    Returns
    -------
    dict
        ``losses``: by bits, of the integer model; ``float``: of the pruned network. The packed
        models come back as files, under :func:`model_name`.
    """
    from ..steps.pipeline import pack, prune_checkpoint

    files = _named(arguments["suffixes"], inputs, folder)
    pruned, judged = folder / "pruned.safetensors", files.get("val", files["data"])
    prune_checkpoint(
        checkpoint=files["checkpoint"], data=files["data"], out=pruned, banks=arguments["banks"],
        wishes=arguments["wishes"], epochs=arguments["epochs"], seed=arguments["seed"],
    )  # fmt: skip
    losses, real = [], 0.0
    (folder / "kept").mkdir()
    for value, act in arguments["bits"]:
        told = folder / "told.json"
        pack(
            pruned=pruned, calibration=files["data"], out=folder / "kept" / model_name(value, act),
            value_bits=value, act_bits=act, data=judged, figures_file=told,
        )  # fmt: skip
        models = json.loads(told.read_text("utf-8"))["scores"]["models"]
        losses.append(loss_of(models["fixed"]))
        real = loss_of(models["pruned"])
    return {"losses": losses, "float": real}


def model_name(value_bits: int, act_bits: int) -> str:
    """Of the packed model in some bits, among the files of a training."""
    return f"{value_bits}x{act_bits}.safetensors"


def loss_of(figures: Mapping[str, float]) -> float:
    """What is to be small: the share that is wrong, or the squared error of numbers."""
    return 1 - figures["accuracy"] if "accuracy" in figures else figures["mse"]


def _named(
    suffixes: Mapping[str, str], inputs: Mapping[str, Path], folder: Path
) -> dict[str, Path]:
    """Inputs under names that say what they are: files are read by their suffix."""
    found = {name: folder / f"{name}{suffixes[name]}" for name in inputs}
    for name, path in found.items():
        shutil.copyfile(inputs[name], path)
    return found
