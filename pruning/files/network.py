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

from ..cells import Recurrent
from ..importers import Cut, Imported, import_model
from ..importers.checkpoint import CheckpointError, UnsupportedLayerError
from ..importers.cut import module_of, recurrent_modules
from ..mlp import Head
from ..reset_first import MARK, ResetFirstGRU
from .heads import head_of
from .members import members
from .misfits import check_floats, check_graph, check_orientation
from .pooling import pooled

__all__ = ["Classifier", "Network", "load_network", "load_recurrent", "network_of"]

_LAYER = re.compile(r"_l\d+(_reverse)?$")
_GATES = {4: nn.LSTM, 3: nn.GRU}
_FIRST = ("weight_ih_l0", "weight_hh_l0")


class Classifier(nn.Module):
    """A recurrent module of any option and a linear head.

    Parameters
    ----------
    recurrent : nn.LSTM or nn.GRU
        Made batch first.
    head : nn.Linear or MlpHead
        Or ``nn.Identity``, for the outputs themselves.
    pool : {"last", "hn", "mean", "every"}
        How the head is fed; see :data:`csb_format.pooling.Pool`. With ``"last"`` the reverse
        direction contributes its output at that same last frame.
    """

    def __init__(self, recurrent: Recurrent, head: Head, pool: str = LAST) -> None:
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
    head : nn.Linear, MlpHead or None
        The layer on its output, or several with a ReLU between them.
    names : dict of str to str
        Parameter of :class:`Classifier` (``recurrent.weight_ih_l0``, ``head.weight``) to its
        name in the file.
    imported : Imported
        The file's contents: masks, source, notes, metadata.
    cell : bool
        Whether it is an ``nn.LSTMCell`` or ``nn.GRUCell``, taken as a module of one layer.
    """

    recurrent: Recurrent
    head: Head | None
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
    def has_integers(self) -> bool:
        """Whether it is a module that has integers for the accelerator, and no cell."""
        return not self.cell

    def packable(self) -> Recurrent:
        """The recurrent module, which must have integers for the accelerator.

        Raises
        ------
        UnsupportedLayerError
            For a cell, naming the mend.
        """
        if not self.cell:
            return self.recurrent
        kind = type(self.recurrent).__name__
        name = self.names["recurrent.weight_hh_l0"]
        module = module_of(name.removesuffix("weight_hh"))
        raise UnsupportedLayerError(
            f"tensor {name} is that of an nn.{kind}Cell: only nn.LSTM and nn.GRU have integers for "
            "the accelerator; pack its matrices alone with --matrices, or take it for one layer "
            f"that runs frame by frame, --lstm {module}"
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
    cut: Cut | None = None,
) -> Network:
    """Load one recurrent module, and the linear layer on it if there is one.

    Parameters
    ----------
    path, masks, frames
        What :func:`.import_model` takes. The file holds one ``nn.LSTM`` or ``nn.GRU`` of any
        option, or one of their cells, and optionally one ``nn.Linear`` that takes its output, or
        several that ``cut`` names, with a ReLU between them.
        Nothing else, so that no layer is dropped silently.
    shared : bool
        The modules' weights are those of ``imported``, not copies: for what does not train.
    cut : Cut, optional
        What of a larger network's state dict is taken, by its modules' names; all else that it
        ignores is in ``imported.aside``. By default what the file notes.

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
    found = import_model(path, masks, frames=frames, cut=cut)
    return network_of(_with_weights(path, found), shared)


def load_recurrent(
    path: str | os.PathLike[str],
    masks: str | os.PathLike[str] | None = None,
    cut: Cut | None = None,
) -> Network:
    """The one recurrent module of a file alone; what lies beside it is left out."""
    return _recurrent_of(_with_weights(path, import_model(path, masks, cut=cut)), shared=True)


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
    found, own = plain.imported, plain.names.values()
    rest = {n: t for n, t in found.state_dict.items() if n not in own}
    head, names = head_of(rest, plain.recurrent, plain.names, found)
    return replace(plain, head=head, names=plain.names | names)


def _recurrent_of(found: Imported, shared: bool) -> Network:
    names = members(found)
    # The user vouches for the loop around cells that are named; of others nobody knows it.
    cell = found.cut.lstm is None and not _LAYER.search(next(iter(names.values())))
    check_floats(found.state_dict, names.values())
    parts = {leaf: found.state_dict[name] for leaf, name in names.items()}
    prefix = _prefix(found, names)
    recurrent = _recurrent(prefix, parts, shared, _reset_first(found, names))
    origin = {f"recurrent.{leaf}": n for leaf, n in names.items()}
    if isinstance(recurrent, ResetFirstGRU):
        first, *others = (p + MARK for p in recurrent_modules(names.values()))
        origin[f"recurrent.{MARK}"] = first
        found = _set_aside(found, others)  # one module, one mark
    return Network(recurrent, None, origin, found, cell)


def _set_aside(found: Imported, names: Sequence[str]) -> Imported:
    kept = {name: tensor for name, tensor in found.state_dict.items() if name not in names}
    aside = found.aside | {name: found.state_dict[name] for name in names}
    return replace(found, state_dict=kept, aside=aside)


def _reset_first(found: Imported, names: Mapping[str, str]) -> bool:
    """Whether the modules are marked as GRUs whose reset comes first.

    Raises
    ------
    CheckpointError
        If some are and others not, or for another mark.
    """
    prefixes = list(recurrent_modules(names.values()))
    marks = [found.state_dict.get(prefix + MARK) for prefix in prefixes]
    if all(mark is None for mark in marks):
        return False
    for prefix, mark in zip(prefixes, marks, strict=True):
        if mark is None or mark.numel() != 1 or mark.item() != 0:
            said = "lacks it" if mark is None else f"has {mark.reshape(-1)[:3].tolist()}"
            raise CheckpointError(
                f"{prefix}{MARK}: a GRU whose reset comes first is marked with 0, this module "
                f"{said}; leave it out of a torch.nn.GRU, and give all layers one form"
            )
    return True


def _prefix(found: Imported, names: Mapping[str, str]) -> str:
    """What stands before a parameter's name in messages."""
    if found.cut.lstm is not None and len(recurrent_modules(names.values())) > 1:
        return f"{found.cut.lstm}: "
    return next(iter(recurrent_modules(names.values())))


def _recurrent(
    prefix: str, parts: Mapping[str, Tensor], shared: bool, reset_first: bool
) -> Recurrent:
    """A module whose options are read off its tensors, which must then fit exactly."""
    _check_matrices(prefix, parts)
    projected = parts.get("weight_hr_l0")
    hidden = int(parts["weight_hh_l0" if projected is None else "weight_hr_l0"].shape[-1])
    kind = _kind(prefix, parts["weight_hh_l0"], hidden, reset_first)
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
    given = {n: tensor.float() for n, tensor in parts.items()}
    marks = {n: torch.zeros_like(mark, device="cpu") for n, mark in module.named_buffers()}
    module.load_state_dict(given | marks, assign=shared)
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


def _kind(
    prefix: str, recurrent: Tensor, hidden: int, reset_first: bool
) -> type[nn.LSTM] | type[nn.GRU]:
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
    kind = _GATES[math.floor(gates)]
    if not reset_first:
        return kind
    if kind is not nn.GRU:
        raise CheckpointError(f"{prefix}{MARK} beside an LSTM: it marks a GRU; leave it out")
    return ResetFirstGRU


def _check_projection(prefix: str, size: int, hidden: int, kind: type[nn.Module]) -> None:
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
