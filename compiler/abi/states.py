"""What the accelerator gave, beat by beat, as states by unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from csb_format.fixed import IntArray

from ..array.design import Design
from ..array.widths import size_of
from ..lower.image import Image
from ..lower.plan import Emission, Part
from .wire import output_fields, state_packing, state_values

__all__ = ["Emitted", "Outcome", "WireError", "frame_words", "outcome_of", "results_of"]


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
        self._check_last(image, beats_out)
        found, at = [], 0
        for emission in image.parts[part].emissions:
            beats = emission.placement.beats
            frames = range(at, len(self.payloads), beats_out)
            mine = [p for start in frames for p in self.payloads[start : start + beats]]
            found.append(Emitted(emission, state_values(image.design, emission, mine)))
            at += beats
        return found

    def states(self, image: Image) -> tuple[IntArray, IntArray]:
        """Hidden and cell states of the (first) layer that leaves, int64 (frames, H), by unit."""
        values = self.emitted(image)[0].values
        return values["h"], values["c"]

    def _check_last(self, image: Image, beats_out: int) -> None:
        bits = size_of(output_fields(image.design)) - 1
        last = np.array([payload >> bits for payload in self.payloads]).reshape(-1, beats_out)
        expected = np.zeros(last.shape, bool)
        expected[:, -1] = True
        if not np.array_equal(last != 0, expected):
            frame, beat = np.argwhere((last != 0) != expected)[0]
            raise WireError(f"`last` is wrong at beat {beat} of frame {frame} on `states`")

    def frame_cycles(self, image: Image, part: int = 0) -> IntArray:
        """Cycle at which each frame's last beat left, int64 (frames,)."""
        beats = image.parts[part].beats_out
        return np.array(self.cycles[beats - 1 :: beats], np.int64)


def outcome_of(image: Image, packets: Sequence[Sequence[int]], bits: int, part: int = 0) -> Outcome:
    """Received packets as what the core's stream carried; each is one frame.

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
    packings = [state_packing(image.design, bits, results=given) for given in (False, True)]
    marks = results_of(image.parts[part])
    payloads: list[int] = []
    for packet in packets:
        at, n = 0, 0
        # a packet that a reset has cut, or that is too long, is told of by its last mark
        while at < len(packet):
            result = marks[n] if n < len(marks) else False
            beats = packings[result].beats
            word = packings[result].unpack(packet[at : at + beats])
            payloads.append(word | result << last - 1)
            at, n = at + beats, n + 1
        payloads[-1] |= 1 << last
    return Outcome(payloads, [], 0)


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
