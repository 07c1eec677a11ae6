"""Second readers, written from the formats' pages alone: what is accepted must be the same."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from compiler.array.design import Design
from csb_format import Model
from pruning.importers import Imported
from pruning.tasks.data.datasets import SequenceData

__all__ = ["same_design", "same_model", "same_sequences", "same_weights"]


def same_model(path: Path, found: Model) -> bool:
    """Every weight of every matrix, bit by bit out of its stream."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    ours = json.loads(header["__metadata__"]["sparseflow"])
    tensors = safetensors.numpy.load(data)
    matrices = [
        (f"layers.{n}.{name}", layer[name], getattr(found.layers[n], name))
        for n, layer in enumerate(ours["layers"])
        for name in ("weight_ih", "weight_hh")
    ]
    return all(
        np.array_equal(_dense(shape, tensors[name].tobytes()), matrix.to_dense())
        for name, shape, matrix in matrices
    )


def _dense(shape: dict[str, int], stream: bytes) -> Any:
    """Entry by entry: value, then index, lowest bits first; row, entry, bank."""
    index_bits = (shape["bank_width"] - 1).bit_length()
    bits, sign = shape["value_bits"], 1 << (shape["value_bits"] - 1)
    word = int.from_bytes(stream, "little")
    dense = np.zeros((shape["rows"], shape["banks"] * shape["bank_width"]), np.int64)
    for row in range(shape["rows"]):
        for _ in range(shape["nonzeros"]):
            for bank in range(shape["banks"]):
                value = ((word & ((1 << bits) - 1)) ^ sign) - sign
                index = word >> bits & ((1 << index_bits) - 1)
                dense[row, bank * shape["bank_width"] + index] += value
                word >>= bits + index_bits
    return dense[:, : shape["columns"]]


def same_design(path: Path, found: Design) -> bool:
    """Every field as the file has it, of the same type; the others as they are by default."""
    said, names = (
        json.loads(path.read_bytes()),
        json.loads(json.dumps(asdict(found), allow_nan=False)),
    )
    plain = {name: names[name] for name in said}
    return plain == said and all(type(plain[name]) is type(said[name]) for name in said)


def same_sequences(path: Path, found: SequenceData) -> bool:
    """NumPy's own reading of the arrays."""
    with np.load(path, allow_pickle=False) as file:
        frames, lengths = file["frames"], file["lengths"]
    ends = np.cumsum(lengths)
    return all(
        np.array_equal(frames[end - length : end].astype(np.float32), sequence)
        for end, length, sequence in zip(ends, lengths, found.sequences, strict=True)
    )


def same_weights(path: Path, found: Imported) -> bool:
    """The tensors as the library for NumPy has them."""
    plain = safetensors.numpy.load(path.read_bytes())
    return all(
        np.array_equal(plain[name], tensor.numpy(), equal_nan=plain[name].dtype.kind == "f")
        for name, tensor in found.state_dict.items()
        if name in plain
    )
