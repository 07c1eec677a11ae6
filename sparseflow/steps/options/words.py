"""Words that options take: each an enumeration that the command line lists."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "ActivityForm",
    "BudgetName",
    "BusTopName",
    "EngineName",
    "Images",
    "PoolName",
    "Replayer",
    "Simulator",
    "TopName",
]


class ActivityForm(StrEnum):
    """Forms of switching activity; the words of :data:`sim.run.free_running.FORMS`."""

    saif = "saif"
    vcd = "vcd"


class Simulator(StrEnum):
    """Engines that `simulate` can run; see :mod:`sim.check.engines`."""

    free = "verilator-free"
    verilator = "verilator"
    icarus = "icarus"


class Images(StrEnum):
    """Formats of memory images."""

    mem = "mem"
    coe = "coe"
    mif = "mif"
    ihex = "ihex"


class PoolName(StrEnum):
    """How the head is fed; the words of :data:`csb_format.pooling.POOLS`."""

    last = "last"
    hn = "hn"
    mean = "mean"
    every = "every"


class BudgetName(StrEnum):
    """How matrices share weights; the words of :class:`csb_format.precision.Balance`."""

    shared = "global"
    by_gate = "gate"
    equal = "equal"


class EngineName(StrEnum):
    """Who runs the cases."""

    local = "local"
    dask = "dask"
    slurm = "slurm"


class Replayer(StrEnum):
    """Simulators that write waveforms."""

    icarus = "icarus"
    verilator = "verilator"


class TopName(StrEnum):
    """Tops of the Verilog; the words of :data:`boards.build.tops.tops.TOPS`."""

    core = "core"
    axi = "axi"
    dram = "dram"
    link = "link"


class BusTopName(StrEnum):
    """Those of them that a package has: with buses of AXI."""

    axi = "axi"
    dram = "dram"
