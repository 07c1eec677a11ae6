"""Model files: a safetensors container of packed matrices, readable without this package.

Tensors: ``layers.N.weight_ih`` and ``layers.N.weight_hh`` are CSB bit streams (uint8),
``layers.N.bias``, ``head.weight`` and ``head.bias`` are int64; a screened head has planes of bits
instead of its weight; ``input.mean`` and ``input.factor``, float64, are there where the model takes
raw features. The metadata key
``sparseflow`` holds a JSON header with geometries, formats and provenance, and the
SHA-256 of the whole file, in which the checksum itself counts as zeros. Equal models give
equal files with the same release of safetensors; every release reads all of them.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..cells import CELLS, LSTM, cell_named
from ..csb import Csb
from ..fixed import Fixed
from ..geometry import Geometry
from ..heads.mlp import MlpHead, layer_names, layers_of
from ..inputs.scale import InputScale
from ..model import LEAST_ROW_BITS, DenseLayer, GateFormats, LstmLayer, Model, Projection
from ..pooling import LAST
from ..precision import Precision
from ..screening.bounds import BLOCK
from ..screening.layer import FileParts, ScreenedLayer, Shifts
from ..screening.planes import LEAST_BITS, MOST_BITS, pack_rows, plane_bits, unpack_rows
from . import container, sealed
from .claims import check_claims
from .container import ModelFileError, Tensors
from .replace import replace_file
from .sealed import FORMAT_VERSION
from .sealed import field as _get

__all__ = ["FORMAT_VERSION", "ModelFileError", "load_model", "model_bytes", "save_model"]

_KIND = "model"
_LAYER_FORMATS = ("input", "hidden", "state")
_GATE_FORMATS = ("weight_ih_format", "weight_hh_format")
_HEAD_FORMATS = ("weight_format", "input")
_PROJECTION_FORMATS = ("weight_format", "output")
# four bytes of every block, then of every row
_SCREEN_PARTS = ("blocks", "first", "second", "order")


def save_model(path: str | os.PathLike[str], model: Model) -> None:
    """Write a model file; it is there completely or not at all.

    Parameters
    ----------
    path : path
        In an existing folder; an older file is replaced.
    model : Model

    Raises
    ------
    ModelFileError
        If the name promises another format.
    OSError
        If it cannot be written.
    """
    container.check_named(path)
    replace_file(path, model_bytes(model))


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file.

    Parameters
    ----------
    path : path
        A file that :func:`save_model` wrote.

    Returns
    -------
    Model
        Every matrix has been checked for its balance and value range.

    Raises
    ------
    ModelFileError
        If it is no model file, of a newer version, truncated or changed in any byte.
    OSError
        If it cannot be read.
    """
    try:
        return _decode(Path(path))
    except ModelFileError as error:
        raise ModelFileError(f"{os.fspath(path)}: {error}") from error


def model_bytes(model: Model) -> bytearray:
    """What :func:`save_model` writes."""
    return sealed.encode(_header(model), _tensors(model))


def _header(model: Model) -> dict[str, Any]:
    always = {
        "kind": _KIND,
        "format_version": sealed.version_of(
            _matrices(model),
            screened=isinstance(model.head, ScreenedLayer),
            shifted=model.head is not None and model.head.row_bits > 0,
            several=isinstance(model.head, MlpHead),
        ),
        "gate_order": cell_named(model.cell).gate_names,
        "layers": [_layer_header(layer) for layer in model.layers],
        "head": None if model.head is None else _head_header(model.head),
        "provenance": model.provenance,
        "directions": model.directions,
    }
    return always | _younger(model)


def _matrices(model: Model) -> list[Geometry]:
    return [one.matrix.geometry for layer in model.layers for one in layer.matrices]


def _younger(model: Model) -> dict[str, Any]:
    """Keys that files of before do not have, where they say something else than those mean."""
    younger: dict[str, Any] = {}
    if model.cell != LSTM:
        younger["cell"] = model.cell
    reaches = [layer.arithmetic.reach for layer in model.layers]
    if set(reaches) != {Precision.reach}:  # a reader of before computes with that one alone
        younger["reach"] = reaches
    if model.pool != LAST:
        younger["pool"] = model.pool
    if model.input_scale is not None:
        younger["input_scale"] = {"inputs": len(model.input_scale)}
    if model.label_names:
        younger["label_names"] = list(model.label_names)
    return younger


