"""Searches on frozen tables of real trainings: ``python -m bench.tune.search [--json FILE]``.

Every method may train a share of a table's choices; what it is worth is the hypervolume of loss,
microseconds and share of the device that those reach, beside that of all. Every training gives the
losses of all of its bits, to every method. Random and Optuna's TPE (loss and time of the fastest
array) stand beside ours at the same number of trainings, each with ten seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table as Shown

from csb_format.extras import install
from sparseflow.tune.learned import Scale, carried
from sparseflow.tune.search import AROUND, Search
from sparseflow.tune.volume import Volume

from ..record import Smallest, with_others, write_record
from .tables import TABLES, Table, table
from .trainings import EPOCHS

__all__ = ["BUDGETS", "METHODS", "main"]

BUDGETS = (0.05, 0.1, 0.15, 0.25)
"""Shares of the trainings of a table."""
SEEDS = range(10)
BATCH = 4
BEFORE = {"vowels24": "vowels16", "vowels16": "vowels24", "timit256": "ptb200",
          "ptb200": "timit256"}  # fmt: skip
"""What is searched first, for its transfer."""
NEAR = 0.98  # of the hypervolume of all

HALVING = "ours, half of them briefly"
Order = Callable[[Table, int, int], list[str]]


def main(
    only: Annotated[list[str] | None, typer.Option(help="These tables.")] = None,
    brief: Annotated[bool, typer.Option("--brief", help="Successive halving too.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Search, print a table, write JSON."""
    rows: list[dict[str, Any]] = []
    for name in ("ptb200",) if smallest else only or TABLES:
        rows += _rows(table(name), range(1) if smallest else SEEDS, smallest, brief)
    Console(width=110).print(_shown(rows))
    if json:
        rows = with_others(json, rows, TABLES, "network")
        write_record(json, "bench.tune.search", list(SEEDS), rows, near=NEAR, batch=BATCH)


def _rows(
    found: Table, seeds: range, smallest: bool, brief: bool = False
) -> Iterator[dict[str, Any]]:
    count = len(found.choices)
    budgets = [math.ceil(share * count) for share in BUDGETS[: 1 if smallest else None]]
    volume = Volume([f for c in found.choices for f in c.fronts], found.limit)
    every = _worth(volume, found, [c.key for c in found.choices])
    reached: dict[str, list[list[float]]] = {}
    methods = dict(
        list(METHODS.items())[: 3 if smallest else None : 2 if smallest else 1]
    )  # no Optuna
    for method, order in methods.items():
        if method == HALVING and not (brief and len(found.brief) == count):
            continue
        reached[method] = []
        for seed in seeds:
            if method == HALVING:  # what a budget buys is another number of trainings
                orders = [order(found, seed, n) for n in budgets]
            else:
                orders = [order(found, seed, budgets[-1])[:n] for n in budgets]
            reached[method].append([_worth(volume, found, keys) / every for keys in orders])
    for method, shares in reached.items():
        for n, budget in enumerate(budgets):
            mine = [one[n] for one in shares]
            won = {other: sum(a > one[n] for a, one in zip(mine, reached[other], strict=True))
                   for other in ("random", "tpe") if other in reached}  # fmt: skip
            yield {
                "network": found.name,
                "method": method,
                "choices": count,
                "trainings": budget,
                "budget_share": round(budget / count, 4),
                "hypervolume_share": round(statistics.mean(mine), 4),
                "least": round(min(mine), 4),
                "seeds": len(mine),
                "seeds_near": sum(one >= NEAR for one in mine),
                "seeds_won_random": won.get("random", 0),
                "seeds_won_tpe": won.get("tpe", 0),
            }


def _worth(volume: Volume, found: Table, keys: list[str]) -> float:
    at = {choice.key: n for n, choice in enumerate(found.choices)}
    bits = len(found.choices[0].fronts)
    places = [at[key] * bits + n for key in keys for n in range(bits)]
    return volume.of(places, [loss for key in keys for loss in found.losses[key]])


def _random(found: Table, seed: int, count: int) -> list[str]:
    keys = [choice.key for choice in found.choices]
    return [keys[n] for n in np.random.default_rng(seed).permutation(len(keys))[:count]]


