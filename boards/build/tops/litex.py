"""The wrapper of a top for LiteX: a module of Python that lies beside the Verilog.

It knows the ports of its accelerator and nothing of Sparseflow, so that a system that is built
from LiteX needs only the folder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from compiler.array.screen.design import PLANES_PORTS
from hdl.prefix import OURS, named
from hdl.verilog import VerilogFiles

__all__ = ["LITEX", "fits_litex", "litex_wrapper"]

LITEX = f"{OURS}_litex"
TEXT = '''"""{module} in a LiteX SoC, written by Sparseflow; its page is docs/integration.md.

Needs litex and migen, and this folder; nothing of Sparseflow.
"""

from pathlib import Path

from litex.gen import LiteXModule
from litex.soc.cores.dma import WishboneDMAReader, WishboneDMAWriter
from litex.soc.integration.soc import SoCRegion
from litex.soc.interconnect import axi, wishbone
from litex.soc.interconnect.csr_eventmanager import EventManager, EventSourceLevel
from migen import ClockSignal, Instance, ResetSignal, Signal

MODULE = "{module}"
SOURCES = {sources}
PORTS = {ports}  # name: direction as Instance has it, bits
PAGE = 4096  # bytes of its registers


class Sparseflow(LiteXModule):
    """Registers{port}, and an engine of LiteX for each stream.

    `registers` is an AXI4-Lite slave{memory_said}.
    `reader` sends packets from memory to `s_axis`, `writer` takes those of `m_axis`; both are
    Wishbone masters with registers of their own. `ev.line` is the interrupt.
    """

    def __init__(self, platform):
        self.registers = axi.AXILiteInterface(data_width=32, address_width=32){memory_made}
        # LiteX swaps the bytes of each word unless told that they are big-endian; a packet is to
        # come as it lies in memory
        self.reader = WishboneDMAReader(self._bus("s_axis_tdata"), endianness="big", with_csr=True)
        self.writer = WishboneDMAWriter(self._bus("m_axis_tdata"), endianness="big", with_csr=True)
        self.ev = EventManager()
        self.ev.line = EventSourceLevel(description="Interrupt of the accelerator.")
        self.ev.finalize()
        self.ports = {{name: Signal(bits) for name, (_, bits) in PORTS.items()}}
        kinds = {{f"{{kind}}_{{name}}": self.ports[name] for name, (kind, _) in PORTS.items()}}
        self.specials += Instance(MODULE, **kinds)
        self._connect()
        for name in SOURCES:
            platform.add_source(str(Path(__file__).resolve().parent / name))

    @staticmethod
    def _bus(port):
        return wishbone.Interface(data_width=PORTS[port][1], address_width=32, addressing="word")

    def _connect(self):
        ports = self.ports
        self.comb += [
            ports["aclk"].eq(ClockSignal()),
            ports["aresetn"].eq(~ResetSignal()),
            self.ev.line.trigger.eq(ports["irq"]),
            ports["s_axis_tdata"].eq(self.reader.source.data),
            ports["s_axis_tvalid"].eq(self.reader.source.valid),
            ports["s_axis_tlast"].eq(self.reader.source.last),
            self.reader.source.ready.eq(ports["s_axis_tready"]),
            self.writer.sink.data.eq(ports["m_axis_tdata"]),
            self.writer.sink.valid.eq(ports["m_axis_tvalid"]),
            # a job's length ends it, not its first frame: so no `last`
            ports["m_axis_tready"].eq(self.writer.sink.ready),
        ]
        self._channels("s_axi", self.registers)
{memory_connected}
    def _channels(self, bus, interface):
        """Ports of an AXI bus and signals of LiteX's interface, where both have one."""
        for name, (kind, _) in PORTS.items():
            if not name.startswith(f"{{bus}}_"):
                continue
            word = name[len(bus) + 1 :]
            channel = next(c for c in ("aw", "ar", "w", "b", "r") if word.startswith(c))
            member = word[len(channel) :]
            there = getattr(getattr(interface, channel), member, None)
            if there is None:  # such as prot: the accelerator treats all alike
                continue
            here = self.ports[name]
            self.comb += here.eq(there) if kind == "i" else there.eq(here)


def add_accelerator(soc, origin, name="{prefix}"):
    """Put the accelerator into a SoC.

    `origin` is the address of its registers, where the processor caches nothing. Its masters, its
    engines and its interrupt go to the SoC's buses; all names of registers begin with `name`.
    """
    block = Sparseflow(soc.platform)
    soc.add_module(name, block)
    soc.bus.add_slave(name, block.registers, SoCRegion(origin=origin, size=PAGE, cached=False))
{memory_added}    soc.bus.add_master(f"{{name}}_frames", block.reader.bus)
    soc.bus.add_master(f"{{name}}_states", block.writer.bus)
    if soc.irq.enabled:
        soc.irq.add(name, use_loc_if_exists=True)
    return block
'''
# What a top with a port to memory has too.
MEMORY = {
    "port": ", a port to memory",
    "memory_said": ", `memory` the master that reads models",
    "memory_made": (
        "\n        self.memory = axi.AXIInterface(\n"
        '            data_width=PORTS["m_axi_rdata"][1], address_width=32, id_width=1\n'
        "        )"
    ),
    "memory_connected": '        self._channels("m_axi", self.memory)\n',
    "memory_added": '    soc.bus.add_master(f"{name}_models", block.memory)\n',
}


def fits_litex(ports: Collection[str]) -> bool:
    """Whether LiteX has an engine for each stream of a top, and it one port to memory at most."""
    return not {"s_axis_matrix_tdata", f"{PLANES_PORTS}_araddr"} & set(ports)


def litex_wrapper(
    files: VerilogFiles, ports: Mapping[str, tuple[str, int]], prefix: str
) -> dict[str, str]:
    """The wrapper's text by the name of its file; none where words of a matrix are streamed in.

    LiteX's engines have no such words, nor `tuser`: the top that reads memory itself fits it. Nor
    has the wrapper a second port to memory, for planes.

    Parameters
    ----------
    files : VerilogFiles
    ports : mapping
        Direction and width of each, as of :func:`boards.build.tops.component.ports_of`.
    prefix : str
        What all names begin with.
    """
    if not fits_litex(ports):
        return {}
    listed = "".join(f'    "{n}": ("{flow[0]}", {bits}),\n' for n, (flow, bits) in ports.items())
    sources = "".join(f'    "{name}",\n' for name in files.sources)
    memory = MEMORY if "m_axi_araddr" in ports else dict.fromkeys(MEMORY, "")
    text = TEXT.format(
        module=files.top,
        prefix=prefix,
        sources=f"[\n{sources}]",
        ports=f"{{\n{listed}}}",
        **memory,
    )
    return {f"{named(prefix, LITEX)}.py": text}
