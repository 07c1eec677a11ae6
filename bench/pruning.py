"""What pruning costs: a fine-tuning step, and making a mask.

``python -m bench.pruning [--json FILE]``. Steps are interleaved, dense and masked in turns,
so that a busy machine slows both, and the time inside ``pruner.step()`` is taken apart:
it is all that pruning adds. Masks are made on one thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.utils import prune

from pruning.goals import Goal, goals_for
from pruning.masked import Pruner
from pruning.masks import bank_balanced_mask
from pruning.views import Banks

from .record import write_record

SEED = 0
STEPS = ((153, 1024), (12, 128))  # inputs, units
MASKS = [(4096, columns, banks) for columns in (1024, 1536) for banks in (16, 32, 64)]
SPARSITY = 0.875
BATCH, FRAMES = 16, 20
KINDS = ("", "masked", "clean")
ORDERS = tuple(permutations(KINDS))


class _Loop:
    """One training step on random data; dense, masked, or with masked gradients (clean)."""

    def __init__(self, inputs: int, units: int, pruned: str) -> None:
        torch.manual_seed(SEED)
        self.module = nn.LSTM(inputs, units)
        self.frames = torch.randn(FRAMES, BATCH, inputs)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-4)
        self.pruner: Pruner[nn.LSTM] | None = None
        self.masking: list[float] = []
        if pruned:
            goals = goals_for(self.module, Goal(Banks(4), SPARSITY, tolerance=0.5))
            clean = pruned == "clean"
            self.pruner = Pruner(self.module, goals, mask_gradients=clean)

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.module(self.frames)[0].square().mean().backward()
        self.optimizer.step()
        if self.pruner:
            self.masking.append(_seconds(self.pruner.step))


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _step_row(inputs: int, units: int, rounds: int) -> dict[str, Any]:
    loops = {kind: _Loop(inputs, units, kind) for kind in KINDS}
    for loop in [*loops.values()] * 2:
        loop.step()
    times: dict[str, list[float]] = {kind: [] for kind in loops}
    for turn in range(rounds):
        # Whoever comes next finds the caches of the one before: all orders take turns.
        order = ORDERS[turn % len(ORDERS)]
        for kind in order:
            times[kind].append(_seconds(loops[kind].step))
    dense = times[""]
    row: dict[str, Any] = {
        "what": f"step of LSTM {inputs}->{units}, batch {BATCH} x {FRAMES} frames",
        "dense_ms": 1e3 * statistics.median(dense),
    }
    masking = 1e3 * statistics.median(loops["masked"].masking)
    row |= {"masking_ms": masking, "masking_share": masking / row["dense_ms"]}
    for kind in ("masked", "clean"):
        row[f"{kind}_ms"] = 1e3 * statistics.median(times[kind])
        row[f"{kind}_ratio"] = statistics.median(
            m / d for d, m in zip(dense, times[kind], strict=True)
        )
    return row


def _argpartition(weight: Tensor, banks: int, keep: int) -> Tensor:
    score = weight.abs().numpy().reshape(len(weight), banks, -1)
    best = np.argpartition(score, -keep, axis=-1)[..., -keep:]
    mask = np.zeros(score.shape, bool)
    np.put_along_axis(mask, best, True, axis=-1)
    return torch.from_numpy(mask.reshape(weight.shape))


def _topk(weight: Tensor, banks: int, keep: int) -> Tensor:
    score = weight.abs().reshape(len(weight), banks, -1)
    best = score.topk(keep, dim=-1, sorted=False).indices
    mask = torch.zeros_like(score, dtype=torch.bool).scatter_(-1, best, True)
    return mask.reshape(weight.shape)


def _sparsifier(weight: Tensor, banks: int, keep: int) -> Tensor:
    from torch.ao import pruning as torch_pruning

    module = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    module.weight = nn.Parameter(weight)
    width = weight.shape[1] // banks
    # Banks are what it calls blocks: sparsity 1 prunes so many in every one of them.
    maker: Any = cast(Any, torch_pruning).WeightNormSparsifier(1.0, (1, width), width - keep)
    maker.prepare(module, [{"tensor_fqn": "weight"}])
    maker.step()
    mask: Tensor = module.parametrizations["weight"][0].mask.bool()  # type: ignore
    return mask


def _unstructured(weight: Tensor, banks: int, keep: int) -> Tensor:
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    module.weight = nn.Parameter(weight)
    untyped: Any = prune.l1_unstructured
    untyped(module, "weight", SPARSITY)
    mask: Tensor = module.weight_mask.bool()  # type: ignore
    return mask


MAKERS: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "ours": bank_balanced_mask,
    "numpy.argpartition": _argpartition,
    "torch.topk": _topk,
    "WeightNormSparsifier": _sparsifier,
    "l1_unstructured": _unstructured,
}


def _mask_row(rows: int, columns: int, banks: int, rounds: int) -> dict[str, Any]:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(SEED))
    keep = Banks(banks).layout(rows, columns).nearest(SPARSITY)
    row: dict[str, Any] = {"what": f"mask of {rows} x {columns}, {banks} banks"}
    expected = bank_balanced_mask(weight, banks, keep)
    for name, make in MAKERS.items():
        row[f"{name}_exact"] = torch.equal(make(weight, banks, keep), expected)
        few = rounds if name in ("ours", "numpy.argpartition", "torch.topk") else 3
        times = [_seconds(partial(make, weight, banks, keep)) for _ in range(few)]
        row[f"{name}_ms"] = 1e3 * min(times)
    return row


def _single_threaded(rounds: int) -> list[dict[str, Any]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_mask_row(*shape, rounds) for shape in MASKS]
    finally:
        torch.set_num_threads(threads)


def _tables(steps: list[dict[str, Any]], masks: list[dict[str, Any]]) -> list[Table]:
    first = Table("fine-tuning step", "dense ms", "in pruner.step()", "masked", "gradients too")
    for row in steps:
        ratios = [f"{row[f'{kind}_ratio']:.3f}" for kind in ("masked", "clean")]
        figures = [f"{row['dense_ms']:.2f}", f"{row['masking_share']:.1%}", *ratios]
        first.add_row(row["what"], *figures)
    second = Table("one thread, ms (* = another mask)", *MAKERS)
    for row in masks:
        figures = [f"{row[f'{n}_ms']:.1f}{'' if row[f'{n}_exact'] else '*'}" for n in MAKERS]
        second.add_row(row["what"], *figures)
    return [first, second]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Pairs of steps.")] = 41,
    threads: Annotated[int, typer.Option(min=1, help="Of the training step.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
) -> None:
    """Measure, print two tables, write JSON."""
    torch.set_num_threads(threads)
    steps = [_step_row(*shape, rounds) for shape in STEPS]
    masks = _single_threaded(max(1, rounds // 4))
    for table in _tables(steps, masks):
        Console().print(table)
    if json:
        write_record(json, "bench.pruning", SEED, steps + masks, threads=threads)


if __name__ == "__main__":
    typer.run(main)