def _layer_header(layer: LstmLayer) -> dict[str, Any]:
    return {
        "weight_ih": sealed.geometry_header(layer.weight_ih.geometry),
        "weight_hh": sealed.geometry_header(layer.weight_hh.geometry),
        "formats": {name: asdict(getattr(layer, name)) for name in _LAYER_FORMATS}
        | {name: _gates_header(getattr(layer, name)) for name in _GATE_FORMATS},
        "projection": None if layer.projection is None else _projection_header(layer.projection),
    }


def _gates_header(found: GateFormats) -> Any:
    """One format for all gates, or a list of one for each."""
    return asdict(found) if isinstance(found, Fixed) else [asdict(fixed) for fixed in found]


def _projection_header(projection: Projection) -> dict[str, Any]:
    return {
        "weight_hr": sealed.geometry_header(projection.weight.geometry),
        "formats": {name: asdict(getattr(projection, name)) for name in _PROJECTION_FORMATS},
    }


def _head_header(head: DenseLayer) -> dict[str, Any]:
    if isinstance(head, MlpHead):
        hidden = [_head_header(layer) for layer in head.hidden]
        return _head_header(head.last) | {"hidden": hidden}
    screened = {"screen": head.shifts._asdict()} if isinstance(head, ScreenedLayer) else {}
    if head.row_bits:
        screened["rows"] = {"bits": head.row_bits}
    return screened | {
        "outputs": head.output_size,
        "inputs": head.input_size,
        "formats": {name: asdict(getattr(head, name)) for name in _HEAD_FORMATS},
    }


def _tensors(model: Model) -> Tensors:
    return {
        name: np.frombuffer(part.pack_bits(), np.uint8) if isinstance(part, Csb) else part
        for name, part in _parts(model).items()
    }


def _parts(model: Model) -> dict[str, Csb | npt.NDArray[Any]]:
    """What becomes a tensor, by its name there."""
    parts: dict[str, Csb | npt.NDArray[Any]] = {}
    for n, layer in enumerate(model.layers):
        parts[f"layers.{n}.weight_ih"] = layer.weight_ih
        parts[f"layers.{n}.weight_hh"] = layer.weight_hh
        parts[f"layers.{n}.bias"] = layer.bias
        if layer.projection is not None:
            parts[f"layers.{n}.weight_hr"] = layer.projection.weight
    if model.head is not None:
        parts |= _head_parts(model.head)
    if (scale := model.input_scale) is not None:
        parts |= {"input.mean": scale.mean, "input.factor": scale.factor}
    return parts


def _head_parts(head: DenseLayer) -> dict[str, npt.NDArray[Any]]:
    layers, parts = layers_of(head), dict[str, npt.NDArray[Any]]()
    for name, layer in zip(layer_names(len(layers)), layers, strict=True):
        parts |= _dense_parts(name, layer)
    return parts


