"""Which matrices of a module can be pruned, and a named error for every other parameter."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

__all__ = [
    "KINDS",
    "MASK",
    "Matrix",
    "UnprunableError",
    "computed",
    "copied",
    "find",
    "matrices",
    "owner_of",
    "unprunable",
]

ModuleT = TypeVar("ModuleT", bound=nn.Module)

MASK = "_mask"
KINDS = ("weight_ih", "weight_hh", "weight_hr", "linear", "embedding")

_FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_LAYERS = (*_RECURRENT, nn.Linear, nn.Embedding)
_OF_RECURRENT = re.compile(r"(weight_(?:ih|hh|hr))(_l\d+(_reverse)?)?")

# Where a weight is computed from other tensors: what undoes it.
_PRUNED = "is pruned by torch.nn.utils.prune: call prune.remove on it first"
_NORMALISED = "is weight-normalised: call remove_weight_norm on its layer first"
_DROPPED = (
    "is dropped out by a wrapper: delete {leaf}_raw, make {leaf} a plain Parameter again "
    "first; or use nn.LSTM(dropout=...), which drops outputs and no weights"
)
_SPECTRAL = "is spectral-normalised: call remove_spectral_norm on its layer first"
_PARAMETRISED = "is parametrised: call parametrize.remove_parametrizations first"
_NO_PARAMETER = (
    "is no parameter of its layer but computed from others: make it a plain torch.nn.Parameter "
    "again first"
)


class UnprunableError(ValueError):
    """A parameter that cannot be pruned, why, and what to do."""


@dataclass(frozen=True)
class Matrix:
    """A matrix that can be pruned.

    Parameters
    ----------
    name : str
        Parameter name, of the first where several modules share it.
    kind : str
        One of ``weight_ih`` (input), ``weight_hh`` (recurrent), ``weight_hr`` (projection
        of an LSTM), ``linear``, ``embedding``.
    shape : tuple of int
        Rows and columns.
    tied : tuple of str
        Other names of the same parameter.
    """

    name: str
    kind: str
    shape: tuple[int, int]
    tied: tuple[str, ...] = ()


def matrices(module: nn.Module) -> dict[str, Matrix]:
    """List what can be pruned in a module, each shared matrix once.

    Every matrix of ``nn.LSTM``, ``nn.GRU``, ``nn.RNN`` (all layers, both directions,
    projections), of their cells, of ``nn.Linear`` and of ``nn.Embedding``.

    Parameters
    ----------
    module : nn.Module

    Returns
    -------
    dict of str to Matrix
        By ``Matrix.name``, in the module's own order; what cannot be pruned is left
        out, :func:`find` says why.
    """
    found: dict[int, Matrix] = {}
    refused = set()
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if _refusal(module, name, parameter):
            # One unprunable use of a shared matrix spoils it for all.
            refused.add(id(parameter))
            continue
        known = found.get(id(parameter))
        kind = _kind(module, name)
        if known is None:
            found[id(parameter)] = Matrix(name, kind, _shape(parameter))
        else:
            # An output layer that is tied to an embedding is pruned for what it computes.
            kind = "linear" if "linear" in (kind, known.kind) else known.kind
            tied = (*known.tied, name)
            found[id(parameter)] = Matrix(known.name, kind, known.shape, tied)
    return {matrix.name: matrix for key, matrix in found.items() if key not in refused}


def find(module: nn.Module, name: str) -> Matrix:
    """Return the matrix of that name, by any name if it is shared.

    Raises
    ------
    UnprunableError
        Saying why it cannot be pruned and what to do.
    """
    parameters = dict(module.named_parameters(remove_duplicate=False))
    if name not in parameters:
        raise UnprunableError(_absent(module, name))
    refused = _refusal(module, name, parameters[name])
    for other, parameter in parameters.items():
        if parameter is parameters[name]:
            refused = refused or _refusal(module, other, parameter)
    if refused:
        raise UnprunableError(f"{name!r} {refused}")
    path = name.rpartition(".")[0]
    for other, why in computed(module).items():
        # A layer of which a part is computed elsewhere is no plain layer once it is squashed.
        if other.rpartition(".")[0] == path:
            raise UnprunableError(f"{name!r} lies beside {other!r}, which {why}")
    every = matrices(module).values()
    return next(matrix for matrix in every if name in (matrix.name, *matrix.tied))


def computed(module: nn.Module) -> dict[str, str]:
    """Matrices that torch.nn's layers should have and that are computed from other tensors.

    Those of layers under ``torch.nn.utils.prune``, weight or spectral normalisation, weight
    dropout or a parametrisation: the tensor that is trained there is another one.

    Returns
    -------
    dict of str to str
        By the parameter's own name: what is so, and the mend.
    """
    names = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    names |= {name for name, _ in module.named_buffers(remove_duplicate=False)}
    found = {}
    for path, layer in module.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        for leaf in _leaves(layer):
            if why := _why_computed(layer, prefix, leaf, names):
                found[prefix + leaf] = why
    return found


def copied(module: ModuleT, shared: bool = False) -> ModuleT:
    """A deep copy.

    Parameters
    ----------
    module : nn.Module
    shared : bool
        Its parameters and buffers are those of the module, not copies.

    Raises
    ------
    UnprunableError
        Naming a layer whose weight another tool computes, where torch cannot copy it.
    """
    tensors = [*module.parameters(), *module.buffers()] if shared else []
    try:
        return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    except RuntimeError as error:  # "Only Tensors created explicitly by the user ..."
        for name, why in computed(module).items():
            raise UnprunableError(f"{name!r} cannot be copied: it {why}") from error
        raise


def unprunable(module: nn.Module) -> dict[str, tuple[str, str]]:
    """Matrices of torch.nn's layers that :func:`matrices` leaves out: their kinds, and why."""
    found = {}
    for name, why in computed(module).items():
        owner, leaf = owner_of(module, name)
        found[name] = (_kind_of(owner, leaf), why)
    parameters = dict(module.named_parameters(remove_duplicate=False))
    refused = {id(p): _refusal(module, n, p) for n, p in parameters.items()}
    refused |= {id(p): why for n, p in parameters.items() if (why := _refusal(module, n, p))}
    for name, parameter in parameters.items():
        kind, empty = _kind(module, name), _is_empty(parameter)
        if kind and refused[id(parameter)] and not empty and name not in found:
            found[name] = (kind, refused[id(parameter)])
    return found


