"""The accelerator on standard buses: AXI4-Lite registers, AXI4-Stream in and out, interrupt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amaranth.hdl import (
    Cat,
    ClockDomain,
    Const,
    DomainRenamer,
    Elaboratable,
    Module,
    Mux,
    Signal,
    Value,
)
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from compiler.abi.identity import counters_of, identity
from compiler.abi.packing import check_bus_bits
from compiler.abi.register_text import HEADER_FILE, c_header
from compiler.abi.registers import (
    CHECKED,
    COUNTERS,
    PLANES,
    REGISTERS,
    SCREEN,
    SCREEN_COUNTERS,
    TRAIN,
    WALK,
)
from compiler.array.design import Design
from compiler.lower.load import Space, header

from ..core.core import Core
from ..core.hierarchy import Hierarchy
from ..core.layouts import damage_layout, events_layout
from .axi_lite import AxiLiteSlave, axi_lite_members
from .axi_stream import FrameInput, StateOutput
from .planes import join_planes, plane_ports
from .register_file import Counters, RegisterFile

if TYPE_CHECKING:
    from compiler.lower.image import Image

__all__ = ["CORE_MODULE", "Accelerator"]

CORE_MODULE = "sparseflow"
# From a word on `load` to the loader's fault, with room for registers in between; a program
# takes longer to fetch its first instruction.
LOAD_FAULT = 4
# Cycles after a start or a reset in which no packet may begin: until the core has forgotten
# the old program and `halted` tells of the new one.
SETTLE = 15
# Cycles that `s_axis` waits after the last frame before it gives words to the loader, as many as a
# register's write takes.
CALM = 3


class Accelerator(wiring.Component):
    """:class:`~hdl.core.core.Core` with registers, packets, errors and recovery.

    Parameters
    ----------
    design : Design
    image : Image, optional
        As for the core.
    hierarchy : Hierarchy, optional
        As for the core, which is placed through it as module ``sparseflow``, or as its prefix says.
    in_bits, out_bits : int
        Bits of ``tdata`` of ``s_axis`` and ``m_axis``: 32, 64, ... 1024.

    Members
    -------
    aclk, aresetn : In
        Clock of all buses; reset, synchronous, active low.
    s_axi_* : AXI4-Lite slave
        The registers of :mod:`compiler.abi.registers`.
    s_axis_* : AXI4-Stream slave
        Packets of frames, :class:`~hdl.bus.axi_stream.FrameInput`.
    m_axis_* : AXI4-Stream master
        Packets of states, :class:`~hdl.bus.axi_stream.StateOutput`.
    s_axis_matrix_* : AXI4-Stream slave, of a streamed design
        Words of the matrix memories; ``tuser`` marks the first of an image, there is no ``tlast``.
    m_axi_planes_* : AXI4 read master, of a design with a screen unit whose planes lie outside
        See :class:`~hdl.core.screen.fetched.unit.FetchedScreen`.
    irq : Out
        Level, while an enabled bit of ``irq_status`` is set.

    Raises
    ------
    DesignError
        If a bus cannot have this width.
    """

    aclk: Signal
    aresetn: Signal
    irq: Signal

    def __init__(
        self,
        design: Design,
        image: Image | None = None,
        hierarchy: Hierarchy | None = None,
        *,
        in_bits: int = 64,
        out_bits: int = 64,
    ):
        check_bus_bits("in_bits", in_bits)
        check_bus_bits("out_bits", out_bits)
        self.design, self.hierarchy = design, hierarchy or Hierarchy()
        self._widths = in_bits, out_bits
        # registers that not all have
        there = {
            CHECKED: design.checked, WALK: design.walk, TRAIN: design.train,
            SCREEN: design.screen, PLANES: design.plane_bits,
        }  # fmt: skip
        self.features = tuple(name for name, has in there.items() if has)
        self._core = self.hierarchy.place(CORE_MODULE, lambda: self._core_of(image))
        self._input, self._output = FrameInput(design, in_bits), StateOutput(design, out_bits)
        members = {"aclk": In(1), "aresetn": In(1), "irq": Out(1)}
        members |= {f"s_axi_{name}": flow for name, flow in axi_lite_members().items()}
        members |= _flat("s_axis", self._input.axis.signature)
        members |= _flat("m_axis", self._output.axis.signature)
        super().__init__(members | self._beside() | plane_ports(design))

    def _core_of(self, image: Image | None) -> Core:
        """The core inside."""
        return Core(self.design, image, self.hierarchy)

    def _beside(self) -> dict[str, Any]:
        """Members besides those that every accelerator has."""
        if not self._streamed:
            return {}
        bits = len(self._core.matrix.payload.words)
        words = {"s_axis_matrix_tdata": In(-(-bits // 8) * 8), "s_axis_matrix_tuser": In(1)}
        return words | {"s_axis_matrix_tvalid": In(1), "s_axis_matrix_tready": Out(1)}

    @property
    def _streamed(self) -> bool:
        return "matrix" in self._core.signature.members

    def elaborate(self, platform: object) -> Module:
        """Blocks, their wires, and the rules of starting, stopping and recovering."""
        m = Module()
        self._soft_reset, self._learning = Signal(init=1), Signal()
        self._clocks(m)
        m.submodules.core = DomainRenamer("core")(self._core)
        m.submodules.input, m.submodules.output = self._input, self._output
        m.submodules.slave = slave = AxiLiteSlave()
        m.submodules.registers = self._registers = registers = RegisterFile(
            {"start": self.design.program_depth}, self.design.counter_bits, self.features
        )
        kept = counters_of(self.design)
        m.submodules.counters = self._counters = Counters(self.design.counter_bits, kept)
        wiring.connect(m, slave.registers, registers.bus)
        self._take_frames(m)
        self._give_states(m)
        self._pins(m, slave)
        # registers between the core and the rules about it
        awake = ~self._soft_reset  # what the core says as it is reset nobody wants to know
        self._halted = _before(m, self._core.halted)
        self._fault = _before(m, self._core.fault & awake)
        events = Value.cast(self._core.events)
        self._events = data.View(events_layout(), _before(m, events & awake.replicate(len(events))))
        self._constants(m)
        self._load(m)
        busy = self._under_way(m)
        stuck = self._watch(m, busy)
        self._recover(m, busy, stuck)
        self._report(m, busy, stuck)
        self._count(m, busy)
        return m

    def _clocks(self, m: Module) -> None:
        """The buses' clock, and a domain for the core that a soft reset clears as well.

        Its reset is a register alone, as it goes everywhere: that of the buses begins a soft one.
        """
        sync, core = ClockDomain("sync"), ClockDomain("core", local=True)
        sync.clk = core.clk = self.aclk
        m.domains += sync, core
        m.d.comb += [sync.rst.eq(~self.aresetn), core.rst.eq(self._soft_reset)]

    def _pins(self, m: Module, slave: AxiLiteSlave) -> None:
        """Ports to and from the blocks."""
        _wire(m, self, "s_axi", slave.bus)
        _wire(m, self, "s_axis", self._input.axis)
        _wire(m, self, "m_axis", self._output.axis)
        self._memory(m)
        screen, blocks = self.design.screen, (self, self._core, self._registers)
        join_planes(m, screen, *blocks, self._soft_reset)

    def _memory(self, m: Module) -> None:
        """Where the words of a streamed matrix come from."""
        if self._streamed:
            matrix = self._core.matrix
            m.d.comb += [
                matrix.payload.words.eq(self.s_axis_matrix_tdata),
                matrix.payload.first.eq(self.s_axis_matrix_tuser),
                matrix.valid.eq(self.s_axis_matrix_tvalid),
                self.s_axis_matrix_tready.eq(matrix.ready),
            ]

    def _take_frames(self, m: Module) -> None:
        """Frames to the core; in a deep design no wire goes through from it to the bus."""
        source, sink = self._input.frames, self._core.frames
        if self.design.deep:
            m.submodules.arriving = _queue(m, source, sink)
        else:
            wiring.connect(m, source, sink)

    def _give_states(self, m: Module) -> None:
        """Beats from the core; likewise. A soft reset clears what lies between."""
        source, sink = self._core.states, self._output.states
        # of sums of columns is told as they leave the core
        if self.design.deep and not self.design.backward:
            # a block memory answers late: the wire from it to the queue would be too long
            m.submodules.leaving = _queue(m, _registered(m, source), sink)
        else:
            wiring.connect(m, source, sink)

    def _constants(self, m: Module) -> None:
        """Registers that tell what this hardware is."""
        for name, values in identity(self.design, *self._widths, self.features).items():
            word = Value.cast(getattr(self._registers, name))
            m.d.comb += word.eq(REGISTERS[name].encode(**values))
        if self.design.train:
            m.d.comb += [
                Value.cast(self._registers.learnt).eq(self._core.learnt),
                self._learning.eq(_before(m, self._core.learning)),
            ]
        if self.design.backward:
            m.d.comb += self._output.sums.eq(self._core.learning)

    def companions(self) -> dict[str, str]:
        """Files that lie beside its Verilog: the C header of its registers."""
        return {HEADER_FILE: c_header()}

    def _load(self, m: Module) -> None:
        """Words from the bus to the loader; a start is the packet that starts.

        A soft reset halts the core; what ran before is started again, at address 0.
        """
        registers, load, ran = self._registers, self._core.load, Signal()
        self._loading = registers.load_write | registers.start_write
        start = header(Space.START) | registers.start.address
        word: Value = Mux(registers.load_write, registers.load.word, start)
        for valid, other in self._words():
            self._loading, word = self._loading | valid, Mux(valid, other, word)
        with m.If(~self._core.halted & ~self._soft_reset):
            m.d.sync += ran.eq(1)
        valid = self._loading | (self._soft_reset & ran)
        if self.design.checked:  # behind a start, its check word, which is the same
            again = _before(m, registers.start_write | (self._soft_reset & ran))
            self._loading, valid = self._loading | again, valid | again
            word = Mux(again, load.payload, word)
        m.d.sync += [load.valid.eq(valid), load.payload.eq(word)]

    def _words(self) -> list[tuple[Value, Value]]:
        """Other sources of words for the loader: whether one comes, the word."""
        return [(self._input.load, self._input.word)] if self.design.train else []

    def _occupied(self) -> list[Value]:
        """Reasons besides frames why memories must not be loaded nor packets begin."""
        return [self._learning, self._input.loading] if self.design.train else []

    def _under_way(self, m: Module) -> Signal:
        """Whether a packet or a frame is anywhere between the two streams."""
        busy, self._frames = Signal(), Signal(16)
        left = self._output.states.valid & self._output.states.ready
        left &= Value.cast(self._output.states.payload)[-1]
        if self.design.backward:  # columns' sums are no frame
            left &= ~self._core.learning
        change = Cat(self._input.begun, left)
        if self.design.deep:  # a packet that comes or leaves keeps it busy meanwhile
            change = _before(m, change)
        m.d.sync += self._frames.eq(self._frames + change[0] - change[1])
        with m.If(self._soft_reset):
            m.d.sync += self._frames.eq(0)
        m.d.comb += busy.eq(self._input.busy | self._frames.any() | self._output.busy)
        return busy

    def _watch(self, m: Module, busy: Signal) -> Signal:
        """High when the core has owed a transfer for too long."""
        core, timeout = self._core, self._registers.timeout.cycles
        leaving = self._output.states
        left, stuck = Signal.like(timeout), Signal()
        blocked = self._output.axis.tvalid & ~self._output.axis.tready
        moved = core.frames.valid & core.frames.ready | leaving.valid & leaving.ready
        owed = core.frames.valid | (self._frames.any() & ~self._event("wait_frame"))
        m.d.comb += stuck.eq((left == 1) & (timeout != 0))
        calm = ~owed | moved | blocked
        with m.If(_before(m, calm) | self._soft_reset):
            m.d.sync += left.eq(timeout)
        with m.Elif(left > 1):
            m.d.sync += left.eq(left - 1)
        return stuck

    def _recover(self, m: Module, busy: Signal, stuck: Signal) -> None:
        """Soft reset, starts, and when packets may begin."""
        longest = SETTLE + self.design.program_pieces - 1
        registers, settle = self._registers, Signal(range(longest + 1), init=longest)
        self._timed_out = Signal()
        renewed = self._soft_reset | registers.start_write
        m.d.sync += self._soft_reset.eq(registers.control.soft_reset)
        self._settling = settle != 0
        with m.If(self._settling):
            m.d.sync += settle.eq(settle - 1)
        with m.If(self._loading | renewed):
            m.d.sync += settle.eq(longest)
        with m.If(renewed):
            m.d.sync += self._timed_out.eq(0)
        with m.Elif(stuck):
            m.d.sync += self._timed_out.eq(1)
        new_source = Signal()
        # a write sees `busy` as it is: no packet begins in the cycle in which it happens
        shut = self._settling | registers.writing | renewed | self._loading | self._core.halted
        refusing: Value = busy
        for reason in self._occupied():
            shut, refusing = shut | reason, refusing | reason
        m.d.sync += [
            new_source.eq(registers.control.new_source),
            self._input.open.eq(~shut),
            self._input.stop.eq(self._core.fault | self._timed_out),
        ]
        m.d.comb += [
            registers.busy.eq(refusing),
            self._input.beats.eq(registers.frame.beats),
            self._input.reset.eq(self._soft_reset),
            self._input.new_source.eq(new_source),
            self._output.reset.eq(self._soft_reset),
        ]
        if self.design.train:  # the last frame has left some cycles ago
            calm = Signal(CALM)
            m.d.sync += calm.eq(Cat(~busy, calm))
            m.d.comb += self._input.quiet.eq(~busy & calm.all() & ~self._learning)

    def _report(self, m: Module, busy: Signal, stuck: Signal) -> None:
        """Status, errors and interrupts."""
        registers = self._registers
        kept, enabled = Value.cast(registers.irq_status), Value.cast(registers.irq_enable)
        errors, events = self._errors(m, stuck), self._happened(m, busy)
        m.d.comb += [
            Value.cast(registers.errors_set).eq(self._word("errors", errors)),
            Value.cast(registers.irq_status_set).eq(self._word("irq_status", events)),
            self.irq.eq((kept & enabled).any()),
        ]
        m.d.sync += Value.cast(registers.status).eq(self._word("status", self._status(busy)))
        if self.design.walk:
            m.d.sync += registers.walk.walks.eq(self._core.walks)

    def _word(self, name: str, bits: dict[str, Value]) -> Value:
        """A register's one-bit fields, those not given 0."""
        there = {field.offset: field.name for field in self._registers.declared[name].fields}
        named = (there.get(offset, "") for offset in range(max(there) + 1))
        return Cat(bits.get(field, Const(0)) for field in named)

    def _errors(self, m: Module, stuck: Value) -> dict[str, Value]:
        """Bits of ``errors`` to set; a fault soon after a loaded word is a packet's."""
        loaded, window = self._core.load.valid, Signal(LOAD_FAULT)
        m.d.sync += window.eq(Cat(loaded, window))
        faulty = self._fault & ~_before(m, self._fault)
        misaligned: Value = Const(0)
        if self._streamed:
            misaligned = _before(m, self._core.misaligned)
            faulty &= ~misaligned
            misaligned &= ~_before(m, misaligned)
        changed: dict[str, Value] = {}
        if PLANES in self.features:
            strange = _before(m, Value.cast(self._core.planes_errors).any())
            changed["planes"] = strange & ~_before(m, strange)
        if self.design.checked:
            damage = _before(m, Value.cast(self._core.damage))
            faulty &= ~damage.any()
            new = damage & ~_before(m, damage)
            changed |= {name: new[n] for n, name in enumerate(damage_layout(self.design).members)}
        return changed | {
            "load": faulty & window.any(),
            "program": faulty & ~window.any(),
            "misaligned": misaligned,
            # a header is known late in a cycle: what it says of errors is told in the next
            "header": _before(m, self._input.bad_header),
            "short": _before(m, self._input.short),
            "timeout": stuck & ~self._timed_out,
        }

    def _status(self, busy: Signal) -> dict[str, Value]:
        return {
            "halted": self._halted,
            "fault": self._fault,
            "busy": busy,
            "discarding": self._input.discarding | self._input.stop,
            "stopped": self._input.stop,
            "error": Value.cast(self._registers.errors).any(),
            "irq": self.irq,
            "settling": self._settling | self._loading | self._learning,
        }

    def _happened(self, m: Module, busy: Value) -> dict[str, Value]:
        """Bits of ``irq_status`` to set."""
        errors = Value.cast(self._registers.errors)
        return {
            "frame": self._output.frame,
            "idle": _before(m, busy) & ~busy,
            "halted": self._halted & ~_before(m, self._halted),
            "error": (errors & ~_before(m, errors)).any(),
        }

    def _event(self, name: str) -> Value:
        """An event of the core."""
        return Value.cast(getattr(self._events, name))

    def _count(self, m: Module, busy: Signal) -> None:
        """What each counter counts."""
        arriving, leaving = self._input.axis, self._output.axis
        events: dict[str, Any] = {
            "cycles": Const(1),
            "busy_cycles": busy,
            "frames_in": self._input.begun,
            "frames_out": self._output.frame,
            "input_stalls": arriving.tvalid & ~arriving.tready,
            "output_stalls": leaving.tvalid & ~leaving.tready,
        }
        counted = Cat(events[name] if name in events else self._event(name) for name in COUNTERS)
        clear: Value = self._registers.control.clear_counters
        if self.design.deep:
            counted, clear = _before(m, counted), _before(m, clear)
        m.d.comb += [
            self._counters.events.eq(counted),
            self._counters.clear.eq(clear),
            self._registers.counters.eq(self._counters.values),
        ]
        if self.design.screen:
            self._count_screened(m, clear)

    def _count_screened(self, m: Module, clear: Value) -> None:
        """What the screen unit has read for the frames whose last result has left."""
        states = self._core.states
        ended = states.valid & states.ready & Value.cast(states.payload)[-1]
        for name in SCREEN_COUNTERS:
            total = getattr(self._registers, f"screen_{name}").count
            now = Signal.like(total, name=f"screened_{name}")
            m.d.comb += total.eq(now)
            with m.If(clear):
                m.d.sync += now.eq(0)
            with m.Elif(ended):
                m.d.sync += now.eq(now + self._core.counts[name])