def _dense_parts(name: str, layer: DenseLayer) -> dict[str, npt.NDArray[Any]]:
    if layer.row_bits:
        return _row_parts(name, layer)
    if not isinstance(layer, ScreenedLayer):
        return {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
    planes, *fields = layer.parts()
    named = {f"{name}.planes.{n}": plane for n, plane in enumerate(planes)}
    named |= {f"{name}.{part}": field for part, field in zip(_SCREEN_PARTS, fields, strict=True)}
    return named | {f"{name}.bias": layer.bias}


def _row_parts(name: str, layer: DenseLayer) -> dict[str, npt.NDArray[Any]]:
    """Rows of few bits, and their shifts."""
    shifts = layer.row_shifts
    fields = (layer.weight >> shifts[:, None]) & ((1 << layer.row_bits) - 1)
    rows, own = pack_rows(fields, layer.row_bits), shifts.astype(np.uint8)
    return {f"{name}.rows": rows, f"{name}.shifts": own, f"{name}.bias": layer.bias}


def _decode(path: Path) -> Model:
    header, tensors = sealed.decode(path, _KIND)
    check_claims(_geometries(header), path.stat().st_size)
    model = _model(header, tensors)
    sealed.check_surplus(header, tensors, _header(model), _parts(model))
    return model


def _geometries(header: dict[str, Any]) -> dict[str, Geometry]:
    """Of all matrices: what the header alone says of their sizes."""
    found = {}
    for n, node in enumerate(_get(header, "layers", list)):
        projected = isinstance(node, dict) and node.get("projection") is not None
        for name in ("weight_ih", "weight_hh"):
            found[f"layers.{n}.{name}"] = sealed.geometry(_get(node, name, dict))
        if projected:
            inner = _get(_get(node, "projection", dict), "weight_hr", dict)
            found[f"layers.{n}.weight_hr"] = sealed.geometry(inner)
    return found


def _model(header: dict[str, Any], tensors: Tensors) -> Model:
    try:
        cell = _cell(header)
        nodes = _get(header, "layers", list)
        layers = tuple(_layer(node, f"layers.{n}", tensors, cell) for n, node in enumerate(nodes))
        head = None if header.get("head") is None else _head(_get(header, "head", dict), tensors)
        provenance = _get(header, "provenance", dict)
        pool = _get(header, "pool", str) if "pool" in header else LAST
        names = _get(header, "label_names", list) if "label_names" in header else []
        directions, scale = _get(header, "directions", int), _scale(header, tensors)
        return Model(layers, head, provenance, directions, pool, scale, tuple(names))
    except ModelFileError:
        raise
    except (ValueError, OverflowError, MemoryError) as error:
        raise ModelFileError(f"invalid contents: {error}") from error


def _cell(header: dict[str, Any]) -> str:
    """The cell of all layers; a file that names none holds LSTMs."""
    name = _get(header, "cell", str) if "cell" in header else LSTM
    if name not in CELLS:
        raise ModelFileError(
            f"cell {name[:40]!a}: this version knows {', '.join(CELLS)}; update sparseflow"
        )
    order = cell_named(name).gate_names
    if _get(header, "gate_order", str) != order:
        raise ModelFileError(f"gate order {header['gate_order']!r}: must be {order!r}")
    return name


def _scale(header: dict[str, Any], tensors: Tensors) -> InputScale | None:
    if "input_scale" not in header:
        return None
    inputs = _get(_get(header, "input_scale", dict), "inputs", int)
    names = ("input.mean", "input.factor")
    return InputScale(*(_tensor(tensors, name, "F64", (inputs,)) for name in names))


def _layer(node: Any, name: str, tensors: Tensors, cell: str) -> LstmLayer:
    weight_ih = _matrix(_get(node, "weight_ih", dict), f"{name}.weight_ih", tensors)
    weight_hh = _matrix(_get(node, "weight_hh", dict), f"{name}.weight_hh", tensors)
    gates, sums = len(cell_named(cell).gate_names), len(cell_named(cell).sums)
    units, torn = divmod(weight_hh.geometry.rows, gates)
    if torn:
        raise ModelFileError(
            f"{name}.weight_hh has {weight_hh.geometry.rows} rows: it must have {gates} a unit"
        )
    bias = _tensor(tensors, f"{name}.bias", "I64", (sums * units,))
    formats = _formats(node, _LAYER_FORMATS) | {k: _gates(node, k, gates) for k in _GATE_FORMATS}
    projection = None
    if node.get("projection") is not None:
        projection = _projection(_get(node, "projection", dict), name, tensors)
    return LstmLayer(weight_ih, weight_hh, bias, **formats, projection=projection, cell=cell)


def _projection(node: dict[str, Any], name: str, tensors: Tensors) -> Projection:
    weight = _matrix(_get(node, "weight_hr", dict), f"{name}.weight_hr", tensors)
    return Projection(weight, **_formats(node, _PROJECTION_FORMATS))


def _gates(node: dict[str, Any], name: str, gates: int) -> GateFormats:
    found = _get(node, "formats", dict).get(name)
    if not isinstance(found, list):
        return _fixed(_get(_get(node, "formats", dict), name, dict))
    if len(found) != gates:
        raise ModelFileError(
            f"header field {name!r} has {len(found)} formats: it must have {gates}"
        )
    return tuple(_fixed(entry) for entry in found)


def _head(node: dict[str, Any], tensors: Tensors) -> DenseLayer:
    if "hidden" not in node:
        return _dense(node, "head", tensors)
    nodes = [*_get(node, "hidden", list), node]
    named = zip(nodes, layer_names(len(nodes)), strict=True)
    return MlpHead.of(*(_dense(one, name, tensors) for one, name in named))


def _dense(node: Any, name: str, tensors: Tensors) -> DenseLayer:
    outputs, inputs = _get(node, "outputs", int), _get(node, "inputs", int)
    bias = _tensor(tensors, f"{name}.bias", "I64", (outputs,))
    if "screen" in node:
        return _screened(node, name, tensors, inputs, bias)
    if "rows" in node:
        return _shifted(node, name, tensors, inputs, bias)
    weight = _tensor(tensors, f"{name}.weight", "I64", (outputs, inputs))
    return DenseLayer(weight=weight, bias=bias, **_formats(node, _HEAD_FORMATS))


def _shifted(
    node: dict[str, Any], name: str, tensors: Tensors, inputs: int, bias: npt.NDArray[np.int64]
) -> DenseLayer:
    formats = _formats(node, _HEAD_FORMATS)
    bits, most = _get(_get(node, "rows", dict), "bits", int), formats["weight_format"].width
    if not LEAST_ROW_BITS <= bits <= most or inputs < 1:
        raise ModelFileError(f"a head with rows of {bits} bits and {inputs} inputs is none of ours")
    rows = _tensor(tensors, f"{name}.rows", "U8", (len(bias), -(-bits * inputs // 8)))
    shifts = _tensor(tensors, f"{name}.shifts", "U8", (len(bias),)).astype(np.int64)
    if (shifts > most - bits).any():
        raise ModelFileError(
            f"a row of the head is shifted by {int(shifts.max())} bits, and is {bits} of {most}: "
            "fetch or save the file again"
        )
    half = 1 << (bits - 1)
    weight = ((unpack_rows(rows, bits, inputs) ^ half) - half) << shifts[:, None]
    return DenseLayer(weight=weight, bias=bias, **formats, row_bits=bits)


def _screened(
    node: dict[str, Any], name: str, tensors: Tensors, inputs: int, bias: npt.NDArray[np.int64]
) -> ScreenedLayer:
    given = _get(node, "screen", dict)
    shifts = Shifts(**{field: _get(given, field, int) for field in Shifts._fields})
    if not LEAST_BITS <= shifts.bits <= MOST_BITS + 1 or inputs < 1:
        raise ModelFileError(f"a head of {shifts.bits} bits and {inputs} inputs is none of ours")
    planes = [
        _tensor(tensors, f"{name}.planes.{n}", "U8", (len(bias), -(-bits * inputs // 8)))
        for n, bits in enumerate(plane_bits(shifts.bits))
    ]
    counts = {"blocks": -(-len(bias) // BLOCK)}
    fields = (
        _tensor(tensors, f"{name}.{part}", "U8", (counts.get(part, len(bias)), 4))
        for part in _SCREEN_PARTS
    )
    formats = _formats(node, _HEAD_FORMATS)
    both = (formats["weight_format"], formats["input"])
    return ScreenedLayer.read(FileParts(planes, *fields), shifts, inputs, both, bias)


def _matrix(node: dict[str, Any], name: str, tensors: Tensors) -> Csb:
    geometry = sealed.geometry(node)
    stream = _tensor(tensors, name, "U8", (-(-geometry.packed_bits // 8),))
    return Csb.unpack_bits(geometry, stream.data)


def _formats(node: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    formats = _get(node, "formats", dict)
    nodes = {name: _get(formats, name, dict) for name in names}
    return {name: _fixed(node) for name, node in nodes.items()}


def _fixed(node: Any) -> Fixed:
    return Fixed(_get(node, "width", int), _get(node, "frac", int))


def _tensor(tensors: Tensors, name: str, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if name not in tensors:
        raise ModelFileError(f"tensor {name!r} is missing: fetch or save the file again")
    tensor = tensors[name]
    found = (container.dtype_name(tensor), tensor.shape)
    if found != (dtype, shape):
        raise ModelFileError(
            f"tensor {name!r} is {found[0]} of shape {found[1]}, its header needs {dtype} of "
            f"shape {shape}: fetch or save the file again"
        )
    return tensor
