"""Masks on the parameters of a module, kept through training and saving."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from csb_format.geometry import Geometry

from .masks import bank_balanced_mask, check_balanced

__all__ = ["BankBalancedPruner", "MatrixReport", "Target"]

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True)
class Target:
    """What a matrix is to be pruned to.

    Parameters
    ----------
    banks : int
        Banks in a row, 1..columns.
    sparsity : float
        Share of weights to remove, 0..1. The nearest that whole numbers of weights per
        bank can give is taken, at least one weight a bank.
    value_bits : int
        Width of a stored value, for the sizes in reports.
    """

    banks: int
    sparsity: float
    value_bits: int = 16

    def geometry(self, rows: int, columns: int) -> Geometry:
        """Return the geometry of a (rows, columns) matrix that has reached this target."""
        return Geometry.nearest(rows, columns, self.banks, self.sparsity, self.value_bits)


@dataclass(frozen=True)
class MatrixReport:
    """Requested and achieved sparsity of one matrix.

    Parameters
    ----------
    name : str
        Parameter name.
    requested : float
        Sparsity that was asked for.
    geometry : Geometry
        What the mask is now.
    target : Geometry
        What it is to become; equal to ``geometry`` once pruning is complete.
    """

    name: str
    requested: float
    geometry: Geometry
    target: Geometry

    @property
    def achieved(self) -> float:
        """Sparsity of the mask as it is now."""
        return self.geometry.sparsity

    @property
    def note(self) -> str:
        """Why the request cannot be reached, or an empty string."""
        if self.target.nonzeros > 1 or self.target.sparsity >= self.requested:
            return ""
        return (
            f"{self.name}: {self.requested:.2%} asked, {self.target.sparsity:.2%} is the most "
            f"with one weight in each of {self.target.banks} banks; use fewer banks for more"
        )


class _Masked(nn.Module):
    """Parametrisation ``weight -> weight where mask else 0``."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return torch.where(self.mask, weight, 0.0)


