"""Reading a user's checkpoint without running anything in it, and writing one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from csb_format.replace import replace_file

from .supported import UnsupportedLayerError

__all__ = ["Checkpoint", "CheckpointError", "load_lstm", "save_weights"]

_IH, _HH = "weight_ih_l0", "weight_hh_l0"
_BIASES = ("bias_ih_l0", "bias_hh_l0")


_MASK = ".mask"


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or does not hold one LSTM."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The layers found in a checkpoint, float32, on the CPU.

    Parameters
    ----------
    lstm : nn.LSTM
        One layer.
    head : nn.Linear or None
        The layer on its hidden state.
    lstm_prefix : str
        What stood before ``weight_ih_l0``, e.g. ``"lstm."``.
    head_name : str
        Name of the head's weight, or empty.
    masks : dict of str to bool Tensor
        Kept weights by parameter name (``weight_ih_l0``), where the file holds masks.
    metadata : dict of str to str
        Of a ``.safetensors`` file.
    """

    lstm: nn.LSTM
    head: nn.Linear | None
    lstm_prefix: str
    head_name: str
    masks: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def check_finite(self, path: Path) -> None:
        """Raise a :class:`CheckpointError` that names the first parameter with NaN or infinity."""
        for layer in filter(None, (self.lstm, self.head)):
            for name, tensor in layer.named_parameters():
                if not tensor.isfinite().all():
                    raise CheckpointError(
                        f"{path}: {name} holds NaN or infinity: train to finite weights first"
                    )


def load_lstm(path: str | os.PathLike[str]) -> Checkpoint:
    """Load one LSTM layer, and the linear layer on it if there is one.

    Nothing in the file is executed: ``.safetensors`` holds no code, and any other file is
    read by ``torch.load(weights_only=True)``.

    Parameters
    ----------
    path : path
        A state dict: tensors named as torch names them, ``weight_ih_l0``,
        ``weight_hh_l0``, optionally both biases, all with or without a common prefix;
        optionally one matrix ``<name>.weight`` with ``hidden_size`` columns and its
        ``<name>.bias``; optionally the masks ``<parameter>.mask`` that :func:`save_weights`
        writes. Nothing else, so that no layer is dropped silently.

    Returns
    -------
    Checkpoint

    Raises
    ------
    UnsupportedLayerError
        Naming the tensor of a projection, a reverse direction, a second layer or another cell.
    CheckpointError
        For a file that cannot be read safely, or tensors that are missing, too many or of
        the wrong shape.
    """
    found = _read(Path(path))
    tensors = {name: tensor for name, tensor in found.items() if not name.endswith(_MASK)}
    _refuse_unsupported(tensors)
    prefix = _prefix(tensors)
    lstm, used = _lstm(tensors, prefix)
    rest = {name: tensor for name, tensor in tensors.items() if name not in used}
    head, name = _head(rest, lstm.hidden_size)
    masks = _masks({k: v for k, v in found.items() if k.endswith(_MASK)}, tensors, prefix)
    return Checkpoint(lstm, head, prefix, name, masks, _metadata(Path(path)))


def _masks(
    masks: Mapping[str, Tensor], tensors: Mapping[str, Tensor], prefix: str
) -> dict[str, Tensor]:
    """Masks by parameter name, checked against the weights that they belong to."""
    checked = {}
    for name, mask in masks.items():
        weight = tensors.get(name.removesuffix(_MASK))
        if weight is None or weight.shape != mask.shape:
            shape = None if weight is None else tuple(weight.shape)
            raise CheckpointError(
                f"{name} has shape {tuple(mask.shape)}, its weight {shape}: remove the mask, or "
                "save it with its own weights"
            )
        if (weight[~mask.bool()] != 0).any():
            raise CheckpointError(
                f"{name}: a weight outside the mask is not zero; save the pruned weights, "
                "or remove the mask"
            )
        checked[name.removesuffix(_MASK).removeprefix(prefix)] = mask.bool()
    return checked


