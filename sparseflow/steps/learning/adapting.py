"""A model file to an adapted one: epochs, the best by what was held out, or all rolled back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csb_format.files.modelfile import load_model, save_model
from csb_format.files.replace import replace_file
from csb_format.fixed import Fixed
from csb_format.model import Model
from engine.learn.head import Asked
from engine.learn.learner import Learner, LearnError, Told
from engine.learn.weights import tensors_of
from engine.native.model import NativeModel
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.scores.answers import Answers, check_answers
from pruning.tasks.scores.score import Score

from ..places import check_features, known_to, read_scaled
from ..progress import counted, say
from .asked import asked_of, check_judging, check_learnable, held_out
from .options import AdaptOptions, TargetName
from .state import check_state_place, digest_of, read_state, state_path, write_state
from .targets import check_target, cycles_told, learner_of

__all__ = ["adapt"]

_BEST = "best."


@dataclass(frozen=True)
class Judged:
    """What a model is worth on data that it does not learn from."""

    score: Score
    cost: float

    @property
    def rank(self) -> tuple[float, float]:
        """Greater is better."""
        return self.score.worth, -self.cost


class _Adaptation:
    """The work between reading and writing."""

    def __init__(self, given: AdaptOptions, model: Model):
        self.given, self.model = given, model
        self.train, self.held = _data(given, model)
        check_learnable(self.train, given.data)
        check_judging(self.held, given.val or given.data)
        taken = model.layers[0].input
        _tell_clipped(taken, [*self.train.sequences, *self.held.sequences])
        self.frames = [taken.quantise(sequence) for sequence in self.train.sequences]
        self.judged_frames = [taken.quantise(sequence) for sequence in self.held.sequences]
        self.asked = asked_of(model, self.train)
        self.learner: Learner
        self.before = self.judge(model)
        self.best, self.best_epoch, self.kept = self.before, 0, dict[str, Any]()
        self.epochs: list[dict[str, Any]] = []

    def judge(self, model: Model) -> Judged:
        """Score and mean cost on what was held out."""
        head, native = model.head, NativeModel(model, None, self.given.threads)
        assert head is not None
        logits = [
            np.atleast_2d(model.logits(trace.output)) for trace in native.run(self.judged_frames)
        ]
        score = Answers.of(self.held, iter(logits), head.last_bit).score()
        return Judged(score, _cost(np.concatenate(logits) * head.last_bit, self.held))

    def epoch(self, number: int) -> None:
        """Go through the data once, and judge."""
        told = list(self._steps(number))
        now = self.judge(self.learner.model)
        answers = sum(each.answers for each in told)
        self.epochs.append({
            "epoch": number,
            "cost": sum(each.cost * each.answers for each in told) / answers,
            "held_out": dict(now.score.figures),
            "held_out_cost": now.cost,
            "clipped": sum(each.clipped for each in told) / len(told),
            "exponents_moved": sum(each.moved for each in told),
            "pieces": max(each.pieces for each in told),
        })  # fmt: skip
        if now.rank > self.best.rank:
            self.best, self.best_epoch = now, number
            masters = self.learner.masters.values
            self.kept = {name: values.copy() for name, values in masters.items()}

    def _steps(self, number: int) -> Iterator[Told]:
        order = np.random.default_rng([self.given.seed, 2, number]).permutation(len(self.frames))
        for at in range(0, len(order), self.given.batch):
            places = order[at : at + self.given.batch].tolist()
            asked: Asked = self.asked.chosen(places)
            if asked.counted:
                yield self.learner.step([self.frames[n] for n in places], asked)

    def restore(self, about: dict[str, Any], arrays: dict[str, Any]) -> None:
        """What :meth:`state` gave."""
        self.kept = {n[len(_BEST) :]: a for n, a in arrays.items() if n.startswith(_BEST)}
        self.learner.restore({n: a for n, a in arrays.items() if not n.startswith(_BEST)})
        self.epochs, self.best_epoch = about["epochs"], about["best_epoch"]
        self.best = self.before
        if self.best_epoch:
            found = self.epochs[self.best_epoch - 1]
            self.best = Judged(Score(found["held_out"]), found["held_out_cost"])

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """To go on from."""
        arrays: dict[str, Any] = dict(self.learner.state())
        arrays |= {f"{_BEST}{name}": values for name, values in self.kept.items()}
        return {"epochs": self.epochs, "best_epoch": self.best_epoch}, arrays

    def adapted(self) -> Model:
        """The best model; the one that was read if none was better."""
        if not self.best_epoch:
            return self.model
        masters = self.learner.masters
        masters.values |= self.kept
        return masters.model()


def adapt(given: AdaptOptions) -> dict[str, Any]:
    """Learn, judge and write; the figures.

    Raises
    ------
    LearnError
        For a model or data that cannot be learnt with, or a state of something else.
    """
    check_target(given)
    model, place = load_model(given.model), state_path(given.out)
    check_state_place(place)
    _check_head(model, given)
    work = _Adaptation(given, model)
    files = {"model": given.model, "data": given.data, "val": given.val}
    digest = digest_of(files, _deciding(given))
    resumed = read_state(place, digest) if given.resume else None
    with learner_of(given, model, list(map(len, work.frames))) as work.learner:
        if resumed:
            work.restore(*resumed)
        _learn(given, work, place, digest)
        found = _figures(given, work)
        save_model(given.out, _noted(work, found))
    _write(given, found)
    place.unlink(missing_ok=True)
    return found


def _learn(given: AdaptOptions, work: _Adaptation, place: Path, digest: str) -> None:
    """All epochs that are left."""
    begun = len(work.epochs)
    with counted("adapt", given.epochs) as count:
        count(begun)
        for number in range(begun + 1, given.epochs + 1):
            work.epoch(number)
            write_state(place, digest, *work.state())
            count(number)


def _tell_clipped(taken: Fixed, sequences: Sequence[npt.NDArray[Any]]) -> None:
    """A line where features are beyond what the model takes: it reads the ends of its range."""
    beyond = sum(taken.saturations(sequence) for sequence in sequences)
    if beyond:
        share = beyond / sum(sequence.size for sequence in sequences)
        say(
            f"note: {beyond:,} features, {share:.2%}, are beyond the {taken} of the model's input "
            "and count as the ends of its range: "
            "scale the data as those that the model was packed with"
        )


def _check_head(model: Model, given: AdaptOptions) -> None:
    if model.head is None:
        raise LearnError(f"{given.model} has no head: pack it with its classifier to adapt it")


def _data(given: AdaptOptions, model: Model) -> tuple[SequenceData, SequenceData]:
    """To learn from, and to judge by."""
    train = _read(given, model, given.data)
    if given.val is not None:
        return train, _read(given, model, given.val)
    kept, held = held_out(train, given.hold, given.seed, given.data)
    return train.chosen(kept), train.chosen(held)


def _read(given: AdaptOptions, model: Model, path: Path) -> SequenceData:
    data, _ = read_scaled(path, "adapting", known_to(model), given.model)
    check_features(model, data, path)
    assert model.head is not None
    check_answers(data, model.head.output_size, model.pool, given.model)
    return data


def _cost(logits: Any, data: SequenceData) -> float:
    """Mean cross-entropy of the labels that count, or mean squared error."""
    if data.targets is not None:
        return float(((logits - data.targets) ** 2).mean())
    from scipy.special import log_softmax

    counts = data.labels >= 0
    likely = log_softmax(logits[counts], axis=-1)
    return -float(likely[np.arange(len(likely)), data.labels[counts]].mean())


def _deciding(given: AdaptOptions) -> dict[str, Any]:
    """Options that decide the result; memory and threads do not."""
    names = ("hold", "epochs", "batch", "rate", "gradient_bits", "seed")
    found = {name: getattr(given, name) for name in names} | {"mode": given.mode.value}
    return found | ({} if given.target == TargetName.cpu else {"target": given.target.value})


def _figures(given: AdaptOptions, work: _Adaptation) -> dict[str, Any]:
    after = work.best
    return {
        "model": given.model.name,
        "options": _deciding(given) | {"memory": given.settings.memory, "threads": given.threads},
        "sequences": {"learnt": len(work.train), "held_out": len(work.held)},
        "before": {"score": dict(work.before.score.figures), "cost": work.before.cost},
        "after": {"score": dict(after.score.figures), "cost": after.cost},
        "kept_epoch": work.best_epoch,
        "rolled_back": not work.best_epoch,
        "epochs": work.epochs,
        "steps": work.learner.steps,
        "exponents": {n: e.tolist() for n, e in work.learner.exponents.state().items()},
        "changed": _changed(work.model, work.adapted()),
        **cycles_told(work.learner, given.batch, list(map(len, work.frames))),
    }


def _changed(old: Model, new: Model) -> dict[str, dict[str, Any]]:
    """Of every tensor the kept numbers, how many moved, and by how many of their last bits."""
    found = {}
    for before, after in zip(tensors_of(old), tensors_of(new), strict=True):
        moved = np.abs(after.values - before.values)
        count = before.values.size if before.real is None else int(before.real.sum())
        found[before.name] = {
            "numbers": count,
            "moved": int((moved > 0).sum()),
            "largest": int(moved.max(initial=0)),
        }
    return found


def _noted(work: _Adaptation, found: dict[str, Any]) -> Model:
    """The model with a note of what was done; the old one as it was, where nothing is kept."""
    new = work.adapted()
    if not work.best_epoch:
        return new
    # neither memory nor threads, by which no byte differs
    note = {"options": _deciding(work.given)}
    note |= {name: found[name] for name in ("before", "after", "kept_epoch")}
    text = json.dumps(note | {"data": work.given.data.name}, sort_keys=True, allow_nan=False)
    return replace(new, provenance={**new.provenance, "adapted": text})


def _write(given: AdaptOptions, found: dict[str, Any]) -> None:
    if given.json is not None:
        text = json.dumps(found, indent=2, sort_keys=True, allow_nan=False)
        replace_file(given.json, f"{text}\n".encode())
    if given.page is not None:
        from ...pages.learning.page import page
        from ...pages.made.typed import typed

        replace_file(given.page, page(found, typed()).encode())