def _is_empty(parameter: Tensor) -> bool:
    return not isinstance(parameter, UninitializedParameter) and not parameter.numel()


def _leaves(layer: nn.Module) -> list[str]:
    """Names of the matrices that a layer of torch.nn has when nothing is done to it."""
    if isinstance(layer, nn.RNNCellBase):
        return ["weight_ih", "weight_hh"]
    if isinstance(layer, nn.RNNBase):
        ends = ("", "_reverse") if layer.bidirectional else ("",)
        kinds = ["weight_ih", "weight_hh"] + ["weight_hr"] * bool(layer.proj_size)
        return [f"{k}_l{n}{e}" for n in range(layer.num_layers) for e in ends for k in kinds]
    return ["weight"] if isinstance(layer, nn.Linear | nn.Embedding) else []


def _why_computed(layer: nn.Module, prefix: str, leaf: str, names: set[str]) -> str:
    if any(name.startswith(f"{prefix}parametrizations.{leaf}.") for name in names):
        return _PARAMETRISED
    # Wrappers of weight dropout keep the raw weight themselves, around the layer.
    around = prefix[:-1].rpartition(".")
    if {f"{prefix}{leaf}_raw", f"{around[0]}{around[1]}{leaf}_raw"} & names:
        return _DROPPED.format(leaf=leaf)
    if isinstance(layer._parameters.get(leaf), nn.Parameter):
        return ""
    tools = (("_u", _SPECTRAL), ("_orig", _PRUNED), ("_g", _NORMALISED))
    return next((why for end, why in tools if f"{prefix}{leaf}{end}" in names), _NO_PARAMETER)


def owner_of(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return the submodule that owns a parameter, and its name in there."""
    path, _, leaf = name.rpartition(".")
    return module.get_submodule(path), leaf


def _shape(parameter: Tensor) -> tuple[int, int]:
    rows, columns = parameter.shape
    return rows, columns


def _absent(module: nn.Module, name: str) -> str:
    if why := computed(module).get(name):
        return f"{name!r} {why}"
    choice = ", ".join(matrices(module)) or "the matrices of another module, it has none"
    return f"{name!r} is no parameter of {type(module).__name__}: choose from {choice}"


def _refusal(module: nn.Module, name: str, parameter: Tensor) -> str:
    """Why a parameter cannot be pruned, empty if it can."""
    return next(_refusals(module, name, parameter), "")


def _refusals(module: nn.Module, name: str, parameter: Tensor) -> Iterator[str]:
    owner, leaf = owner_of(module, name)
    if isinstance(owner, _LAYERS) and not _kind(module, name) and _ends_in(leaf):
        yield f"is what another tool computes {_ends_in(leaf)} from: undo that first"
    if isinstance(owner, nn.ModuleList | nn.ParameterList) or not _kind(module, name):
        yield _wrong_kind(owner, leaf, parameter)
    if isinstance(parameter, UninitializedParameter):
        yield "has no shape yet: run one batch through the lazy layer first"
        return
    if type(parameter) is not nn.Parameter:
        yield f"is a {type(parameter).__name__}: only plain torch.nn.Parameter can be pruned"
    if parameter.layout != torch.strided or getattr(owner, "sparse", False):
        yield "is sparse or gets sparse gradients: use a dense layout and sparse=False"
    if parameter.is_meta:
        yield "is on the meta device and has no values: load weights first"
    if parameter.dtype not in _FLOATS:
        yield f"has type {parameter.dtype}: prune floating-point weights, quantise afterwards"
    if parameter.ndim != 2 or not parameter.numel():
        yield f"has shape {tuple(parameter.shape)}: only matrices with entries can be pruned"
    if leaf + MASK in owner._buffers:
        yield (
            "is pruned already: squash first, prune what squash() returns, or load that "
            "pruner's state"
        )


def _wrong_kind(owner: nn.Module, leaf: str, parameter: Tensor) -> str:
    if not isinstance(parameter, UninitializedParameter) and parameter.ndim < 2:
        return f"has shape {tuple(parameter.shape)}: only matrices can be pruned, not {leaf}"
    return (
        f"belongs to a layer of type {type(owner).__name__}: prune LSTM, GRU, RNN, their "
        "cells, Linear and Embedding"
    )


def _ends_in(leaf: str) -> str:
    """The weight that a tensor of this name stands for, empty if for none."""
    found = re.fullmatch(r"(weight.*)_(orig|raw|g|v|u)", leaf)
    return found[1] if found else ""


def _kind(module: nn.Module, name: str) -> str:
    return _kind_of(*owner_of(module, name))


def _kind_of(owner: nn.Module, leaf: str) -> str:
    if isinstance(owner, _RECURRENT):
        # The whole name: weight_hh_l0_orig and weight_hh_l0_v are other tensors.
        found = _OF_RECURRENT.fullmatch(leaf)
        return found[1] if found else ""
    if leaf != "weight":
        return ""
    if isinstance(owner, nn.Linear):
        return "linear"
    return "embedding" if isinstance(owner, nn.Embedding) else ""
