"""What the accelerator gave, beat by beat, as states by unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from csb_format.csb import BoolArray
from csb_format.fixed import IntArray

from ..array.design import Design
from ..array.widths import size_of
from ..lower.image import Image
from ..lower.plan import Emission, Part
from .wire import output_fields, state_packing, state_values, stream_of

__all__ = [
    "Emitted",
    "Outcome",
    "WireError",
    "cut_packets",
    "frame_words",
    "outcome_of",
    "results_of",
]


class WireError(RuntimeError):
    """What came over the wires is not what they promise."""

    #: Of a red case of a regression.
    kind: ClassVar[str] = "mismatch"


@dataclass(frozen=True)
class Emitted:
    """What one pass gave for every frame.

    Parameters
    ----------
    emission : Emission
    values : dict
        ``h`` and ``c``, int64 arrays (frames, H), of an element-wise pass; ``r`` (frames, R)
        of a projection; ``y`` (frames, O) of a linear layer. By unit. ``index`` and ``logit``
        (frames, k) of a screen unit, the largest first.
    """

    emission: Emission
    values: dict[str, IntArray]

    def only(self, chosen: BoolArray) -> Emitted:
        """Of some frames, bool (frames,)."""
        return Emitted(self.emission, {name: v[chosen] for name, v in self.values.items()})


@dataclass(frozen=True)
class Outcome:
    """What the streams carried.

    Parameters
    ----------
    payloads : list of int
        From ``states``; -1 where bits were unknown.
    cycles : list of int
        Cycle of each, counted from the first frame beat taken (cycle 0).
    total : int
        Clock cycles simulated, loading included.
    probed : dict
        Of each probe its value in every cycle, -1 where it was unknown.
    """

    payloads: list[int]
    cycles: list[int]
    total: int
    probed: dict[str, list[int]] = field(default_factory=dict)

    def emitted(self, image: Image, part: int = 0) -> list[Emitted]:
        """What left the accelerator, pass by pass.

        Raises
        ------
        WireError
            If a payload has unknown bits, or ``last`` marks are not where frames end.
        """
        if -1 in self.payloads:
            beat = self.payloads.index(-1)
            raise WireError(f"beat {beat} on `states` has unknown bits (X)")
        beats_out = image.parts[part].beats_out
        payloads = [self.payloads[n] for n in self._by_frame(image)]
        _check_last(payloads, image, beats_out)
        found, at = [], 0
        for emission in image.parts[part].emissions:
            beats = emission.placement.beats
            frames = range(at, len(payloads), beats_out)
            mine = [p for start in frames for p in payloads[start : start + beats]]
            found.append(Emitted(emission, state_values(image.design, emission, mine)))
            at += beats
        return found

    def states(self, image: Image) -> tuple[IntArray, IntArray]:
        """Hidden and cell states of the (first) layer that leaves, int64 (frames, H), by unit."""
        values = self.emitted(image)[0].values
        return values["h"], values["c"]

    def _by_frame(self, image: Image) -> list[int]:
        """Places of the beats, frame after frame; in a batched design they lie between another."""
        if not image.design.batched:
            return [*range(len(self.payloads))]
        last = size_of(output_fields(image.design)) - 1
        streams: dict[int, list[int]] = {}
        found: list[int] = []
        for n, payload in enumerate(self.payloads):
            stream = stream_of(image.design, payload)
            streams.setdefault(stream, []).append(n)
            if payload >> last:
                found += streams.pop(stream)
        return found + [n for rest in streams.values() for n in rest]

    def frame_cycles(self, image: Image, part: int = 0) -> IntArray:
        """Cycle in which each frame's last beat left, int64 (frames,); none if none was noted."""
        beats, places = image.parts[part].beats_out, self._by_frame(image)
        ends = places[beats - 1 :: beats] if self.cycles else []
        return np.array([self.cycles[n] for n in ends], np.int64)