def _metadata(path: Path) -> dict[str, str]:
    if path.suffix != ".safetensors":
        return {}
    with safetensors.safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def save_weights(
    path: str | os.PathLike[str],
    module: nn.Module,
    masks: Mapping[str, Tensor] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the state dict of a module as ``.safetensors``, whole or not at all.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    module : nn.Module
        For :func:`load_lstm` a plain one, as ``BankBalancedPruner.squash`` returns it.
    masks : Mapping[str, bool Tensor], optional
        Kept weights by parameter name in the state dict; stored as ``<name>.mask``.
    metadata : Mapping[str, str], optional
        Stored in the file's header.
    """
    tensors = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    tensors |= {f"{name}{_MASK}": mask.contiguous() for name, mask in (masks or {}).items()}
    replace_file(path, safetensors.torch.save(tensors, dict(metadata) if metadata else None))


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path} is no file: give a .safetensors or torch.save checkpoint")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # A damaged file makes the readers fail in any way.
        raise CheckpointError(
            f"{path} is no plain state dict, and is not unpickled as it could run code: save it "
            f"with torch.save(model.state_dict(), path) or as .safetensors ({_first_line(error)})"
        ) from error
    return _tensors_of(path, found)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _tensors_of(path: Path, found: object) -> dict[str, Tensor]:
    if not isinstance(found, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(found).__name__}: save model.state_dict() alone"
        )
    for name, value in found.items():
        if not (isinstance(name, str) and isinstance(value, Tensor)):
            raise CheckpointError(
                f"{path} holds {name!r} of type {type(value).__name__}, not a tensor: "
                "save model.state_dict() alone, without optimizer or epoch"
            )
    return dict(found)


def _refuse_unsupported(tensors: Mapping[str, Tensor]) -> None:
    for name in tensors:
        mend = _mend(name)
        if mend:
            raise UnsupportedLayerError(f"tensor {name}: {mend}")


def _mend(name: str) -> str:
    leaf = name.rpartition(".")[2]
    if "parametrizations." in name:
        return "a parametrised layer; save the module that the pruner's squash() returns"
    if not leaf.startswith(("weight_ih_l", "weight_hh_l", "weight_hr_l", "bias_ih_l", "bias_hh_l")):
        return ""
    if leaf.endswith("_reverse"):
        return "the reverse direction of a bidirectional layer; train with bidirectional=False"
    if leaf.startswith("weight_hr"):
        return "a projection; train with proj_size=0"
    if not leaf.endswith("_l0"):
        return "a further layer; only one is supported, train with num_layers=1"
    return ""


def _prefix(tensors: Mapping[str, Tensor]) -> str:
    found = [n for n in tensors if n == _IH or n.endswith("." + _IH)]
    if len(found) != 1:
        raise CheckpointError(
            f"{len(found)} tensors named {_IH} ({', '.join(found) or 'found: ' + _some(tensors)}): "
            "a checkpoint must hold exactly one nn.LSTM, named as torch names its parameters"
        )
    return found[0].removesuffix(_IH)


def _some(names: Mapping[str, Tensor]) -> str:
    return ", ".join(list(names)[:5]) or "no tensors"


def _lstm(tensors: Mapping[str, Tensor], prefix: str) -> tuple[nn.LSTM, set[str]]:
    parts = {
        leaf: tensors[prefix + leaf] for leaf in (_IH, _HH, *_BIASES) if prefix + leaf in tensors
    }
    has_bias = _BIASES[0] in parts
    if _HH not in parts or has_bias != (_BIASES[1] in parts):
        raise CheckpointError(
            f"LSTM {prefix!r} has only {', '.join(parts)}: it needs {_IH} and {_HH}, "
            f"and both {' and '.join(_BIASES)} or neither"
        )
    hidden = _check_shapes(prefix, parts)
    lstm = nn.LSTM(parts[_IH].shape[1], hidden, bias=has_bias)
    lstm.load_state_dict({leaf: tensor.float() for leaf, tensor in parts.items()})
    return lstm, {prefix + leaf for leaf in parts}


def _check_shapes(prefix: str, parts: Mapping[str, Tensor]) -> int:
    shapes = {leaf: tuple(tensor.shape) for leaf, tensor in parts.items()}
    hidden = shapes[_HH][-1] if shapes[_HH] else 0
    gates = shapes[_HH][0] // hidden if hidden else 0
    if len(shapes[_HH]) == 2 and gates in (1, 3) and shapes[_HH][0] == gates * hidden:
        raise UnsupportedLayerError(
            f"tensor {prefix}{_HH} of shape {shapes[_HH]} has {gates} gates a unit "
            f"({'nn.GRU' if gates == 3 else 'nn.RNN'}): train torch.nn.LSTM, which has 4"
        )
    for leaf, shape in shapes.items():
        wanted = {_IH: (4 * hidden, shape[-1] if shape else 0), _HH: (4 * hidden, hidden)}
        if not parts[leaf].is_floating_point() or shape != wanted.get(leaf, (4 * hidden,)):
            raise CheckpointError(
                f"tensor {prefix}{leaf} of shape {shape} and {parts[leaf].dtype}: an LSTM of "
                f"{hidden} units needs floats of shape {wanted.get(leaf, (4 * hidden,))}"
            )
    return hidden


def _head(rest: Mapping[str, Tensor], hidden: int) -> tuple[nn.Linear | None, str]:
    if not rest:
        return None, ""
    fits = [
        n
        for n, t in rest.items()
        if n.rpartition(".")[2] == "weight" and t.ndim == 2 and t.shape[1] == hidden
    ]
    known = {name for fit in fits for name in (fit, fit.removesuffix("weight") + "bias")}
    left = [name for name in rest if name not in known]
    if len(fits) != 1 or left:
        raise CheckpointError(
            f"beside the LSTM: {', '.join(left or fits)}. Only one linear layer with {hidden} "
            "columns (the hidden size) is supported: save the LSTM and that layer alone"
        )
    return _linear(rest, fits[0]), fits[0]


def _linear(rest: Mapping[str, Tensor], name: str) -> nn.Linear:
    weight, bias = rest[name], rest.get(name.removesuffix("weight") + "bias")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise CheckpointError(
            f"bias of {name} has shape {tuple(bias.shape)}: it must be ({weight.shape[0]},)"
        )
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    linear.load_state_dict({key: tensor.float() for key, tensor in state.items()})
    return linear
