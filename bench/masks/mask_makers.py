"""Ways to make a bank-balanced mask, or one as sparse, each with its preparations untimed."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import prune, skip_init

from csb_format.files.folders import temporary_folder
from pruning.mask.masks import bank_balanced_mask

from ..cpu.turns import seconds_of

__all__ = ["SLOW", "Maker", "Nni", "makers"]

SLOW = ("WeightNormSparsifier", "l1_unstructured")


class Maker(ABC):
    """One way; ``seconds`` makes the mask anew and says how long that took."""

    mask: Tensor

    @abstractmethod
    def load(self, weight: Tensor, banks: int, keep: int) -> None:
        """Take a float32 matrix, whose columns the banks divide."""

    @abstractmethod
    def seconds(self) -> float:
        """CPU seconds of making the mask."""


class _Call(Maker):
    """A function that prepares and returns what is timed."""

    def __init__(self, prepare: Callable[[Tensor, int, int], Callable[[], Any]]) -> None:
        self._prepare = prepare

    def load(self, weight: Tensor, banks: int, keep: int) -> None:
        self._given = (weight, banks, keep)

    def seconds(self) -> float:
        work, found = self._prepare(*self._given), []
        taken = seconds_of(lambda: found.append(work()))
        self.mask = found[0].bool()
        return taken


def _ours(weight: Tensor, banks: int, keep: int) -> Callable[[], Tensor]:
    return lambda: bank_balanced_mask(weight, banks, keep)


def _argpartition(weight: Tensor, banks: int, keep: int) -> Callable[[], Tensor]:
    def make() -> Tensor:
        score = weight.abs().numpy().reshape(len(weight), banks, -1)
        best = np.argpartition(score, -keep, axis=-1)[..., -keep:]
        mask = np.zeros(score.shape, bool)
        np.put_along_axis(mask, best, True, axis=-1)
        return torch.from_numpy(mask.reshape(weight.shape))

    return make


def _topk(weight: Tensor, banks: int, keep: int) -> Callable[[], Tensor]:
    def make() -> Tensor:
        score = weight.abs().reshape(len(weight), banks, -1)
        best = score.topk(keep, dim=-1, sorted=False).indices
        mask = torch.zeros_like(score, dtype=torch.bool).scatter_(-1, best, True)
        return mask.reshape(weight.shape)

    return make


def _sparsifier(weight: Tensor, banks: int, keep: int) -> Callable[[], Tensor]:
    from torch.ao import pruning as torch_pruning

    module: Any = _linear(weight)
    width = weight.shape[1] // banks
    # Banks are what it calls blocks: sparsity 1 prunes so many in every one of them.
    maker: Any = cast(Any, torch_pruning).WeightNormSparsifier(1.0, (1, width), width - keep)
    maker.prepare(module, [{"tensor_fqn": "weight"}])

    def make() -> Tensor:
        maker.step()
        mask: Tensor = module.parametrizations["weight"][0].mask
        return mask

    return make


def _unstructured(weight: Tensor, banks: int, keep: int) -> Callable[[], Tensor]:
    module, untyped = _linear(weight), cast(Any, prune.l1_unstructured)
    share = 1 - banks * keep / weight.shape[1]

    def make() -> Tensor:
        untyped(module, "weight", share)
        mask: Tensor = module.weight_mask  # type: ignore[assignment]
        return mask

    return make


def _linear(weight: Tensor) -> nn.Linear:
    untyped: Any = skip_init
    module: nn.Linear = untyped(nn.Linear, weight.shape[1], weight.shape[0], bias=False)
    module.weight = nn.Parameter(weight.clone())
    return module


class Nni(Maker):
    """NNI's ``LevelPruner(mode="balance")``, in a process of its own.

    Parameters
    ----------
    python : Path
        Interpreter of an environment that has it.
    folder : Path
        For the matrices that are passed on.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        worker = Path(__file__).with_name("nni_worker.py")
        command, pipe = [str(python), "-u", str(worker)], subprocess.PIPE
        self._file = folder / "matrix.npy"
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )

    def _ask(self, *words: object) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\t".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise SystemExit(
                "error: the interpreter of --nni-python ended without an answer: it needs nni "
                "2.10.1, as bench/masks/cost.py says at its top"
            )
        return answer

    def load(self, weight: Tensor, banks: int, keep: int) -> None:
        np.save(self._file, weight.numpy(), allow_pickle=False)
        share = 1 - banks * keep / weight.shape[1]
        self._ask("load", self._file, weight.shape[1] // banks, share)

    def seconds(self) -> float:
        return float(self._ask("prune"))

    @property
    def mask(self) -> Tensor:  # type: ignore[override]
        self._ask("mask", self._file)
        return torch.from_numpy(np.load(self._file, allow_pickle=False))

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def makers(nni_python: Path | None) -> Iterator[dict[str, Maker]]:
    """All ways by name, ours first; NNI's if there is an interpreter that has it."""
    calls = {
        "ours": _ours,
        "numpy.argpartition": _argpartition,
        "torch.topk": _topk,
        "WeightNormSparsifier": _sparsifier,
        "l1_unstructured": _unstructured,
    }
    found: dict[str, Maker] = {name: _Call(call) for name, call in calls.items()}
    if nni_python is None:
        yield found
        return
    with temporary_folder("bench") as folder:
        nni = Nni(nni_python, Path(folder))
        try:
            yield found | {"NNI balance": nni}
        finally:
            nni.close()
