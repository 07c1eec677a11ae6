"""Jobs of :mod:`bench.tune.trainings`: dense networks of JapaneseVowels, and pruned ones."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from csb_format.files.folders import temporary_folder

__all__ = ["BITS", "INPUTS", "SEED", "dense", "several"]

SEED = 0
INPUTS, CLASSES = 12, 9
BITS = ((4, 8), (8, 8))
"""Of weights and of activations."""
SUFFIXES = {"checkpoint": ".safetensors", "data": ".npz", "val": ".npz"}


def dense(arguments: dict[str, Any], inputs: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Train a dense network; it and the data come back as files."""
    import torch

    from pruning.importers.checkpoint import save_weights
    from pruning.tasks.data.datasets import Normaliser, load_japanese_vowels, save_sequences
    from pruning.tasks.networks.sequence import SequenceClassifier, accuracy, biases_first, train

    torch.set_num_threads(1)
    known, unseen = (load_japanese_vowels(part) for part in ("train", "test"))
    normaliser, kept = Normaliser.fit(known), folder / "kept"
    known, unseen = normaliser.apply(known), normaliser.apply(unseen)
    model = SequenceClassifier(INPUTS, arguments["hidden"], CLASSES, SEED)
    train(model, known, arguments["epochs"], SEED, parameters=biases_first(model))
    kept.mkdir()
    save_weights(kept / "checkpoint", model)
    for name, data in (("data", known), ("val", unseen)):
        save_sequences(kept / f"{name}.npz", data)
        (kept / f"{name}.npz").rename(kept / name)
    return {"loss": 1 - accuracy(model, unseen)}


def several(
    arguments: dict[str, Any], inputs: Mapping[str, Path], folder: Path
) -> list[dict[str, Any]]:
    """Some trainings, one after the other."""
    import torch

    from sparseflow.tune.training import train

    torch.set_num_threads(1)
    from sparseflow.steps import pipeline  # noqa: F401  # loaded before anything is timed

    found = []
    for asked in arguments["asked"]:
        more = {"epochs": arguments["epochs"], "seed": SEED, "bits": BITS, "suffixes": SUFFIXES}
        begun = time.process_time()
        with temporary_folder("training") as place, contextlib.redirect_stdout(io.StringIO()):
            value = train(asked | more, inputs, place)
        seconds = round(time.process_time() - begun, 2)
        losses = [round(one, 6) for one in value["losses"]]
        found.append({"losses": losses, "float": round(value["float"], 6), "cpu_s": seconds})
    return found
