"""Runs the program: issues CSB groups and waits for frames, hidden states and room."""

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from csb_format.design import Design, bits_for

from .hierarchy import Ram
from .layouts import aligns_layout, group_layout, instruction_layout, update_layout
from .program import Op

__all__ = ["Controller"]


class Controller(wiring.Component):
    """Fetches instructions and issues one CSB group a cycle.

    The next instruction is fetched while one runs, so passes of at least ``fetch``
    cycles follow each other without a gap.

    Parameters
    ----------
    design : Design

    Members
    -------
    pc : Out, instruction : In
        Program memory: the word at ``pc`` arrives ``Ram.latency`` cycles later.
    restart, restart_pc : In
        Start (again) at an address; the accelerator must be idle.
    frame_ready, frame_first : In; frame_take, frame_release : Out
        The :class:`~hdl.frames.FrameLoader`; release comes with the issue of the frame's
        last group.
    frame_beats, frame_bases : Out
        What ``SETUP`` said.
    address : Out
        Word of the matrix memories; ``group`` is its control, in the same cycle, but for
        its ``align``: ``aligns`` has one for the PEs of each gate.
    slot_last, slot_first : Out
        With the last group of an element-wise slot: it is the pass's last, first.
    update : Out
        The element-wise pass that runs.
    finishing : In
        The last element-wise pass may be read from the next cycle on.
    room : In
        Free beats of the output buffer not yet promised; ``promise`` : Out takes
        ``update.units`` of them as an element-wise pass starts.
    halted, fault : Out
        At ``HALT``; sticky, until a restart, after an operation code that does not exist.
    """

    fetch = Ram.latency + 1

    pc: Signal
    instruction: Signal
    restart: Signal
    restart_pc: Signal
    frame_ready: Signal
    frame_first: Signal
    frame_take: Signal
    frame_release: Signal
    frame_beats: Signal
    frame_bases: Signal
    address: Signal
    group: Signal
    aligns: Signal
    slot_first: Signal
    slot_last: Signal
    update: Signal
    finishing: Signal
    room: Signal
    promise: Signal
    halted: Signal
    fault: Signal

    def __init__(self, design: Design):
        self.design = design
        vector, program = bits_for(design.vector_depth), bits_for(design.program_depth)
        super().__init__(
            {
                "pc": Out(program),
                "instruction": In(instruction_layout(design)),
                "restart": In(1),
                "restart_pc": In(program),
                "frame_ready": In(1),
                "frame_first": In(1),
                "frame_take": Out(1),
                "frame_release": Out(1),
                "frame_beats": Out(vector),
                "frame_bases": Out(data.ArrayLayout(vector, 2)),
                "address": Out(bits_for(design.matrix_depth)),
                "group": Out(group_layout(design)),
                "aligns": Out(aligns_layout()),
                "slot_first": Out(1),
                "slot_last": Out(1),
                "update": Out(update_layout(design)),
                "finishing": In(1),
                "room": In(bits_for(design.output_depth + 1)),
                "promise": Out(bits_for(design.cells + 1)),
                "halted": Out(1),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Fetch, then walk slots and groups of a pass."""
        m = Module()
        now = Signal(instruction_layout(self.design))
        self._slot = Signal(range(self.design.slots))
        self._step = Signal.like(now.interval)
        loaded = Signal()  # `now` holds an instruction that has not ended
        done = Signal()  # ... and ends in this cycle
        self._fetch(m, now, loaded, done)
        issuing, starting = self._start(m, now, loaded)
        ending = self._walk(m, now, issuing, starting)
        with m.Switch(now.op):
            with m.Case(Op.SETUP):
                m.d.comb += done.eq(loaded)
                with m.If(loaded):
                    m.d.sync += [
                        self.frame_beats.eq(now.frame_beats),
                        self.frame_bases.eq(now.frame_bases),
                    ]
            with m.Case(Op.PASS):
                m.d.comb += done.eq(ending)
            with m.Case(Op.HALT):
                m.d.comb += self.halted.eq(loaded)
            with m.Default(), m.If(loaded):
                m.d.sync += self.fault.eq(1)
        with m.If(self.restart):
            # no frame is taken before the new program's SETUP has said how long it is
            m.d.sync += [self.fault.eq(0), self.frame_beats.eq(0)]
        return m

    def _fetch(self, m: Module, now: data.View, loaded: Signal, done: Signal) -> None:
        """Load `now` when the last instruction has ended and its successor has arrived."""
        age = Signal(range(Ram.latency + 1))  # cycles since pc changed, up to the latency
        arrived = age == Ram.latency
        with m.If(~arrived):
            m.d.sync += age.eq(age + 1)
        with m.If(done):
            m.d.sync += loaded.eq(0)
        with m.If((~loaded | done) & arrived):
            m.d.sync += [
                now.eq(self.instruction),
                loaded.eq(1),
                self.pc.eq(self.instruction.next),
                age.eq(0),
            ]
        with m.If(self.restart):
            m.d.sync += [loaded.eq(0), self.pc.eq(self.restart_pc), age.eq(0)]

    def _start(self, m: Module, now: data.View, loaded: Signal) -> tuple[Value, Value]:
        """(a pass issues in this cycle, it starts in this cycle)."""
        started, pending, first = Signal(), Signal(), Signal()
        frame_there = ~now.wait_frame | self.frame_ready
        h_there = ~now.elementwise | (~pending & (self.room >= now.units))
        starting = loaded & (now.op == Op.PASS) & ~started & frame_there & h_there
        issuing = starting | started
        with m.If(starting):
            m.d.sync += started.eq(1)
        with m.If(issuing & self._pass_ends(now)):
            m.d.sync += started.eq(0)
        with m.If(self.finishing):
            m.d.sync += pending.eq(0)
        with m.If(starting & now.wait_frame):
            m.d.comb += self.frame_take.eq(1)
            m.d.sync += first.eq(self.frame_first)
        with m.If(starting & now.elementwise):
            m.d.comb += self.promise.eq(now.units)
            m.d.sync += [
                pending.eq(1),
                self.update.zero.eq(first),
                self.update.units.eq(now.units),
                self.update.base.eq(now.target),
                self.update.shift.eq(now.shift),
            ]
        m.d.comb += self.group.zero.eq(first & now.elementwise)
        return issuing, starting

    def _pass_ends(self, now: data.View) -> Value:
        return (self._slot == now.slots - 1) & (self._step == now.interval - 1)

    def _walk(self, m: Module, now: data.View, issuing: Value, starting: Value) -> Value:
        """Step through slots and groups; the result is high in the pass's last cycle."""
        place = Signal.like(self.address)
        address = Signal.like(self.address)
        row_ends = self._step == now.interval - 1
        ending = issuing & self._pass_ends(now)
        valid = issuing & (self._step < now.groups)
        m.d.comb += [
            address.eq(Const(0)),
            self.address.eq(address),
            self.group.valid.eq(valid),
            self.group.first.eq(self._step == 0),
            self.group.last.eq(self._step == now.groups - 1),
            self.group.parked.eq(now.parked),
            self.group.park.eq(~now.elementwise),
            self.group.base.eq(now.source),
            self.group.slot.eq(self._slot),
            self.aligns.eq(now.align),
            self.slot_first.eq(self._slot == 0),
            self.slot_last.eq(self._slot == now.slots - 1),
            self.frame_release.eq(ending & now.release_frame),
        ]
        with m.If(starting):
            m.d.comb += address.eq(now.matrix)
        with m.Else():
            m.d.comb += address.eq(place)
        with m.If(issuing):
            m.d.sync += [place.eq(address + valid), self._step.eq(self._step + 1)]
            with m.If(row_ends):
                m.d.sync += [self._step.eq(0), self._slot.eq(self._slot + 1)]
            with m.If(ending):
                m.d.sync += self._slot.eq(0)
        return ending
