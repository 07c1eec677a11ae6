"""The registers in hardware, from their declaration."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from compiler.abi.registers import COUNTERS, Access, Register, Word, registers_of

from ..core.pipeline import registered
from .axi_lite import register_bus

__all__ = ["COUNTER_BITS", "Counters", "RegisterFile", "word_layout"]

COUNTER_BITS = 64


def word_layout(word: Word) -> data.Layout:
    """A word's fields where its declaration puts them."""
    fields = {field.name: data.Field(field.width, field.offset) for field in word.fields}
    return data.FlexibleLayout(32, fields)


class Counters(wiring.Component):
    """Counts events, one for each of ``compiler.abi.registers.COUNTERS``.

    Parameters
    ----------
    bits : int
        Of a counter, after which it starts from 0 again.
    kept : collection of str
        Counters that are there; the others stay 0.

    Members
    -------
    events : In
        A bit for each counter, in their order: count this cycle.
    clear : In
        All to 0.
    values : Out
        ``bits`` each; an event shows one cycle later.
    """

    events: Signal
    clear: Signal
    values: data.View

    def __init__(self, bits: int = COUNTER_BITS, kept: Collection[str] = COUNTERS) -> None:
        count, self._kept = len(COUNTERS), kept
        super().__init__(
            {
                "events": In(count),
                "clear": In(1),
                "values": Out(data.ArrayLayout(bits, count)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Independent counters."""
        m = Module()
        for i, (name, event) in enumerate(zip(COUNTERS, self.events, strict=True)):
            if name in self._kept:
                with m.If(event):
                    m.d.sync += self.values[i].eq(self.values[i] + 1)
        with m.If(self.clear):
            m.d.sync += self.values.eq(0)
        return m


class RegisterFile(wiring.Component):
    """All registers but the counters' values.

    Parameters
    ----------
    limits : mapping of str to int, optional
        Of a register the least value that is refused.
    counter_bits : int
        Of :class:`Counters`, 32 to 64; bits above read as 0.
    features : collection of str
        What the accelerator has beside what all have; see
        :func:`compiler.abi.registers.registers_of`.

    Members
    -------
    bus : In
        :func:`hdl.bus.axi_lite.register_bus`.
    NAME : In for read-only, Out for all other registers
        Its fields (:func:`word_layout`). Of a write-only register it holds what is being
        written while ``NAME_write`` is high, and only then anything but 0.
    NAME_set : In, of registers cleared by writing 1
        Bits to set; setting wins over clearing.
    NAME_write : Out, of write-only registers
        One cycle for each write that was accepted.
    busy : In
        Refuse writes to the registers that need an idle accelerator. What is idle has to stay so
        from the cycle after ``writing`` was low to the write.
    writing : Out
        A write is in one of the two cycles before it happens.
    counters : In
        Values of :class:`Counters`.
    """

    def __init__(
        self,
        limits: Mapping[str, int] | None = None,
        counter_bits: int = COUNTER_BITS,
        features: Collection[str] = (),
    ) -> None:
        self._limits, self._counter_bits = limits or {}, counter_bits
        self.declared = registers_of(features)
        members: dict[str, Any] = {
            "bus": In(register_bus()),
            "busy": In(1),
            "writing": Out(1),
            "counters": In(data.ArrayLayout(counter_bits, len(COUNTERS))),
        }
        for register in self._plain():
            layout = word_layout(register)
            if register.access is Access.READ:
                members[register.name] = In(layout)
                continue
            members[register.name] = Out(layout, init=_reset(register))
            if register.access is Access.CLEAR:
                members[f"{register.name}_set"] = In(layout)
            if register.access is Access.WRITE:
                members[f"{register.name}_write"] = Out(1)
        # read by everyone, written here
        members["rejected"] = Out(word_layout(self.declared["rejected"]))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Decode; a cycle later refuse and read, and one more write."""
        m = Module()
        bus = self.bus
        self._asked = registered(m, bus.write, reset=True)
        self._reading = registered(m, bus.read, reset=True)
        self._decode(m)
        strobe = Cat(bit.replicate(8) for bit in bus.write_strobe)
        refused = self._refused(m)
        m.d.comb += [
            self.writing.eq(bus.write | self._asked),
            bus.write_error.eq(registered(m, refused)),
        ]
        for register in self._plain():
            if register.writable:
                hit = self._asked & self._write_at[register.name] & ~refused
                chosen = registered(m, hit, reset=True)
                self._write(m, register, chosen, bus.write_data & strobe, strobe)
        self._read(m)
        return m

    def _decode(self, m: Module) -> None:
        """Which register the addresses of a cycle ago are; what need not be told apart is not."""
        write, read = self._decoded(m, self.bus.write_addr), self._decoded(m, self.bus.read_addr)
        every = self.declared.values()
        constant = _any(write[r.name] for r in every if not r.writable)
        readable = _any(read[r.name] for r in every if r.readable)
        self._write_at = {r.name: registered(m, write[r.name]) for r in every if r.writable}
        self._read_at = {r.name: registered(m, read[r.name]) for r in every if r.readable}
        self._constant, self._unreadable = registered(m, constant), registered(m, ~readable)

    def _plain(self) -> list[Register]:
        """Registers that are no counters."""
        counters = {name + suffix for name in COUNTERS for suffix in ("", "_high")}
        return [register for name, register in self.declared.items() if name not in counters]

    def _decoded(self, m: Module, address: Value) -> dict[str, Signal]:
        """For each register whether the address is its own."""
        found = {name: Signal(name=f"at_{name}") for name in self.declared}
        for name, hit in found.items():
            m.d.comb += hit.eq(address[2:] == self.declared[name].address >> 2)
        return found

    def _refused(self, m: Module) -> Value:
        """Whether to refuse the write; notes the last refused access, and why, as it happens."""
        bus = self.bus
        at = self._write_at
        whole = _any(hit for name, hit in at.items() if self.declared[name].whole)
        idle = _any(hit for name, hit in at.items() if self.declared[name].idle)
        why = {
            "bad_address": ~_any(at.values()) & ~self._constant,
            "read_only": self._constant,
            "partial": whole & ~bus.write_strobe.all(),
            "busy": idle & self.busy,
            "value": _any(at[r] & (bus.write_data >= end) for r, end in self._limits.items()),
        }
        refused, misread = Signal(), Signal()
        m.d.comb += [
            refused.eq(_any(why.values())),
            misread.eq(self._reading & self._unreadable),
        ]
        self._rejections = {
            name: registered(m, self._asked & reason, reset=True) for name, reason in why.items()
        }
        with m.If(_any(self._rejections.values())):
            m.d.sync += [self.rejected.address.eq(bus.write_addr), self.rejected.write.eq(1)]
        with m.Elif(misread):
            m.d.sync += [self.rejected.address.eq(bus.read_addr), self.rejected.write.eq(0)]
        self._rejections["bad_address"] |= misread
        return refused

    def _write(
        self, m: Module, register: Register, chosen: Value, written: Value, strobe: Value
    ) -> None:
        """What a write does to one register."""
        word = Value.cast(getattr(self, register.name))
        mask = sum(field.mask for field in register.fields)
        if register.access is Access.WRITE:
            m.d.comb += [
                getattr(self, f"{register.name}_write").eq(chosen),
                word.eq(Mux(chosen, written & mask, 0)),
            ]
        elif register.access is Access.BOTH:
            with m.If(chosen):
                m.d.sync += word.eq(((word & ~strobe) | written) & mask)
        else:
            new = Value.cast(getattr(self, f"{register.name}_set"))
            if register.name == "errors":
                new = new | self._access_errors()
            m.d.sync += word.eq((word & ~Mux(chosen, written, 0)) | (new & mask))

    def _access_errors(self) -> Value:
        """Bits of `errors` for accesses that were refused."""
        errors = self.declared["errors"]
        return _any(bit << errors.field(name).offset for name, bit in self._rejections.items())

    def _read(self, m: Module) -> None:
        """The read multiplexer, and the high word that a counter's low word keeps."""
        bits = self._counter_bits
        bus, kept = self.bus, Signal(bits - 32)
        words = {r.name: Value.cast(getattr(self, r.name)) for r in self._plain() if r.readable}
        at = self._read_at
        counter = _any(
            self.counters[i] & at[name].replicate(bits) for i, name in enumerate(COUNTERS)
        )
        high = _any(at[f"{name}_high"] for name in COUNTERS)
        word = _any(word & at[name].replicate(len(word)) for name, word in words.items())
        m.d.sync += [
            bus.read_data.eq(word | counter[:32] | (kept & high.replicate(len(kept)))),
            bus.read_error.eq(self._unreadable),
        ]
        with m.If(self._reading & _any(at[name] for name in COUNTERS)):
            m.d.sync += kept.eq(counter[32:])


def _any(terms: Iterable[Value]) -> Value:
    return reduce(or_, terms, Const(0))


def _reset(register: Register) -> dict[str, int]:
    return {field.name: field.reset for field in register.fields}
