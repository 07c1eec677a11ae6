"""Wire format of frames and states, encoded and decoded side by side.

A frame goes in as *beats* of one element a bank, a state comes out as beats of one result a
lane; a beat is a payload of the core's streams, or words of a bus
(:class:`~compiler.abi.packing.Packing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from csb_format.csb import BoolArray
from csb_format.fixed import IntArray
from csb_format.words import join_fields, split_fields

from ..array.batch import batch_sizes
from ..array.design import Design
from ..array.screen.design import ScreenDesign
from ..array.widths import Field, context_bits, left_sum_bits, size_of
from ..lower.parity import evened
from ..lower.plan import Emission, Part
from .packing import Packing

__all__ = [
    "closing",
    "frame_fields",
    "frame_inputs",
    "frame_packing",
    "frame_payloads",
    "from_beats",
    "has_results",
    "output_fields",
    "pair_fields",
    "projected_bits",
    "result_fields",
    "state_fields",
    "state_packing",
    "state_payloads",
    "state_values",
    "stream_of",
    "sum_fields",
    "sum_packing",
    "sums_abreast",
    "to_beats",
]


def frame_fields(design: Design) -> tuple[Field, ...]:
    """A beat of input: one element for every bank, place 0 of all banks first.

    Where banks have several ports, ``frame_ports`` places follow each other in a beat.
    ``first`` marks the first frame of a sequence, ``context`` names its stream (both on all
    beats of the frame). In a batched design ``closes`` is set on all beats of the last frame of a
    batch: those of the streams that are not there do not come. In a checked design ``check`` makes
    the count of ones of a beat even.
    """
    fields = (
        Field("data", design.act_bits, design.lanes * design.frame_ports, signed=True),
        Field("first", 1),
        Field("context", context_bits(design)),
        *([Field("closes", 1)] if design.batched else []),
    )
    return (*fields, Field("check", 1)) if design.checked else fields


def state_fields(design: Design) -> tuple[Field, ...]:
    """Hidden and cell state of E units; where recurrent layers learn what a step back needs too."""
    taped = design.arithmetic.taped if design.backward else {}
    return (
        Field("hidden", design.gate.width, design.units, signed=True),
        Field("cell", design.state.width, design.units, signed=True),
        *(Field(name, of.width, design.units, signed=True) for name, of in taped.items()),
    )


def projected_bits(design: Design) -> int:
    """Bits of a result of a projection or, if there are such, of an exact sum of a linear layer."""
    return design.forward_bits if design.linear else design.act_bits


def pair_fields(screen: ScreenDesign) -> tuple[Field, ...]:
    """An output, from 0, and its logit."""
    return Field("index", screen.row_bits), Field("logit", screen.logit_bits, signed=True)


def has_results(design: Design) -> bool:
    """Whether beats of another kind than states leave."""
    return bool(design.projectors or design.screen)


def result_fields(design: Design) -> tuple[Field, ...]:
    """Q results of a projection, Q exact sums of a linear layer, or a pair of a screen unit."""
    if design.screen:
        return pair_fields(design.screen)
    return (Field("results", projected_bits(design), design.projectors, signed=True),)


def sums_abreast(design: Design) -> int:
    """Sums of a column that leave at once, a divisor of N.

    As many as a beat of states or results has room for, and no fewer than half of them.
    """
    lanes, bits = design.lanes, left_sum_bits(design)
    room = max(size_of(fields(design)) for fields in (state_fields, result_fields))
    fitting = [q for q in range(1, lanes + 1) if not lanes % q and 2 * q >= lanes]
    return max((q for q in fitting if q * bits <= room), default=fitting[0])


def sum_fields(design: Design) -> tuple[Field, ...]:
    """Sums of columns, of a design whose recurrent layers learn."""
    return (Field("sums", left_sum_bits(design), sums_abreast(design), signed=True),)


def output_fields(design: Design) -> tuple[Field, ...]:
    """A beat of output; ``last`` ends the frame.

    Its ``bits`` are :func:`state_fields` or, where ``result`` is set, which designs with projectors
    or a screen unit have, :func:`result_fields` (or :func:`sum_fields`), in this order for each
    layer that leaves. In a batched design beats of streams lie between each other, and ``context``,
    lowest, tells whose one is.
    """
    whose = _whose(design)
    if not has_results(design):
        return *whose, Field("bits", size_of(state_fields(design))), Field("last", 1)
    kinds = [state_fields, result_fields, *([sum_fields] if design.backward else [])]
    bits = max(size_of(fields(design)) for fields in kinds)
    return *whose, Field("bits", bits), Field("result", 1), Field("last", 1)


def _whose(design: Design) -> tuple[Field, ...]:
    return (Field("context", context_bits(design)),) if design.batched else ()


def stream_of(design: Design, payload: int) -> int:
    """Whose an output beat of a batched design is; 0 in others."""
    return payload & ((1 << size_of(_whose(design))) - 1)


def frame_packing(design: Design, bits: int) -> Packing:
    """A beat of a frame on ``s_axis``."""
    return Packing(frame_fields(design), bits, leave_out=("first", "context", "closes"))


def state_packing(design: Design, bits: int, *, results: bool = False) -> Packing:
    """A beat of states, or of results, on ``m_axis``.

    Both take as many beats of the bus; of a design whose recurrent layers learn no more than each
    needs, as most of what leaves is states.
    """
    whose = _whose(design)  # in the same place whatever the beat carries
    mine, other = (*whose, *state_fields(design)), (*whose, *result_fields(design))
    if design.backward:
        return Packing(other if results else mine, bits)
    if not has_results(design):
        return Packing(mine, bits)
    if results:
        mine, other = other, mine
    return Packing(mine, bits, least=Packing(other, bits).beats)


def sum_packing(design: Design, bits: int) -> Packing:
    """A beat of sums of W^T d on ``m_axis``."""
    return Packing(sum_fields(design), bits)


def to_beats(part: Part, frames: IntArray) -> IntArray:
    """Input frames as beats (T, beats, P * N): bank b of a part holds x[b * w : b * w + w].

    P places of all banks are a beat.

    Parameters
    ----------
    part : Part
    frames : int64 array (T, X) or, for two directions, (T, 2, X)
    """
    lanes, parts, width = part.needs.lanes, part.directions, part.input_width
    given = np.asarray(frames, np.int64).reshape(len(frames), parts, part.input_size)
    padded = np.zeros((len(given), parts, lanes * width), np.int64)
    padded[..., : part.input_size] = given
    banks = padded.reshape(len(given), parts, lanes, width).swapaxes(2, 3)
    out = np.zeros((len(given), part.frame_beats * part.frame_ports, lanes), np.int64)
    for n, at in enumerate(part.input_places):
        out[:, at : at + width] = banks[:, n]
    return out.reshape(len(given), part.frame_beats, -1)


def from_beats(part: Part, beats: IntArray) -> list[IntArray]:
    """The inputs (X,) of a frame, one for each direction: inverse of :func:`to_beats`.

    Parameters
    ----------
    part : Part
    beats : int64 array (beats, P * N)
    """
    width, size = part.input_width, part.input_size
    places = beats.reshape(-1, part.needs.lanes)
    return [places[at : at + width].T.ravel()[:size] for at in part.input_places]


def closing(context: IntArray) -> BoolArray:
    """Which frames are the last of a batch, bool (F,), where as many as can are one batch.

    Parameters
    ----------
    context : int64 array (F,)
        Stream of each.
    """
    ends = np.cumsum(batch_sizes(context.tolist())) - 1
    return np.asarray(np.isin(np.arange(len(context)), ends))


def frame_payloads(
    design: Design, part: Part, frames: IntArray, first: BoolArray, context: IntArray
) -> list[int]:
    """Beats of the ``frames`` stream.

    Parameters
    ----------
    design : Design
    part : Part
    frames : int64 array (F, D, X)
    first : bool array (F,)
    context : int64 array (F,)
    """
    beats, told = to_beats(part, frames), [first, context]
    if design.batched:
        told.append(closing(context))
    marks = np.stack(told, axis=-1)[:, None]
    marks = np.broadcast_to(marks, (*beats.shape[:2], len(told))).astype(np.int64)
    fields = np.concatenate([beats, marks], axis=-1)
    widths = _widths(frame_fields(design))[: fields.shape[-1]]
    words: list[int] = join_fields(fields, widths).ravel().tolist()
    return evened(words, sum(widths)) if design.checked else words


def frame_inputs(design: Design, part: Part, payloads: Sequence[int]) -> list[IntArray]:
    """The inputs of one frame from its payloads: inverse of :func:`frame_payloads`."""
    data, *_ = frame_fields(design)
    mask = (1 << data.size) - 1
    return from_beats(part, split_fields([p & mask for p in payloads], [data.width] * data.count))


def state_payloads(
    design: Design, emission: Emission, values: Mapping[str, IntArray], stream: int = 0
) -> Iterator[int]:
    """Beats of one emission of one frame, without ``last``.

    Parameters
    ----------
    design : Design
    emission : Emission
    values : dict
        As :func:`state_values` gives them, of one frame.
    stream : int
        Whose it is, which beats of a batched design tell.
    """
    placement, widths = emission.placement, _emitted(design, emission)
    dealt = [placement.to_order(values[name]).reshape(-1, placement.lanes) for name in widths]
    bits = [width for width in widths.values() for _ in range(placement.lanes)]
    lowest, whose = size_of(_whose(design)), stream if design.batched else 0
    for payload in join_fields(np.concatenate(dealt, axis=-1), bits):
        yield int(payload) << lowest | whose


def state_values(
    design: Design, emission: Emission, payloads: Sequence[int]
) -> dict[str, IntArray]:
    """Numbers of an emission's beats, in the order of the vector.

    Parameters
    ----------
    design : Design
    emission : Emission
    payloads : sequence of int
        Its beats of all frames.

    Returns
    -------
    dict
        ``h`` and ``c``, int64 arrays (frames, H), of an element-wise pass, and its gates where
        they leave; ``r`` (frames, R) of a projection; ``y`` (frames, O) of a linear layer;
        ``index`` and ``logit`` (frames, k) of a screen unit, the largest first.
    """
    placement, widths = emission.placement, _emitted(design, emission)
    bits = [width for width in widths.values() for _ in range(placement.lanes)]
    mask, low = (1 << sum(bits)) - 1, size_of(_whose(design))
    fields = split_fields([payload >> low & mask for payload in payloads], bits)
    lanes = fields.reshape(-1, placement.beats, len(widths), placement.lanes)
    if "index" in widths:  # it has no sign
        lanes[:, :, 0] &= (1 << widths["index"]) - 1
    return {
        name: placement.from_order(lanes[:, :, n].reshape(len(lanes), -1))
        for n, name in enumerate(widths)
    }


def _emitted(design: Design, emission: Emission) -> dict[str, int]:
    """Names and widths of the numbers that an emission carries, in their order."""
    if emission.kind == "states":
        hidden, cell, *gates = state_fields(design)
        return {"h": hidden.width, "c": cell.width} | {gate.name: gate.width for gate in gates}
    if emission.kind == "largest":
        assert design.screen is not None
        return {field.name: field.width for field in pair_fields(design.screen)}
    return {"r" if emission.kind == "output" else "y": projected_bits(design)}


def _widths(fields: Sequence[Field]) -> list[int]:
    """Of every number of a record."""
    return [field.width for field in fields for _ in range(field.count or 1)]
