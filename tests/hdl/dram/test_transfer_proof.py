"""A woven transfer gives each word once and in order, whoever pauses: in every cycle.

The reader is one that gives the beats that were asked for, at any time, and the gearbox one that
takes beats and gives groups at any time: what both do with them is proved in
``test_streamed_proof``. Beats say which they are; their order is the compiler's. How many words and
rows a transfer has is given, when its beats come and go is not.
"""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Array, Assert, Assume, Module, Signal, Value
from amaranth.lib import wiring

from compiler.abi.dma import weave
from compiler.abi.dma_registers import Kind
from compiler.array.design import Design
from compiler.lower.load import WORD
from hdl.core.hierarchy import Hierarchy
from hdl.dram.reader import ReadBus
from hdl.dram.transfer import State, Transfers
from sim.check.proof import ProofError
from sim.check.reachable import prove_always
from tests.hdl.free_block import FreeBlock

TINY = Design(4, 1, 1, 1, 4, 4, 2, 2, 2, 1, 4, 6, program_depth=2)
BUS = ReadBus(64, 14, 2, 2, 4)
SIZE = BUS.beat_bytes


class Stub(wiring.Component):
    """Ports of a block, some of them driven from elsewhere."""

    def __init__(self, like: wiring.Component):
        self.drives: list[Any] = []
        super().__init__(like.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.drives
        return m


def beats_of(words: int, rows: int) -> list[tuple[bool, int]]:
    """As the compiler weaves them: whether a beat is one of words, and which of its kind it is."""
    row_beats = b"".join((1 << 63 | n).to_bytes(SIZE, "little") for n in range(rows))
    woven = weave(row_beats, range(words), BUS.data_bits)
    beats = [int.from_bytes(woven[at : at + SIZE], "little") for at in range(0, len(woven), SIZE)]
    kinds = [not beat >> 63 for beat in beats]
    return [(kind, kinds[:n].count(kind)) for n, kind in enumerate(kinds)]


class Woven(FreeBlock):
    """Transfers of words among rows, one after the other."""

    def __init__(self, words: int, rows: int, make: type[Transfers] = Transfers):
        block = make(TINY, BUS, Hierarchy())
        level = len(block._gear.level)
        self.reader = block._reader = Stub(block._reader)
        self.gear = block._gear = Stub(block._gear)
        self._words, self._rows, self._beats = words, rows, beats_of(words, rows)
        kinds = "".join("w" if kind else "r" for kind, _ in self._beats)
        self._early = kinds.rstrip("w").count("w") * (BUS.data_bits // WORD)  # words among rows
        super().__init__(block, offers=1, takes=1, gives=1, level=level)
        self.gear.level = self.level

    def state(self, m: Module, block: Transfers) -> None:
        self._asked(m, block)
        # beats taken; words, beats of rows and groups given
        at, word, row, group = (Signal(5) for _ in range(4))
        worded = self._feed(m, at)
        beats, gear, words = self.reader.beats, self.gear.beats, block._splitter.beats
        taken, to_rows = beats.valid & beats.ready, gear.valid & gear.ready
        to_words, last = words.valid & words.ready, row == self._rows - 1
        m.d.sync += [at.eq(at + taken), row.eq(row + to_rows)]
        m.d.sync += [word.eq(word + block.load_valid), group.eq(group + block.rows.en)]
        with m.If(self.reader.start):
            m.d.sync += [count.eq(0) for count in (at, word, row, group)]
        written, ended = (row == self._rows) & ~self.gives, Signal()
        m.d.sync += ended.eq(written & ~self.reader.start)
        m.d.comb += [
            # groups fit, and are whole
            Assume(~(self.gives & (group == TINY.matrix_depth))),
            Assume((row != self._rows) | self.gives | (self.level == 0)),
            Assume(~(ended & self.gives)),
            Assert(~taken | ((to_words == worded) & (to_rows == ~worded))),
            Assert(taken | ~(to_words | to_rows)),
            Assert(~to_rows | ((gear.payload.data[:5] == row) & (gear.payload.last == last))),
            Assert(~block.load_valid | ((block.load_word[:5] == word) & (word < self._words))),
            # the last words, with the start, come when all rows are written
            Assert(~block.load_valid | (word < self._early) | written),
            Assert(~block.done | ((word == self._words) & (row == self._rows))),
            Assert(~block.failed),
        ]

    def _feed(self, m: Module, at: Value) -> Value:
        """Whether the beat that comes next is one of words."""
        beats = self.reader.beats
        worded, ordinal = Signal(), Signal(4)
        rows = [*zip(*self._beats, strict=True)]
        m.d.comb += [worded.eq(Array(rows[0])[at]), ordinal.eq(Array(rows[1])[at])]
        low = Signal(5)
        m.d.comb += low.eq(ordinal << worded)
        self.reader.drives += [
            beats.valid.eq(self.offers & (at < len(self._beats))),
            beats.payload.data.word_select(0, WORD).eq(low),
            beats.payload.data.word_select(1, WORD).eq(low | 1),
            beats.payload.last.eq(at == len(self._beats) - 1),
        ]
        self.gear.drives += [
            self.gear.beats.ready.eq(self.takes),
            self.gear.groups.valid.eq(self.gives),
        ]
        return worded

    def _asked(self, m: Module, block: Transfers) -> None:
        """A transfer that fits, when the one before it is done."""
        first = block.first
        entry = [
            (first.start.kind, Kind.ROWS),
            (first.base.low, 0),
            (first.base_high.high, 0),
            (first.length.bytes, SIZE * len(self._beats)),
            (first.padding.bits, 0),
            (first.row.row, 0),
            (first.words.count, self._words),
        ]
        m.d.comb += [Assume(~block.start | (field == value)) for field, value in entry]
        m.d.comb += [Assume(~(block.loading & block.start)), Assume(~block.stop)]


class Hasty(Transfers):
    """A mutant: words wait for no rows."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If((self._state == State.MOVE) & ~self._gear.beats.valid):
            m.d.comb += self._splitter.beats.valid.eq(self._reader.beats.valid)
        return m


# words fewer than a tail and more, an odd number, none; rows that end before the words and after
@pytest.mark.quick(2)
@pytest.mark.parametrize(("words", "rows"), [(13, 4), (14, 1), (3, 3), (9, 5), (0, 3), (12, 0)])
def test_each_word_and_each_row_comes_once_and_in_order(words: int, rows: int) -> None:
    prove_always(Woven(words, rows))


@pytest.mark.slow
def test_the_proof_finds_words_that_come_too_early() -> None:
    with pytest.raises(ProofError, match="assertions fail"):
        prove_always(Woven(13, 4, Hasty), timeout=20)
