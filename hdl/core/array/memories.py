"""The memories of the core: who writes them, and what is looked at as they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from compiler.array.design import Design
from compiler.lower.load import WALK_WORDS, Space, space_depths, space_widths

from ..guards.walk import MemoryWalk, walked
from ..hierarchy import Hierarchy, Ram
from ..learn.array import LearningArray
from ..loader import Loader
from ..pipeline import delayed
from ..sequencer import Sequencer

if TYPE_CHECKING:
    from compiler.lower.image import Image

__all__ = ["Memories"]


class Memories:
    """Makes memories, and joins what writes and guards them.

    Parameters
    ----------
    m : Module
        Of the core.
    design : Design
    image : Image, optional
        Contents at start.
    hierarchy : Hierarchy
    loader : Loader
    rows : View, optional
        :func:`~hdl.core.layouts.rows_layout`, beside the loader.

    Attributes
    ----------
    learning : LearningArray, optional
        Of a design that trains.
    walk : MemoryWalk
        Of a design with ``walk``.
    clear : Signal
        Of what is under way.
    changed : list of Value
        Each is high in a cycle after a word of another parity was used.
    """

    walk: MemoryWalk

    def __init__(
        self,
        m: Module,
        design: Design,
        image: Image | None,
        hierarchy: Hierarchy,
        loader: Loader,
        rows: data.View | None = None,
    ):
        self._m, self.design, self._image, self.hierarchy = m, design, image, hierarchy
        self.loader, self._rows, self.clear = loader, rows, loader.clear
        self.learning = LearningArray(design, hierarchy) if design.train else None
        self.changed = list[Value]()
        if design.walk:
            self._start_walk()

    def ram(self, kind: str, space: Space, target: int = 0) -> Ram:
        """A memory that the loader writes, with its image."""
        name = f"{kind}_{target:03d}" if space is not Space.PROGRAM else kind
        design, loader = self.design, self.loader
        ram = Ram(
            space_widths(design)[space],
            space_depths(design)[space],
            hierarchy=self.hierarchy,
            image=name,
            init=self._image.memories[name] if self._image else (),
            single=design.compact and space == Space.MATRIX,
            logic=space == Space.MATRIX and target >= design.pes - design.spread,
            write_stage=int(design.deep),
            read_stage=int(design.deep and space in (Space.MATRIX, Space.INDEX)),
        )
        chosen, word = loader.space == space, loader.write_data
        if self.learning and space is Space.MATRIX:
            chosen, word = self.learning.loaded(loader)
        chosen = chosen & (loader.target == target)
        write = loader.write_en & chosen, loader.write_addr, word
        if self._rows is not None and space is Space.MATRIX:
            write = self._row_write(self._rows, target, *write)
        if self.learning and space in (Space.MATRIX, Space.MASTER):
            write = self.learning.write(space, target, *write)
        ports = ram.write_en, ram.write_addr, ram.write_data
        self._m.d.comb += [port.eq(value) for port, value in zip(ports, write, strict=True)]
        return ram

    def _row_write(
        self, rows: data.View, pe: int, en: Value, addr: Value, word: Value
    ) -> tuple[Value, ...]:
        """A write of a PE's matrix memory by the loader, or with those of all others."""
        mine = rows.words.word_select(pe, space_widths(self.design)[Space.MATRIX])
        return en | rows.en, Mux(rows.en, rows.row, addr), Mux(rows.en, mine, word)

    def low_bits(self, pe: int) -> Value:
        """Of the master that is worked on, from the memory beside a PE's matrix."""
        m = self._m
        m.submodules[f"master{pe}"] = low = self.ram("master", Space.MASTER, pe)
        assert self.learning
        m.d.comb += low.read_addr.eq(self.learning.sequencer.place)
        return low.read_data

    def _start_walk(self) -> None:
        """The walk, its memory, and what it hears of the loader; others give it words to read."""
        m, loader = self._m, self.loader
        m.submodules.walk = self.walk = walk = MemoryWalk(
            self.design, filled=self._image is not None
        )
        m.submodules.walk_told = told = self.ram("walk", Space.WALK)
        written = (
            loader.write_en & Cat(loader.space == space for space in walked(self.design)).any()
        )
        m.d.comb += [
            walk.written.eq(written if self._rows is None else written | self._rows.en),
            walk.filled.eq(
                loader.write_en
                & (loader.space == Space.WALK)
                & (loader.write_addr == WALK_WORDS - 1)
            ),
            told.read_addr.eq(walk.told_address),
            walk.told.eq(told.read_data),
            walk.clear.eq(self.clear),
        ]

    def shared(self, address: Value, space: Space) -> Value:
        """The address of a memory, or that of the walk while it reads it."""
        if not self.design.walk:
            return address
        return Mux(self.walk.reading[space.name.lower()], self.walk.address, address)

    def walks_with(self, space: Space, spare: Value, words: Value) -> None:
        """Let the walk read memories when they are spare; what all of a space give."""
        if self.design.walk:
            name = space.name.lower()
            self._m.d.comb += [
                self.walk.spare[name].eq(spare),
                self.walk.words[name].eq(words),
            ]

    def used(self, word: Value, when: Value) -> None:
        """Look at a word of a memory, parity included, as it is used."""
        m = self._m
        odd = Signal(name=f"odd{len(self.changed)}")
        m.d.sync += odd.eq(word.xor() & when)
        with m.If(self.clear):
            m.d.sync += odd.eq(0)
        self.changed.append(odd)

    def dealt(self, sequencer: Sequencer) -> Value:
        """Whether the word of a bias memory that comes now is used."""
        return delayed(self._m, sequencer.deal, Ram.latency, reset=True, clear=self.clear)

    def bare(self, word: Value) -> Value:
        """A word of a memory without its parity."""
        return word[:-1] if self.design.checked else word
