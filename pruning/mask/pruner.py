"""Masks on the matrices of any module: schedules, regrowth, gradients, saving, resuming."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from csb_format.geometry import Geometry
from csb_format.precision import Precision

from .agreement import Group, agree, keep_local, mean, unwrapped
from .goals import Goal, MatrixState, check_finished, naming, resolve, whole_of
from .kept import Kept, squashed
from .layers import MASK, owner_of
from .regrowth import regrown_mask
from .resume import restore, state_of
from .schedule import OneShot, Regrowth, Schedule, kept_at
from .scores import SCORE, add_up, score_named
from .selection import count
from .views import Layout, pattern_mask

__all__ = ["MatrixState", "Pruner"]

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Pruner(Generic[ModuleT]):
    """Prunes matrices of a module while a plain loop trains it.

    Masks are persistent buffers beside the weights (``lstm.weight_hh_l0_mask``, bool,
    true = kept), so ``module.state_dict()`` holds them. The forward pass runs on plain
    parameters that *are* sparse, masked after every optimizer step. ``nn.LSTM`` packs,
    flattens and compiles as if nothing were there.

    Parameters
    ----------
    module : nn.Module
        Its Parameter objects stay the same. A module wrapped in DistributedDataParallel
        or ``torch.compile`` is unwrapped.
    goals : Mapping[str, Goal]
        By parameter name; :func:`pruning.mask.goals.goals_for` makes one for all. A matrix
        shared by several layers (a tied output layer) is masked once.
    schedule : Schedule
        By default all at once, now.
    score : str
        ``"magnitude"``, ``"taylor"`` (magnitude of weight x gradient) or ``"movement"``. The last
        two sum over every backward pass since the masks last changed.
    regrowth : Regrowth, optional
    optimizer : Optimizer, optional
        See :meth:`attach`.
    group : torch.distributed.ProcessGroup, optional
        Ranks that train the same module. Where torch.distributed is initialised, gradients
        are averaged over them and the masks are those of its first rank.
    mask_gradients : bool
        Whether gradients of pruned weights are zeroed too, as soon as they arrive, and the
        optimizer's averages of them with each change of a mask. Kept weights train alike
        either way, except where an optimizer or a clipping mixes the gradients of many
        weights: then this trains the sparse network proper. It costs more than the rest
        (``python -m bench.masks.cost``): on a CPU the square root of Adam's zeros is slow.

    Raises
    ------
    UnprunableError
        If a name is no matrix that can be pruned. Nothing has been changed then.
    UnreachableError
        If no whole number of units comes near a goal.
    ValueError
        If a view does not fit, shared names have different goals, or weights are not finite.
    """

    def __init__(
        self,
        module: ModuleT,
        goals: Mapping[str, Goal],
        schedule: Schedule | None = None,
        score: str = SCORE,
        regrowth: Regrowth | None = None,
        optimizer: Optimizer | None = None,
        group: Group = None,
        mask_gradients: bool = False,
    ) -> None:
        self.module: ModuleT = unwrapped(module)
        self.matrices, self.goals = resolve(self.module, goals)
        self.targets = {n: whole_of(m, self.goals[n]) for n, m in self.matrices.items()}
        self.schedule = schedule or OneShot()
        self.score = score_named(score)
        self.regrowth = regrowth
        self.group = group
        self.mask_gradients = mask_gradients
        #: Steps taken.
        self.position = 0
        #: Units kept per group, by name.
        self.keep = {n: self._layout(n).units for n in self.matrices}
        self._collected: dict[str, Tensor] = {}
        self._gradients: dict[str, Tensor] = {}
        self._enforced: set[str] = set()
        self._handles: list[RemovableHandle] = []
        self._optimizers: list[weakref.ref[Optimizer]] = []
        first = self._keep_at(0)
        # Everything is checked before the first buffer is made.
        masks = self._smaller_masks(first) if first != self.keep else {}
        self._kept = {name: Kept(*owner_of(self.module, name)) for name in self.matrices}
        self._install()
        if optimizer is not None:
            self.attach(optimizer)
        self._take(masks, first)

    def _install(self) -> None:
        for name in self.matrices:
            owner, leaf = owner_of(self.module, name)
            weight = self.weight(name)
            owner.register_buffer(leaf + MASK, torch.ones_like(weight, dtype=torch.bool))
            if weight.requires_grad:
                self._watch(name, weight)
        keep_local(self.module, [name + MASK for name in self.matrices])

    def _watch(self, name: str, weight: Tensor) -> None:
        if self.mask_gradients:
            register: Any = weight.register_post_accumulate_grad_hook
            self._handles.append(register(self._kept[name].gradient_hook()))
        if self.score.collect is not None or self.regrowth is not None:
            listen: Any = weight.register_hook
            self._handles.append(listen(self._listen(name)))

    def weight(self, name: str) -> nn.Parameter:
        """Return the parameter, shape (R, C)."""
        return self.module.get_parameter(self._known(name))

    def mask(self, name: str) -> Tensor:
        """Return the mask buffer, not a copy: bool (R, C), true = kept."""
        return self.module.get_buffer(self._known(name) + MASK)

    def _known(self, name: str) -> str:
        if name in self.matrices:
            return name
        for matrix in self.matrices.values():
            if name in (matrix.name, *matrix.tied):
                return matrix.name
        raise ValueError(f"{name} is not pruned: choose from {', '.join(self.matrices)}")

    def attach(self, optimizer: Optimizer, drive: bool = False) -> None:
        """Zero the pruned weights after every step of ``optimizer``.

        Gradients, momentum and weight decay move pruned weights; this undoes it.

        Parameters
        ----------
        optimizer : Optimizer
            Any of torch.optim.
        drive : bool
            Whether its steps also call :meth:`step`.

        Raises
        ------
        ValueError
            If the optimizer trains none of the pruned matrices.
        """
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if not trained & {id(self.weight(name)) for name in self.matrices}:
            raise ValueError(
                f"optimizer {type(optimizer).__name__} trains none of "
                f"{', '.join(self.matrices)}: build it from module.parameters()"
            )
        self._optimizers.append(weakref.ref(optimizer))
        names = [name for name in self.matrices if id(self.weight(name)) in trained]

        def after(*_: object) -> None:
            self._enforce(names)
            self._enforced.update(names)
            if drive:
                self.step()

        self._handles.append(optimizer.register_step_post_hook(after))
        self._forget()

    def detach(self) -> None:
        """Remove all hooks: from gradients and optimizers. The masks stay."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._optimizers.clear()

    def _listen(self, name: str) -> Callable[[Tensor], None]:
        # This sees the gradient of one backward pass; .grad may hold the sum of several.
        def arriving(gradient: Tensor) -> None:
            # Sums are taken only while a later change of the masks needs them.
            if self.score.collect is not None and self.keep != self.targets:
                add_up(self._collected, name, self.score.collect(self.weight(name), gradient))
            if self.regrowth is not None and self.regrowth.due(self.position + 1):
                add_up(self._gradients, name, gradient.clone())

        return torch.no_grad()(arriving)

    def step(self) -> bool:
        """Count one training step: follow the schedule, keep pruned weights at zero.

        Call it after ``optimizer.step()``, once for each.

        Returns
        -------
        bool
            Whether the masks changed.

        Raises
        ------
        ValueError
            If weights or gradients are not finite when masks change.
        """
        position = self.position + 1
        keep = self._keep_at(position)
        changed = False
        if keep != self.keep:
            changed = self._take(self._smaller_masks(keep), keep)
        elif self.regrowth is not None and self.regrowth.due(position):
            moved = {n: self.regrowth.moved(position, k) for n, k in keep.items()}
            changed = self._take({n: self._moved_mask(n, k) for n, k in moved.items()}, keep)
        else:
            self._enforce([n for n in self.matrices if n not in self._enforced])
        self._enforced.clear()
        self._gradients.clear()
        self.position = position
        return changed

    @torch.no_grad()
    def prune(self, keep: Mapping[str, int] | None = None) -> None:
        """Shrink masks now, whatever the schedule says; they never grow again by it.

        Parameters
        ----------
        keep : Mapping[str, int], optional
            Units per group by name; by default the targets.

        Raises
        ------
        ValueError
            For an unknown name, a number below 1 or above what is kept now.
        """
        wanted = {self._known(n): k for n, k in (self.targets if keep is None else keep).items()}
        for name, units in wanted.items():
            if not 1 <= units <= self.keep[name]:
                raise ValueError(f"{name}: keep {units}: must be 1 to {self.keep[name]} units")
        everything = self.keep | wanted
        self._take(self._smaller_masks(everything), everything)

    def plan(self, steps: int) -> tuple[dict[str, int], ...]:
        """What the schedule will keep in the next ``steps`` steps: the first, then each change.

        For a loop that trains in stages: :meth:`prune` with one entry after the other,
        instead of :meth:`step`.
        """
        coming = (self._keep_at(self.position + step) for step in range(1, steps + 1))
        return tuple(keep for keep, _ in groupby(coming))

    def _layout(self, name: str) -> Layout:
        return self.goals[name].view.layout(*self.matrices[name].shape)

    def _keep_at(self, position: int) -> dict[str, int]:
        # In a long fine-tuning nearly every step: it must cost next to nothing.
        if self.keep == self.targets:
            return self.keep
        share = self.schedule.progress(position)
        now, last = self.keep, self.targets
        return {n: kept_at(self._layout(n), last[n], share, now[n]) for n in self.matrices}

    def _smaller_masks(self, keep: Mapping[str, int]) -> dict[str, Tensor]:
        return {n: self._smaller_mask(n, k) for n, k in keep.items() if k != self.keep[n]}

    @torch.no_grad()
    def _smaller_mask(self, name: str, keep: int) -> Tensor:
        collected = self._collected.get(name)
        if collected is not None:
            collected = mean(collected, self.group)
        before = owner_of(self.module, name)[0]._buffers.get(name.rpartition(".")[2] + MASK)
        with naming(name):
            score = self.score.value(self.weight(name).detach(), collected)
            return pattern_mask(self.goals[name].view, score, keep, before)

    @torch.no_grad()
    def _moved_mask(self, name: str, moved: int) -> Tensor:
        if name not in self._gradients:
            raise ValueError(f"{name}: regrowth needs gradients: call backward() before step()")
        gradient = mean(self._gradients[name], self.group)
        view, weight = self.goals[name].view, self.weight(name).detach()
        with naming(name):
            return regrown_mask(view, weight, gradient, self.mask(name), self.keep[name], moved)

    @torch.no_grad()
    def _take(self, masks: Mapping[str, Tensor], keep: Mapping[str, int]) -> bool:
        agreed = {name: agree(mask, self.group) for name, mask in masks.items()}
        changed = any(not torch.equal(self.mask(name), mask) for name, mask in agreed.items())
        for name, mask in agreed.items():
            self.mask(name).copy_(mask)
        self.keep = dict(keep)
        self._collected.clear()
        self._enforce(self.matrices)
        if changed:
            self._forget()
        return changed

    def _forget(self) -> None:
        # Averages of a weight whose gradient stays zero would decay into denormal numbers,
        # which are slow, and would push a weight that grows again.
        for optimizer in filter(None, (reference() for reference in self._optimizers)):
            for kept in self._kept.values() if self.mask_gradients else ():
                kept.forget(optimizer)

    def enforce(self) -> None:
        """Set every pruned entry of the parameters to exactly zero."""
        self._enforce(self.matrices)

    def _enforce(self, names: Iterable[str]) -> None:
        for name in names:
            self._kept[name].enforce()

    def masks(self) -> dict[str, Tensor]:
        """Mask buffers by name, not copies: bool (R, C), true = kept."""
        return {name: self.mask(name) for name in self.matrices}

    def report(self) -> tuple[MatrixState, ...]:
        """Say what was asked of every matrix and what it is now."""
        masks = self.masks()
        achieved = {n: 1 - count(m) / m.numel() for n, m in masks.items()}
        return tuple(
            MatrixState(m, self.goals[n], self.keep[n], self.targets[n], achieved[n])
            for n, m in self.matrices.items()
        )

    def geometries(
        self, value_bits: int = Precision.value_bits, *, unfinished: bool = False
    ) -> dict[str, Geometry]:
        """Geometry of every matrix as it is now, for packing.

        Parameters
        ----------
        value_bits : int
            Width of a stored value.
        unfinished : bool
            As for :meth:`squash`, whose errors it raises too.

        Raises
        ------
        ValueError
            Naming a matrix that is pruned by another view than banks.
        """
        report = self.report()
        check_finished(self.schedule, self.position, () if unfinished else report)
        return {state.name: state.geometry(value_bits) for state in report}

    def sparsity(self) -> float:
        """Share of the weights of all masked matrices that is pruned now."""
        kept = sum(count(self.mask(name)) for name in self.matrices)
        return 1 - kept / sum(self.mask(name).numel() for name in self.matrices)

    @torch.no_grad()
    def squash(self, *, unfinished: bool = False, shared: bool = False) -> ModuleT:
        """Copy the module without masks, the pruned weights zero.

        Parameters
        ----------
        unfinished : bool
            Take the masks as they are though the schedule goes on.
        shared : bool
            Copy no weights: those of the copy are the module's own, to be read only.

        Returns
        -------
        nn.Module
            Plain: its ``state_dict`` loads strictly into an unpruned module; shared weights
            are still shared. The pruned module is left as it is.

        Raises
        ------
        UnfinishedError
            If the schedule is not at its end.
        UnprunableError
            If another layer cannot be copied, as another tool computes its weight.
        """
        check_finished(self.schedule, self.position, () if unfinished else self.report())
        self.enforce()
        return squashed(self.module, list(self.matrices), shared)

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs besides module and optimizer.

        Only tensors, numbers and strings, for ``torch.load(weights_only=True)``.
        """
        return state_of(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the state of a pruner that was made alike.

        Raises
        ------
        ResumeError
            If it was made for other matrices, goals, schedule or score, or its masks do not
            keep what it says. Nothing has been changed then.
        """
        restore(self, state)
