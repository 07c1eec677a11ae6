"""Runs the program: issues CSB groups and waits for frames, states, room and words."""

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design, bits_for
from compiler.array.latency import FETCH, fetch_delay
from compiler.array.program import Frame, Op, Sink
from compiler.array.widths import context_bits, lead_bits, promise_bits

from .array.regions import Regions
from .batched.regions import BatchRegions
from .batched.streams import Streams, times
from .layouts import aligns_layout, gates_layout, group_layout, instruction_layout, update_layout
from .pipeline import registered
from .turns import Turns, aligns_of

__all__ = ["Controller"]


class Controller(wiring.Component):
    """Fetches instructions and issues one CSB group a cycle.

    The next instruction is fetched while one runs, so passes of at least ``fetch_delay``
    cycles follow each other without a gap; in a deep design, with one of a cycle, in which
    the conditions of the start are registered; in a compact one, with that of the fetch.

    Parameters
    ----------
    design : Design
    held : bool
        After a reset it is halted until the first ``restart``: nothing is known of what its
        memory holds.

    Members
    -------
    pc : Out, instruction : In
        Program memory: the word at ``pc`` arrives ``Ram.latency`` cycles later; in a design
        with ``program_pieces`` that many cycles after that, less one.
    walk, spare : In, Out, of a design with ``walk``
        An address of the matrix memories, which ``address`` is where no pass of the program has
        one; whether it is, and whether the word that the program memory gives for an address of
        this cycle is not wanted.
    restart, restart_pc : In
        Start (again) at an address; the accelerator must be idle.
    frame_ready, frame_first, frame_context, frame_buffer : In
        The frame that waits in the :class:`~hdl.core.frames.FrameLoader`.
    frame_take, frame_release : Out
        Its pass starts; the oldest frame's last group is issued.
    frame_last, frame_known, frame_bases : Out
        What ``SETUP`` said: place of a frame's last beat, one less than it has, as nothing is
        counted where it is compared; whether it has any; where frames lie.
    frame_mask, frame_span : In, Out, of a batched design
        Which streams' frames wait, ``frame_first`` which of these start a sequence; there is no
        ``frame_context``. What ``SETUP`` said. See :class:`~hdl.core.batched.loader.BatchLoader`.
    word_ready : In, word_take : Out
        A streamed design's next word of the matrices; without it no group is issued.
    packed : Out, of a streamed design with ``indexed``
        The weights of ``group`` came with words before it: none is taken.
    word_first, word_idle : Out
        A pass waits whose word is the first of a frame; the word is not taken in this cycle,
        which a row is longer than its groups.
    address : Out
        Word of the matrix memories; ``group`` is its control, in the same cycle, but for
        its ``align``: ``aligns`` has one for each of the PEs abreast.
    gates : Out
        Of a design that ``collects``: in the place of ``gate``, likewise.
    slot_first, sink, update : Out
        With every group: it is of the pass's first slot, or its first round where PEs collect; who
        takes the slot's results, and what they are told.
    home : In
        A beat of results can be read by groups that are issued in the next cycle or later.
    room : In, promise : Out
        Free beats of the output buffer not yet promised; the beats that a pass takes of
        them as it starts.
    waits : Out
        It waits for a frame, for states, for room, for a word.
    halted, fault : Out
        At ``HALT`` or held; sticky, until a restart, after an operation code that does not exist.
    """

    fetch, fetch_delay = FETCH, staticmethod(fetch_delay)

    pc: Signal
    instruction: Signal
    restart: Signal
    restart_pc: Signal
    frame_ready: Signal
    frame_first: Signal
    frame_context: Signal
    frame_buffer: Signal
    frame_take: Signal
    frame_release: Signal
    frame_last: Signal
    frame_known: Signal
    frame_bases: Signal
    word_ready: Signal
    word_take: Signal
    packed: Signal
    word_first: Signal
    word_idle: Signal
    address: Signal
    group: Signal
    aligns: Signal
    slot_first: Signal
    sink: Signal
    update: Signal
    home: Signal
    room: Signal
    promise: Signal
    waits: Signal
    halted: Signal
    fault: Signal

    def __init__(self, design: Design, *, held: bool = False):
        self.design = design
        self._holds, self._held = held, Signal(init=1)
        vector, program = bits_for(design.vector_depth), bits_for(design.program_depth)
        super().__init__(
            {
                "pc": Out(program),
                "instruction": In(instruction_layout(design)),
                "restart": In(1),
                "restart_pc": In(program),
                "frame_ready": In(1),
                **_waiting_members(design),
                "frame_buffer": In(1),
                "frame_take": Out(1),
                "frame_release": Out(1),
                "frame_last": Out(bits_for(design.vector_depth + 1)),
                "frame_known": Out(1),
                "frame_bases": Out(data.ArrayLayout(vector, 2)),
                **({"frame_span": Out(bits_for(vector + 1))} if design.batched else {}),
                "word_ready": In(1),
                "word_take": Out(1),
                **({"packed": Out(1)} if design.indexed and design.streamed else {}),
                **({"beside": Out(range(design.groups_per_word))} if design.row_bits else {}),
                "word_first": Out(1),
                "word_idle": Out(1),
                "address": Out(bits_for(design.matrix_depth * design.pieces)),
                "group": Out(group_layout(design)),
                "aligns": Out(aligns_layout(design)),
                "slot_first": Out(1),
                "sink": Out(2),
                "update": Out(update_layout(design)),
                "home": In(1),
                "room": In(bits_for(design.output_depth + 1)),
                "promise": Out(promise_bits(design)),
                "waits": Out(data.StructLayout({"frame": 1, "state": 1, "room": 1, "word": 1})),
                "halted": Out(1),
                "fault": Out(1),
                **({"gates": Out(gates_layout(design))} if design.collects else {}),
                **(_walk_members(design) if design.walk else {}),
            }
        )
        # sim.check.checks probes it
        # means nothing before `loaded`, which has a reset
        self.now = self._now = Signal(instruction_layout(design), name="now", reset_less=True)
        # cycles since pc changed, up to the latency
        self.age = Signal(range(self.fetch_delay(design)))
        self._flying = Signal(lead_bits(design))  # beats on their way home
        self._starting = Signal()  # the pass issues its first group
        self.starting = self._starting  # tests look at it
        self._regions = BatchRegions(self) if design.batched else Regions(self)
        self.current = self._regions.current  # tests look at it

    def elaborate(self, platform: object) -> Module:
        """Fetch, then walk slots and groups of a pass."""
        m = Module()
        now = self._now
        interval = now.turn_intervals[0] if self.design.by_gate else now.interval
        self._slot, self._step = Signal.like(now.slots), Signal.like(interval)
        self._packs = self.design.indexed > 0 and self.design.streamed
        self._started = Signal()  # the pass has issued before this cycle
        self._last_slot, self._last_step = Signal.like(now.slots), Signal.like(interval)
        loaded = Signal()  # `now` holds an instruction that has not ended
        done = Signal()  # ... and ends in this cycle
        skipped = Signal()  # ... by going on at `other`
        halt = Signal()
        m.d.comb += self.halted.eq(halt | self._held if self._holds else halt)
        self._streams = None
        if isinstance(self._regions, BatchRegions):
            self._streams = Streams(self.design, now, self._started, self.restart)
            self._regions.streams = self._streams
        self._turns = Turns(self.design, now, self._last_step) if self.design.by_gate else None
        if self._turns:
            self._turns.advance(m)
        self._fetch(m, now, loaded, done, skipped)
        frame = self._regions.frame(m, now, self._starting, self._started)
        issuing, starting = self._start(m, now, loaded, frame, skipped)
        self._regions.advance(m, now, frame, starting)
        ending = self._walk(m, now, issuing, starting)
        self._address(m, now, frame)
        if self.design.walk:
            self._spare(m, now, loaded, starting, halt)
        with m.Switch(now.op):
            with m.Case(Op.SETUP):
                m.d.comb += done.eq(loaded)
                with m.If(loaded):
                    m.d.sync += [
                        self.frame_last.eq(now.frame_beats - 1),
                        self.frame_known.eq(now.frame_beats.any()),
                        self.frame_bases.eq(now.frame_bases),
                    ]
                    if self._streams:
                        m.d.sync += self.frame_span.eq(now.source_span)
            with m.Case(Op.PASS):
                m.d.comb += done.eq(ending)
            with m.Case(Op.HALT):
                m.d.comb += halt.eq(loaded)
            with m.Default(), m.If(loaded):
                m.d.sync += self.fault.eq(1)
        with m.If(self.restart):
            # no frame is taken before the new program's SETUP has said how long it is
            m.d.sync += [self.fault.eq(0), self.frame_known.eq(0)]
            if self._holds:
                m.d.sync += self._held.eq(0)
        return m

    def _fetch(
        self, m: Module, now: data.View, loaded: Signal, done: Signal, skipped: Signal
    ) -> None:
        """Load `now` when the last instruction has ended and its successor has arrived."""
        age = self.age
        arrived = age == self.fetch_delay(self.design) - 1
        with m.If(~arrived):
            m.d.sync += age.eq(age + 1)
        with m.If(done):
            m.d.sync += loaded.eq(0)
        late = self.design.compact
        if late:  # `now` gathers the pieces itself, once what it held has ended
            with m.If(~loaded):
                m.d.sync += now.eq(self.instruction)
            with m.If(done):
                m.d.sync += [self.pc.eq(now.next), age.eq(0)]
        free = ~loaded if late else ~loaded | done
        with m.If(free & arrived & ~self._held if self._holds else free & arrived):
            m.d.sync += [
                now.eq(self.instruction),
                self._last_slot.eq(self.instruction.slots - 1),
                loaded.eq(1),
            ]
            if self._turns:
                self._turns.load(m, self.instruction)
            else:
                steps = "groups" if self._streams else "interval"
                m.d.sync += self._last_step.eq(self.instruction[steps] - 1)
            if not late:
                m.d.sync += [self.pc.eq(self.instruction.next), age.eq(0)]
        with m.If(skipped):
            m.d.sync += [loaded.eq(0), self.pc.eq(now.other), age.eq(0)]
        with m.If(self.restart):
            m.d.sync += [loaded.eq(0), self.pc.eq(self.restart_pc), age.eq(0)]

    def _spare(
        self, m: Module, now: data.View, loaded: Signal, starting: Value, halt: Signal
    ) -> None:
        """Memories that have no use for a read in this cycle.

        The word of the program memory is taken ``Ram.latency`` cycles after it was read, and the
        next one is read then. So a read is spare in a cycle in which a word is taken, and while a
        pass waits that takes longer than that.
        """
        last_slot, last_step = self._last_slot, self._last_step
        long = last_slot >= FETCH  # cycles of a slot are one at least
        if not self._turns:
            long |= (last_step >= FETCH) | (last_slot.any() & last_step.any())
        takes = ~loaded & (self.age == self.fetch_delay(self.design) - 1)
        waits = loaded & (now.op == Op.PASS) & ~self._started & long
        free = takes | halt | waits
        m.d.comb += [
            self.spare.program.eq(free | self._held if self._holds else free),
            self.spare.matrix.eq(~starting & ~self._started),
        ]

    def _start(
        self, m: Module, now: data.View, loaded: Signal, frame: data.View, skipped: Signal
    ) -> tuple[Value, Value]:
        """(a pass issues in this cycle, it starts in this cycle)."""
        started = self._started
        flying, starting = self._flying, self._starting
        # all are compared, as it is known late which is meant
        more = now.lead_more if self.design.frames_back > 2 else ()
        leads = [now.lead, now.lead_other, *more]
        away = [flying > lead for lead in leads]
        beats = now.beats
        if isinstance(self._regions, BatchRegions):  # of all streams that are there
            beats = times(now.beats, self._regions.mask)
        busy, full = Array(away)[frame.other], now.emit & (self.room < beats)
        waiting = loaded & (now.op == Op.PASS) & ~started
        framed, tries = now.frame.any(), now.frame == Frame.TRY
        held = busy | full
        if self.design.deep:
            # they tell of the cycle before: so no pass starts in its instruction's first one
            busy, full, held = registered(m, busy), registered(m, full), registered(m, held)
            framed, tries = registered(m, framed), registered(m, tries)
            stays = waiting & ~starting & ~skipped & ~self.restart
            waiting = registered(m, stays, reset=True)
        word_ready = self.word_ready
        if self._packs:  # within a pass: so a start does not hang on it
            word_ready = word_ready | self.packed
        waits = [framed & ~self.frame_ready, busy, full, ~word_ready]
        ready = Signal()
        m.d.comb += [
            skipped.eq(waiting & tries & ~self.frame_ready),
            ready.eq(~(waits[0] | held | waits[3])),
        ]
        m.d.comb += [
            starting.eq(waiting & ready),
            *self._words_wanted(now, waiting),
        ]
        issuing = starting | (started & word_ready)
        m.d.comb += [
            self.waits.frame.eq(waiting & waits[0]),
            self.waits.state.eq(waiting & waits[1] & ~waits[0]),
            self.waits.room.eq(waiting & waits[2] & ~(waits[0] | waits[1])),
            self.waits.word.eq((started | waiting & ~(waits[0] | waits[1] | waits[2])) & waits[3]),
        ]
        with m.If(starting):
            m.d.sync += started.eq(1)
        with m.If(issuing & self._pass_ends(now)):
            m.d.sync += started.eq(0)
        m.d.comb += [
            self.frame_take.eq(starting & framed),
            self.promise.eq(Mux(starting & now.emit, beats, 0)),
        ]
        sent = Mux(starting & (now.sink != Sink.PARK), beats, 0)
        m.d.sync += flying.eq(flying + sent - self.home)
        with m.If(self.restart):
            m.d.sync += [started.eq(0), flying.eq(0)]
        return issuing, starting

    def _words_wanted(self, now: data.View, waiting: Value) -> list[Any]:
        """Whether the first word of a frame is due, or none."""
        if not self._streams:
            return [
                self.word_first.eq(waiting & now.frame.any()),
                self.word_idle.eq(self._step >= self._groups(now)),
            ]
        # it is on offer for all streams, and only then taken
        begins = ~(self._slot.any() | self._step.any())
        return [self.word_first.eq((waiting | self._started) & now.frame.any() & begins)]

    def _pass_ends(self, now: data.View) -> Value:
        over = (self._slot == self._last_slot) & (self._step == self._last_step)
        return over & self._streams.ends if self._streams else over

    def _groups(self, now: data.View) -> Value:
        """Groups of a row of the slot."""
        return self._turns.groups if self._turns else now.groups

    def _walk(self, m: Module, now: data.View, issuing: Value, starting: Value) -> Value:
        """Step through slots and groups; the result is high in the pass's last cycle."""
        place = Signal.like(self.address)
        row_ends = self._step == self._last_step
        ending = issuing & self._pass_ends(now)
        groups = self._groups(now)
        valid = issuing & (self._step < groups)
        steps, takes = issuing, valid  # on to the next group, which takes a word
        if self._streams:
            self._streams.advance(m, issuing, row_ends)
            valid, steps = issuing & self._streams.issues, issuing & self._streams.ends
            takes = steps
        aligns = aligns_of(m, self, now, self._turns, issuing & row_ends)
        taken, passed = self._words(m, now, takes)
        ours = Mux(self._started, place, self.walk) if self.design.walk else place
        m.d.comb += [
            self.address.eq(Mux(starting, now.matrix, ours)),
            self.word_take.eq(taken),
            self.group.valid.eq(valid),
            self.group.first.eq(self._step == 0),
            self.group.last.eq(self._step == groups - 1),
            self.group.parked.eq(now.parked),
            self.group.park.eq(now.sink == Sink.PARK),
            self.group.slot.eq(now.slot + self._slot),
            self.aligns.eq(aligns),
            self.slot_first.eq(
                self._turns.first if self._turns and self.design.collects else self._slot == 0
            ),
            self.frame_release.eq(ending & now.release_frame),
        ]
        with m.If(steps):
            m.d.sync += [place.eq(self.address + passed), self._step.eq(self._step + 1)]
            with m.If(row_ends):
                m.d.sync += [self._step.eq(0), self._slot.eq(self._slot + 1)]
            with m.If(ending):
                m.d.sync += self._slot.eq(0)
        with m.If(self.restart):
            m.d.sync += [self._step.eq(0), self._slot.eq(0)]
        return ending

    def _words(self, m: Module, now: data.View, valid: Value) -> tuple[Value, Value]:
        """(the group takes a word of a stream, the one behind it has the next address)."""
        if self.design.row_bits:
            return self._beside(m, now, valid)
        return (valid & ~self._packed(m, valid) if self._packs else valid), valid

    def _beside(self, m: Module, now: data.View, valid: Value) -> tuple[Value, Value]:
        """As :meth:`_words` where those of the linear output layer have several groups each.

        Groups are counted from the first of a pass on.
        """
        last = self.design.groups_per_word - 1
        linear = (now.sink == Sink.PROJECT) & ~now.write
        count = Signal.like(self.beside)
        m.d.comb += self.beside.eq(Mux(self._started, count, 0))
        ends = ~linear | (self.beside == last)
        with m.If(valid):
            m.d.sync += count.eq(Mux(ends, 0, self.beside + 1))
        with m.If(self.restart):
            m.d.sync += count.eq(0)
        if self._packs:
            m.d.comb += self.packed.eq(self.beside.any())
        return valid & ~self.beside.any(), valid & ends

    def _packed(self, m: Module, valid: Value) -> Value:
        """Whether the group's weights have come with the words before, so that it takes none.

        See :mod:`compiler.lower.packed`. Words are counted from the first group of a pass on.
        """
        most = self.design.packed_words
        words = Signal(range(most + 1))
        m.d.comb += self.packed.eq(self._started & (words == most))
        with m.If(valid):
            dense = self.address >= self.design.indexed
            before = Mux(self._started & ~self.packed, words, 0)
            m.d.sync += words.eq(Mux(dense, Mux(self.packed, 0, before + 1), 0))
        with m.If(self.restart):
            m.d.sync += words.eq(0)
        return self.packed

    def _address(self, m: Module, now: data.View, frame: data.View) -> None:
        """Regions of the vectors, and what the takers of the results are told."""
        self._regions.choose(m, now, frame)
        cell = now.bias
        if self.design.contexts > 1:
            cell = cell | (frame.context << bits_for(self.design.cells))
        m.d.comb += [
            self.group.zero.eq(now.recurrent & frame.first),
            self.sink.eq(now.sink),
            self.update.zero.eq(frame.first),
            self.update.write.eq(now.write),
            self.update.emit.eq(now.emit),
            self.update.final.eq(now.final),
            self.update.beats.eq(now.beats),
            self.update.bias.eq(now.bias),
            self.update.cell.eq(cell),
            self.update.shift.eq(now.shift),
        ]
        if self._streams:
            m.d.comb += [
                self.group.stream.eq(self._streams.stream),
                self.update.again.eq(~self._streams.first),
                self.update.stream.eq(self._streams.stream),
            ]
        if self.design.rectified:
            m.d.comb += self.update.rectify.eq(now.rectify)
        if self.design.wider:
            m.d.comb += self.update.reach.eq(now.reach)


def _waiting_members(design: Design) -> dict[str, wiring.Member]:
    """What is known of the frame that waits, or of those of a batch."""
    if design.batched:
        return {"frame_first": In(design.batch), "frame_mask": In(design.batch)}
    return {"frame_first": In(1), "frame_context": In(context_bits(design))}


def _walk_members(design: Design) -> dict[str, wiring.Member]:
    """What a walk over the memories needs of it."""
    return {
        "walk": In(bits_for(design.matrix_depth * design.pieces)),
        "spare": Out(data.StructLayout({"program": 1, "matrix": 1})),
    }
