"""Turns bus words into groups of any width, without a bit between them."""

from math import gcd

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from compiler.array.design import bits_for
from csb_format.scales import DesignError

from ..core.hierarchy import Hierarchy
from ..core.layouts import words_layout
from .beat_fifo import BeatFifo

__all__ = ["Column", "Gearbox", "Ratio"]

COLUMN_MODULE = "sparseflow_column"
MARK_MODULE = "sparseflow_mark"

ROWS = 16  # of the ring, where nobody says otherwise


class Ratio:
    """Group and bus word in pieces of their greatest common divisor.

    Parameters
    ----------
    group_bits, data_bits : int
        Width of a group, any; of a bus word, a power of two.

    Attributes
    ----------
    piece : int
        Bits of a piece, a power of two.
    group, word : int
        Pieces of a group, of a bus word.
    groups_a_row : int
        Groups that lie side by side in a row, so that a row is no narrower than a bus word.
    row : int
        Pieces of a row.
    """

    def __init__(self, group_bits: int, data_bits: int):
        self.piece = gcd(group_bits, data_bits)
        self.group, self.word = group_bits // self.piece, data_bits // self.piece
        self.groups_a_row = -(-self.word // self.group)
        self.row = self.groups_a_row * self.group


class Column(wiring.Component):
    """A small memory that is read without a clock, as look-up tables are.

    Parameters
    ----------
    width, rows : int
        Bits of a word, words.

    Members
    -------
    write_en, write_row, write_data : In
        A word written is there in the next cycle.
    read_row : In
    read_data : Out
        The word of ``read_row``, in the same cycle.
    """

    write_en: Signal
    write_row: Signal
    write_data: Signal
    read_row: Signal
    read_data: Signal

    def __init__(self, width: int, rows: int):
        self._width, self._rows = width, rows
        super().__init__(
            {
                "write_en": In(1),
                "write_row": In(range(rows)),
                "write_data": In(width),
                "read_row": In(range(rows)),
                "read_data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A memory with one write and one read port."""
        m = Module()
        m.submodules.cells = cells = Memory(shape=self._width, depth=self._rows, init=[])
        write, read = cells.write_port(), cells.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.write_en),
            write.addr.eq(self.write_row),
            write.data.eq(self.write_data),
            read.addr.eq(self.read_row),
            self.read_data.eq(read.data),
        ]
        return m


class Gearbox(wiring.Component):
    """A ring of rows of pieces: a bus word is written at any piece, a group read as a whole.

    A word goes through a rotation by ``word - 1`` pieces at most (none where the bus width
    divides the group) and into columns one piece wide, each a memory of its own: the word's
    pieces lie in different columns, so each has one write port. A group's pieces lie in one
    row. The ring holds ``rows`` rows, so the taker may pause for that long before the bus does.

    Parameters
    ----------
    group_bits, data_bits : int
    rows : int, optional
        A power of two of at least 4: below that, a group could not leave while the next
        arrives at the rate of the bus.
    hierarchy : Hierarchy, optional

    Members
    -------
    beats : In, stream of :meth:`~hdl.dram.beat_fifo.BeatFifo.layout`
        ``last`` ends an image; the next beat is the start of its first group.
    padding : In
        Bits at the top of the last beat that belong to no group, a multiple of ``piece``.
    groups : Out, stream of :func:`~hdl.core.layouts.words_layout`
        Bits in the order of the beats, lowest first; ``first`` marks the first group of an image,
        and after ``clear``. One group a cycle where they are there.
    clear : In
        Forget everything; nothing is taken or offered meanwhile.

    Raises
    ------
    DesignError
        If the number of rows is not possible.
    """

    # from the cycle in which a group's last beat is taken to the first in which it is offered
    latency = 1

    beats: stream.Interface
    padding: Signal
    groups: stream.Interface
    clear: Signal

    def __init__(
        self,
        group_bits: int,
        data_bits: int,
        rows: int = ROWS,
        hierarchy: Hierarchy | None = None,
    ):
        if rows < 4 or rows & (rows - 1):
            raise DesignError(f"rows = {rows}: must be a power of two of at least 4")
        self.ratio, self.rows = Ratio(group_bits, data_bits), rows
        self._hierarchy = hierarchy or Hierarchy()
        self._level = Signal(range(self.pieces + 1))
        super().__init__(
            {
                "beats": In(stream.Signature(BeatFifo.layout(data_bits))),
                "padding": In(bits_for(data_bits)),
                "groups": Out(stream.Signature(words_layout(group_bits))),
                "clear": In(1),
            }
        )

    @property
    def level(self) -> Signal:
        """Pieces that are in the ring."""
        return self._level

    @property
    def pieces(self) -> int:
        """Pieces that the ring holds."""
        return self.rows * self.ratio.row

    def elaborate(self, platform: object) -> Module:
        """A count of pieces guards the ring; the writer's place and the reader's follow it."""
        m = Module()
        ratio = self.ratio
        level = self._level
        written, taken = Signal(), Signal()
        m.d.comb += [
            self.beats.ready.eq((level <= self.pieces - ratio.word) & ~self.clear),
            self.groups.valid.eq((level >= ratio.group) & ~self.clear),
            written.eq(self.beats.valid & self.beats.ready),
            taken.eq(self.groups.valid & self.groups.ready),
        ]
        padding = self.padding[ratio.piece.bit_length() - 1 :]
        count = Signal(range(ratio.word + 1))
        m.d.comb += count.eq(ratio.word - Mux(self.beats.payload.last, padding, 0))
        m.d.sync += level.eq(level + Mux(written, count, 0) - Mux(taken, ratio.group, 0))
        row, column = self._writer(m, written, count)
        read_row, read_group = self._reader(m, taken)
        begins = Signal(init=1)  # the next word is the first of an image
        cells, marks = self._columns(m, written, row, column, read_row, begins)
        groups = [Cat(cells[at : at + ratio.group]) for at in range(0, ratio.row, ratio.group)]
        with m.Switch(read_group):
            for number, group in enumerate(groups):
                with m.Case(number):
                    m.d.comb += [
                        self.groups.payload.words.eq(group),
                        self.groups.payload.first.eq(marks[number]),
                    ]
        with m.If(written):
            m.d.sync += begins.eq(self.beats.payload.last)
        with m.If(self.clear):
            m.d.sync += begins.eq(1)
            m.d.sync += [s.eq(0) for s in (level, row, column, read_row, read_group)]
        return m

    def _writer(self, m: Module, written: Value, count: Value) -> tuple[Signal, Signal]:
        """Row and column of the next word's first piece."""
        row, column = Signal(range(self.rows)), Signal(range(self.ratio.row))
        after = column + count
        with m.If(written):
            with m.If(after >= self.ratio.row):
                m.d.sync += [column.eq(after - self.ratio.row), row.eq(row + 1)]
            with m.Else():
                m.d.sync += column.eq(after)
        return row, column

    def _reader(self, m: Module, taken: Value) -> tuple[Signal, Signal]:
        """Row of the next group, and its place there."""
        row, group = Signal(range(self.rows)), Signal(range(max(2, self.ratio.groups_a_row)))
        with m.If(taken):
            with m.If(group == self.ratio.groups_a_row - 1):
                m.d.sync += [group.eq(0), row.eq(row + 1)]
            with m.Else():
                m.d.sync += group.eq(group + 1)
        return row, group

    def _columns(
        self,
        m: Module,
        written: Value,
        row: Signal,
        column: Signal,
        read_row: Signal,
        begins: Signal,
    ) -> tuple[list[Value], list[Value]]:
        """The pieces of ``read_row``, and of each of its groups whether it is an image's first.

        A word is written from ``column`` on, into the next row.

        Column j gets piece ``(j - column) mod word`` of the word, or, if the word wraps,
        piece ``(j + row - column) mod word``: both come out of one rotation.
        """
        pieces = self._rotated(m, column)
        ratio, cells, marks = self.ratio, [], []
        for j in range(ratio.row):
            m.submodules[f"column{j}"] = cell = self._hierarchy.place(
                COLUMN_MODULE, lambda: Column(ratio.piece, self.rows)
            )
            here, wrapped = self._hits(column, j)
            straight, around = pieces[j % ratio.word], pieces[(j + ratio.row) % ratio.word]
            m.d.comb += [
                cell.write_en.eq(written & (here | wrapped)),
                cell.write_row.eq(Mux(wrapped, row + 1, row)),
                cell.write_data.eq(Mux(wrapped, around, straight)),
                cell.read_row.eq(read_row),
            ]
            cells.append(cell.read_data)
            if j % ratio.group == 0:
                marks.append(self._mark(m, cell, f"mark{j}", begins & (column == j)))
        return cells, marks

    def _mark(self, m: Module, cell: Column, name: str, value: Value) -> Value:
        """A bit beside a column, written and read with it."""
        m.submodules[name] = mark = self._hierarchy.place(MARK_MODULE, lambda: Column(1, self.rows))
        for port in ("write_en", "write_row", "read_row"):
            m.d.comb += getattr(mark, port).eq(getattr(cell, port))
        m.d.comb += mark.write_data.eq(value)
        return mark.read_data

    def _hits(self, column: Signal, j: int) -> tuple[Value, Value]:
        """Whether a word from ``column`` on covers column j of its row, of the next row."""
        if self.ratio.word == 1:
            return column == j, Const(0)
        end = column + self.ratio.word
        return (column <= j) & (j < end), j + self.ratio.row < end

    def _rotated(self, m: Module, column: Signal) -> list[Value]:
        """The word's pieces, piece i at ``(i + column) mod word``: a stage for every bit."""
        ratio, word = self.ratio, self.beats.payload.data
        for bit in range(ratio.word.bit_length() - 1):
            turned = Signal.like(word, name=f"turned{bit}")
            by = column[bit] if bit < len(column) else 0
            m.d.comb += turned.eq(Mux(by, word.rotate_left(ratio.piece << bit), word))
            word = turned
        return [word.word_select(i, ratio.piece) for i in range(ratio.word)]
