"""A job for the C example: a model, what is run on it and how the line is set, as text.

docs/link.md has the format, ``boards/c/posix_host.c`` reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.registers import PACKET, REGISTERS, design_hash
from compiler.abi.states import frame_words
from compiler.abi.wire import frame_packing
from compiler.lower.image import Image
from csb_format import IntArray
from csb_format.arguments import whole
from csb_format.scales import DesignError

from ..link.protocol import BAUD, BUS_BITS
from .emulator import EmulatedAccelerator

__all__ = ["Job", "answers", "job_of"]

MAGIC, VERSION = "sparseflow-job", 1
_MOST_BAUD = (1 << 32) - 1


@dataclass(frozen=True)
class Job:
    """What the C example does.

    Parameters
    ----------
    baud : int
        Of the line.
    design_hash, frame_beats : int
        Of the bitstream; of a frame of the program.
    load : tuple of int
        Words that load the model and start its program.
    packets : tuple of (tuple of int, int)
        For each sequence the words that go in, and how many come out; of sequences that run
        together for each frame or more of one.
    """

    baud: int
    design_hash: int
    frame_beats: int
    load: tuple[int, ...]
    packets: tuple[tuple[tuple[int, ...], int], ...]

    def text(self) -> str:
        """As the C example reads it, a number a line."""
        lines: list[object] = [f"{MAGIC} {VERSION}", self.baud, self.design_hash, self.frame_beats]
        lines += [len(self.load), *self.load, len(self.packets)]
        for words, out in self.packets:
            lines += [len(words), *words, out]
        return "\n".join(map(str, [*lines, "end", ""]))


def job_of(
    image: Image, sequences: Sequence[IntArray], baud: int = BAUD, *, together: bool = False
) -> Job:
    """What runs sequences on an image.

    Parameters
    ----------
    image : Image
        Compiled for the design of the bitstream.
    sequences : sequence of int64 arrays (T, X)
        In the input format, each from a zero state.
    baud : int
        Of the line, 1 to 2**32 - 1.
    together : bool
        Side by side, a frame of each in turn, as
        :meth:`~boards.host.driver.Accelerator.run_together` has them: of a batched design a frame
        of each stream is a batch, whose results come with the packet that closes it.

    Raises
    ------
    DesignError
        If the image has more than one program, as of several layers in both directions.
    TypeError, ValueError
        For a rate that is none, or no frames.
    """
    if len(image.parts) != 1:
        raise DesignError(
            f"the model runs as {len(image.parts)} programs, the C example starts one: drive it "
            "from Python, sf.open"
        )
    baud = whole("baud", baud, 1, _MOST_BAUD)
    contexts = min(max(1, len(sequences)), image.design.contexts) if together else 1
    stimulus = Stimulus.of(image, sequences, contexts=contexts)
    packets = frame_packets(stimulus, BUS_BITS)
    size = frame_words(image.design, image.parts[0], BUS_BITS)
    return Job(
        baud,
        design_hash(image.design),
        image.parts[0].frame_beats,
        tuple(image.load_words()),
        tuple(
            (tuple(packet), size * frames)
            for packet, frames in zip(packets, _answered(stimulus, packets), strict=True)
        ),
    )


def _answered(stimulus: Stimulus, packets: Sequence[Sequence[int]]) -> list[int]:
    """Frames whose results come with each packet: of a batch all with the one that closes it."""
    design, part = stimulus.image.design, stimulus.image.parts[0]
    beats = frame_packing(design, BUS_BITS).beats * part.frame_beats
    found, waiting = list[int](), 0
    for header, *words in packets:
        waiting += len(words) // beats
        held = design.batched and not PACKET.decode(header)["closes"]
        found.append(0 if held else waiting)
        waiting = waiting if held else 0
    return found


def answers(image: Image, job: Job) -> list[int]:
    """The words that the board must give, as the integer model says.

    Parameters
    ----------
    image : Image
        That the job was made of.
    job : Job
    """
    board = EmulatedAccelerator(image.design)
    board.images.append(image)
    board.write(REGISTERS["frame"].address, job.frame_beats)
    for word in job.load:
        board.write(REGISTERS["load"].address, word)
    found: list[int] = []
    for words, _ in job.packets:
        sent = 0
        while sent < len(words):
            sent += board.send(words[sent:], True)
            found += _received(board)
    return found


def _received(board: EmulatedAccelerator) -> list[int]:
    found: list[int] = []
    while got := board.receive(1 << 16):
        found += [word for word, _ in got]
    return found
