"""What pruning costs: a fine-tuning step, and making a mask.

``python -m bench.masks.cost [--nni-python FILE] [--json FILE]``. Dense and masked steps of the
same network take turns, then dense and quantisation-aware ones
(:class:`pruning.integers.qat.QatLstm`), then those with masked gradients (``clean``). The time
inside ``pruner.step()`` is taken apart: it is all that pruning adds. Everything runs on one
thread unless ``--threads`` says otherwise, and what is counted is CPU time
(:mod:`bench.cpu.turns`); ratios are medians with a 95 % interval.

NNI's balance mode was removed in 3.0. NNI 2.10.1 brings old dependencies, so it runs in an
environment of its own, on the same matrices, in turn with the others::

    python3.11 -m venv build/nni
    build/nni/bin/pip install torch==2.13.0
    build/nni/bin/pip install nni==2.10.1 tensorboard 'setuptools<81'
    python -m bench.masks.cost --nni-python build/nni/bin/python
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from pruning.integers.qat import Precision, QatLstm
from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.views import Banks

from ..cpu.turns import in_turns, milliseconds, ratio, seconds_of
from ..record import Smallest, write_record
from .mask_makers import SLOW, Maker, makers

SEED = 0
STEPS = ((153, 1024), (12, 128))  # inputs, units
MASKS = [(4096, columns, banks) for columns in (1024, 1536) for banks in (16, 32, 64)]
SMALLEST_STEPS, SMALLEST_MASKS = ((12, 16),), [(64, 64, 4)]
SPARSITY = 0.875
BATCH, FRAMES = 16, 20


class _Loop:
    """Training steps of one LSTM on random data, in whatever way is called next.

    All ways share the parameters and the optimizer: in two networks that are alike, where
    the memory happens to lie makes more of a difference than pruning does.
    """

    def __init__(self, inputs: int, units: int) -> None:
        torch.manual_seed(SEED)
        self.module = nn.LSTM(inputs, units)
        self.frames = torch.randn(FRAMES, BATCH, inputs)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-4)
        self.masking: list[float] = []

    def prune(self, mask_gradients: bool = False) -> None:
        goals = goals_for(self.module, Goal(Banks(4), SPARSITY, tolerance=0.5))
        self.pruner = Pruner(self.module, goals, mask_gradients=mask_gradients)

    def quantise(self) -> None:
        batch_first = self.frames.transpose(0, 1).contiguous()
        formats = Precision().formats(self.module, None, list(batch_first.numpy()))
        self.exact = QatLstm(self.module, formats, self.pruner.masks())
        self.given = batch_first, torch.full((BATCH,), FRAMES)

    def dense(self) -> None:
        self._step(lambda: self.module(self.frames)[0])

    def masked(self) -> None:
        self.dense()
        self.masking.append(seconds_of(self.pruner.step))

    def aware(self) -> None:
        self._step(lambda: self.exact(*self.given))
        self.pruner.step()

    def _step(self, forward: Callable[[], Tensor]) -> None:
        self.optimizer.zero_grad()
        loss: Any = forward().square().mean()
        loss.backward()
        self.optimizer.step()


def _step_row(inputs: int, units: int, rounds: int) -> dict[str, Any]:
    loop = _Loop(inputs, units)
    loop.prune()
    # Two steps of a kind: the second finds the caches that it leaves itself.
    times = in_turns({"dense": loop.dense, "masked": loop.masked}, rounds, 1)
    times["masking"] = loop.masking[1::2]
    loop.quantise()
    few = max(3, rounds // 8)
    aware = in_turns({"dense": loop.dense, "aware": loop.aware}, few, 1)
    row: dict[str, Any] = {
        "what": f"step of LSTM {inputs}->{units}, batch {BATCH} x {FRAMES} frames",
        "rounds": rounds,
        "aware_ms": milliseconds(aware["aware"]),
        "aware_ratio": ratio(aware["aware"], aware["dense"], SEED),
        "masked_ratio": ratio(times["masked"], times["dense"], SEED),
        "masking_share": ratio(times["masking"], times["dense"], SEED),
        "clean_ratio": _clean_ratio(inputs, units, few),
    }
    return row | {f"{name}_ms": milliseconds(of) for name, of in times.items()}


def _clean_ratio(inputs: int, units: int, rounds: int) -> dict[str, float]:
    """Steps with masked gradients to dense ones before, in as many networks."""
    dense, clean = [], []
    for _ in range(rounds):
        loop = _Loop(inputs, units)
        dense += in_turns({"dense": loop.dense}, 3, 1)["dense"]
        loop.prune(mask_gradients=True)
        loop.pruner.attach(loop.optimizer)
        clean += in_turns({"clean": loop.masked}, 3, 1)["clean"]
    return ratio(clean, dense, SEED)


def _mask_row(ways: dict[str, Maker], shape: tuple[int, int, int], rounds: int) -> dict[str, Any]:
    rows, columns, banks = shape
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(SEED))
    keep = Banks(banks).layout(rows, columns).nearest(SPARSITY)
    for maker in ways.values():
        maker.load(weight, banks, keep)
        maker.seconds()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in (n for n in ways if n not in SLOW or turn % 4 == 0):
            times[name].append(ways[name].seconds())
    row: dict[str, Any] = {"what": f"mask of {rows} x {columns}, {banks} banks", "rounds": rounds}
    for name, maker in ways.items():
        row[f"{name}_exact"] = torch.equal(maker.mask, ways["ours"].mask)
        row[f"{name}_ms"], row[f"{name}_least_ms"] = (
            milliseconds(times[name]),
            1e3 * min(times[name]),
        )
    return row | _against_fastest(row, times)


def _against_fastest(row: dict[str, Any], times: dict[str, list[float]]) -> dict[str, Any]:
    """How much of the fastest exact other's time ours takes."""
    exact = [n for n in times if n != "ours" and n not in SLOW and row[f"{n}_exact"]]
    fastest = min(exact, key=lambda name: statistics.median(times[name]))
    share = ratio(times["ours"], times[fastest], SEED)
    return {"fastest_other": fastest, "ours_to_fastest_other": share}


