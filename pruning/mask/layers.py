"""Which matrices of a module can be pruned, and a named error for every other parameter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

__all__ = ["KINDS", "MASK", "Matrix", "UnprunableError", "find", "matrices", "owner_of"]

MASK = "_mask"
KINDS = ("weight_ih", "weight_hh", "weight_hr", "linear", "embedding")

_FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)


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
    every = matrices(module).values()
    return next(matrix for matrix in every if name in (matrix.name, *matrix.tied))


def owner_of(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return the submodule that owns a parameter, and its name in there."""
    path, _, leaf = name.rpartition(".")
    return module.get_submodule(path), leaf


def _shape(parameter: Tensor) -> tuple[int, int]:
    rows, columns = parameter.shape
    return rows, columns


def _absent(module: nn.Module, name: str) -> str:
    path, _, leaf = name.rpartition(".")
    names = {n for n, _ in module.named_parameters(remove_duplicate=False)}
    prefix = f"{path}." if path else ""
    if any(n.startswith(f"{prefix}parametrizations.{leaf}.") for n in names):
        return f"{name!r} is parametrised: call parametrize.remove_parametrizations, then prune"
    if f"{prefix}{leaf}_orig" in names:
        return f"{name!r} is pruned by torch.nn.utils.prune: call prune.remove on it, then prune"
    if f"{prefix}{leaf}_g" in names:
        return f"{name!r} is weight-normalised: call remove_weight_norm on its layer, then prune"
    choice = ", ".join(matrices(module)) or "the matrices of another module, it has none"
    return f"{name!r} is no parameter of {type(module).__name__}: choose from {choice}"


def _refusal(module: nn.Module, name: str, parameter: Tensor) -> str:
    """Why a parameter cannot be pruned, empty if it can."""
    return next(_refusals(module, name, parameter), "")


def _refusals(module: nn.Module, name: str, parameter: Tensor) -> Iterator[str]:
    owner, leaf = owner_of(module, name)
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
        yield "is masked already: prune what squash() returns, or load this pruner's state"


def _wrong_kind(owner: nn.Module, leaf: str, parameter: Tensor) -> str:
    if not isinstance(parameter, UninitializedParameter) and parameter.ndim < 2:
        return f"has shape {tuple(parameter.shape)}: only matrices can be pruned, not {leaf}"
    return (
        f"belongs to a layer of type {type(owner).__name__}: prune LSTM, GRU, RNN, their "
        "cells, Linear and Embedding"
    )


def _kind(module: nn.Module, name: str) -> str:
    owner, leaf = owner_of(module, name)
    if isinstance(owner, _RECURRENT):
        prefix = leaf[: len("weight_ih")]
        return prefix if prefix in KINDS else ""
    if leaf != "weight":
        return ""
    if isinstance(owner, nn.Linear):
        return "linear"
    return "embedding" if isinstance(owner, nn.Embedding) else ""
