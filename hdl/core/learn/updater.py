"""Moves the weights of a PE, one after the other: their masters and arithmetic."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from compiler.array.design import DICE_BITS, Design
from compiler.array.widths import LOW_BITS, MASTER_BITS
from compiler.learn.commands import FACTOR_BITS
from compiler.learn.model import moved, placed_bits
from csb_format.fixed import IntArray

from ..layouts import entry_layout, result_layout

__all__ = ["Updater", "steps_layout"]

STEPS = ("take", "dice", "load", "right", "left", "multiply", "bit", "move", "keep")


def steps_layout() -> data.StructLayout:
    """What all updaters do in a cycle.

    ``take``: the weight of a lane is next; ``dice``: the word has the dice of a row; ``load``: take
    the sum of the weight before that, and its master; ``right``, ``left``: shift the sum by a bit;
    ``multiply`` by a ``bit`` of the rate, the lowest first; ``move``: subtract from the master;
    ``keep``: the weight is the next of the word.
    """
    return data.StructLayout({name: 1 for name in STEPS})


class Updater(wiring.Component):
    """Moves the weights of a word, each in some cycles that all updaters share.

    While the sum of a weight is gathered the one before it moves.

    Parameters
    ----------
    design : Design

    Members
    -------
    steps : In
        :func:`steps_layout`.
    word : In
        From the matrix memory.
    lane : In
        Whose weight is taken.
    sum : In
        Of gradients times inputs, of the weight before the one that was taken last.
    low : In
        Low bits of its master.
    column : In
        Dice of its column.
    index : Out
        Place of the column of the weight that was taken last, where the PE reads the tape.
    value : Out
        That weight.
    kept : Out
        The word, with the last ``lanes`` weights that were kept.
    new_low : Out
        With ``keep``: low bits of the moved master.
    """

    steps: data.View
    word: data.View
    lane: Signal
    sum: Signal
    low: Signal
    column: Signal
    index: Signal
    value: Signal
    kept: data.View
    new_low: Signal

    def __init__(self, design: Design):
        self.design = design
        words = data.ArrayLayout(entry_layout(design), design.lanes)
        super().__init__(
            {
                "steps": In(steps_layout()),
                "word": In(words),
                "lane": In(range(max(2, design.lanes))),
                "sum": In(result_layout(design)),
                "low": In(LOW_BITS),
                "column": In(DICE_BITS),
                "index": Out(design.index_bits),
                "value": Out(signed(design.value_bits)),
                "kept": Out(words),
                "new_low": Out(LOW_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A choice of a lane, a shifter by one, an adder a bit of the rate, and the master."""
        m = Module()
        steps, dice = self.steps, Signal(DICE_BITS, reset_less=True)
        with m.If(steps.dice):
            m.d.sync += dice.eq(Value.cast(self.word))
        old = self._hold(m)
        step = self._multiply(m, dice)
        bits = self.design.value_bits + MASTER_BITS
        master = Signal(signed(bits), reset_less=True)
        with m.If(steps.move):
            m.d.sync += master.eq(_saturated(old - step, bits))
        m.d.comb += self.new_low.eq(master[:LOW_BITS])
        with m.If(steps.keep):
            m.d.sync += self._fresh.eq(Cat(self._fresh, self._weight(master))[len(self.value) :])
        return m

    def _hold(self, m: Module) -> Value:
        """The weight that is taken, those that were kept; the master of the one before."""
        lanes, bits = self.design.lanes, self.design.value_bits
        self._fresh = Signal(lanes * bits, reset_less=True)
        for n in range(lanes):
            m.d.comb += [
                self.kept[n].index.eq(self.word[n].index),
                self.kept[n].value.eq(self._fresh.word_select(n, bits)),
            ]
        before = Signal.like(self.value, reset_less=True)
        with m.If(self.steps.take):
            chosen = self.word[self.lane]
            m.d.sync += [self.index.eq(chosen.index), self.value.eq(chosen.value)]
            m.d.sync += before.eq(self.value)
        weight = Signal(signed(self.design.value_bits), reset_less=True)
        low = Signal(LOW_BITS, reset_less=True)
        with m.If(self.steps.load):
            m.d.sync += [weight.eq(before), low.eq(self.low)]
        # how far above the weight's place, in 256: one more where it saturated, one less below it
        over, half = low[MASTER_BITS] ^ weight[0], low[MASTER_BITS - 1]
        upper = weight + Mux(over, Mux(half, -1, 1), 0)
        return Cat(low[:MASTER_BITS], upper[: self.design.value_bits]).as_signed()

    def _multiply(self, m: Module, dice: Value) -> Value:
        """What the master moves by: (sum * rate + dice) in whole steps, rounded down.

        A bit of the rate a cycle, the lowest first: what falls off below was added exactly.
        """
        steps, bits = self.steps, placed_bits(self.design)
        sums = Signal(signed(bits), reset_less=True)
        total = Signal(signed(max(bits, DICE_BITS) + 2), reset_less=True)
        # one that would leave its bits stays: it moves any master beyond its range as it is, as
        # rates have 15 bits without a 0 above, and bits are 20 more than those of a weight
        fits = sums[-1] == sums[-2]
        with m.If(steps.load):
            m.d.sync += [sums.eq(self.sum), total.eq(dice ^ self.column)]
        with m.Elif(steps.right):
            m.d.sync += sums.eq(sums >> 1)
        with m.Elif(steps.left & fits):
            m.d.sync += sums.eq(sums << 1)
        with m.If(~steps.load & steps.multiply):
            m.d.sync += total.eq((total + Mux(steps.bit, sums, 0)) >> 1)
        return total >> (DICE_BITS - FACTOR_BITS)

    def _weight(self, master: Value) -> Value:
        """The master without its low bits, rounded; the largest saturates."""
        bits = self.design.value_bits
        upper = master >> MASTER_BITS
        largest = upper == (1 << (bits - 1)) - 1
        return Mux(largest, upper, upper + master[MASTER_BITS - 1])

    @staticmethod
    def model(
        masters: IntArray, sums: IntArray, factor: int, dice: IntArray, bits: int
    ) -> IntArray:
        """See :func:`compiler.learn.model.moved`, of placed sums."""
        return moved(masters, sums, factor, dice, bits)


def _saturated(value: Value, bits: int) -> Value:
    """A signed number in fewer bits."""
    outside = value[bits - 1 :]
    fits = ~outside.any() | outside.all()
    clipped = Cat((~value[-1]).replicate(bits - 1), value[-1])
    return Mux(fits, value[:bits], clipped).as_signed()
