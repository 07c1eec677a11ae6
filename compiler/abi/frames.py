"""Which frame goes into the accelerator when: sequences one after the other, or interleaved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from csb_format.csb import BoolArray
from csb_format.fixed import IntArray

from ..lower.image import Image
from ..timing.cycle_model import Schedule, cycle_model
from ..timing.screen_cycles import ScreenCycles, Screened, ScreenedSchedule
from .registers import PACKET, PACKET_MAGIC
from .wire import closing, frame_packing, frame_payloads

__all__ = ["Stimulus", "frame_packets"]


@dataclass(frozen=True, eq=False)
class Stimulus:
    """Frames for one program of an image, in the order in which they go in.

    Parameters
    ----------
    image : Image
    part : int
        Number of the program.
    frames : int64 array (F, D, X)
        One input for each direction.
    sequence, step, context : int64 arrays (F,)
        Whose frame it is, which of its frames, and the stream that it runs in.
    screened : tuple of Screened
        What a screen unit does with each frame's state, :meth:`screening`; without one none.
    """

    image: Image
    part: int
    frames: IntArray
    sequence: IntArray
    step: IntArray
    context: IntArray
    screened: tuple[Screened, ...] = ()

    @classmethod
    def of(
        cls, image: Image, sequences: Sequence[IntArray], part: int = 0, *, contexts: int = 1
    ) -> Stimulus:
        """Sequences (T_i, X), each from a zero state.

        Parameters
        ----------
        image : Image
        sequences : sequence of int64 arrays (T_i, X)
            For two directions the second runs through them from the end.
        part : int
        contexts : int
            With more than one, so many sequences run at a time, a frame of each in turn.

        Raises
        ------
        ValueError
            If the design keeps fewer contexts, or there is no frame at all.
        """
        if not 1 <= contexts <= image.design.contexts:
            raise ValueError(
                f"contexts {contexts}: the design keeps {image.design.contexts}; "
                "generate it with more"
            )
        turns = np.array(_turns([len(s) for s in sequences], contexts), np.int64)
        if not len(turns):
            raise ValueError("no frames to run: give at least one sequence of one frame")
        directions = image.model.directions
        both = [np.stack([s, s[::-1]][:directions], axis=1) for s in sequences]
        frames = np.stack([both[s][t] for s, t in turns[:, :2]])
        return cls(image, part, frames, *turns.T)

    def only(self, chosen: IntArray | BoolArray) -> Stimulus:
        """Some of its frames.

        Parameters
        ----------
        chosen : int64 or bool array
            Their places in the order, or which of them.
        """
        places = np.arange(len(self.frames))[chosen].tolist()
        return replace(
            self,
            frames=self.frames[chosen],
            sequence=self.sequence[chosen],
            step=self.step[chosen],
            context=self.context[chosen],
            screened=tuple(self.screened[n] for n in places if self.screened),
        )

    def screening(self, states: IntArray) -> Stimulus:
        """The same with what a screen unit does for the frames' hidden states.

        Its cycles depend on them, so :attr:`schedule` asks for it.

        Parameters
        ----------
        states : int64 array (F, H)
            In the order in which frames go in.
        """
        screen = self.image.screen
        if screen is None:
            return self
        found = ScreenCycles(screen.design, screen.layer).run(states)
        return replace(self, screened=tuple(found))

    def alone(self, sequence: int, steps: int) -> Stimulus:
        """The first steps of one of the sequences, without the streams beside it."""
        chosen = self.only((self.sequence == sequence) & (self.step < steps))
        return replace(chosen, context=np.zeros_like(chosen.context))

    @property
    def first(self) -> BoolArray:
        """Which frames start a sequence, bool (F,)."""
        return np.asarray(self.step == 0)

    @property
    def closes(self) -> BoolArray:
        """Which frames are the last of a batch, bool (F,); none where the design has no batches."""
        if not self.image.design.batched:
            return np.zeros(len(self.context), bool)
        return closing(self.context)

    @cached_property
    def schedule(self) -> Schedule:
        """When everything happens as these frames run without pauses."""
        marks = self.first.tolist(), self.context.tolist()
        model = cycle_model(self.image, self.part)
        if self.image.design.screen:
            if not self.screened:
                raise ValueError(
                    "cycles of a screen unit depend on the states: give them with screening()"
                )
            model = ScreenedSchedule(self.image, self.screened)
        return model.run(len(self.frames), *marks)

    def payloads(self) -> list[int]:
        """The beats of the ``frames`` stream."""
        part = self.image.parts[self.part]
        return frame_payloads(self.image.design, part, self.frames, self.first, self.context)


def frame_packets(stimulus: Stimulus, bits: int) -> list[list[int]]:
    """Packets of a stimulus: one for each run of frames of one sequence.

    In a batched design one for each frame, but where that is alone in its batch.

    Parameters
    ----------
    stimulus : Stimulus
    bits : int
        Of ``tdata``.

    Returns
    -------
    list of lists of int
        Beats: the header, then the frames.
    """
    packing = frame_packing(stimulus.image.design, bits)
    payloads = np.array(stimulus.payloads(), object).reshape(len(stimulus.frames), -1)
    packets: list[list[int]] = []
    closing = stimulus.closes
    before = None
    for frame, beats in enumerate(payloads):
        now = (stimulus.sequence[frame], stimulus.context[frame], closing[frame])
        if now != before:
            marks = {"first": stimulus.first[frame], "context": stimulus.context[frame]}
            marks["closes"] = closing[frame]
            whole = {name: int(mark) for name, mark in marks.items()}
            packets.append([PACKET.encode(magic=PACKET_MAGIC, **whole)])
        packets[-1] += [word for beat in beats for word in packing.pack(beat)]
        before = now
    return packets


def _turns(lengths: Sequence[int], contexts: int) -> list[tuple[int, int, int]]:
    """(sequence, step, context) of every frame; a free context takes the next sequence."""
    turns: list[tuple[int, int, int]] = []
    waiting = [n for n, length in enumerate(lengths) if length][::-1]
    running: list[tuple[int, int] | None] = [None] * contexts
    while waiting or any(running):
        for context in range(contexts):
            now = running[context] or ((waiting.pop(), 0) if waiting else None)
            if now is None:
                continue
            sequence, step = now
            turns.append((sequence, step, context))
            running[context] = (sequence, step + 1) if step + 1 < lengths[sequence] else None
    return turns
