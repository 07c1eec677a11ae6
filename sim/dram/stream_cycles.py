"""When every group of a streamed matrix reaches the array: exact, given when others act.

Each event of :mod:`hdl.dram.matrix` happens in the first cycle in which everything that it waits
for is there, so its cycle is a maximum of earlier events' cycles plus constants: one pass
over the beats finds them all. Cycle 0 is that of ``start``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hdl.dram.beat_fifo import QUEUE, BeatFifo
from hdl.dram.gearbox import ROWS, Gearbox, Ratio
from hdl.dram.matrix import MatrixImage
from hdl.dram.reader import ReadBus

from ..axi_memory import Lateness

__all__ = ["FIRST_ASKED", "StreamCycles", "bursts", "no_pause", "steady_cycles", "stream_cycles"]

FIRST_ASKED = 2  # start is seen, reading begins; the address is offered in the next cycle
Pause = Callable[[int], int]


def no_pause(group: int) -> int:
    """An array that is always ready."""
    return 0


@dataclass
class StreamCycles:
    """Cycles of a run.

    Parameters
    ----------
    accepted : list of int
        Of every burst's address.
    arrived : list of int
        Of every beat.
    taken : list of int
        Of every group, as the array takes it.
    """

    accepted: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)


def bursts(bus: ReadBus, base: int, length: int) -> Iterator[tuple[int, int]]:
    """Byte address and beats of the bursts of one frame, in order."""
    address, end = base, base + length
    span = bus.burst_beats * bus.beat_bytes
    while address < end:
        cut = min((address // span + 1) * span, end)
        yield address, (cut - address) // bus.beat_bytes
        address = cut


def stream_cycles(
    bus: ReadBus,
    image: MatrixImage,
    frames: int,
    *,
    rows: int = ROWS,
    base: int = 0,
    lateness: Lateness | None = None,
    pause: Pause = no_pause,
    hold: Pause = no_pause,
) -> StreamCycles:
    """Cycles of ``frames`` frames from a start on.

    Parameters
    ----------
    bus : ReadBus
    image : MatrixImage
    frames : int
    rows : int
        Rows of the gearbox.
    base : int
        Address of the image.
    lateness : Lateness
        Of the memory.
    pause : callable
        Cycles that the array lets pass before it is ready for a group, after it took the one
        before it.
    hold : callable
        Cycles for which it lets a group be on offer before it takes it.
    """
    run = _Run(bus, image, rows, lateness or Lateness(), (pause, hold))
    counts = [count for _, count in bursts(bus, base, image.length)]
    for _ in range(frames):
        for count in counts:
            run.burst(count)
    return run.cycles


def steady_cycles(
    image: MatrixImage, waits: Sequence[int], holds: Sequence[int], rows: int = ROWS
) -> int:
    """From frame to frame in the long run, where the memory covers its latency.

    Bus and buffer move a beat a cycle at most, so whatever time the gearbox once lets the buffer
    wait fills it for good: in the long run a beat is always there for the gearbox.

    Parameters
    ----------
    image : MatrixImage
    waits, holds : sequence of int
        As ``pause`` and ``hold`` of :func:`stream_cycles`, of each group of a frame.
    rows : int
        Rows of the gearbox.
    """
    ratio = Ratio(image.group_bits, image.data_bits)
    room, group, word = rows * ratio.row, ratio.group, ratio.word
    last = word - image.padding // ratio.piece
    taken, popped, written = list[int](), -1, 0
    for beat in range(2 * image.beats):
        surplus = written + word - room
        popped += 1
        if surplus > 0:
            popped = max(popped, taken[(surplus - 1) // group] + 1)
        written += word if (beat + 1) % image.beats else last
        while written >= (len(taken) + 1) * group:
            now = len(taken) % image.groups
            free = taken[-1] + 1 + waits[now] if taken else 0
            taken.append(max(popped + Gearbox.latency, free) + holds[now])
    return taken[-1] - taken[-1 - image.groups]


class _Run:
    def __init__(
        self,
        bus: ReadBus,
        image: MatrixImage,
        rows: int,
        lateness: Lateness,
        pace: tuple[Pause, Pause],
    ):
        self.bus, self.image, self.late = bus, image, lateness
        self.pause, self.hold = pace
        self.ratio = Ratio(image.group_bits, bus.data_bits)
        self.pieces = rows * self.ratio.row
        self.cycles = StreamCycles()
        self.asked: list[int] = []
        self.ends: list[int] = []  # cycle of the last beat of every burst
        self.popped: list[int] = []  # cycle in which a beat goes into the gearbox
        self.fetched = -1
        self.promised = self.written = 0  # beats asked for; pieces in the gearbox, ever

    def burst(self, count: int) -> None:
        """Ask for a burst and follow all of its beats."""
        bus, number = self.bus, len(self.asked)
        needed = self.promised + bus.burst_beats - bus.fifo_beats
        asked = max(
            FIRST_ASKED,
            self.asked[-1] + 1 if number else 0,
            self.cycles.accepted[-1] if number else 0,
            self.popped[needed - 1] + 1 if needed > 0 else 0,
            self.ends[number - bus.outstanding] + 1 if number >= bus.outstanding else 0,
        )
        accepted = asked + 1 + self.late.wait_of(number)
        self.asked.append(asked)
        self.cycles.accepted.append(accepted)
        self.promised += count
        first = accepted + self.late.latency_of(number)
        for _ in range(count):
            self._beat(first)
        self.ends.append(self.cycles.arrived[-1])

    def _beat(self, first: int) -> None:
        """Over the bus, through the buffer, into the gearbox."""
        arrived, popped = self.cycles.arrived, self.popped
        number = len(arrived)
        after = arrived[-1] + 1 + self.late.gap_of(number) if number else 0
        arrived.append(max(first, after))
        promised = popped[number - QUEUE] + 1 if number >= QUEUE else 0
        self.fetched = max(arrived[-1] + 1, self.fetched + 1, promised)
        there = self.fetched + BeatFifo.latency - 1
        popped.append(max(there, popped[-1] + 1 if number else 0, self._room()))
        is_last = (number + 1) % self.image.beats == 0
        padding = self.image.padding // self.ratio.piece if is_last else 0
        self.written += self.ratio.word - padding
        self._groups(popped[-1] + Gearbox.latency)

    def _room(self) -> int:
        """First cycle in which the gearbox has room for a word."""
        surplus = self.written + self.ratio.word - self.pieces
        groups = -(-surplus // self.ratio.group)
        return self.cycles.taken[groups - 1] + 1 if groups > 0 else 0

    def _groups(self, cycle: int) -> None:
        """The array takes what is complete."""
        taken = self.cycles.taken
        while self.written >= (len(taken) + 1) * self.ratio.group:
            before = taken[-1] + 1 if taken else 0
            number = len(taken)
            taken.append(max(cycle, before + self.pause(number)) + self.hold(number))
