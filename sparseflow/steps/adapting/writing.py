"""From recordings to data files: windows, parts, scale; everything that was done is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from csb_format.files.modelfile import load_model
from csb_format.files.ownership import PlaceError
from csb_format.inputs.scale import InputScale
from pruning.tasks.data.adapters.dividing import divided
from pruning.tasks.data.adapters.recordings import Recordings, ahead, one_each, windows
from pruning.tasks.data.adapters.written import Adapted, adapted, write_adapted
from pruning.tasks.data.inputs import Inputs, inputs_of
from pruning.tasks.data.wrong_data import IGNORED, DataSetError

from ..checks import check_written
from ..places import known_to
from ..progress import say
from .options import AdaptOptions, PerName, ScaleName

__all__ = ["check_adapting", "parts", "said_of", "write_parts"]

_SHOWN = 20  # classes on a line


def check_adapting(given: AdaptOptions, read: Sequence[Path]) -> Inputs:
    """Refuse options that cannot be met, before anything is read; what ``--like`` says."""
    if given.split is not None and not 0 < given.split < 1:
        raise ValueError(f"--split {given.split:g}: give a share between 0 and 1, such as 0.2")
    if given.stride is not None and given.window is None:
        raise ValueError("--stride without --window: give both, or none")
    if given.like is not None and given.scale != ScaleName.standard:
        raise ValueError("--like and --scale: the scale of --like is taken, leave --scale out")
    for path in parts(given):
        if path.suffix != ".npz":
            raise PlaceError(f"--out {given.out}: name a data file, such as data.npz")
        check_written("--out", path, given.like, *read)
    if given.raw and given.scale == ScaleName.none:
        raise ValueError("--raw and --scale none: without a scale frames are as they are anyway")
    return Inputs() if given.like is None else _like(given.like)


def _like(path: Path) -> Inputs:
    """What a data file says, or a model."""
    if path.suffix == ".npz":
        return inputs_of(path)
    return known_to(load_model(path))


def parts(given: AdaptOptions) -> list[Path]:
    """The files that are written."""
    out = given.out
    if given.split is None:
        return [out]
    return [out.with_name(f"{out.stem}-{name}{out.suffix}") for name in ("train", "val")]


def write_parts(
    found: Recordings,
    given: AdaptOptions,
    like: Inputs,
    per: PerName = PerName.sequence,
    horizon: int = 0,
) -> None:
    """Cut, divide, scale, write and say what was done.

    Raises
    ------
    DataSetError
        If nothing is left, or the scale of ``--like`` is of other features.
    """
    prepared = _prepared(found, given, per, horizon)
    divided_ = [prepared]
    if given.split is not None:
        stride = given.stride or given.window or 1
        overlap = 0 if given.window is None else max(0, -(-given.window // stride) - 1)
        train, val, told = divided(prepared, given.split, given.seed, overlap)
        divided_ = [train, val]
        for line in told:
            say(line)
    scale = _scale(divided_[0], given, like)
    made = [adapted(part, scale, not given.raw) for part in divided_]
    for one in made:
        one.arrays()  # what cannot be scaled is told before a part is written
    for path, one in zip(parts(given), made, strict=True):
        write_adapted(path, one)
        for line in said_of(one):
            say(f"{path}: {line}")


def _prepared(found: Recordings, given: AdaptOptions, per: PerName, horizon: int) -> Recordings:
    told = list[str]()
    if horizon:
        found, told = ahead(found, horizon)
    if given.window is not None:
        found, lines = windows(found, given.window, given.stride or given.window)
        told += lines
    if per == PerName.sequence:
        found, lines = one_each(found, given.window is not None)
        told += lines
    for line in told:
        say(line)
    return found


def _scale(train: Recordings, given: AdaptOptions, like: Inputs) -> InputScale | None:
    if given.like is None:
        if given.scale == ScaleName.none:
            return None
        return InputScale.fit(train.sequences, given.scale.value)
    width = train.sequences[0].shape[1]
    if like.scale is not None and len(like.scale) != width:
        raise DataSetError(
            f"--like {given.like} has a scale of {len(like.scale)} features, here are {width}: "
            "name the same features"
        )
    return like.scale


def said_of(one: Adapted) -> Iterator[str]:
    """What is in a file, a line each."""
    given, inputs = one.recordings, one.inputs
    width = given.sequences[0].shape[1]
    kind = "no labels"
    if given.answers:
        what = "a class" if given.classes else f"{given.answers[0].shape[-1]} numbers"
        kind = f"{what} a {'sequence' if given.one_each else 'frame'}"
    yield f"{len(given.sequences)} sequences, {given.frames:,} frames of {width} features, {kind}"
    if given.classes:
        yield _classes(given)
    if inputs.scale is None:
        yield "frames as they were, no scale"
    else:
        yield from _constant(given)
        yield f"frames {'scaled' if inputs.scaled else 'raw'}, their scale beside them"


def _constant(given: Recordings) -> Iterator[str]:
    frames = np.concatenate(given.sequences)
    found = [str(n + 1) for n in np.flatnonzero(np.ptp(frames, axis=0) == 0)]
    if found:
        which = ", ".join(found[:_SHOWN]) + ", ..." * (len(found) > _SHOWN)
        yield f"note: the same in all frames, and tells nothing: feature {which} (the first is 1)"


def _classes(given: Recordings) -> str:
    answers = np.concatenate([np.atleast_1d(a) for a in given.answers])
    counts = np.bincount(answers[answers != IGNORED], minlength=len(given.label_names))
    named = given.label_names or [str(n) for n in range(len(counts))]
    each = [f"{n} {name}" if given.label_names else name for n, name in enumerate(named)]
    shown = [f"{name}: {count:,}" for name, count in zip(each, counts, strict=True)][:_SHOWN]
    told = "classes " + ", ".join(shown) + ", ..." * (len(counts) > _SHOWN)
    empty = [str(n) for n in np.flatnonzero(counts == 0)]
    if not empty or given.label_names:
        return told
    return f"{told}; none of class {', '.join(empty[:_SHOWN])}: is 0 the first of your labels?"
