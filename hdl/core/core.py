"""The accelerator: M PEs, element-wise lanes, projectors, their memories and the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design, bits_for
from compiler.array.latency import Latencies, projector_exact
from compiler.array.program import Sink
from compiler.lower.load import WORD, Space
from compiler.lower.screen import kept_here

from .array import takers
from .array.elements import elements
from .array.memories import Memories
from .array.write_back import vector_write, write_back
from .batched.loader import BatchLoader
from .controller import Controller
from .frames import FrameLoader
from .guards.words import WordGuard
from .hierarchy import Hierarchy, Ram
from .lanes.projector import Projector
from .layouts import (
    damage_layout,
    events_layout,
    frame_layout,
    output_layout,
    rows_layout,
    words_layout,
)
from .learn.array import LEARNT_BITS
from .learn.leaving import Exit
from .loader import Loader
from .output import OutputBuffer
from .pipeline import delayed
from .screen.behind import ScreenedStates
from .screen.fetched.unit import forward_planes, plane_members
from .screen.unit import counts_layout

if TYPE_CHECKING:
    from compiler.lower.image import Image

__all__ = ["Core"]


class Core(wiring.Component):
    """The whole accelerator behind its streams.

    Parameters
    ----------
    design : Design
    image : Image, optional
        Contents of the memories at start; without it they are loaded through ``load``.
    hierarchy : Hierarchy, optional
        How blocks and memories are placed; by default for Amaranth's simulator.
    wide : bool
        Whether there is ``rows``.

    Members
    -------
    frames : In, stream
        Input frames, :func:`~hdl.core.layouts.frame_layout`; two are buffered.
    states : Out, stream
        What the program's passes emit, in processing order,
        :func:`~hdl.core.layouts.output_layout`.
        A pass that emits starts only when there is room for all of its output.
    load : In, stream of 32 bits
        Packets of :mod:`hdl.core.loader`, while no frame is under way.
        A start leaves the beats of whole frames that nobody has taken, and forgets a frame that
        is under way.
    rows : In
        :func:`~hdl.core.layouts.rows_layout`: a row of all matrix memories a cycle, while no
        frame is under way and ``load`` is silent.
    matrix : In, stream
        Of a streamed design: :func:`~hdl.core.layouts.words_layout`, one for each group,
        ``first`` with the first of each frame.
    misaligned : Out
        Of a streamed design: the first word of a frame was not marked, or another one was. It
        is not taken, and the program stands still until the next start (sticky).
    damage : Out, of a checked design
        :func:`~hdl.core.layouts.damage_layout`, each sticky until the next start.
    learning, learnt : Out, of a design that trains
        The learner is busy: ``load`` waits, and no frame begins; the weight that was read last,
        above the low bits of its master.
    walks : Out, of a design with ``walk``
        Whole walks over the memories that have found what was loaded; see
        :class:`~hdl.core.guards.walk.MemoryWalk`.
    counts : Out, of a design with a screen unit
        What it read for the frame whose results leave; :class:`~hdl.core.screen.unit.ScreenUnit`.
    m_axi_planes_*, planes_base, planes_errors : of one with its planes outside
        As ``m_axi_*``, ``base``, ``errors`` of
        :class:`~hdl.core.screen.fetched.unit.FetchedScreen`.
    halted, fault : Out
        The program is at ``HALT``, or nothing was started since a reset and the memories have no
        image; an instruction, a packet or a word of the matrix could not be understood, or
        two passes wrote at once (sticky until the next start).
    events : Out
        Pulses for counters, :func:`~hdl.core.layouts.events_layout`.
    """

    frames: stream.Interface
    states: stream.Interface
    load: stream.Interface
    halted: Signal
    fault: Signal
    events: Signal

    def __init__(
        self,
        design: Design,
        image: Image | None = None,
        hierarchy: Hierarchy | None = None,
        *,
        wide: bool = False,
    ):
        self.design, self.image, self._wide = design, image, wide
        self.hierarchy = hierarchy or Hierarchy()
        members = {
            "frames": In(stream.Signature(frame_layout(design))),
            "states": Out(stream.Signature(output_layout(design))),
            "load": In(stream.Signature(WORD)),
            "halted": Out(1),
            "fault": Out(1),
            "events": Out(events_layout()),
        }
        if design.streamed:
            members["matrix"] = In(stream.Signature(words_layout(design.pes * design.word_bits)))
            members["misaligned"] = Out(1)
        if design.checked:
            members["damage"] = Out(damage_layout(design))
        if design.walk:
            members["walks"] = Out(WORD)
        if design.train:
            members |= {"learning": Out(1), "learnt": Out(LEARNT_BITS)}
        if design.screen:
            members |= {"counts": Out(counts_layout()), **plane_members(design.screen)}
        if wide:
            members["rows"] = In(rows_layout(design))
        super().__init__(members)

    @property
    def latencies(self) -> Latencies:
        """Cycles between its events."""
        return Latencies(self.design)

    def elaborate(self, platform: object) -> Module:
        """Wires between the blocks; the control is delayed to meet the data."""
        m = Module()
        m.submodules.loader = self._loader = loader = Loader(self.design)
        rows = self.rows if self._wide else None
        memories = Memories(m, self.design, self.image, self.hierarchy, loader, rows)
        self._memories, self._learning = memories, memories.learning
        self._clear = loader.clear  # of what is under way
        if self.design.walk:
            m.d.comb += self.walks.eq(memories.walk.walks)
        m.submodules.controller = controller = Controller(self.design, held=self.image is None)
        loads = BatchLoader if self.design.batched else FrameLoader
        m.submodules.frame_loader = frames = loads(self.design)
        self._load(m, loader)
        wiring.connect(m, wiring.flipped(self.frames), frames.frames)
        self._control(m, controller, frames)
        write = vector_write(self.design)
        columns = self._learning.back(m) if self._learning and self.design.backward else None
        given = self.matrix.payload.words if self.design.streamed else None
        pes = elements(m, memories, controller, write, given)
        results = [pe.result for pe in pes]
        beside = [pe.beside for pe in pes] if self.design.arithmetic.apart else []
        units = takers.sequencer(m, memories, controller, Sink.UNITS)
        lanes = takers.lanes(m, memories, units, results, beside)
        values = [lane.hidden for lane in lanes]
        homes = [(units.writeback, values)]
        beats = [(units.writeback, takers.states_beat(m, memories, lanes))]
        m.d.comb += controller.home.eq(units.home)
        clipped = [lane.clipped for lane in lanes]
        if self.design.projectors:
            taker = takers.sequencer(m, memories, controller, Sink.PROJECT)
            projectors = takers.projectors(m, memories, taker, results)
            homes.append((taker.writeback, [p.value for p in projectors]))
            later = projector_exact(self.design) - Projector.latency(self.design)
            leaving = delayed(m, taker.writeback, later, reset=True, clear=self._clear)
            beats.append((leaving, Cat(p.exact for p in projectors)))
            m.d.comb += controller.home.eq(units.home | taker.home)
            clipped += [p.clipped & taker.writeback.valid for p in projectors]
        collision = write_back(m, self.design, loader, frames, homes, write)
        frame_done = self._output(m, controller, beats, columns)
        misaligned = self._misaligned(m, controller)
        if self.design.checked:
            misaligned = misaligned | self._damage(m)
        self._learn(m, controller, frames)
        m.d.comb += [
            self.halted.eq(controller.halted),
            self.fault.eq(controller.fault | loader.fault | collision | misaligned),
            Cat(
                self.events.wait_frame,
                self.events.wait_state,
                self.events.wait_room,
                self.events.wait_word,
            ).eq(controller.waits),
            self.events.issued.eq(controller.group.valid),
            self.events.frame_taken.eq(controller.frame_take),
            self.events.frame_done.eq(frame_done),
            self.events.saturated.eq(Cat(*clipped).any()),
        ]
        return m

    def _control(self, m: Module, controller: Controller, frames: FrameLoader) -> None:
        """Program memory and frame buffers."""
        loader = self._loader
        self._program(m, controller)
        m.d.comb += [
            controller.restart.eq(loader.start),
            controller.restart_pc.eq(loader.start_addr),
            frames.restart.eq(loader.clear),
            frames.last.eq(controller.frame_last),
            frames.known.eq(controller.frame_known),
            frames.bases.eq(controller.frame_bases),
            frames.take.eq(controller.frame_take),
            controller.frame_first.eq(frames.first),
            *_streams_of(controller, frames),
            controller.frame_buffer.eq(frames.buffer),
            # the last group reads its vector some cycles after its issue
            frames.release.eq(
                delayed(
                    m,
                    controller.frame_release,
                    self.latencies.read,
                    reset=True,
                    clear=self._clear,
                )
            ),
        ]

    def _program(self, m: Module, controller: Controller) -> None:
        """The program memory, which a compact design reads piece by piece."""
        memories = self._memories
        m.submodules.program = program = memories.ram("program", Space.PROGRAM)
        pieces, word = self.design.program_pieces, program.read_data
        if self.design.walk:
            memories.walks_with(Space.PROGRAM, controller.spare.program, word)
        if self.design.checked:
            # words of addresses that are being written are not looked at
            late = range(2 * Ram.latency)
            writes = Cat(delayed(m, self._loader.write_en, n, reset=True) for n in late)
            memories.used(word, ~controller.halted & ~writes.any())
        if pieces == 1:
            m.d.comb += [
                program.read_addr.eq(memories.shared(controller.pc, Space.PROGRAM)),
                controller.instruction.eq(memories.bare(word)),
            ]
            return
        now = Value.cast(controller.now)
        spare = Signal(max(1, pieces * len(word) - len(now)), reset_less=True)
        kept = Cat(now, spare)[: pieces * len(word)]
        gathered = Cat(kept[len(word) :], word)
        place = Mux(controller.age >= pieces, pieces - 1, controller.age[: bits_for(pieces)])
        m.d.comb += [
            program.read_addr.eq(Cat(place, controller.pc)),
            controller.instruction.eq(gathered),
        ]
        m.d.sync += spare.eq(gathered[len(now) :])

    def _misaligned(self, m: Module, controller: Controller) -> Value:
        """Whether the words of a streamed design are not those that the program wants."""
        if not self.design.streamed:
            m.d.comb += controller.word_ready.eq(1)
            return Const(0, 1)
        m.submodules.words = guard = WordGuard()
        # the first word of a frame is taken as its pass starts, or when all streams had it
        begun = controller.word_first & controller.word_take
        m.d.comb += [
            guard.valid.eq(self.matrix.valid),
            guard.first.eq(self.matrix.payload.first),
            guard.wanted.eq(controller.word_first),
            guard.idle.eq(controller.word_idle),
            guard.missed.eq(controller.waits.word),
            guard.begun.eq(begun if self.design.batched else controller.frame_take),
            guard.restart.eq(controller.restart),
            controller.word_ready.eq(guard.ready),
            self.matrix.ready.eq(controller.word_take | guard.drop),
            self.misaligned.eq(guard.misaligned),
        ]
        return self.misaligned

    def _damage(self, m: Module) -> Value:
        """What was found changed."""
        beat = self.frames.valid & self.frames.ready & Value.cast(self.frames.payload).xor()
        found = {
            "memory": Cat(self._memories.changed).any(),
            "frame": beat,
            "packet": self._loader.spoilt,
        }
        if self.design.walk:
            found["walk"] = self._memories.walk.wrong
        m.d.sync += [self.damage[name].eq(self.damage[name] | now) for name, now in found.items()]
        with m.If(self._clear):
            m.d.sync += self.damage.eq(0)
        return Value.cast(self.damage).any()

    def _output(
        self,
        m: Module,
        controller: Controller,
        beats: list[tuple[data.View, Value]],
        leaving: Exit | None,
    ) -> Value:
        """What passes emit, through the output buffer; whether a frame ends."""
        m.submodules.output = buffer = OutputBuffer(self.design)
        for number, (home, bits) in enumerate(beats):
            with m.If(home.valid & home.emit):
                m.d.comb += [
                    buffer.push.eq(1),
                    buffer.beat.bits.eq(bits),
                    buffer.beat.last.eq(home.last),
                ]
                if self.design.batched:
                    m.d.comb += buffer.beat.context.eq(home.stream)
                if number:  # of the projectors
                    m.d.comb += buffer.beat.result.eq(1)
        m.d.comb += [
            controller.room.eq(buffer.room),
            buffer.promise.eq(controller.promise),
            buffer.clear.eq(self._clear),
        ]
        if self.design.screen:
            self._screen(m, buffer)
        else:
            wiring.connect(m, buffer.states, wiring.flipped(self.states))
        done = buffer.push & buffer.beat.last
        return done if leaving is None else done & ~self._columns_leave(m, buffer, leaving)

    def _columns_leave(self, m: Module, buffer: OutputBuffer, leaving: Exit) -> Value:
        """Sums of columns go where results of passes do, none of which is under way."""
        assert self._learning
        lead = self._learning.sequencer
        m.d.comb += lead.room.eq(buffer.room)
        with m.If(lead.back.on):
            m.d.comb += buffer.promise.eq(lead.back.promise)
        with m.If(leaving.push):
            m.d.comb += [
                buffer.push.eq(1),
                buffer.beat.bits.eq(leaving.bits),
                buffer.beat.last.eq(leaving.last),
                buffer.beat.result.eq(1),
            ]
        return leaving.push

    def _screen(self, m: Module, buffer: OutputBuffer) -> None:
        """The screen unit behind the buffer, and what the loader has for its memories."""
        image, loader = self.image.screen if self.image else None, self._loader
        m.submodules.screened = behind = ScreenedStates(self.design, image, self.hierarchy)
        wiring.connect(m, buffer.states, behind.taken)
        wiring.connect(m, behind.states, wiring.flipped(self.states))
        named = [
            (loader.space == Space[kind.upper()]) & (loader.target == n)
            for kind, names in kept_here(behind.screen).items()
            for n in range(len(names))
        ]
        m.d.comb += [
            behind.forget.eq(buffer.forgets),
            self.counts.eq(behind.counts),
            behind.write.en.eq(loader.write_en.replicate(len(named)) & Cat(named)),
            behind.write.address.eq(loader.write_addr),
            behind.write.word.eq(loader.write_data),
        ]
        forward_planes(m, behind.screen, self, behind)

    def _load(self, m: Module, loader: Loader) -> None:
        """Words of packets; while the learner is busy none comes."""
        if not self._learning:
            wiring.connect(m, wiring.flipped(self.load), loader.words)
            return
        idle = ~self._learning.sequencer.busy
        m.d.comb += [
            loader.words.payload.eq(self.load.payload),
            loader.words.valid.eq(self.load.valid & idle),
            self.load.ready.eq(idle),
        ]

    def _learn(self, m: Module, controller: Controller, frames: FrameLoader) -> None:
        """What leads the learning; no frame begins meanwhile."""
        if not self._learning:
            m.d.comb += controller.frame_ready.eq(frames.ready)
            return
        self._learning.lead(m, self._loader)
        busy = self._learning.sequencer.busy
        m.d.comb += [
            controller.frame_ready.eq(frames.ready & ~busy),
            self.learning.eq(busy),
            self.learnt.eq(self._learning.learnt),
        ]


def _streams_of(controller: Controller, frames: FrameLoader | BatchLoader) -> list[Any]:
    """Whose frame waits, or those of which streams."""
    if isinstance(frames, BatchLoader):
        return [controller.frame_mask.eq(frames.mask), frames.span.eq(controller.frame_span)]
    return [controller.frame_context.eq(frames.context)]
