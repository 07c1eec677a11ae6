"""What every callback does: prune as a training begins, follow its optimizer, hand out the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn
from torch.optim import Optimizer

from csb_format.arguments import number, one_of, shown, whole
from csb_format.precision import Balance

from ..face import prune
from ..mask.goals import Goal
from ..mask.pruner import Pruner

__all__ = ["Loop"]


class Loop:
    """A pruner that somebody else's loop drives.

    Parameters
    ----------
    part : str
        Name of the submodule that is pruned, such as ``"lstm"``; by default all of the module,
        its linear layers too.
    banks, sparsity, budget, by_kind, steps, every
        As for :func:`pruning.face.prune`; steps are those of the optimizer.
    """

    def __init__(
        self,
        part: str = "",
        *,
        banks: int = Balance.banks,
        sparsity: float = Balance.sparsity,
        budget: str = Balance.budget,
        by_kind: Mapping[str, Goal] | None = None,
        steps: int = 1,
        every: int = 1,
    ) -> None:
        if not isinstance(part, str):
            raise TypeError(f"part = {shown(part)}: give the name of a submodule, such as 'lstm'")
        self.part = part
        self._banks, self._by_kind = whole("banks", banks, 1), by_kind
        self._sparsity = number("sparsity", sparsity, 0.0, 1.0)
        self._budget = one_of("budget", budget, Balance.budgets)
        self._steps, self._every = whole("steps", steps, 1), whole("every", every, 1)
        self._pruner: Pruner[nn.Module] | None = None

    @property
    def begun(self) -> bool:
        """Whether masks are on."""
        return self._pruner is not None

    @property
    def pruner(self) -> Pruner[nn.Module]:
        """The pruner.

        Raises
        ------
        RuntimeError
            Before the training begins.
        """
        if self._pruner is None:
            raise RuntimeError("nothing is pruned yet: masks are made when the training begins")
        return self._pruner

    def begin(self, module: nn.Module) -> None:
        """Prune, if nobody has yet.

        Raises
        ------
        ValueError
            If the module has no such part, or it cannot be pruned.
        """
        if self._pruner is None:
            self._pruner = prune(
                self._found(module), banks=self._banks, sparsity=self._sparsity,
                budget=self._budget, by_kind=self._by_kind, steps=self._steps, every=self._every,
            )  # fmt: skip

    def _found(self, module: nn.Module) -> nn.Module:
        names = [name for name, _ in module.named_modules()]
        if self.part not in names:
            there = ", ".join(name for name in names if name)
            raise ValueError(
                f"part = {self.part!r}: {type(module).__name__} has no such module; there are "
                f"{there or 'none'}"
            )
        return module.get_submodule(self.part)

    def attach(self, optimizers: Iterable[Optimizer]) -> None:
        """Keep the masks on through the steps of these; the first that trains them drives.

        Raises
        ------
        ValueError
            If none trains a pruned matrix.
        """
        pruner = self.pruner
        mine = {id(pruner.weight(name)) for name in pruner.matrices}
        training = [o for o in optimizers if mine & _trained(o)]
        if not training:
            raise ValueError(
                f"no optimizer trains {', '.join(pruner.matrices)}: give it their parameters, or "
                "prune another part"
            )
        pruner.detach()  # of an earlier training with this callback
        for optimizer in training:
            pruner.attach(optimizer, drive=optimizer is training[0])

    def squash(self) -> nn.Module:
        """A plain copy of the pruned part, for :func:`sparseflow.quantise`.

        Raises
        ------
        UnfinishedError
            If the schedule is not at its end.
        """
        return self.pruner.squash()


def _trained(optimizer: Optimizer) -> set[int]:
    return {id(p) for group in optimizer.param_groups for p in group["params"]}