def _flat(prefix: str, signature: wiring.Signature) -> dict[str, wiring.Member]:
    """Members with the names of the standard; ``signature`` is seen from our side."""
    return {f"{prefix}_{name}": member for name, member in signature.members.items()}


def _wire(m: Module, top: Accelerator, prefix: str, block: wiring.PureInterface) -> None:
    """Join a block's bus to the ports of the same names."""
    for name, member in block.signature.members.items():
        port, pin = getattr(top, f"{prefix}_{name}"), getattr(block, name)
        m.d.comb += pin.eq(port) if member.flow is wiring.In else port.eq(pin)


def _registered(m: Module, source: stream.Interface) -> stream.Interface:
    """The stream behind a register in the core's domain: a cycle later, a payload a cycle."""
    payload = source.payload
    later = stream.Signature(payload.shape()).create()
    kept, valid = Signal.like(payload, reset_less=True), Signal()
    m.d.comb += [
        later.payload.eq(kept),
        later.valid.eq(valid),
        source.ready.eq(~valid | later.ready),
    ]
    with m.If(source.ready):
        m.d.core += [kept.eq(payload), valid.eq(source.valid)]
    return later


def _queue(m: Module, source: stream.Interface, sink: stream.Interface) -> Elaboratable:
    """Two places between streams, in the core's domain."""
    queue = SyncFIFO(width=len(Value.cast(source.payload)), depth=2)
    m.d.comb += [
        queue.w_data.eq(Value.cast(source.payload)),
        queue.w_en.eq(source.valid),
        source.ready.eq(queue.w_rdy),
        Value.cast(sink.payload).eq(queue.r_data),
        sink.valid.eq(queue.r_rdy),
        queue.r_en.eq(sink.ready),
    ]
    return DomainRenamer("core")(queue)


def _before(m: Module, signal: Value) -> Signal:
    """The signal a cycle ago."""
    earlier = Signal(len(signal))
    m.d.sync += earlier.eq(signal)
    return earlier
