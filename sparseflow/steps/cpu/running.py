"""All sequences of a data file through the C library, and what they are worth."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np

from csb_format.files.replace import replace_file
from csb_format.fixed import IntArray
from csb_format.model import Model
from engine.native.model import NativeModel
from engine.reference import IntegerModel, Trace
from pruning.tasks.scores.answers import check_answers

from ...pages.scores.figures import described
from ...pages.scores.integers import answers_of
from ..places import check_features, has_labels, known_to, read_scaled
from .options import CpuRunOptions

__all__ = ["CpuMismatchError", "run"]

FIELDS = ("hidden", "cell", "output")


class CpuMismatchError(RuntimeError):
    """The library computes other bits than the integer model, which is a fault of ours."""

    exit_code = 1


def run(given: CpuRunOptions) -> dict[str, Any]:
    """Run, compare and write; the figures.

    Raises
    ------
    CpuMismatchError
        If ``--check`` finds another state, naming sequence, frame and element.
    """
    native = NativeModel(given.model, given.kernel, given.threads)
    model = native.model
    data, _ = read_scaled(given.data, other=known_to(model), what=given.model)
    check_features(model, data, given.data)
    judged = model.head is not None and has_labels(given.data)
    if model.head is not None and judged:
        check_answers(data, model.head.output_size, model.pool, given.model)
    frames = [native.input.quantise(sequence) for sequence in data.sequences]
    start = time.perf_counter()
    traces = native.run(frames)
    seconds = time.perf_counter() - start
    if given.check:
        _check(model, frames, traces)
    count = sum(map(len, frames))
    found: dict[str, Any] = {
        "model": given.model.name,
        "kernel": native.layers[0].kernel,
        "threads": given.threads,
        "sequences": len(frames),
        "frames": count,
        "us_per_frame": 1e6 * seconds / max(count, 1),
        "compared": count if given.check else 0,
    }
    if judged:
        answers = answers_of(model, (trace.output for trace in traces), data)
        found |= {"score": dict(answers.score().figures)}
        found |= {"scored": described(answers, data, model.label_names)}
    if given.out is not None:
        _write(given.out, native, traces)
    return found


def _check(model: Model, frames: list[IntArray], traces: list[Trace]) -> None:
    for n, (got, want) in enumerate(zip(traces, IntegerModel(model).run(frames), strict=True)):
        for field in FIELDS:
            one, other = getattr(got, field), getattr(want, field)
            if (bad := np.argwhere(one != other)).size:
                t, at = (int(i) for i in bad[0])
                raise CpuMismatchError(
                    f"sequence {n}, frame {t}: {field} {at} is {one[t, at]}, the integer model "
                    f"has {other[t, at]}; report this with the model file"
                )


def _write(out: Path, native: NativeModel, traces: list[Trace]) -> None:
    arrays: dict[str, Any] = {
        "outputs": np.concatenate([trace.output for trace in traces]),
        "lengths": np.array([len(trace.output) for trace in traces]),
    }
    if native.shape.classes:
        answers = [np.atleast_2d(native.logits(trace.output)) for trace in traces]
        arrays["logits"] = np.concatenate(answers)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    replace_file(out, buffer.getvalue())
