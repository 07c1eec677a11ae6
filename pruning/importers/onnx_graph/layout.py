"""Nodes that move, split or choose values without changing any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .graph import refusal
from .values import Atom, Axis, Data, Dim, length

__all__ = ["choose", "concatenate", "flip_axes", "pool_mean", "regroup", "squeeze", "unsqueeze"]
__all__ += ["axis_at"]

_LAST = "feed the head with the output of the top layer at the last frame, y[:, -1]"
_NORMALISE = "normalise the frames before they reach the network"
_CUT = "cut sequences before they reach the network"
_DAMAGED = "the file is damaged, export the model again"


def axis_at(node: Any, data: Data, position: int) -> int:
    """A position as a number from 0.

    Raises
    ------
    CheckpointError
        If there is no such axis.
    """
    rank = len(data.axes)
    if not -rank <= position < rank:
        raise refusal(node, f"axis {position} of a value with {rank} axes", _DAMAGED)
    return position % rank


def flip_axes(node: Any, data: Data, order: Sequence[int]) -> Data:
    """Transpose."""
    if sorted(order) != list(range(len(data.axes))):
        raise refusal(node, f"perm={list(order)} of {len(data.axes)} axes", _DAMAGED)
    return replace(data, axes=tuple(data.axes[at] for at in order))


def squeeze(node: Any, data: Data, positions: Sequence[int] | None) -> Data:
    """Leave axes of size 1 out; all of them without positions."""
    if positions is None:
        if any(length(axis) is None for axis in data.axes):
            raise refusal(node, "which axes go depends on the input's size", "name its axes")
        gone = {at for at, axis in enumerate(data.axes) if not axis}
    else:
        gone = {axis_at(node, data, at) for at in positions}
    for at in gone:
        if data.axes[at]:
            raise refusal(
                node,
                f"axis {at} is of size {length(data.axes[at]) or 'any'}, not 1",
                "export with a free batch size and without squeezing it",
            )
    return replace(data, axes=tuple(axis for at, axis in enumerate(data.axes) if at not in gone))


def unsqueeze(node: Any, data: Data, positions: Sequence[int]) -> Data:
    """Put axes of size 1 in."""
    rank = len(data.axes) + len(positions)
    if not all(-rank <= at < rank for at in positions):
        raise refusal(node, f"axes {list(positions)} of {rank}", _DAMAGED)
    new = {at % rank for at in positions}
    old = iter(data.axes)
    if rank - len(new) != len(data.axes):
        raise refusal(node, f"axes {list(positions)} are not different", _DAMAGED)
    return replace(data, axes=tuple(() if at in new else next(old) for at in range(rank)))


def regroup(node: Any, data: Data, dims: Sequence[Dim], zero_is_zero: bool = False) -> Data:
    """Reshape: other axes over the same values in the same order."""
    marked = ["rest" if dim == -1 else dim for dim in dims]
    if not zero_is_zero:
        kept = [data.axes[at] if at < len(data.axes) else () for at in range(len(dims))]
        marked = [kept[at] if dim == 0 else dim for at, dim in enumerate(marked)]  # type: ignore[misc]
    atoms = [atom for axis in data.axes for atom in axis]
    rest = [at for at, dim in enumerate(marked) if dim == "rest"]
    end = rest[0] if rest else len(marked)
    front = [_taken(node, atoms, dim) for dim in marked[:end]]
    atoms.reverse()
    back = [_taken(node, atoms, dim, backwards=True) for dim in reversed(marked[end + 1 :])]
    atoms.reverse()
    if len(rest) > 1 or (atoms and not rest):
        raise _mixes(node)
    middle = [tuple(atoms)] if rest else []
    return replace(data, axes=(*front, *middle, *reversed(back)))


def _taken(node: Any, atoms: list[Atom], dim: Any, backwards: bool = False) -> Axis:
    """The atoms from the front that make up a size."""
    found: list[Atom] = []
    if isinstance(dim, tuple) and dim and isinstance(dim[0], str):
        if dim[1] or not atoms or atoms[0].name != dim[0]:
            raise _mixes(node)
        return (atoms.pop(0),)
    if isinstance(dim, tuple):  # as many as an axis had
        dim = length(dim) if length(dim) is not None else dim
    if isinstance(dim, tuple):
        wanted = list(reversed(dim)) if backwards else list(dim)
        if atoms[: len(wanted)] != wanted:
            raise _mixes(node)
        del atoms[: len(wanted)]
        return dim
    if not isinstance(dim, int) or dim < 1:
        raise _mixes(node)
    size = 1
    while size < dim and atoms and atoms[0].size is not None:
        size *= atoms[0].size
        found.append(atoms.pop(0))
    if size != dim:
        raise _mixes(node)
    return tuple(reversed(found)) if backwards else tuple(found)


def _mixes(node: Any) -> Exception:
    return refusal(
        node,
        "its new shape mixes frames, sequences and units, or cannot be followed",
        "keep batch, time and units apart",
    )


def pool_mean(node: Any, data: Data, positions: Sequence[int], keep: bool) -> Data:
    """The mean over all frames; that over anything else is refused."""
    gone = {axis_at(node, data, at) for at in positions}
    over = [data.axes[at] for at in gone if data.axes[at]]
    frames = bool(data.time) and over == [data.time] and set(data.moments) == {"every"}
    if data.softmax:
        raise refusal(node, "a mean of probabilities", "take the mean before the softmax")
    if data.stage == "input":
        what = "a mean over the input (normalisation by a sequence's own mean)"
        raise refusal(node, what, f"{_NORMALISE}, train and export again")
    if data.batch and over == [data.batch]:
        raise refusal(node, "a mean over the sequences of a batch", _along_time(data))
    if not frames:
        raise refusal(node, "a mean over something else than the frames of the output", _LAST)
    axes = [axis if at not in gone else () for at, axis in enumerate(data.axes)]
    left = tuple(axis for at, axis in enumerate(axes) if keep or at not in gone)
    return replace(data, axes=left, moments=("mean",) * len(data.moments), node=node, pooled=node)


def _along_time(data: Data) -> str:
    """What to do where something is done along the batch; torch's first axis may be the time."""
    if data.time not in data.axes or data.batch not in data.axes:
        return _LAST
    time, batch = data.axes.index(data.time), data.axes.index(data.batch)
    if batch < time:
        return f"axis {batch} is the batch here and axis {time} the time: take y[:, -1]"
    return (
        f"axis {time} is the time here and axis {batch} the batch: take the last frame as y[-1], "
        "or train with batch_first=True, and export again"
    )


