# amaranth: UnusedElaboratable=no
"""The top of a board: the accelerator behind a serial line; see docs/link.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amaranth.hdl import ClockSignal, Const, Instance, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from compiler.abi.identity import AXI_MODULE
from compiler.abi.register_text import HEADER_FILE, c_header
from compiler.array.design import Design
from hdl.bus.accelerator import Accelerator
from hdl.bus.axi_lite import axi_lite_members
from hdl.bus.axi_stream import axi_stream
from hdl.core.hierarchy import Hierarchy

from .c_header import LINK_HEADER, link_header
from .link_frames import COUNT, WORD, FrameReceiver, FrameSender, reply_layout
from .protocol import BUS_BITS, INCREMENT, LAST, MAX_WORDS, REPLY, VERSION, Code, Command
from .uart import UartReceiver, UartSender, clocks_per_bit

if TYPE_CHECKING:
    from compiler.lower.image import Image

__all__ = ["LINK_MODULE", "PATIENCE", "LinkMaster", "LinkTop"]

LINK_MODULE = "sparseflow_link"
# Cycles that SEND and RECEIVE wait for a word; the host asks again for what is missing.
PATIENCE = 256


class LinkMaster(wiring.Component):
    """Carries out requests on the accelerator's buses.

    Each request is carried out once: one with the sequence number of the request before is
    answered with the kept reply. Nothing waits without a limit, so a request is always
    answered.

    Parameters
    ----------
    clock_hz : float
        What HELLO tells.
    clocks : int
        Clock cycles of a bit on the line.
    hierarchy : Hierarchy

    Members
    -------
    rx : In
    tx : Out
    led : Out
        Changes with every request that is carried out.
    s_axi, s_axis, m_axis : Out, Out, In
        To the accelerator's buses of these names.
    """

    rx: Signal
    tx: Signal
    led: Signal
    s_axi: wiring.PureInterface
    s_axis: wiring.PureInterface
    m_axis: wiring.PureInterface

    def __init__(self, clock_hz: float, clocks: int, hierarchy: Hierarchy):
        self._clock_hz, self._clocks, self._hierarchy = clock_hz, clocks, hierarchy
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "led": Out(1),
                "s_axi": In(wiring.Signature(axi_lite_members())),
                "s_axis": Out(axi_stream(BUS_BITS)),
                "m_axis": In(axi_stream(BUS_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Line, frames, and a machine with a state for every step of a request."""
        m = Module()
        m.submodules.uart_in = arriving = UartReceiver(self._clocks)
        m.submodules.uart_out = leaving = UartSender(self._clocks)
        m.submodules.receiver = self._receiver = receiver = FrameReceiver(self._hierarchy)
        m.submodules.sender = self._sender = sender = FrameSender(self._hierarchy)
        wiring.connect(m, sender.bytes, leaving.bytes)
        self._reply = reply = Signal(reply_layout())
        self._place = place = Signal(COUNT)
        m.d.comb += [
            arriving.rx.eq(self.rx),
            self.tx.eq(leaving.tx),
            receiver.valid.eq(arriving.valid),
            receiver.data.eq(arriving.data),
            receiver.bad.eq(arriving.bad),
            receiver.address.eq(place),
            sender.address.eq(place),
            sender.reply.eq(reply),
        ]
        self._constants(m)
        self._requests(m)
        return m

    def _constants(self, m: Module) -> None:
        """Signals of the buses that do not change."""
        request, axi = self._receiver.request, self.s_axi
        address, ends = Signal(16), Signal()
        step = Mux(request.argument & INCREMENT, self._place << 2, 0)
        m.d.comb += [
            address.eq((request.argument & (INCREMENT - 1)) + step),
            axi.awaddr.eq(address),
            axi.araddr.eq(address),
            axi.wdata.eq(self._receiver.word),
            axi.wstrb.eq(15),
            axi.bready.eq(1),
            axi.rready.eq(1),
            self.s_axis.tdata.eq(self._receiver.word),
            self.s_axis.tlast.eq(ends),
        ]
        # the place of a word stays for many cycles before the word moves
        m.d.sync += ends.eq((request.argument & LAST).any() & (self._place + 1 == request.count))

    def _requests(self, m: Module) -> None:
        """Judge a request, move its words, answer."""
        receiver, sender, reply = self._receiver, self._sender, self._reply
        alive, owed, again, new = Signal(), Signal(), Signal(), Signal()
        self._start, self._release, self._nak = Signal(), Signal(), Signal(8)
        start = self._start
        m.d.comb += [
            sender.start.eq(start),
            sender.nak.eq(self._nak),
            receiver.release.eq(self._release),
        ]
        m.d.sync += [
            start.eq(0),
            self._release.eq(0),
            new.eq(receiver.request.sequence == (reply.sequence + 1)[:8]),
        ]
        self._waited, self._left = Signal(range(PATIENCE)), Signal(2)
        self._stream_registers(m)
        with m.If(receiver.damaged):
            m.d.sync += owed.eq(1)  # a NAK
        with m.FSM():
            with m.State("rest"), m.If(~sender.busy & ~start):
                m.d.sync += again.eq(receiver.request.sequence == reply.sequence)
                with m.If(receiver.ready):
                    m.d.sync += owed.eq(0)
                    m.next = "judge"
                with m.Elif(owed):
                    m.d.sync += [*self._send(Code.DAMAGED, 0), owed.eq(0)]
            with m.State("judge"):
                self._judge(m, alive, again, new)
            self._words(m)
            self._transfers(m)
            with m.State("answer"):
                m.d.sync += [reply.count.eq(self._place), self.led.eq(~self.led)]
                m.next = "reply"
            with m.State("reply"):
                m.d.sync += self._send(0, 1)
                m.next = "rest"
        with_words = [Command.HELLO, Command.READ, Command.RECEIVE]
        carried = [reply.command == (REPLY | command) for command in with_words]
        m.d.comb += sender.words.eq(Mux(_any(carried), reply.count, 0))

    def _send(self, nak: int | Value, release: int) -> list[Any]:
        """Send the kept reply, or a NAK; listen again."""
        return [self._start.eq(1), self._nak.eq(nak), self._release.eq(release)]

    def _judge(self, m: Module, alive: Signal, again: Signal, new: Signal) -> None:
        """New, a repetition, or out of order."""
        reply, request = self._reply, self._receiver.request
        hello = request.command == Command.HELLO
        with m.If(hello | (alive & new)):
            m.d.sync += [
                alive.eq(1),
                reply.sequence.eq(request.sequence),
                reply.command.eq(request.command | REPLY),
                reply.code.eq(Code.OK),
                reply.flags.eq(Mux(hello, VERSION, 0)),
                self._place.eq(0),
            ]
            m.next = "begin"
        with m.Else():
            m.d.sync += self._send(Mux(alive & again, 0, Code.SEQUENCE), 1)
            m.next = "rest"

    def _words(self, m: Module) -> None:
        """Begin each command, or refuse it; wait for a word of the request."""
        receiver, reply, request = self._receiver, self._reply, self._receiver.request
        # a request stays as it is while it is judged: its sizes are compared a cycle before
        empty, short, whole = Signal(), Signal(), Signal()
        m.d.sync += [
            empty.eq(receiver.words == 0),
            short.eq(request.count <= MAX_WORDS),
            whole.eq(receiver.words == request.count),
        ]
        fits = {
            Command.HELLO: empty,
            Command.READ: empty & short,
            Command.WRITE: whole,
            Command.SEND: whole,
            Command.RECEIVE: empty & short,
        }
        with m.State("begin"), m.Switch(request.command):
            for command, fitting in fits.items():
                with m.Case(command):
                    m.next = "hello" if command == Command.HELLO else "next"
                    with m.If(~fitting):
                        m.d.sync += reply.code.eq(Code.LENGTH)
                        m.next = "answer"
            with m.Default():
                m.d.sync += reply.code.eq(Code.UNKNOWN)
                m.next = "answer"
        with m.State("hello"):
            m.d.comb += [
                self._sender.word.eq(Const(round(self._clock_hz), WORD)),
                self._sender.write_en.eq(1),
            ]
            m.d.sync += self._place.eq(1)
            m.next = "answer"
        with m.State("next"):
            m.d.sync += self._left.eq(3)
            m.next = "fetch"
            with m.If(self._place == request.count):
                m.next = "answer"
        with m.State("fetch"):
            m.d.sync += self._left.eq(self._left - 1)
            with m.If(self._left == 0), m.Switch(request.command):
                for command in list(Command)[1:]:
                    with m.Case(command):
                        m.next = command.name.lower()

    def _transfers(self, m: Module) -> None:
        """One word over a bus; no wire goes through from a bus to the next state's choice."""
        axi, sender, accepted = self.s_axi, self._sender, Signal()
        sent = Signal(2)
        with m.State("read"):
            m.d.comb += axi.arvalid.eq(1)
            with m.If(axi.arready):
                m.next = "read answer"
        with m.State("read answer"):
            m.d.sync += accepted.eq(axi.rresp == 0)
            with m.If(axi.rvalid):
                m.d.comb += [sender.word.eq(axi.rdata), sender.write_en.eq(1)]
                m.next = "moved"
        with m.State("write"):
            m.d.comb += [axi.awvalid.eq(~sent[0]), axi.wvalid.eq(~sent[1])]
            m.d.sync += [
                sent.eq(sent | axi.awready | axi.wready << 1),
                accepted.eq(axi.bresp == 0),
            ]
            with m.If(axi.bvalid):
                m.d.sync += sent.eq(0)
                m.next = "moved"
        self._streams(m)
        with m.State("moved"):
            m.next = "next"
            with m.If(accepted):
                m.d.sync += self._place.eq(self._place + 1)
            with m.Else():
                m.d.sync += self._reply.code.eq(Code.REFUSED)
                m.next = "answer"

    def _stream_registers(self, m: Module) -> None:
        """What lies between the streams and the machine: offered, asked for, moved."""
        self._offered, self._asked, self._moved = Signal(), Signal(), Signal()
        out, back = self.s_axis, self.m_axis
        m.d.comb += [out.tvalid.eq(self._offered), back.tready.eq(self._asked)]
        m.d.sync += [
            self._moved.eq((self._offered & out.tready) | (self._asked & back.tvalid)),
            self._waited.eq(self._waited - 1),
        ]
        with m.If(out.tready):
            m.d.sync += self._offered.eq(0)
        with m.If(back.tvalid):
            m.d.sync += self._asked.eq(0)

    def _streams(self, m: Module) -> None:
        """SEND and RECEIVE: offer or ask; go on with the next word, or give up for now."""
        for command, flag in (("send", self._offered), ("receive", self._asked)):
            with m.State(command):
                m.d.sync += [flag.eq(1), self._waited.eq(PATIENCE - 1)]
                m.next = f"{command} wait"
            with m.State(f"{command} wait"):
                self._keep(m)
                with m.If(self._moved):
                    m.next = "streamed"
                with m.Elif(self._waited == 0):
                    m.d.sync += flag.eq(0)
                    m.next = "late"
        with m.State("late"):  # it may have moved at the last moment
            m.next = "answer"
            with m.If(self._moved):
                m.next = "streamed"
        with m.State("streamed"):
            m.d.sync += self._place.eq(self._place + 1)
            m.next = "next"

    def _keep(self, m: Module) -> None:
        """A word that arrives."""
        back, sender = self.m_axis, self._sender
        m.d.comb += [sender.word.eq(back.tdata), sender.write_en.eq(self._asked & back.tvalid)]
        with m.If(self._asked & back.tvalid):
            m.d.sync += self._reply.flags.eq(Mux(back.tlast, LAST, 0))


