"""One recurrent module and its linear head, out of whatever file holds them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from csb_format.pooling import LAST, check_pool

from ..importers import Imported, import_model
from ..importers.checkpoint import CheckpointError, UnsupportedLayerError
from .misfits import (
    check_floats,
    check_graph,
    check_orientation,
    foreign_names,
    told_of_rest,
    transposed_heads,
)
from .pooling import pooled

__all__ = ["Classifier", "Network", "load_network", "load_recurrent", "network_of"]

_PARAMETER = re.compile(r"^(.*\.|)(weight|bias)_(ih|hh|hr)(_l\d+(_reverse)?)?$")
_GATES = {4: nn.LSTM, 3: nn.GRU}
_FIRST = ("weight_ih_l0", "weight_hh_l0")

Recurrent = nn.LSTM | nn.GRU


class Classifier(nn.Module):
    """A recurrent module of any option and a linear head.

    Parameters
    ----------
    recurrent : nn.LSTM or nn.GRU
        Made batch first.
    head : nn.Linear
    pool : {"last", "hn", "mean", "every"}
        How the head is fed; see :data:`csb_format.pooling.Pool`. With ``"last"`` the reverse
        direction contributes its output at that same last frame.
    """

    def __init__(self, recurrent: Recurrent, head: nn.Linear, pool: str = LAST) -> None:
        super().__init__()
        check_pool(pool)
        recurrent.batch_first = True
        self.recurrent, self.head, self.pool = recurrent, head, pool

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Logits of a padded batch.

        Parameters
        ----------
        frames : Tensor
            float32 (B, T, X); frames at and after ``lengths`` are ignored.
        lengths : Tensor
            int64 (B,), 1..T.

        Returns
        -------
        Tensor
            float32 (B, classes); (B, T, classes) where the head is fed with every frame.
        """
        outputs = self._outputs(frames, lengths)
        directions = 1 + self.recurrent.bidirectional
        logits: Tensor = self.head(pooled(outputs, lengths, self.pool, directions))
        return logits

    def _outputs(self, frames: Tensor, lengths: Tensor) -> Tensor:
        if not self.recurrent.bidirectional:
            # Causal: padding after the last frame cannot change that frame's output.
            outputs: Tensor = self.recurrent(frames)[0]
            return outputs
        packed = nn.utils.rnn.pack_padded_sequence(
            frames, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        return nn.utils.rnn.pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)[0]