class BankBalancedPruner(Generic[ModuleT]):
    """Keeps chosen matrices of a module bank-balanced (Cao et al., FPGA'19).

    The masks are persistent buffers of the module
    (``parametrizations.<name>.0.mask``), so ``module.state_dict()`` holds them. They
    start dense; :meth:`prune` makes them sparser.

    Parameters
    ----------
    module : nn.Module
        Parametrised in place. Its Parameter objects stay the same, so an optimizer built
        before is as good as one built after.
    targets : Mapping[str, Target]
        By parameter name (``"weight_hh_l0"``, or ``"lstm.weight_hh_l0"`` in a submodule);
        each must be a matrix.
    optimizer : Optimizer, optional
        See :meth:`attach`.

    Raises
    ------
    ValueError
        If a name is no matrix of the module, is pruned already, or a target cannot fit.
    """

    def __init__(
        self,
        module: ModuleT,
        targets: Mapping[str, Target],
        optimizer: Optimizer | None = None,
    ) -> None:
        self.module = module
        self.targets = dict(targets)
        self._handles: list[RemovableHandle] = []
        # All are checked before the first is touched: a refusal leaves the module as it was.
        weights = {name: _matrix(module, name) for name in self.targets}
        self.target_geometries = {
            name: target.geometry(*weights[name].shape) for name, target in self.targets.items()
        }
        for name, weight in weights.items():
            owner, leaf = _owner(module, name)
            mask = torch.ones_like(weight, dtype=torch.bool)
            parametrize.register_parametrization(owner, leaf, _Masked(mask), unsafe=True)
        if optimizer is not None:
            self.attach(optimizer)

    def attach(self, optimizer: Optimizer) -> None:
        """Zero the pruned weights after every step of ``optimizer``.

        Momentum and weight decay move a weight whose gradient is zero; the hook undoes
        that, so the stored parameters themselves are sparse, not only their product with
        the mask.

        Raises
        ------
        ValueError
            If the optimizer trains none of the pruned matrices.
        """
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if not trained & {id(self.original(name)) for name in self.targets}:
            raise ValueError(
                f"optimizer {type(optimizer).__name__} trains none of {', '.join(self.targets)}: "
                "build it from module.parameters()"
            )
        self._handles.append(optimizer.register_step_post_hook(lambda *_: self.enforce()))

    def detach(self) -> None:
        """Remove the hooks from all optimizers."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def original(self, name: str) -> Tensor:
        """Return the trained parameter behind a masked matrix, shape (R, C)."""
        original: Tensor = self._parametrisation(name).original
        return original

    def mask(self, name: str) -> Tensor:
        """Return the mask buffer of a matrix, not a copy: bool (R, C), true = kept."""
        masked = self._parametrisation(name)[0]
        assert isinstance(masked, _Masked)
        return masked.mask

    def _parametrisation(self, name: str) -> parametrize.ParametrizationList:
        owner, leaf = _owner(self.module, name)
        found = owner.parametrizations[leaf]  # type: ignore[index]
        assert isinstance(found, parametrize.ParametrizationList)
        return found

    @torch.no_grad()
    def prune(self, nonzeros: Mapping[str, int] | None = None) -> None:
        """Shrink the masks, and zero the weights outside them.

        Parameters
        ----------
        nonzeros : Mapping[str, int], optional
            Weights to keep per bank, for any of the matrices; by default the targets.
            One entry of :func:`pruning.schedule.plan`.

        Raises
        ------
        ValueError
            For an unknown name, a number below 1, or NaN or infinite weights.
        """
        if nonzeros is None:
            nonzeros = {name: g.nonzeros for name, g in self.target_geometries.items()}
        masks = {name: self._smaller_mask(name, k) for name, k in nonzeros.items()}
        for name, mask in masks.items():
            self.mask(name).copy_(mask)
        self.enforce()

    def _smaller_mask(self, name: str, keep: int) -> Tensor:
        if name not in self.targets:
            raise ValueError(f"{name} is not pruned: choose from {', '.join(self.targets)}")
        banks = self.targets[name].banks
        try:
            return bank_balanced_mask(self.original(name), banks, keep, self.mask(name))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    @torch.no_grad()
    def enforce(self) -> None:
        """Set every pruned entry of the stored parameters to exactly zero."""
        for name in self.targets:
            self.original(name).masked_fill_(~self.mask(name), 0.0)

    def geometry(self, name: str) -> Geometry:
        """Return the geometry of a matrix as its mask is now.

        Raises
        ------
        UnbalancedError
            If the mask was changed from outside and is not balanced any more.
        """
        mask, target = self.mask(name), self.targets[name]
        keep = check_balanced(mask, target.banks)
        return Geometry(mask.shape[0], mask.shape[1], target.banks, keep, target.value_bits)

    def report(self) -> tuple[MatrixReport, ...]:
        """Compare requested and achieved sparsity of every matrix, in the order of the targets."""
        return tuple(
            MatrixReport(name, t.sparsity, self.geometry(name), self.target_geometries[name])
            for name, t in self.targets.items()
        )

    @torch.no_grad()
    def squash(self) -> ModuleT:
        """Copy the module without parametrisations, the masks multiplied into the weights.

        Returns
        -------
        nn.Module
            Of the original class: its ``state_dict`` loads strictly into an unpruned one.
            The pruned module is left as it is.
        """
        _forget_graphs(self.module)
        plain = copy.deepcopy(self.module)
        for name in self.targets:
            owner, leaf = _owner(plain, name)
            _own_class(owner)
            parametrize.remove_parametrizations(owner, leaf, leave_parametrized=True)
        _forget_graphs(plain)
        return plain


def _owner(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return module.get_submodule(path), leaf


def _matrix(module: nn.Module, name: str) -> Tensor:
    parameters = dict(module.named_parameters())
    path, _, leaf = name.rpartition(".")
    if f"{path}.parametrizations.{leaf}.original".removeprefix(".") in parameters:
        raise ValueError(f"{name!r} is parametrised already: prune what squash() returns")
    matrices = {n: p for n, p in parameters.items() if p.ndim == 2 and "parametrizations" not in n}
    if name not in matrices:
        raise ValueError(
            f"{name!r} is no matrix of {type(module).__name__}: "
            f"choose from {', '.join(matrices) or 'those of another module, it has none'}"
        )
    return matrices[name]


def _own_class(copied: nn.Module) -> None:
    # Parametrisations are properties of a class made for one module, but a deep copy
    # shares it: removing them from the copy would break the module it was copied from.
    made = type(copied)
    copied.__class__ = type(made.__name__, made.__bases__, dict(made.__dict__))


def _forget_graphs(module: nn.Module) -> None:
    # nn.LSTM caches the masked weights of the last forward pass; as results of a graph
    # they cannot be copied. Moving it to where it is renews the cache without a graph.
    for part in module.modules():
        if isinstance(part, nn.RNNBase):
            part.to(next(part.parameters()).device)