def _single_threaded(
    nni_python: Path | None, shapes: list[tuple[int, int, int]], rounds: int
) -> list[dict[str, Any]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with makers(nni_python) as ways:
            return [_mask_row(ways, shape, rounds) for shape in shapes]
    finally:
        torch.set_num_threads(threads)


def _tables(steps: list[dict[str, Any]], masks: list[dict[str, Any]]) -> list[Table]:
    names = ("fine-tuning step", "dense ms", "in pruner.step()", "masked", "gradients too")
    first = Table(*names, "quantisation-aware")
    for row in steps:
        ratios = [_interval(row[f"{kind}_ratio"]) for kind in ("masked", "clean", "aware")]
        share = f"{row['masking_share']['median']:.1%}"
        first.add_row(row["what"], f"{row['dense_ms']:.2f}", share, *ratios)
    ways = [n.removesuffix("_exact") for n in masks[0] if n.endswith("_exact")]
    second = Table("one thread, ms (* = another mask)", *ways, "ours / fastest other exact")
    for row in masks:
        figures = [f"{row[f'{n}_ms']:.1f}{'' if row[f'{n}_exact'] else '*'}" for n in ways]
        second.add_row(row["what"], *figures, _interval(row["ours_to_fastest_other"]))
    return [first, second]


def _interval(found: dict[str, float]) -> str:
    return f"{found['median']:.3f} ({found['low']:.3f} .. {found['high']:.3f})"


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of steps.")] = 120,
    threads: Annotated[int, typer.Option(min=1, help="Of the training step.")] = 1,
    nni_python: Annotated[Path | None, typer.Option(help="Interpreter with nni 2.10.1.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Measure, print two tables, write JSON."""
    torch.set_num_threads(threads)
    steps = [_step_row(*shape, rounds) for shape in (SMALLEST_STEPS if smallest else STEPS)]
    shapes = SMALLEST_MASKS if smallest else MASKS
    masks = _single_threaded(nni_python, shapes, max(1, rounds // 4))
    for table in _tables(steps, masks):
        Console(width=150).print(table)
    if json:
        more = {"threads": threads, "clock": "CPU time of the process"}
        more |= {"load_average": os.getloadavg()[0], "cores": os.cpu_count()}
        write_record(json, "bench.masks.cost", SEED, steps + masks, **more)


if __name__ == "__main__":
    typer.run(main)
