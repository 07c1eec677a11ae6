"""Four networks that people bring: what pruning, banks and integers cost each, at equal training.

``python -m bench.kinds.run --timit FILE [--case NAME ...] [--seeds N] [--json FILE]`` trains an
LSTM, one of two directions, one with a projection and a GRU on frames of speech; prunes each to
the same number of weights with the same epochs, whatever the pattern; packs the banks as integers;
and simulates two sentences in Verilog. What is scored are sentences of speakers that nothing was
trained or chosen on: the last epoch counts. ``--add`` keeps the rows of other cases and seeds,
so that ``--first 1 --seeds 2`` goes on after one seed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn

from csb_format import save_model
from pruning.files.network import Classifier
from pruning.importers.checkpoint import save_weights
from pruning.mask.goals import Goal
from pruning.mask.views import Banks
from pruning.tasks.data.datasets import SequenceData, save_sequences
from pruning.tasks.networks.sequence import Training, answers, train
from pruning.tasks.recipes.finetuning import Pruned, prune_classifier
from pruning.tasks.recipes.recipe import Recipe
from sparseflow.steps import pipeline
from sparseflow.steps.packing import Packing, pack_checkpoint

from ..accuracy.patterns import goals_of, lstm_shapes
from ..record import Rows, Smallest, write_record
from . import data as speech

__all__ = ["CASES", "Case", "main", "row_of"]

SPARSITY, MAIN = 0.8, "8 banks"
PATTERNS = ("unstructured", "unstructured, global", MAIN, f"{MAIN}, global")
PACKED = f"{MAIN}, global"  # as `prune` does it
LONGER = "dense, as long"  # no weight removed, the fine-tuning of all
BITS = ((16, 16), (8, 8))
SIMULATED = 2
DENSE_EPOCHS, TRAINING = 16, Training(batch=32, noise=0.3)
RECIPE = Recipe(
    budget="equal", increments=4, step_epochs=1, final_epochs=7,
    tuning=replace(Recipe().tuning, noise=0.3),
)  # fmt: skip
Data = tuple[SequenceData, SequenceData]


@dataclass(frozen=True)
class Case:
    """A network and its data.

    Parameters
    ----------
    name : str
    title : str
        In tables.
    kind : type
        ``nn.LSTM`` or ``nn.GRU``.
    units, classes : int
    bidirectional, projected : bool
        Projected to half the units.
    data : callable
        From TIMIT's archive to what is trained on and what is scored.
    """

    name: str
    title: str
    kind: type[nn.LSTM] | type[nn.GRU]
    units: int
    classes: int
    data: Callable[[Path], Data]
    bidirectional: bool = False
    projected: bool = False

    def network(self, seed: int, units: int) -> Classifier:
        """Untrained; the global generator is left alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            options: dict[str, Any] = {"bidirectional": self.bidirectional}
            options |= {"proj_size": units // 2} if self.projected else {}
            module = self.kind(speech.FEATURES, units, batch_first=True, **options)
            width = (module.proj_size or units) * (1 + module.bidirectional)
            return Classifier(module, nn.Linear(width, self.classes), "every")


CASES = {
    case.name: case
    for case in (
        Case("lstm", "LSTM 39-96, 96 classes", nn.LSTM, 96, 96, speech.states),
        Case("bidirectional", "LSTM 39-80, two directions, 39 classes", nn.LSTM, 80, 39,
             speech.phones, bidirectional=True),
        Case("projected", "LSTM 39-96 projected to 48, 39 classes", nn.LSTM, 96, 39,
             speech.phones, projected=True),
        Case("gru", "GRU 39-96, 39 classes", nn.GRU, 96, 39, speech.phones),
    )
}  # fmt: skip


def row_of(case: Case, found: Data, seed: int, work: Path, smallest: bool) -> dict[str, Any]:
    """Everything of one network and one seed."""
    training, test = found
    recipe = replace(RECIPE, increments=2, final_epochs=1) if smallest else RECIPE
    dense = case.network(seed, 16 if smallest else case.units)
    train(dense, training, 1 if smallest else DENSE_EPOCHS, seed, settings=TRAINING)
    scores, kept = {"dense": _score(dense, test)}, dict[str, int]()
    whole: dict[str, Goal] = dict.fromkeys(lstm_shapes(dense), Goal(Banks(1), sparsity=0.0))
    asked = {LONGER: whole} | {p: goals_of(dense, p, SPARSITY, MAIN) for p in PATTERNS}
    made: dict[str, Pruned] = {}
    for name, goals in asked.items():
        made[name] = prune_classifier(dense, goals, training, recipe, seed)
        scores[name] = _score(made[name].classifier, test)
        kept[name] = sum(int(mask.sum()) for mask in made[name].masks.values())
        print(
            f"{case.name}, seed {seed}, {name}: {scores[name]:.2%}, {kept[name]:,} weights",
            flush=True,
        )
    weights = sum(rows * columns for rows, columns in lstm_shapes(dense).values())
    row = {"case": case.name, "seed": seed, "weights": weights, "kept": kept, "scores": scores}
    row |= {"frames": test.counted, "sentences": len(test)}
    return row | _integers(made[PACKED], found, work, smallest)


def _score(model: nn.Module, test: SequenceData) -> float:
    found = answers(copy.deepcopy(model), test).score().accuracy
    assert found is not None
    return found


def _integers(pruned: Pruned, found: Data, work: Path, smallest: bool) -> dict[str, Any]:
    """Scores of the integers of the banks, and the Verilog of two sentences."""
    work.mkdir(parents=True, exist_ok=True)
    path, bits = work / "pruned.safetensors", {}
    save_weights(path, pruned.classifier, pruned.masks)
    for value, act in BITS:
        how = Packing(banks=8, pool="every", value_bits=value, act_bits=act)
        packed = pack_checkpoint(path, found[0], how, judged=found[1])
        bits[f"{value}/{act}"] = packed.scores["models"]["fixed"]["accuracy"]
        if value == BITS[0][0]:
            save_model(work / "model.safetensors", packed.model)
    save_sequences(work / "test.npz", found[1])
    simulator = "icarus" if smallest else "verilator-free"
    pipeline.simulate(
        model=work / "model.safetensors", data=work / "test.npz", build=work / "build",
        simulator=simulator, pes=8, lanes=8, utterances=SIMULATED, icarus=0,
    )  # fmt: skip
    ran = json.loads((work / "build/figures.json").read_text("utf-8"))
    told = {name: ran[name] for name in ("mismatches", "cycles_per_step", "array")}
    return {"bits": bits, "simulated": told | {"frames": ran["frames"]}}


def main(
    timit: Annotated[
        Path | None, typer.Option(help="NLTK's sample of TIMIT, nltk_timit.tar.xz.")
    ] = None,
    case: Annotated[list[str] | None, typer.Option(help="Only this one; repeat it.")] = None,
    seeds: Annotated[int, typer.Option(help="How many.", min=1)] = 1,
    first: Annotated[int, typer.Option(help="The first of them.", min=0)] = 0,
    work: Annotated[Path, typer.Option(help="Folder to run in.")] = Path("build/kinds"),
    add: Annotated[bool, typer.Option("--add", help="Keep other rows.")] = False,
    smallest: Smallest = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Where the rows go as JSON.")
    ] = None,
) -> None:
    """Train, prune, pack and simulate the networks, and write down their scores."""
    if unknown := [name for name in case or [] if name not in CASES]:
        raise SystemExit(f"error: no case {unknown[0]}: choose from {', '.join(CASES)}")
    if timit is None and not smallest:
        raise SystemExit("error: give --timit nltk_timit.tar.xz, or --smallest to see that it runs")
    rows = _kept(json_file) if add and json_file else []
    for seed in range(first, first + seeds):
        for name in case or CASES:
            chosen = CASES[name]
            found = chosen.data(timit) if timit else speech.noise(chosen.classes)
            row = row_of(chosen, found, seed, work / f"{name}{seed}", smallest)
            rows = [r for r in rows if (r["case"], r["seed"]) != (name, seed)] + [row]
            if json_file:
                write_rows(json_file, rows)


def _kept(path: Path) -> Rows:
    rows: Rows = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else []
    return rows


def write_rows(path: Path, rows: Rows) -> None:
    """As they come; the command says nothing of where the data lies."""
    order = list(CASES)
    ordered = sorted(rows, key=lambda row: (order.index(row["case"]), row["seed"]))
    command = "python -m bench.kinds.run --timit nltk_timit.tar.xz"
    seeds = sorted({row["seed"] for row in rows})
    write_record(path, "bench.kinds.run", seeds, ordered, command=command)


if __name__ == "__main__":
    typer.run(main)
