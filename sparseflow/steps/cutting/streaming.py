"""Whether what stands around the array's part takes frames piece by piece: tried, not believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from boards.host.whole.hosted import run_graph, session_of
from csb_format.files.cutfile import NAMES, Seam

__all__ = ["why_no_stream"]

Array = npt.NDArray[Any]
Axes = tuple[tuple[str, int], ...]
_NEAR = 1e-5  # of the largest value


def why_no_stream(folder: Path, seam: Seam, run: Mapping[str, Array]) -> tuple[str, Axes]:
    """Why frames cannot be given piece by piece, empty if they can; and each input's axis of time.

    Parameters
    ----------
    folder : Path
        Of the graphs.
    seam : Seam
    run : mapping of str to array
        What the whole takes: its frames are given in two pieces, and what comes out is compared.
    """
    if any("direction" in axis for port in seam.outputs for axis in port.axes):
        return "two directions need the whole sequence", ()
    before, part, after = (session_of(folder / NAMES[n]) for n in ("before", "part", "after"))
    inner = {seam.input.name: run[seam.input.name]} if before is None else run_graph(before, run)
    frames = seam.input.sequences(inner[seam.input.name])[0]
    if len(frames) < 2:
        return "the first sequence of the data is too short to try it", ()
    at = len(frames) // 2
    for axes in _axes(run, len(frames)):
        pieces = [_piece(run, axes, 0, at), _piece(run, axes, at, None)]
        if not _same_frames(before, seam, pieces, inner):
            continue
        if after is None or any(port.moment != "every" for port in seam.outputs):
            return "", axes
        states = run_graph(part, inner)
        if _same_answers(after, seam, run, states, pieces, at):
            return "", axes
        return f"{NAMES['after']} looks at more than one frame", ()
    return (
        f"{NAMES['before']} looks at more than one frame, or an input of the whole has no axis as "
        "long as there are frames"
    ), ()


def _axes(run: Mapping[str, Array], frames: int) -> Iterator[Axes]:
    """Axes that time may run along: those as long as there are frames."""
    each = [
        [(name, axis) for axis, size in enumerate(array.shape) if size == frames]
        for name, array in run.items()
    ]
    yield from product(*each)


def _piece(run: Mapping[str, Array], axes: Axes, start: int, end: int | None) -> dict[str, Array]:
    return {name: run[name][(slice(None),) * axis + (slice(start, end),)] for name, axis in axes}


def _same_frames(
    before: Any, seam: Seam, pieces: list[dict[str, Array]], inner: Mapping[str, Array]
) -> bool:
    name = seam.input.name
    try:
        made = [(p if before is None else run_graph(before, p))[name] for p in pieces]
        found = [seam.input.sequences(each) for each in made]
    except ValueError:  # it does not take so few frames
        return False
    wanted = seam.input.sequences(inner[name])
    if any(len(each) != len(wanted) for each in found):
        return False
    return all(
        _near(np.concatenate(both), whole) for *both, whole in zip(*found, wanted, strict=True)
    )


def _same_answers(
    after: Any,
    seam: Seam,
    run: Mapping[str, Array],
    states: Mapping[str, Array],
    pieces: list[dict[str, Array]],
    at: int,
) -> bool:
    """Whether answers to pieces are those to the whole, one after the other, or the last one is."""
    time = {p.name: [n for n, axis in enumerate(p.axes) if axis == ("time",)] for p in seam.outputs}
    if not all(len(axes) == 1 for axes in time.values()):
        return False
    along = tuple((name, axes[0]) for name, axes in time.items())
    parts = [_piece(states, along, 0, at), _piece(states, along, at, None)]
    wanted = run_graph(after, {**run, **states})
    try:
        found = [run_graph(after, {**p, **s}) for p, s in zip(pieces, parts, strict=True)]
    except ValueError:
        return False
    return all(
        _joins([each[name] for each in found], whole) or _near(found[-1][name], whole)
        for name, whole in wanted.items()
    )


def _joins(found: list[Array], whole: Array) -> bool:
    for axis in range(whole.ndim):
        if sum(each.shape[axis] for each in found) == whole.shape[axis]:
            try:
                if _near(np.concatenate(found, axis), whole):
                    return True
            except ValueError:  # other axes differ
                continue
    return False


def _near(found: Array, wanted: Array) -> bool:
    if found.shape != wanted.shape:
        return False
    bound = _NEAR * float(np.abs(wanted).max(initial=0))
    return bool(np.all(np.abs(found - wanted) <= bound))
