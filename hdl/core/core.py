"""The accelerator: M PEs, element-wise lanes, projectors, their memories and the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design
from compiler.array.latency import Latencies
from compiler.array.program import Sink
from compiler.lower.load import WALK_WORDS, WORD, Space, space_depths, space_widths

from .controller import Controller
from .frames import FrameLoader
from .guards.walk import MemoryWalk, walked
from .guards.words import WordGuard
from .hierarchy import Hierarchy, Ram
from .lanes import lane_for
from .lanes.projector import Projector
from .layouts import (
    damage_layout,
    events_layout,
    frame_layout,
    output_layout,
    rows_layout,
    states_layout,
    turn_fields,
    vector_write_layout,
    words_layout,
)
from .learn.array import LEARNT_BITS, LearningArray
from .learn.leaving import Exit
from .loader import Loader
from .output import OutputBuffer
from .pe import ProcessingElement
from .pipeline import carried, delayed
from .sequencer import Sequencer

if TYPE_CHECKING:
    from compiler.lower.image import Image

__all__ = ["Core"]

PE_MODULE = "sparseflow_pe"
LANE_MODULE = "sparseflow_lane"
PROJECTOR_MODULE = "sparseflow_projector"


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
        self._learning = LearningArray(self.design, self.hierarchy) if self.design.train else None
        self._changed = list[Value]()  # words of memories, with their parity, as they are used
        self._clear = loader.clear  # of what is under way
        if self.design.walk:
            self._walk(m)
        m.submodules.controller = controller = Controller(self.design, held=self.image is None)
        m.submodules.frame_loader = frames = FrameLoader(self.design)
        self._load(m, loader)
        wiring.connect(m, wiring.flipped(self.frames), frames.frames)
        self._control(m, controller, frames)
        write = Signal(vector_write_layout(self.design))
        columns = self._learning.back(m) if self._learning and self.design.backward else None
        elements = self._elements(m, controller, write)
        results = [pe.result for pe in elements]
        beside = [pe.beside for pe in elements] if self.design.arithmetic.apart else []
        units = self._sequencer(m, controller, Sink.UNITS)
        lanes = self._lanes(m, units, results, beside)
        values = [lane.hidden for lane in lanes]
        homes = [(units.writeback, values)]
        beats = [(units.writeback, self._states_beat(m, lanes))]
        m.d.comb += controller.home.eq(units.home)
        clipped = [lane.clipped for lane in lanes]
        if self.design.projectors:
            taker = self._sequencer(m, controller, Sink.PROJECT)
            projectors = self._projectors(m, taker, results)
            homes.append((taker.writeback, [p.value for p in projectors]))
            later = Projector.exact_latency - Projector.latency
            leaving = delayed(m, taker.writeback, later, reset=True, clear=self._clear)
            beats.append((leaving, Cat(p.exact for p in projectors)))
            m.d.comb += controller.home.eq(units.home | taker.home)
            clipped += [p.clipped & taker.writeback.valid for p in projectors]
        collision = self._write_back(m, frames, homes, write)
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
            frames.beats.eq(controller.frame_beats),
            frames.bases.eq(controller.frame_bases),
            frames.take.eq(controller.frame_take),
            controller.frame_first.eq(frames.first),
            controller.frame_context.eq(frames.context),
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
        m.submodules.program = program = self._ram("program", Space.PROGRAM, 0, m)
        pieces, word = self.design.program_pieces, program.read_data
        if self.design.walk:
            m.d.comb += [
                self._walked.spare.program.eq(controller.spare.program),
                self._walked.words.program.eq(word),
            ]
        if self.design.checked:
            # words of addresses that are being written are not looked at
            late = range(2 * Ram.latency)
            writes = Cat(delayed(m, self._loader.write_en, n, reset=True) for n in late)
            self._used(m, word, ~controller.halted & ~writes.any())
        if pieces == 1:
            m.d.comb += [
                program.read_addr.eq(self._shared(controller.pc, Space.PROGRAM)),
                controller.instruction.eq(self._bare(word)),
            ]
            return
        now = Value.cast(controller.now)
        spare = Signal(max(1, pieces * len(word) - len(now)), reset_less=True)
        kept = Cat(now, spare)[: pieces * len(word)]
        gathered = Cat(kept[len(word) :], word)
        place = Mux(controller.age >= pieces, pieces - 1, controller.age[: _log2(pieces)])
        m.d.comb += [
            program.read_addr.eq(Cat(place, controller.pc)),
            controller.instruction.eq(gathered),
        ]
        m.d.sync += spare.eq(gathered[len(now) :])

    def _sequencer(self, m: Module, controller: Controller, sink: Sink) -> Sequencer:
        """The sequencer of the lanes or of the projectors, told when a slot is done."""
        latencies = self.latencies
        lanes = {Sink.UNITS: self.design.units, Sink.PROJECT: self.design.projectors}[sink]
        collects = self.design.collects and sink == Sink.UNITS
        beats, lane = latencies.beats(sink), latencies.lane(sink)
        plain = Sequencer(self.design, lanes, beats, lane, collects=collects)
        sequencer: Sequencer = ResetInserter(self._clear)(plain)
        m.submodules[f"{sink.name.lower()}_sequencer"] = sequencer
        group = controller.group
        done = group.valid & group.last & (controller.sink == sink)
        if collects:
            done &= group.ready
        cycles, period = latencies.row - 1, self.design.lane_period
        slot_done = delayed(m, done, cycles, reset=True, clear=self._clear)
        if period == 1:
            first, update = (
                delayed(m, v, cycles) for v in (controller.slot_first, controller.update)
            )
        else:  # slots are so far apart that one register is enough
            first, update = (
                carried(m, done, v, cycles, max(cycles, period))
                for v in (controller.slot_first, controller.update)
            )
        m.d.comb += [
            sequencer.slot_done.eq(slot_done),
            sequencer.first_slot.eq(first),
            sequencer.update.eq(update),
        ]
        return sequencer

    def _elements(
        self, m: Module, controller: Controller, write: data.View
    ) -> list[wiring.Component]:
        """M PEs with their matrix memories."""
        issued = self._learning.group(controller.group) if self._learning else controller.group
        group = delayed(m, issued, self.latencies.issue, reset=True, clear=self._clear)
        aligns = delayed(m, controller.aligns, self.latencies.issue)
        collects = self.design.collects
        gates = delayed(m, controller.gates, self.latencies.issue) if collects else []
        read = self._words(m, controller)
        if self.design.checked:
            for word in read:
                self._used(m, word, group.valid)
        words, group = self._gathered(m, [self._bare(word) for word in read], group)
        elements = []
        for i in range(self.design.pes):
            pe = self.hierarchy.place(PE_MODULE, lambda: ProcessingElement(self.design))
            m.submodules[f"pe{i}"] = pe
            m.d.comb += [
                pe.word.eq(words[i]),
                pe.group.eq(group),
                pe.group.align.eq(aligns[i % self.design.abreast]),
                pe.write.eq(write),
            ]
            if collects:
                m.d.comb += pe.group.gate.eq(gates[i % self.design.abreast])
            if self._learning:
                self._learning.join(m, i, pe, words[i], self._low_bits(m, i))
            elements.append(pe)
        if self.design.checked:
            self._changed += [pe.damaged for pe in elements]
        return elements

    def _gathered(
        self, m: Module, words: list[Value], group: data.View
    ) -> tuple[list[Value], data.View]:
        """Whole words of the PEs, and their control in the cycle of the last piece."""
        pieces, bits = self.design.pieces, self.design.piece_bits
        if pieces == 1:
            return words, group
        place, first = Signal(range(pieces)), Signal()
        whole, last = Signal.like(group), place == pieces - 1
        m.d.sync += place.eq(Mux(group.valid & ~last, place + 1, 0))
        with m.If(self._clear):
            m.d.sync += place.eq(0)
        with m.If(place == 0):
            m.d.sync += first.eq(group.first)
        m.d.comb += [whole.eq(group), whole.valid.eq(group.valid & last), whole.first.eq(first)]
        gathered: list[Value] = []
        for n, word in enumerate(words):
            kept = Signal(bits * (pieces - 1), name=f"kept{n}", reset_less=True)
            m.d.sync += kept.eq(Cat(kept, word)[bits:])
            gathered.append(Cat(kept, word)[: self.design.word_bits])
        return gathered, whole

    def _words(self, m: Module, controller: Controller) -> list[Value]:
        """The PEs' words of a group, as late as its control."""
        if self.design.streamed:
            words = delayed(m, self.matrix.payload.words, self.latencies.issue)
            return [words.word_select(i, self.design.word_bits) for i in range(self.design.pes)]
        memories = [self._ram("matrix", Space.MATRIX, i, m) for i in range(self.design.pes)]
        stages = self.latencies.issue - Ram.latency - self.design.deep
        wanted = controller.address
        if self._learning:
            wanted = self._learning.address(wanted)
        address = delayed(m, wanted, stages)
        if self.design.walk:
            m.d.comb += [
                controller.walk.eq(self._walked.address),
                self._walked.spare.matrix.eq(controller.spare.matrix),
                self._walked.words.matrix.eq(Cat(memory.read_data for memory in memories)),
            ]
        for i, memory in enumerate(memories):
            m.submodules[f"matrix{i}"] = memory
            m.d.comb += memory.read_addr.eq(address)
        return [memory.read_data for memory in memories]

    def _misaligned(self, m: Module, controller: Controller) -> Value:
        """Whether the words of a streamed design are not those that the program wants."""
        if not self.design.streamed:
            m.d.comb += controller.word_ready.eq(1)
            return Const(0, 1)
        m.submodules.words = guard = WordGuard()
        m.d.comb += [
            guard.valid.eq(self.matrix.valid),
            guard.first.eq(self.matrix.payload.first),
            guard.wanted.eq(controller.word_first),
            guard.idle.eq(controller.word_idle),
            guard.missed.eq(controller.waits.word),
            guard.begun.eq(controller.frame_take),
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
            "memory": Cat(self._changed).any(),
            "frame": beat,
            "packet": self._loader.spoilt,
        }
        if self.design.walk:
            found["walk"] = self._walked.wrong
        m.d.sync += [self.damage[name].eq(self.damage[name] | now) for name, now in found.items()]
        with m.If(self._clear):
            m.d.sync += self.damage.eq(0)
        return Value.cast(self.damage).any()

    def _walk(self, m: Module) -> None:
        """The walk, its memory, and what it hears of the loader; others give it words to read."""
        m.submodules.walk = walk = MemoryWalk(self.design, filled=self.image is not None)
        m.submodules.walk_told = told = self._ram("walk", Space.WALK, 0, m)
        self._walked, loader = walk, self._loader
        written = (
            loader.write_en & Cat(loader.space == space for space in walked(self.design)).any()
        )
        m.d.comb += [
            walk.written.eq(written | self.rows.en if self._wide else written),
            walk.filled.eq(
                loader.write_en
                & (loader.space == Space.WALK)
                & (loader.write_addr == WALK_WORDS - 1)
            ),
            told.read_addr.eq(walk.told_address),
            walk.told.eq(told.read_data),
            walk.clear.eq(self._clear),
            self.walks.eq(walk.walks),
        ]

    def _shared(self, address: Value, space: Space) -> Value:
        """The address of a memory, or that of the walk while it reads it."""
        if not self.design.walk:
            return address
        return Mux(self._walked.reading[space.name.lower()], self._walked.address, address)

    def _walks_with(self, m: Module, space: Space, deal: Value, words: list[Value]) -> None:
        """Let the walk read memories whenever a sequencer does not."""
        if self.design.walk:
            name = space.name.lower()
            m.d.comb += [
                self._walked.spare[name].eq(~deal),
                self._walked.words[name].eq(Cat(words)),
            ]

    def _used(self, m: Module, word: Value, when: Value) -> None:
        """Look at a word of a memory, parity included, as it is used."""
        odd = Signal(name=f"odd{len(self._changed)}")
        m.d.sync += odd.eq(word.xor() & when)
        with m.If(self._clear):
            m.d.sync += odd.eq(0)
        self._changed.append(odd)

    def _dealt(self, m: Module, sequencer: Sequencer) -> Value:
        """Whether the word of a bias memory that comes now is used."""
        return delayed(m, sequencer.deal, Ram.latency, reset=True, clear=self._clear)

    def _bare(self, word: Value) -> Value:
        """A word of a memory without its parity."""
        return word[:-1] if self.design.checked else word

    def _evened(self, element: Value) -> Value:
        """An element of a vector, with its parity where it has one."""
        return Cat(element, Value.cast(element).xor()) if self.design.checked else element

    def _lanes(
        self, m: Module, sequencer: Sequencer, results: list[Signal], beside: list[Signal]
    ) -> list[wiring.Component]:
        """E element-wise lanes; lane e serves units e, e + E, ... of a slot."""
        lanes, loader, words = [], self._loader, list[Value]()
        now, compact = sequencer.now, self.design.compact
        for e in range(self.design.units):
            bias = self._ram("bias", Space.BIAS, e, m)
            lane = self.hierarchy.place(LANE_MODULE, lambda: lane_for(self.design), self._clear)
            m.submodules[f"bias{e}"], m.submodules[f"lane{e}"] = bias, lane
            if compact:
                m.d.comb += lane.place.eq(sequencer.bias)
            if self.design.checked:
                self._used(m, bias.read_data, self._dealt(m, sequencer))
            words.append(bias.read_data)
            place = self._shared(lane.bias_addr if compact else sequencer.bias, Space.BIAS)
            m.d.comb += [
                bias.read_addr.eq(place),
                lane.bias.eq(self._bare(bias.read_data)),
                lane.unit.valid.eq(sequencer.deal),
                lane.unit.zero.eq(now.zero),
                lane.unit.select.eq(sequencer.select),
                lane.unit.cell.eq(sequencer.cell),
                lane.unit.shift.eq(now.shift),
                lane.load.en.eq(
                    loader.write_en & (loader.space == Space.CELL) & (loader.target == e)
                ),
                lane.load.addr.eq(loader.write_addr),
                lane.load.data.eq(loader.write_data),
            ]
            abreast = self.design.abreast
            for i in range(self.design.units_per_slot):
                unit = abreast * (i * self.design.units + e)
                taken = lane.sums if compact else lane.sums[i]
                found = results[unit : unit + abreast] + beside[unit : unit + abreast]
                m.d.comb += [one.eq(result) for one, result in zip(taken, found, strict=True)]
            for name in turn_fields(self.design):
                m.d.comb += lane.unit[name].eq(now[name])
            if self.design.collects:
                m.d.comb += lane.unit.places.eq(sequencer.places)
            lanes.append(lane)
        self._walks_with(m, Space.BIAS, sequencer.deal, words)
        return lanes

    def _projectors(
        self, m: Module, sequencer: Sequencer, results: list[Signal]
    ) -> list[wiring.Component]:
        """Q projectors; projector q serves results q, q + Q, ... of a slot."""
        projectors, collects, words = [], self.design.collects, list[Value]()
        for q in range(self.design.projectors):
            lane = self.hierarchy.place(PROJECTOR_MODULE, lambda: Projector(self.design))
            m.submodules[f"projector{q}"] = lane
            m.d.comb += [
                lane.select.eq(sequencer.select),
                lane.shift.eq(sequencer.now.shift[0]),
                lane.linear.eq(~sequencer.now.write),
            ]
            if self.design.linear:
                m.submodules[f"linear{q}"] = bias = self._ram("linear", Space.LINEAR, q, m)
                words.append(bias.read_data)
                m.d.comb += [
                    bias.read_addr.eq(self._shared(sequencer.bias, Space.LINEAR)),
                    lane.bias.eq(self._bare(bias.read_data)),
                ]
                if self.design.checked:
                    linear = self._dealt(m, sequencer) & lane.linear
                    self._used(m, bias.read_data, linear)
            for i in range(self.design.results_per_slot):
                pe = i * self.design.projectors + q
                # a row without gates is where that of its PE would be
                own = pe % self.design.abreast
                m.d.comb += lane.sums[i].eq(results[pe][own] if collects else results[pe])
            projectors.append(lane)
        if self.design.linear:
            self._walks_with(m, Space.LINEAR, sequencer.deal, words)
        return projectors

    def _write_back(
        self,
        m: Module,
        frames: FrameLoader,
        homes: list[tuple[data.View, list[Signal]]],
        write: data.View,
    ) -> Signal:
        """The vectors' one write port: results, then input frames; a collision of results."""
        loader = self._loader
        writing = [home.valid & home.write for home, _ in homes]
        loading = loader.write_en & (loader.space == Space.VECTOR)
        collision = Signal()
        m.d.comb += frames.blocked.eq(Cat(*writing).any() | loading)
        m.d.sync += write.en.eq(0)
        with m.If(writing[0]):
            self._put(m, write, *homes[0])
        with m.Elif(writing[1] if len(writing) > 1 else 0):
            self._put(m, write, *homes[-1])
        with m.Elif(loading):
            self._put_all(m, write, loader.write_addr, loader.write_data)
        with m.Elif(frames.write_en):
            covered, places = self.design.frame_ports, Value.cast(frames.write_data)
            if self.design.checked:
                places = Cat(self._evened(element) for element in frames.write_data)
            self._put_all(m, write, frames.write_addr, places, covered)
        if len(writing) > 1:
            with m.If(writing[0] & writing[1]):
                m.d.sync += collision.eq(1)
        with m.If(loader.start):
            m.d.sync += collision.eq(0)
        return collision

    def _put(self, m: Module, write: data.View, home: data.View, values: list[Signal]) -> None:
        """Write a beat of results: part of a place, a whole one, or several."""
        lanes, ports, beat = self.design.lanes, self.design.write_ports, len(values)
        m.d.sync += write.row.eq(home.place >> _log2(ports))
        covered = max(1, beat // lanes)  # places of a beat
        for port in range(ports):
            first = port - port % covered
            all_of = beat > lanes and covered == ports
            here = 1 if all_of else (home.place & (ports - covered)) == first
            for bank in range(lanes):
                at = port * lanes + bank
                turn, lane = divmod(port % covered * lanes + bank, beat)
                m.d.sync += [
                    write.en[at].eq(here & (home.turn == turn)),
                    write.data[at].eq(self._evened(values[lane])),
                ]

    def _put_all(
        self, m: Module, write: data.View, place: Value, values: Value, covered: int = 1
    ) -> None:
        """Write ``covered`` places of all banks."""
        ports = self.design.write_ports
        size = write.data.shape().size // ports * covered
        m.d.sync += [
            write.row.eq(place >> _log2(ports)),
            write.data.eq(Cat(*[Value.cast(values)[:size]] * (ports // covered))),
        ]
        for port in range(ports):
            every = (1 << self.design.lanes) - 1
            here = (place & (ports - covered)) == port - port % covered
            m.d.sync += write.en.word_select(port, self.design.lanes).eq(Mux(here, every, 0))

    def _states_beat(self, m: Module, lanes: list[wiring.Component]) -> Value:
        beat = Signal(states_layout(self.design))
        for e, lane in enumerate(lanes):
            m.d.comb += [beat.hidden[e].eq(lane.hidden), beat.cell[e].eq(lane.cell)]
            if self.design.backward:
                names = enumerate(self.design.arithmetic.gate_names)
                m.d.comb += [beat[name][e].eq(lane.gates[n]) for n, name in names]
        return beat.as_value()

    def _output(
        self,
        m: Module,
        controller: Controller,
        beats: list[tuple[data.View, Value]],
        leaving: Exit | None,
    ) -> Value:
        """What passes emit, through the output buffer."""
        m.submodules.output = buffer = OutputBuffer(self.design)
        for number, (home, bits) in enumerate(beats):
            with m.If(home.valid & home.emit):
                m.d.comb += [
                    buffer.push.eq(1),
                    buffer.beat.bits.eq(bits),
                    buffer.beat.last.eq(home.last),
                ]
                if number:  # of the projectors
                    m.d.comb += buffer.beat.result.eq(1)
        m.d.comb += [
            controller.room.eq(buffer.room),
            buffer.promise.eq(controller.promise),
            buffer.clear.eq(self._clear),
        ]
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

    def _ram(self, kind: str, space: Space, target: int, m: Module) -> Ram:
        """A memory that the loader writes, with its image."""
        name = f"{kind}_{target:03d}" if space is not Space.PROGRAM else kind
        depth = space_depths(self.design)[space]
        init = self.image.memories[name] if self.image else ()
        width, loader = space_widths(self.design)[space], self._loader
        single = self.design.compact and space == Space.MATRIX
        ram = Ram(
            width,
            depth,
            hierarchy=self.hierarchy,
            image=name,
            init=init,
            single=single,
            write_stage=int(self.design.deep),
            read_stage=int(self.design.deep and space == Space.MATRIX),
        )
        chosen = (loader.space == space) & (loader.target == target)
        write = loader.write_en & chosen, loader.write_addr, loader.write_data
        if self._wide and space is Space.MATRIX:
            write = self._row_write(target, *write)
        if self._learning and space in (Space.MATRIX, Space.MASTER):
            write = self._learning.write(space, target, *write)
        m.d.comb += [
            port.eq(value)
            for port, value in zip(
                (ram.write_en, ram.write_addr, ram.write_data), write, strict=True
            )
        ]
        return ram

    def _low_bits(self, m: Module, pe: int) -> Value:
        """Of the master that is worked on, from the memory beside a PE's matrix."""
        m.submodules[f"master{pe}"] = low = self._ram("master", Space.MASTER, pe, m)
        assert self._learning
        m.d.comb += low.read_addr.eq(self._learning.sequencer.place)
        return low.read_data

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

    def _row_write(self, pe: int, en: Value, addr: Value, word: Value) -> tuple[Value, ...]:
        """A write of a PE's matrix memory by the loader, or with those of all others."""
        rows = self.rows
        mine = rows.words.word_select(pe, space_widths(self.design)[Space.MATRIX])
        return en | rows.en, Mux(rows.en, rows.row, addr), Mux(rows.en, mine, word)


def _log2(ports: int) -> int:
    return (ports - 1).bit_length()