@dataclass(frozen=True, eq=False)
class Network:
    """What a file holds, float32, on the CPU.

    Parameters
    ----------
    recurrent : nn.LSTM or nn.GRU
        Any number of layers, both directions, projections, with or without bias.
    head : nn.Linear or None
        The layer on its output.
    names : dict of str to str
        Parameter of :class:`Classifier` (``recurrent.weight_ih_l0``, ``head.weight``) to its
        name in the file.
    imported : Imported
        The file's contents: masks, source, notes, metadata.
    cell : bool
        Whether it is an ``nn.LSTMCell`` or ``nn.GRUCell``, taken as a module of one layer.
    """

    recurrent: Recurrent
    head: nn.Linear | None
    names: dict[str, str]
    imported: Imported
    cell: bool = False

    @property
    def masks(self) -> dict[str, Tensor]:
        """Kept weights of the recurrent module by parameter name, where the file has masks."""
        found = self.imported.masks
        return {
            leaf: found[self.names[f"recurrent.{leaf}"]]
            for leaf, _ in self.recurrent.named_parameters()
            if self.names[f"recurrent.{leaf}"] in found
        }

    def matrices(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of the recurrent module's weights by parameter name."""
        return {
            name: (parameter.shape[0], parameter.shape[1])
            for name, parameter in self.recurrent.named_parameters()
            if parameter.ndim == 2
        }

    @property
    def is_lstm(self) -> bool:
        """Whether it is an ``nn.LSTM``, the only one that has integers for the accelerator."""
        return isinstance(self.recurrent, nn.LSTM) and not self.cell

    def lstm(self) -> nn.LSTM:
        """The recurrent module, which must be an ``nn.LSTM``.

        Raises
        ------
        UnsupportedLayerError
            For a GRU or a cell, naming the mend.
        """
        if isinstance(self.recurrent, nn.LSTM) and not self.cell:
            return self.recurrent
        kind = type(self.recurrent).__name__ + "Cell" * self.cell
        mend = "train torch.nn.LSTM"
        if kind == "LSTMCell":
            mend = "give its tensors the names of nn.LSTM (weight_ih_l0, ...)"
        raise UnsupportedLayerError(
            f"tensor {self.names['recurrent.weight_hh_l0']} is that of an nn.{kind}: only nn.LSTM "
            f"has integers for the accelerator; pack its matrices alone with --matrices, or {mend}"
        )

    @property
    def fed(self) -> str | None:
        """How the file's graph feeds the head; None where it has no graph, or no head."""
        graph = self.imported.reading
        return graph.pool if graph is not None and graph.head else None

    def classifier(self, path: str | os.PathLike[str], pool: str | None = None) -> Classifier:
        """The trainable network, its head fed in this way, or as the file's graph feeds it.

        Raises
        ------
        CheckpointError
            If there is no head, or a parameter is NaN or infinite.
        """
        if self.head is None:
            raise CheckpointError(
                f"{path} has no linear layer on the hidden state: save the classifier with its "
                "head, or prune in your own loop (docs/pruning.md)"
            )
        self.check_finite(path)
        return Classifier(self.recurrent, self.head, pool or self.fed or LAST)

    @torch.no_grad()
    def restore(self) -> list[str]:
        """Put weights back that a mask has removed, where the file still has them.

        Returns
        -------
        list of str
            Matrices that have changed, by their names in the file.
        """
        names = {self.names[f"recurrent.{leaf}"]: leaf for leaf in self.matrices()}
        found = [name for name in names if name in self.imported.dense]
        for name in found:
            self.recurrent.get_parameter(names[name]).copy_(self.imported.dense[name])
        return found

    def check_finite(self, path: str | os.PathLike[str]) -> None:
        """Raise a :class:`.CheckpointError` that names the first tensor with NaN or infinity."""
        for name in self.names.values():
            if not self.imported.state_dict[name].isfinite().all():
                raise CheckpointError(
                    f"{path}: {name} holds NaN or infinity: train to finite weights first"
                )


def load_network(
    path: str | os.PathLike[str],
    masks: str | os.PathLike[str] | None = None,
    frames: Sequence[npt.NDArray[np.floating[Any]]] = (),
    *,
    shared: bool = False,
) -> Network:
    """Load one recurrent module, and the linear layer on it if there is one.

    Parameters
    ----------
    path, masks, frames
        What :func:`.import_model` takes. The file holds one ``nn.LSTM`` or ``nn.GRU`` of any
        option, or one of their cells, and optionally one ``nn.Linear`` that takes its output.
        Nothing else, so that no layer is dropped silently.
    shared : bool
        The modules' weights are those of ``imported``, not copies: for what does not train.

    Returns
    -------
    Network

    Raises
    ------
    UnsupportedLayerError
        Naming the tensor of another cell.
    CheckpointError
        For a file that cannot be read safely, masks without weights, or tensors that are
        missing, too many or of the wrong shape.
    """
    return network_of(_with_weights(path, import_model(path, masks, frames=frames)), shared)


def load_recurrent(
    path: str | os.PathLike[str], masks: str | os.PathLike[str] | None = None
) -> Network:
    """The one recurrent module of a file alone; what lies beside it is left out."""
    return _recurrent_of(_with_weights(path, import_model(path, masks)), shared=True)


def _with_weights(path: str | os.PathLike[str], found: Imported) -> Imported:
    if not found.state_dict:
        raise CheckpointError(
            f"{path} holds masks alone: give the weights first and this file with --masks"
        )
    return found


def network_of(found: Imported, shared: bool = False) -> Network:
    """What :func:`load_network` makes of an imported file that holds weights."""
    check_graph(found)
    plain = _recurrent_of(found, shared)
    rest = {n: t for n, t in found.state_dict.items() if n not in plain.names.values()}
    head, name = _head(rest, plain.recurrent)
    return replace(plain, head=head, names=plain.names | _head_names(head, name))


def _recurrent_of(found: Imported, shared: bool) -> Network:
    prefix = _prefix(found.state_dict)
    parts = _parts(found.state_dict, prefix)
    cell = any(not _PARAMETER.fullmatch(leaf)[4] for leaf in parts)  # type: ignore[index]
    names = {(f"{leaf}_l0" if cell else leaf): prefix + leaf for leaf in parts}
    check_floats(found.state_dict, names.values())
    recurrent = _recurrent(prefix, {leaf: found.state_dict[n] for leaf, n in names.items()}, shared)
    origin = {f"recurrent.{leaf}": n for leaf, n in names.items()}
    return Network(recurrent, None, origin, found, cell)


def _prefix(tensors: Mapping[str, Tensor]) -> str:
    matches = {name: _PARAMETER.fullmatch(name) for name in tensors}
    found = list(dict.fromkeys(match[1] for match in matches.values() if match))
    if not found and (error := foreign_names(tensors)):
        raise error
    if len(found) != 1:
        named = ", ".join(f"{prefix}weight_ih..." for prefix in found)
        raise CheckpointError(
            f"{len(found)} recurrent modules ({named or 'found: ' + _some(tensors)}): a checkpoint "
            "must hold exactly one nn.LSTM or nn.GRU, named as torch names its parameters; pack "
            "the matrices of other networks with --matrices"
        )
    return found[0]


def _some(names: Mapping[str, Tensor]) -> str:
    return ", ".join(list(names)[:5]) or "no tensors"


def _parts(tensors: Mapping[str, Tensor], prefix: str) -> list[str]:
    matches = [_PARAMETER.fullmatch(name) for name in tensors]
    return [match[0].removeprefix(prefix) for match in matches if match]


def _recurrent(prefix: str, parts: Mapping[str, Tensor], shared: bool) -> Recurrent:
    """A module whose options are read off its tensors, which must then fit exactly."""
    _check_matrices(prefix, parts)
    projected = parts.get("weight_hr_l0")
    hidden = int(parts["weight_hh_l0" if projected is None else "weight_hr_l0"].shape[-1])
    kind = _kind(prefix, parts["weight_hh_l0"], hidden)
    options = {} if projected is None else {"proj_size": int(projected.shape[0])}
    _check_projection(prefix, options.get("proj_size", 0), hidden, kind)
    # On no device first: no random numbers are drawn for weights that are replaced at once.
    module = kind(
        parts["weight_ih_l0"].shape[1],
        hidden,
        num_layers=len({name.split("_")[2] for name in parts}),
        bias=any(name.startswith("bias") for name in parts),
        bidirectional=any(name.endswith("_reverse") for name in parts),
        device="meta",
        **options,
    )
    _check_parts(prefix, parts, module)  # before there is memory for what it claims
    if not shared:
        module = module.to_empty(device="cpu")
    module.load_state_dict({n: tensor.float() for n, tensor in parts.items()}, assign=shared)
    return module


def _check_matrices(prefix: str, parts: Mapping[str, Tensor]) -> None:
    if not set(_FIRST) <= set(parts):
        raise CheckpointError(
            f"recurrent module {prefix!r} has only {', '.join(parts)}: it needs "
            f"{' and '.join(_FIRST)}; save its whole state dict"
        )
    for name, tensor in parts.items():
        if name.startswith("weight") and (tensor.ndim != 2 or not tensor.numel()):
            raise CheckpointError(
                f"tensor {prefix}{name} of shape {tuple(tensor.shape)}: it must be a matrix with "
                "rows and columns"
            )
    check_orientation(prefix, parts)


def _kind(prefix: str, recurrent: Tensor, hidden: int) -> type[Recurrent]:
    gates = recurrent.shape[0] / hidden
    if gates == 1:
        raise UnsupportedLayerError(
            f"tensor {prefix}weight_hh_l0 of shape {tuple(recurrent.shape)} has 1 gate a unit "
            "(nn.RNN): train torch.nn.LSTM, or pack its matrices with --matrices"
        )
    if gates not in _GATES:
        raise CheckpointError(
            f"tensor {prefix}weight_hh_l0 of shape {tuple(recurrent.shape)} for {hidden} units: "
            f"an LSTM needs {4 * hidden} rows, a GRU {3 * hidden}"
        )
    return _GATES[math.floor(gates)]


def _check_projection(prefix: str, size: int, hidden: int, kind: type[Recurrent]) -> None:
    if size and not (kind is nn.LSTM and size < hidden):
        raise CheckpointError(
            f"tensor {prefix}weight_hr_l0 projects {hidden} units of an nn.{kind.__name__} to "
            f"{size}: torch projects those of an nn.LSTM, to fewer"
        )


def _check_parts(prefix: str, parts: Mapping[str, Tensor], module: Recurrent) -> None:
    wanted = {name: tuple(p.shape) for name, p in module.named_parameters()}
    missing = [name for name in wanted if name not in parts]
    surplus = [name for name in parts if name not in wanted]
    if missing or surplus:
        raise CheckpointError(
            f"recurrent module {prefix!r} lacks {', '.join(missing) or 'nothing'} and has "
            f"{', '.join(surplus) or 'nothing'} too much for {module}: save its whole state dict"
        )
    for name, tensor in parts.items():
        if tuple(tensor.shape) != wanted[name]:
            raise CheckpointError(
                f"tensor {prefix}{name} of shape {tuple(tensor.shape)}: {module} needs "
                f"{wanted[name]}"
            )


def _head(rest: Mapping[str, Tensor], recurrent: Recurrent) -> tuple[nn.Linear | None, str]:
    if not rest:
        return None, ""
    width = (recurrent.proj_size or recurrent.hidden_size) * (1 + recurrent.bidirectional)
    fits = [
        n
        for n, t in rest.items()
        if n.rpartition(".")[2] == "weight" and t.ndim == 2 and t.shape[1] == width and len(t)
    ]
    known = {name for fit in fits for name in (fit, fit.removesuffix("weight") + "bias")}
    left = [name for name in rest if name not in known]
    if not fits:
        transposed_heads(rest, width)
    if len(fits) != 1 or left:
        others = {name: rest[name] for name in left or fits}
        told = told_of_rest(others, recurrent.input_size)
        raise CheckpointError(
            f"beside the {type(recurrent).__name__}: {', '.join(others)}. Only one linear layer "
            f"with {width} columns (its output) is supported{told}; `pack --matrices` packs the "
            "matrices of any network"
        )
    return _linear(rest, fits[0]), fits[0]


def _linear(rest: Mapping[str, Tensor], name: str) -> nn.Linear:
    weight, bias = rest[name], rest.get(name.removesuffix("weight") + "bias")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise CheckpointError(
            f"bias of {name} has shape {tuple(bias.shape)}: it must be ({weight.shape[0]},)"
        )
    rows, columns = weight.shape
    linear = nn.Linear(columns, rows, bias=bias is not None, device="meta").to_empty(device="cpu")
    state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    linear.load_state_dict({key: tensor.float() for key, tensor in state.items()})
    return linear


def _head_names(head: nn.Linear | None, name: str) -> dict[str, str]:
    if head is None:
        return {}
    stem = name.removesuffix("weight")
    return {f"head.{leaf}": stem + leaf for leaf, _ in head.named_parameters()}