def _check_last(payloads: Sequence[int], image: Image, beats_out: int) -> None:
    bits = size_of(output_fields(image.design)) - 1
    last = np.array([payload >> bits for payload in payloads]).reshape(-1, beats_out)
    expected = np.zeros(last.shape, bool)
    expected[:, -1] = True
    if not np.array_equal(last != 0, expected):
        frame, beat = np.argwhere((last != 0) != expected)[0]
        raise WireError(f"`last` is wrong at beat {beat} of frame {frame} on `states`")


def outcome_of(image: Image, packets: Sequence[Sequence[int]], bits: int, part: int = 0) -> Outcome:
    """Received packets as what the core's stream carried; each is one frame.

    In a batched design it ends with one, and beats of others lie between those of its own.

    Parameters
    ----------
    image : Image
    packets : sequence of sequences of int
        Beats.
    bits : int
        Of ``tdata``.
    part : int
        Number of the program.

    Returns
    -------
    Outcome
        Without cycles.
    """
    last = size_of(output_fields(image.design)) - 1
    beats, payloads = _Beats(image, bits, part), list[int]()
    for packet in packets:
        at = 0
        # a packet that a reset has cut, or that is too long, is told of by its last mark
        while at < len(packet):
            payload, at = beats.take(packet, at)
            payloads.append(payload)
        payloads[-1] |= 1 << last
        beats.end(payloads[-1])
    return Outcome(payloads, [], 0)


class _Beats:
    """Beats of the core out of words: of each stream's frame it is known how many were before."""

    def __init__(self, image: Image, bits: int, part: int):
        self._design = image.design
        self._packings = [state_packing(image.design, bits, results=n) for n in (False, True)]
        self._marks = results_of(image.parts[part])
        self._result = size_of(output_fields(image.design)) - 2
        self._frames = Counter[int]()

    def take(self, words: Sequence[int], at: int) -> tuple[int, int]:
        """The payload that begins at a word, without ``last``, and where the next one does."""
        plain = self._packings[0]
        whose = stream_of(self._design, plain.unpack(words[at : at + plain.beats]))
        n = self._frames[whose]
        self._frames[whose] += 1
        result = self._marks[n] if n < len(self._marks) else False
        packing = self._packings[result]
        end = at + packing.beats
        return packing.unpack(words[at:end]) | result << self._result, end

    def whole(self, payload: int) -> bool:
        """Whether it was the last of its frame."""
        return self._frames[stream_of(self._design, payload)] == len(self._marks)

    def end(self, payload: int) -> None:
        """The next of its stream begins a frame."""
        del self._frames[stream_of(self._design, payload)]


def cut_packets(image: Image, words: Sequence[int], bits: int, part: int = 0) -> list[list[int]]:
    """What left for whole frames or batches, as the packets that it came in.

    A packet ends with a frame. In a batched design beats of other streams lie in it, whose frames
    may end with the next beat: their packets have no more than that.

    Parameters
    ----------
    image : Image
    words : sequence of int
        Beats of ``tdata``, ``bits`` wide.
    bits : int
    part : int
        Number of the program.

    Returns
    -------
    list of lists of int
    """
    beats, packets = _Beats(image, bits, part), list[list[int]]()
    begin = at = 0
    while at < len(words):
        payload, at = beats.take(words, at)
        if beats.whole(payload):
            beats.end(payload)
            packets.append(list(words[begin:at]))
            begin = at
    return packets


def frame_words(design: Design, part: Part, bits: int) -> int:
    """Beats of ``m_axis`` that leave for a frame, ``bits`` wide."""
    sizes = [state_packing(design, bits, results=given).beats for given in (False, True)]
    return sum(sizes[result] for result in results_of(part))


def results_of(part: Part) -> list[bool]:
    """Of each beat of the core that leaves for a frame whether it carries results, no states."""
    return [
        emission.kind != "states"
        for emission in part.emissions
        for _ in range(emission.placement.beats)
    ]