def choose(node: Any, data: Data, at: int, start: int, count: int, keep: bool) -> Data:
    """Values from ``start`` on along an axis; without ``keep``, the one value's axis goes."""
    axis = data.axes[at]
    if axis and axis == data.time and data.stage != "input":
        found = _frame(node, data, start, count)
    else:
        found, axis = _picked(node, data, axis, start, count)
        return replace(found, axes=_with(data, at, axis, keep))
    return replace(found, axes=_with(data, at, (), keep))


def _with(data: Data, at: int, axis: Axis, keep: bool) -> tuple[Axis, ...]:
    middle = (axis,) if keep or axis else ()
    return (*data.axes[:at], *middle, *data.axes[at + 1 :])


def _frame(node: Any, data: Data, start: int, count: int) -> Data:
    size = length(data.time)
    if count != 1 or set(data.moments) != {"every"}:
        raise refusal(node, "takes part of the frames", _LAST)
    last, first = start in (-1, None if size is None else size - 1), start == 0
    if not last and not first and start != (None if size is None else -size):
        raise refusal(node, f"takes the output at frame {start}", _LAST)
    moments = ("last" if last else "first",) * len(data.moments)
    return replace(data, node=node, pooled=node, moments=moments)


def _picked(node: Any, data: Data, axis: Axis, start: int, count: int) -> tuple[Data, Axis]:
    """What is left of an axis when layers or directions are chosen on it."""
    size = length(axis)
    if axis and axis == data.batch and data.stage != "input":
        raise refusal(node, f"takes sequence {start} of the batch, not a frame", _along_time(data))
    if size is None:
        mend = _CUT if data.stage == "input" else _LAST
        raise refusal(node, "takes part of what has no known size", mend)
    start += size if start < 0 else 0
    if not 0 <= start <= start + count <= size or not count:
        raise refusal(node, f"takes {count} from {start} of {size}", _DAMAGED)
    if count == size:
        return data, axis
    first, rest = axis[0], axis[1:]
    each = length(rest)
    assert each is not None  # that of the whole is known
    if count <= each and start // each == (start + count - 1) // each:
        return _picked(node, _one(node, data, first, start // each), rest, start % each, count)
    if first.name != "layer" or start % each or count % each:
        raise _part(node, data)
    chosen = data.layers[start // each : (start + count) // each]
    return replace(data, layers=chosen, node=node), (first._replace(size=len(chosen)), *rest)


def _one(node: Any, data: Data, atom: Atom, index: int) -> Data:
    if atom.name == "layer":
        return replace(data, layers=(data.layers[index],), node=node)
    if atom.name == "direction" and data.stage == "recurrent" and not data.affine.along:
        one = slice(index, index + 1)
        return replace(data, directions=data.directions[one], moments=data.moments[one], node=node)
    raise _part(node, data)


def _part(node: Any, data: Data) -> Exception:
    """The error for a choice among values that stay together."""
    if data.stage == "head":
        return refusal(
            node, "takes some of the classes", "leave out the choice, or train a head of these"
        )
    return refusal(node, "takes part of its input", _CUT if data.stage == "input" else _LAST)


def concatenate(node: Any, parts: Sequence[Data], at: int) -> Data:
    """Directions of a layer, or states of layers, put together again."""
    first = parts[0]
    at = axis_at(node, first, at)
    alike = {(p.stage, p.axes, p.time, p.batch, p.cell, p.softmax) for p in parts}
    if len(parts) == 1:
        return first
    if len(alike) > 1 or first.stage != "recurrent" or not all(p.affine.nothing for p in parts):
        raise refusal(node, "puts values of different kinds together", _LAST)
    axis = first.axes[at]
    if len({p.layers for p in parts}) == 1 and all(len(p.directions) == 1 for p in parts):
        return _directions(node, parts, at, axis)
    one_each = all(len(p.layers) == 1 for p in parts) and len({p.moments for p in parts}) == 1
    if one_each and axis in ((), (Atom("direction", 2),)):
        layers = tuple(p.layers[0] for p in parts)
        axes = (*first.axes[:at], (Atom("layer", len(parts)), *axis), *first.axes[at + 1 :])
        return replace(first, axes=axes, layers=layers, node=node)
    raise refusal(node, "puts values of different kinds together", _LAST)


def _directions(node: Any, parts: Sequence[Data], at: int, axis: Axis) -> Data:
    order = tuple(p.directions[0] for p in parts)
    if order != (0, 1) or (axis and axis[0].name != "unit"):
        raise refusal(node, f"puts directions {order} of one layer together", _LAST)
    first = parts[0]
    axes = (*first.axes[:at], (Atom("direction", 2), *axis), *first.axes[at + 1 :])
    moments = tuple(moment for part in parts for moment in part.moments)
    return replace(first, axes=axes, directions=order, moments=moments, node=node, pooled=node)
