"""The processing element: one row of a bank-balanced matrix, one CSB group a cycle."""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from compiler.array.design import Design
from compiler.array.latency import operand_stage, pe_latency, product_delay, read_delay
from compiler.array.widths import operand_bits
from csb_format.fixed import IntArray

from .array.bank import UNGUARDED, element_bank
from .batched.sums import shared_sums
from .layouts import (
    back_layout,
    bank_write_layout,
    entry_layout,
    group_layout,
    result_layout,
    vector_write_layout,
)
from .pipeline import delayed, held, registered

__all__ = ["ProcessingElement"]


class ProcessingElement(wiring.Component):
    """N lanes, an adder tree, an accumulator and the parked sums of its rows.

    Each lane reads its private copy of its vector bank at ``base | index``, so N reads
    never conflict (FPGA'19, the CSB format). Rows follow each other without a bubble.

    Parameters
    ----------
    design : Design

    Members
    -------
    word : In
        A CSB group: N entries of :func:`~hdl.core.layouts.entry_layout`, bank 0 lowest.
    group : In
        Its control, same cycle. One group a cycle, no backpressure.
    write : In
        Writes to the vector banks; seen by reads in later cycles, which are ``read_delay``
        behind their groups. (A deep design registers all inputs first, reads and writes alike.)
    result : Out
        Sum of the last row that was not parked, ``acc_bits`` wide, held until the next.
        It appears ``latency`` cycles after the row's last group. In a design that ``collects``
        those of all gates, as late behind the last row of a round.
    damaged : Out, of a checked design
        An element of a vector that was used had changed in its memory (a pulse).
    back : In, of a design that trains recurrent layers
        :func:`~hdl.core.layouts.back_layout`: gradients that came as a word are kept and met by a
        weight, not by elements of vectors.
    products : Out, likewise
        Of all lanes, two cycles after a word.
    beside : Out
        Where the cell takes sums of the two matrices apart: the parked sum of the last row that
        was ``apart``, from its first group on.
    """

    word: Signal
    group: Signal
    write: Signal
    result: Signal
    damaged: Signal

    read_delay = staticmethod(read_delay)
    operand_stage = staticmethod(operand_stage)
    product_delay = staticmethod(product_delay)
    latency = staticmethod(pe_latency)

    def __init__(self, design: Design):
        self.design = design
        super().__init__(
            {
                "word": In(data.ArrayLayout(entry_layout(design), design.lanes)),
                "group": In(group_layout(design)),
                "write": In(bank_write_layout(design)),
                "result": Out(result_layout(design)),
                **({"beside": Out(signed(design.forward_bits))} if design.arithmetic.apart else {}),
                **({"damaged": Out(1)} if design.checked else {}),
                **(self._back_members(design) if design.backward else {}),
            }
        )

    @staticmethod
    def _back_members(design: Design) -> dict[str, wiring.Member]:
        product = signed(design.value_bits + operand_bits(design))
        products = data.ArrayLayout(product, design.lanes)
        return {"back": In(back_layout(design)), "products": Out(products)}

    def elaborate(self, platform: object) -> Module:
        """Lanes, tree, accumulator; the control travels beside the data."""
        m = Module()
        stage = int(self.design.deep)  # copies of its own: the wires to all PEs are long
        self._word = delayed(m, self.word, stage)
        self._group = delayed(m, self.group, stage, reset=True)
        self._write = delayed(m, self.write, stage)
        self._odd = list[Value]()  # elements that are read, whether their parity is wrong
        products = [self._lane(m, n) for n in range(self.design.lanes)]
        if self.design.checked:
            used = self._group.valid & ~self._group.zero
            late = self.read_delay(self.design) + 1 + self.operand_stage(self.design)
            m.d.sync += self.damaged.eq(delayed(m, used, late, reset=True) & Cat(self._odd).any())
        early = delayed(m, self._group, self.product_delay(self.design) - stage - 1, reset=True)
        group = registered(m, early, reset=True)
        fan_in = self.design.fan_in
        # of a shallow one what the last adders give is aligned in the same cycle
        while len(products) > (fan_in if self.design.shallow else 1):
            products = [
                registered(m, _total(products[i : i + fan_in]))
                for i in range(0, len(products), fan_in)
            ]
            early, group = group, registered(m, group, reset=True)
        aligned = Signal(signed(self.design.acc_bits), reset_less=True)
        m.d.sync += aligned.eq(Mux(group.zero, 0, _total(products) << group.align))
        if self.design.batched:
            shared_sums(m, self.design, aligned, early, group, self.result)
            return m
        self._accumulate(m, aligned, early, group)
        return m

    def _lane(self, m: Module, n: int) -> Signal:
        """A vector bank, a multiplier and its registers."""
        design = self.design
        value = Signal(signed(design.value_bits), name=f"value{n}", reset_less=True)
        bits = design.value_bits + design.act_bits  # of those of the forward pass
        wider = operand_bits(design) if design.backward else design.act_bits
        shape = signed(design.value_bits + wider)
        product = Signal(shape, name=f"product{n}", reset_less=True)
        wait = self.read_delay(design)
        address = delayed(m, self._group.base | self._word[n].index, wait)
        operand = self._bank(m, n, address)
        if design.checked:
            self._odd.append(operand.xor())
            operand = operand[: design.act_bits].as_signed()
        weight = delayed(m, self._word[n].value, wait + self.operand_stage(design))
        if design.backward:
            operand = Mux(self.back.on, self.back.weight, operand).as_signed()
            weight = Mux(self.back.keep, value, weight)
            m.d.comb += self.products[n].eq(product)
        m.d.sync += [value.eq(weight), product.eq(value * operand)]
        # the first register is the multiplier's own, which may be far from the adders
        forward = product[:bits].as_signed() if len(product) > bits else product
        return delayed(m, forward, int(design.deep))

    def _bank(self, m: Module, n: int, address: Value) -> Value:
        """The element at an address, one cycle and a stage later; a memory a place of a row."""
        design = self.design
        ports = design.write_ports
        bits = (ports - 1).bit_length()
        shape = vector_write_layout(design).members["data"].elem_shape
        read_data = []
        for port in range(ports):
            name = f"bank{n}" if ports == 1 else f"bank{n}_{port}"
            at, place = port * design.lanes + n, address >> bits
            read = element_bank(m, design, name, shape, self._write, at, place)
            read_data.append(delayed(m, read, self.operand_stage(design)))
        if ports == 1:
            return read_data[0]
        chosen = delayed(m, address[:bits], 1 + self.operand_stage(design))
        operand = Signal(shape, name=f"operand{n}")
        with m.Switch(chosen):
            for port, element in enumerate(read_data):
                with m.Case(port):
                    m.d.comb += operand.eq(element)
        return operand

    def _accumulate(self, m: Module, aligned: Signal, early: data.View, group: data.View) -> None:
        """Add up a row; park or present the total with its last group.

        ``early`` is what ``group`` is in the next cycle. Between the accumulator's register and
        its adder lies one choice, four inputs a bit. A sum that was parked in the cycle in which
        it is read is still in the accumulator.
        """
        shape = signed(self.design.acc_bits)
        kept = signed(self.design.forward_bits)  # nothing is parked that a learner sums
        # what is read in the cycle that writes it comes from the accumulator instead
        attrs = UNGUARDED if self.design.train else {}
        parked = Memory(shape=kept, depth=self.design.slots, init=[], attrs=attrs)
        m.submodules.parked = parked
        now = registered(m, group, reset=True)
        acc, total = Signal(shape, reset_less=True), Signal(shape)
        parking = now.valid & now.last & now.park
        write = parked.write_port()
        if self.design.deep:
            before = registered(m, parking & (now.slot == early.slot), reset=True)
            old = self._read_early(m, parked, early, group, before, acc)
        else:
            old = self._read_late(m, parked, group, now)
        if self.design.arithmetic.apart:
            old = self._apart(m, old, now)
        parked_now = group.parked & parking & (now.slot == group.slot)
        goes_on = registered(m, ~group.first | parked_now)
        m.d.comb += [
            total.eq(Mux(goes_on, acc, old) + aligned),
            write.addr.eq(now.slot),
            write.data.eq(total),
            write.en.eq(parking),
        ]
        with m.If(now.valid):
            m.d.sync += acc.eq(total)
        done, found = now.valid & now.last & ~now.park, total
        if self.design.deep:
            done, found = registered(m, done, reset=True), acc
        if self.design.collects:
            gate, ready = (delayed(m, v, int(self.design.deep)) for v in (now.gate, now.ready))
            self._collect(m, done, found, gate, ready)
            return
        m.d.comb += self.result.eq(held(m, found, done))

    def _collect(self, m: Module, done: Value, found: Value, gate: Value, ready: Value) -> None:
        """Keep the sum of a gate, and present all of them a cycle after the last.

        So they are held while the sums of the next units come.
        """
        kept = Signal.like(self.result, name="kept", reset_less=True)
        with m.If(done), m.Switch(gate):
            for n in range(self.design.abreast):
                with m.Case(n):
                    m.d.sync += kept[n].eq(found)
        shown = held(m, kept, registered(m, done & ready, reset=True))
        m.d.comb += self.result.eq(shown)

    def _apart(self, m: Module, old: Value, now: data.View) -> Value:
        """Present the sum that a row was parked with instead of going on from it.

        It was parked some slots before, so that it is in the memory.
        """
        found, starts = old, now.valid & now.first & now.apart
        if self.design.deep:  # as late as the row's result
            found = registered(m, found)
            starts = registered(m, starts, reset=True)
        m.d.comb += self.beside.eq(held(m, found, starts))
        return Mux(now.apart, 0, old)

    # The parked sum that a row goes on from, or 0, one cycle after its group. Where the wires are
    # long nothing but a register may lie before the adder.

    def _read_late(self, m: Module, parked: Memory, group: data.View, now: data.View) -> Value:
        """Straight from the memory's output."""
        read = parked.read_port(transparent_for=())
        m.d.comb += read.addr.eq(group.slot)
        return Mux(now.parked, read.data, 0)

    def _read_early(
        self,
        m: Module,
        parked: Memory,
        early: data.View,
        group: data.View,
        before: Value,
        acc: Value,
    ) -> Value:
        """Through a register of its own; ``before``: not yet there, but in ``acc``."""
        read = parked.read_port(transparent_for=())
        m.d.comb += read.addr.eq(early.slot)
        return registered(m, Mux(group.parked, Mux(before, acc, read.data), 0))

    @staticmethod
    def model(values: IntArray, operands: IntArray, align: int, start: IntArray) -> IntArray:
        """Bit-exact sum of rows.

        Parameters
        ----------
        values, operands : int64 arrays (..., groups, lanes)
            Weights, and the vector elements that their indices select.
        align : int
            Left shift of the products, 0..7.
        start : int64 array (...)
            Parked sums, or zero.

        Returns
        -------
        int64 array (...)
            The accumulator, which cannot overflow.
        """
        total: IntArray = np.sum(values * operands, axis=(-2, -1), dtype=np.int64)
        return start + (total << align)


def _total(operands: list[Signal]) -> Value:
    """Sum as a balanced tree."""
    terms: list[Value] = list(operands)
    while len(terms) > 1:
        terms = [
            terms[i] + terms[i + 1] if i + 1 < len(terms) else terms[i]
            for i in range(0, len(terms), 2)
        ]
    return terms[0] if terms else Const(0)
