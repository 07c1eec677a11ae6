"""Blocks that are emitted once and instantiated, and memories that stay outside the Verilog.

Amaranth elaborates every use of a component into a module of its own and writes memory
contents into the Verilog. For arrays of hundreds of PEs both are ruinous, so a block that
occurs often is placed through a :class:`Hierarchy`: on Amaranth's simulator it is an
ordinary submodule, in emitted Verilog an instance of a module that is emitted apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from amaranth.hdl import (
    ClockSignal,
    Elaboratable,
    Instance,
    Module,
    ResetInserter,
    ResetSignal,
    Signal,
    Value,
)
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from compiler.array.design import bits_for
from compiler.array.latency import RAM

from ..prefix import OURS, image_name, named
from .pipeline import delayed

__all__ = ["Hierarchy", "Outline", "Ram"]

RAM_MODULE = "sparseflow_ram"
SINGLE_MODULE = "sparseflow_ram_single"
LOGIC_MODULE = "sparseflow_ram_logic"


class Outline(wiring.Component):
    """The outside of a block: its ports, and an instance of its module inside.

    Parameters
    ----------
    module : str
        Name of the Verilog module.
    block : wiring.Component
        The block whose ports it has.
    clear : Value, optional
        Resets it as well.
    """

    def __init__(self, module: str, block: wiring.Component, clear: Value | None = None):
        self._module, self._clear = module, clear
        super().__init__(block.signature)

    def elaborate(self, platform: object) -> Elaboratable:
        """One ``Instance``; ports are named as Amaranth's Verilog back end names them."""
        reset: Value = ResetSignal()
        if self._clear is not None:
            reset = reset | self._clear
        ports: dict[str, object] = {"i_clk": ClockSignal(), "i_rst": reset}
        for path, member, value in self.signature.flatten(self):
            direction = "i_" if member.flow == wiring.In else "o_"
            ports[direction + "__".join(map(str, path))] = Value.cast(value)
        return Instance(self._module, **ports)


@dataclass
class Hierarchy:
    """How repeated blocks and memories are placed.

    Parameters
    ----------
    instances : bool
        False: submodules and Amaranth memories, for its simulator. True: instances.
    images : bool
        With ``instances``: memories read their ``.mem`` image at start.
    modules : dict
        Filled while elaborating: module name to the block to emit under that name.
    prefix : str
        What names of modules and images begin with; see :mod:`hdl.prefix`.
    """

    instances: bool = False
    images: bool = False
    modules: dict[str, wiring.Component] = field(default_factory=dict)
    prefix: str = OURS

    def named(self, module: str) -> str:
        """The name that a module of ours has here."""
        return named(self.prefix, module)

    def image_file(self, memory: str) -> str:
        """Name of the ``.mem`` file of a memory; none without images."""
        if not self.images:
            return ""
        return f"{image_name(self.prefix, memory)}.mem"

    def place(
        self,
        module: str,
        block: Callable[[], wiring.Component],
        clear: Value | None = None,
    ) -> wiring.Component:
        """A new block, or the outline of the module that one such block becomes.

        ``clear`` resets it as well.
        """
        if not self.instances:
            made = block()
            return made if clear is None else ResetInserter(clear)(made)
        name = self.named(module)
        if name not in self.modules:
            self.modules[name] = block()
        return Outline(name, self.modules[name], clear)


class Ram(wiring.Component):
    """A memory with one write and one read port and an output register.

    Parameters
    ----------
    width, depth : int
        Bits of a word, words.
    hierarchy : Hierarchy
    image : str
        Name of the memory whose image is read at start where the hierarchy asks for images.
    init : sequence of int
        The same contents, for Amaranth's simulator.
    single : bool
        With one port for both: nothing is read while a word is written, and hardware has no
        image at start. Such large memories are what iCE40 has as SPRAM.
    logic : bool
        Synthesis makes it of look-up tables, whatever its size.
    write_stage, read_stage : int
        1 for a register in front of the write or the read port, beside the memory.

    Members
    -------
    write_en, write_addr, write_data : In
        A word written is there for reads addressed ``1 + write_stage`` cycles later.
    read_addr : In
    read_data : Out
        The word addressed ``latency + read_stage`` cycles before. One word a cycle.
    """

    latency = RAM

    write_en: Signal
    write_addr: Signal
    write_data: Signal
    read_addr: Signal
    read_data: Signal

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        hierarchy: Hierarchy,
        image: str = "",
        init: Sequence[int] = (),
        single: bool = False,
        logic: bool = False,
        write_stage: int = 0,
        read_stage: int = 0,
    ):
        self._module = SINGLE_MODULE if single else LOGIC_MODULE if logic else RAM_MODULE
        self._write_stage, self._read_stage = write_stage, read_stage
        self._width, self._depth = width, depth
        self._hierarchy, self._image, self._init = hierarchy, image, init
        super().__init__(
            {
                "write_en": In(1),
                "write_addr": In(bits_for(depth)),
                "write_data": In(width),
                "read_addr": In(bits_for(depth)),
                "read_data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """An Amaranth memory or an instance of a hand-written module."""
        return self._instance() if self._hierarchy.instances else self._memory()

    def _instance(self) -> Elaboratable:
        parameters = {
            "p_WIDTH": self._width,
            "p_DEPTH": self._depth,
            "p_ADDR": bits_for(self._depth),
            "p_INIT": self._hierarchy.image_file(self._image) if self._image else "",
        }
        if self._module != SINGLE_MODULE:
            stages = {"p_WRITE_STAGE": self._write_stage, "p_READ_STAGE": self._read_stage}
            parameters |= {name: stage for name, stage in stages.items() if stage}
        return Instance(
            self._hierarchy.named(self._module),
            **parameters,
            i_clk=ClockSignal(),
            i_write_en=self.write_en,
            i_write_addr=self.write_addr,
            i_write_data=self.write_data,
            i_read_addr=self.read_addr,
            o_read_data=self.read_data,
        )

    def _memory(self) -> Elaboratable:
        m = Module()
        init = [int(word) for word in self._init]
        m.submodules.cells = cells = Memory(shape=self._width, depth=self._depth, init=init)
        write, read = cells.write_port(), cells.read_port()
        m.d.comb += [
            write.en.eq(delayed(m, self.write_en, self._write_stage, reset=True)),
            write.addr.eq(delayed(m, self.write_addr, self._write_stage)),
            write.data.eq(delayed(m, self.write_data, self._write_stage)),
            read.addr.eq(delayed(m, self.read_addr, self._read_stage)),
        ]
        m.d.sync += self.read_data.eq(read.data)
        return m