class LinkTop(wiring.Component):
    """What a board needs but its clock: the accelerator behind a serial line.

    Parameters
    ----------
    design : Design
    image : Image, optional
        Contents of the memories at start; any other model can be loaded later.
    clock_hz : float
    baud : int
        Of the line; at least four clock cycles a bit.
    hierarchy : Hierarchy, optional
        As for the core. It has to make instances: the accelerator has the clock's wire as a
        port, which Amaranth's own simulator would see an instant late.

    Members
    -------
    rx : In
    tx : Out
    led : Out
        Changes with every request.

    Raises
    ------
    DesignError
        If the clock cannot divide down to ``baud``.
    """

    rx: Signal
    tx: Signal
    led: Signal

    def __init__(
        self,
        design: Design,
        image: Image | None = None,
        clock_hz: float = 100e6,
        baud: int = 1_000_000,
        hierarchy: Hierarchy | None = None,
    ):
        self.design = design
        self.hierarchy = hierarchy or Hierarchy(instances=True, images=image is not None)
        if not self.hierarchy.instances:
            raise ValueError("LinkTop needs a hierarchy with instances: it is for Verilog")
        self._master = LinkMaster(clock_hz, clocks_per_bit(clock_hz, baud), self.hierarchy)
        self._accelerator = Accelerator(
            design, image, self.hierarchy, in_bits=BUS_BITS, out_bits=BUS_BITS
        )
        self._name = self.hierarchy.named(AXI_MODULE)
        self.hierarchy.modules.setdefault(self._name, self._accelerator)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "led": Out(1)})

    def companions(self) -> dict[str, str]:
        """Files that lie beside its Verilog: C headers of registers and link."""
        return {HEADER_FILE: c_header(), LINK_HEADER: link_header()}

    def elaborate(self, platform: object) -> Module:
        """The two, and the wires between them."""
        m = Module()
        m.submodules.master = master = self._master
        m.d.comb += [master.rx.eq(self.rx), self.tx.eq(master.tx), self.led.eq(master.led)]
        running = Signal()  # low in reset, and a register: its wires are long
        m.d.sync += running.eq(1)
        ports: dict[str, object] = {"i_aclk": ClockSignal(), "i_aresetn": running}
        for bus in ("s_axi", "s_axis", "m_axis"):
            block = getattr(master, bus)
            for name in block.signature.members:
                path = f"{bus}_{name}"
                into = self._accelerator.signature.members[path].flow is In
                ports[f"{'i' if into else 'o'}_{path}"] = getattr(block, name)
        ports["o_irq"] = Signal(name="irq")
        m.submodules.accelerator = Instance(self._name, **ports)
        return m


def _any(conditions: list[Value]) -> Value:
    found = conditions[0]
    for condition in conditions[1:]:
        found = found | condition
    return found
