"""The figures of a verified run, and of several runs on the same hardware together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.array.batch import batch_sizes
from compiler.lower.image import Image
from csb_format import IntArray, Model
from csb_format.screening.layer import ScreenedLayer
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.scores.answers import Answers
from pruning.tasks.scores.score import Score

from . import figures
from .hardware.beside import dense_cycles, on_boards
from .hardware.matrices import matrices
from .hardware.screen import screened
from .made import how_it_was_made as commands
from .scores.figures import MODELS, scores

if TYPE_CHECKING:
    from hdl.verilog import VerilogFiles
    from sim.check.verify import Verification

__all__ = ["FIGURES", "Run", "joined", "read_figures"]

FIGURES = "figures.json"


@dataclass(frozen=True, eq=False)
class Run:
    """A verification with all that took part.

    Parameters
    ----------
    model_path, data_path : Path
    model : Model
    data : SequenceData
        What was simulated.
    labelled : bool
        Whether its labels or targets mean something; nothing is scored otherwise.
    image : Image
    files : VerilogFiles
    frames : list of int64 arrays
        The data in the model's input format.
    result : Verification
    utterances : int, optional
        As asked for; None is all.
    scored : dict
        What is scored and what of it is simulated: ``sequences`` and ``frames`` of the data,
        ``simulated`` sequences, their ``places`` (None for all) and the ``seed`` of that choice.
    whole : (Answers, SequenceData), optional
        Of the integer model to all of the data; None where all of it is simulated.
    floats : dict of str to Score
        Of the ``dense`` and ``pruned`` float checkpoints on all of the data, or empty.
    given : dict of str to int
        Sequences that cocotb runs beside, by engine.
    seconds : dict of str to float
        Wall time by step.
    beside : str
        The engine on whose frames this run repeats the first; empty for a run of its own.
    apart : str
        Where the two differ.
    command : str
        That the user typed; empty for a run from Python.
    board : str or Path, optional
        That the user means; it comes first of those that the report shows.
    """

    model_path: Path
    data_path: Path
    model: Model
    data: SequenceData
    labelled: bool
    image: Image
    files: VerilogFiles
    frames: list[IntArray]
    result: Verification
    utterances: int | None
    scored: dict[str, Any]
    whole: tuple[Answers, SequenceData] | None
    floats: dict[str, Score]
    given: dict[str, int]
    seconds: dict[str, float]
    beside: str = ""
    apart: str = ""
    command: str = ""
    board: str | Path | None = None

    def collect(self) -> dict[str, Any]:
        """Everything that the report shows, keys as :data:`sparseflow.pages.report.SCHEMA`."""
        said = _said(self.model.provenance)
        model, design, clipped = self.model, self.image.design, said.get("saturation")
        prepared = commands.preparation(said, model.layers[0], self.model_path.name)
        return self._measured() | {
            "array": figures.array(design),
            "bits_per_nonzero": figures.bits_per_nonzero(model),
            "boards": on_boards(model, design, self.board),
            "bytes": figures.sizes(model),
            "commands": prepared,
            "dense_cycles_per_step": dense_cycles(model, design),
            "formats": figures.formats(model),
            "hashes": self._hashes(),
            "increments": said.get("increments", []),
            "matrices": matrices(model),
            "multipliers": figures.multipliers(design),
            "row_picture": figures.row_picture(model),
            "seconds": self.seconds,
            "seed": said.get("seed"),
            "sparsity": figures.sparsity(model),
            "sparsity_requested": said.get("sparsity_requested"),
            "versions": figures.versions(),
            "weights": figures.weights(model),
            **({} if model.head is None else {"pool": model.pool}),
            "states": figures.states(
                figures.reaches(model), clipped if isinstance(clipped, dict) else {}
            ),
            **({"saturation": clipped} if isinstance(clipped, dict) else {}),
            **({"increments_of": said["increments_of"]} if "increments_of" in said else {}),
        }

    @property
    def _largest(self) -> int | None:
        """Of a screened head the logits that its unit finds, 0 without one; else None."""
        screen = self.image.design.screen
        if screen is not None:
            return screen.top
        return 0 if isinstance(self.model.head, ScreenedLayer) else None

    def _measured(self) -> dict[str, Any]:
        """What depends on the run."""
        model, result = self.model, self.result
        floor = figures.floor(model, self.image.design)
        # With two directions a step takes one of each level's.
        runs = self.result.runs
        cycles = sum(_steady(run.steps, run.stimulus) for run in runs)
        predicted = sum(_steady(run.schedule.steps, run.stimulus) for run in runs)
        return {
            **self._scores(),
            "cycles_per_step": {"floor": floor, "model": predicted, "rtl": cycles},
            "frames": result.frames,
            "macs_per_cycle": figures.macs_per_cycle(model, self.image.design, cycles),
            "mismatches": result.comparison.mismatches,
            **self._screened(),
            "simulators": [self._simulator()],
            "utilisation": floor / cycles,
            "utilisation_asked": self._asked(floor / cycles),
            "utterances": result.sequences,
        }

    def _screened(self) -> dict[str, Any]:
        """What the screen unit read, where there is one."""
        screen = self.image.screen
        found = self.result.stimulus.screened
        return {} if screen is None else {"screen": screened(screen.layer, found)}

    def _asked(self, utilisation: float) -> float | None:
        """Of the utilisation what goes into weights that were asked for; None if nobody said."""
        said = _said(self.model.provenance)
        sparsity, budget = said.get("sparsity_requested"), str(said.get("budget", "equal"))
        if not isinstance(sparsity, int | float):
            return None
        kept = figures.weights(self.model)["nonzeros"]
        every = figures.multiplied(self.model, self.image.design)["nonzeros"]
        share = figures.asked(self.model, sparsity, budget)
        return utilisation * (share * kept + every - kept) / max(1, every)

    def _hashes(self) -> dict[str, str]:
        paths = {"model": self.model_path, "data": self.data_path}
        digests = {n: hashlib.sha256(path.read_bytes()).hexdigest() for n, path in paths.items()}
        return digests | {"verilog": self.files.sha256}

    def _simulator(self) -> dict[str, Any]:
        from sim.check.engines import DRIVERS

        result, measured = self.result, bool(self.floats)
        cycles = sum(run.run.outcome.total for run in self.result.runs)
        seconds = sum(run.run.seconds for run in self.result.runs)
        # what runs beside is run by the command of what it runs beside
        names = (self.model_path.name, self.data_path.name, self.beside or result.simulator)
        return {
            "name": result.simulator,
            "utterances": result.sequences,
            "frames": result.frames,
            "cycles": cycles,
            "seconds": seconds,
            "build_seconds": result.run.build_seconds,
            "cycles_per_second": cycles / seconds,
            "mismatches": result.comparison.mismatches,
            "cycles_exact": result.cycle_mismatch is None,
            "driver": DRIVERS[result.simulator],
            "first_frame": 0,
            "last_frame": result.frames - 1,
            "command": self.command
            or commands.simulation(
                *names,
                self.image.design,
                self.utterances,
                self.scored["seed"],
                measured,
                self.given,
                self._largest,
            ),
            **({"same_as": self.beside, "same": not self.apart} if self.beside else {}),
        }

    def _scores(self) -> dict[str, Any]:
        """Scores by stage, taken apart, and what was scored.

        An accuracy is None where it was not measured; that of the Verilog is of what was simulated.
        """
        scored = dict(self.scored)
        if not (self.labelled and self.model.head is not None):
            return {"accuracy": dict.fromkeys(MODELS), "scored": scored}
        traces = [trace.output for trace in self.result.traces[-1]]
        given = (self.data, traces, self._outputs(), self.floats, self.whole, self._logits())
        if self.data.framewise:
            scored["counted_simulated"] = self.data.counted
        found = scores(self.model, *given)
        if "accuracy" in found.get("fixed_simulated", ()):
            scored["fixed_simulated"] = found["fixed_simulated"]["accuracy"]
        models = found.get("models", {})
        accuracy = {name: (models.get(name) or {}).get("accuracy") for name in MODELS}
        return {"accuracy": accuracy, "scored": scored, **({"scores": found} if found else {})}

    def _outputs(self) -> list[IntArray] | None:
        """What the Verilog gave for every sequence; None if it failed before the last layer."""
        count, given = len(self.model.layers), self.result.comparison.outputs
        layers = range(count - self.model.directions, count)
        if not set(layers) <= set(given):
            return None
        found = [np.split(given[layer], self._ends) for layer in layers]
        if self.model.directions == 2:  # it begins at the last frame
            found[1] = [output[::-1] for output in found[1]]
        return [np.concatenate(sides, axis=-1) for sides in zip(*found, strict=True)]

    def _logits(self) -> list[IntArray] | None:
        """What the head on the array gave for every frame of every sequence, if it runs there."""
        given = self.result.comparison.outputs.get(-1)
        return None if given is None else np.split(given, self._ends)

    @property
    def _ends(self) -> IntArray:
        """Where sequences end in what left, but for the last."""
        return np.cumsum([len(sequence) for sequence in self.data.sequences])[:-1]


def _said(provenance: Mapping[str, str]) -> dict[str, Any]:
    """What `pack` has noted, as JSON; notes of others may be any text, and are theirs."""
    found: dict[str, Any] = {}
    for key, value in provenance.items():
        with suppress(ValueError, RecursionError):
            found[key] = json.loads(value)
    return found


def _steady(steps: IntArray, stimulus: Stimulus) -> float:
    """Cycles of a step: of all when they are equal, else their mean; whole where it is whole.

    Without the last step, if there are others: no frame follows it whose products fill its waits.
    In a batched design of all batches but the first, if there are others.
    """
    taken = steps[:-1] if len(steps) > 1 else steps
    if stimulus.image.design.batched:
        taken = steps[batch_sizes(stimulus.context.tolist())[0] - 1 :]
    mean = float(np.mean(taken if len(taken) else steps))
    return int(mean) if mean.is_integer() else mean


def joined(old: Mapping[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """New figures, with the other simulators' rows of an earlier run on the same hardware.

    Parameters
    ----------
    old : mapping, optional
        Dropped if model, Verilog or data differ.
    new : dict

    Returns
    -------
    dict
        Figures of the run with more frames; mismatches of all runs together; the commands
        complete.
    """
    if old is None or old.get("hashes") != new["hashes"]:
        return _complete(new, new["commands"], new["simulators"])
    name = new["simulators"][0]["name"]
    rows = [*new["simulators"], *(row for row in old["simulators"] if row["name"] != name)]
    wider, other = (new, old) if new["frames"] >= old["frames"] else (old, new)
    found = dict(wider) | {"seconds": {**old.get("seconds", {}), **new["seconds"]}}
    if other["frames"] == wider["frames"]:
        found["accuracy"] = _measured(other["accuracy"], wider["accuracy"])
        if "scores" in wider and "scores" in other:
            models = _measured(other["scores"]["models"], wider["scores"]["models"])
            found["scores"] = wider["scores"] | {"models": models}
    return _complete(found, new["commands"], rows)


def _measured(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured now, and of the rest what was measured before."""
    return {**before, **{name: value for name, value in now.items() if value is not None}}


def _complete(
    found: Mapping[str, Any], prepared: list[str], rows: list[dict[str, Any]]
) -> dict[str, Any]:
    return dict(found) | {
        "simulators": rows,
        "mismatches": sum(row["mismatches"] for row in rows),
        # rows of one command are of one line
        "commands": [
            *prepared,
            *dict.fromkeys(row["command"] for row in rows),
        ],
    }


def read_figures(folder: Path) -> dict[str, Any]:
    """Figures that ``simulate`` left in a folder.

    Raises
    ------
    FileNotFoundError
        If there are none.
    ValueError
        If the file is damaged.
    """
    path = folder / FIGURES
    if not path.exists():
        raise FileNotFoundError(2, "no figures here; run `sparseflow simulate` first", str(path))
    try:
        found = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it, simulate again") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no figures: delete it, simulate again")
    return found