def _ours(found: Table, seed: int, count: int, before: bool = False) -> list[str]:
    prior = _prior(found, seed) if before else None
    search = Search(found.choices, _scale(found), seed, prior)
    keys: list[str] = []
    while len(keys) < count:
        new = search.propose(min(BATCH, count - len(keys)))
        search.tell({key: found.losses[key] for key in new})
        keys += new
    return keys


def _halving(found: Table, seed: int, count: int) -> list[str]:
    """Twice as many briefly, the better half at length; brief ones are counted by their epochs."""
    search = Search(found.choices, _scale(found), seed)
    keys: list[str] = []
    spent, share = 0.0, EPOCHS[1] / EPOCHS[0]
    while spent + 1 + 2 * share <= count:
        many = min(BATCH, int((count - spent) / (1 + 2 * share)))
        asked = search.propose(2 * many)
        chosen = search.narrow({key: found.brief[key] for key in asked}, many)
        search.tell({key: found.losses[key] for key in chosen})
        keys += chosen
        spent += share * len(asked) + len(chosen)
    return keys


def _prior(found: Table, seed: int) -> npt.NDArray[np.float64]:
    """What the trainings of another search, with a quarter of its table, say of this network."""
    other = table(BEFORE[found.name])
    keys = _ours(other, seed, math.ceil(BUDGETS[-1] * len(other.choices)))
    choices = {choice.key: choice for choice in other.choices}
    samples = [row for key in keys for row in choices[key].features]
    losses = [loss for key in keys for loss in other.losses[key]]
    features = [row for choice in found.choices for row in choice.features]
    return carried(np.array(samples), np.array(losses), _scale(other), np.array(features))


def _scale(found: Table) -> Scale:
    return Scale(found.dense, (found.limit - found.dense) / AROUND)


def _tpe(found: Table, seed: int, count: int) -> list[str]:
    """Optuna's TPE over the same knobs; choices that it repeats cost nothing."""
    try:
        import optuna
    except ImportError as error:
        raise ValueError(f"TPE is beside it: {install('optuna')}") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    knobs = {key: tuple(values.values()) for key, values in found.knobs.items()}
    names = list(next(iter(found.knobs.values())))
    spaces: dict[str, Any] = {}
    for n, name in enumerate(names):
        values = sorted({one[n] for one in knobs.values()})
        spaces[name] = optuna.distributions.FloatDistribution(values[0], values[-1])
        if name == "banks":
            spaces[name] = optuna.distributions.CategoricalDistribution(values)
    study = optuna.create_study(
        directions=["minimize"] * 2,
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True),
    )
    fastest = {
        c.key: min((us for f in c.fronts for us, _ in f), default=1e6) for c in found.choices
    }
    places = np.array(list(knobs.values()), np.float64)
    scale = places.std(axis=0)
    keys: list[str] = []
    for _ in range(20 * count):
        trial = study.ask(spaces)
        wanted = np.array([trial.params[name] for name in names], np.float64)
        # the nearest that there is: not every combination is a choice
        key = list(knobs)[int((np.abs(places - wanted) / scale).sum(axis=1).argmin())]
        study.tell(trial, [min(found.losses[key]), fastest[key]])
        if key not in keys:
            keys.append(key)
        if len(keys) == count:
            break
    return keys


METHODS: dict[str, Order] = {
    "random": _random,
    "tpe": _tpe,
    "ours": _ours,
    "ours, after another network": partial(_ours, before=True),
    HALVING: _halving,
}


def _shown(rows: list[dict[str, Any]]) -> Shown:
    shown = Shown(title="share of the hypervolume of all trainings, mean and least of ten seeds")
    heads = ("network", "method", "trainings", "of", "reached", "least", "won random", "won tpe")
    for head in heads:
        shown.add_column(head)
    for row in rows:
        shares = (f"{100 * row[name]:.1f} %" for name in ("hypervolume_share", "least"))
        won = (f"{row[name]} of {row['seeds']}" for name in ("seeds_won_random", "seeds_won_tpe"))
        counts = (str(row[name]) for name in ("trainings", "choices"))
        shown.add_row(row["network"], row["method"], *counts, *shares, *won)
    return shown


if __name__ == "__main__":
    typer.run(main)
