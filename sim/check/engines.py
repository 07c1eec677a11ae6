"""Who drives a compiled accelerator: C++ alone, or cocotb on Verilator or Icarus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hdl.verilog import VerilogFiles

from ..run.errors import SimulationError
from ..run.free_running import simulate_free_running
from ..run.scenario import Job
from ..run.verilog import SIMULATORS, VerilogRun, require_simulator, simulate_verilog

__all__ = ["DRIVERS", "ENGINE", "ENGINES", "FREE", "require_engine", "simulate"]

FREE = "verilator-free"
ENGINES = (FREE, *SIMULATORS)
ENGINE = FREE  # where nobody says otherwise: no Python in its loop
DRIVERS = {
    FREE: "compiled C++ around Verilator's model",
    "verilator": "cocotb on Verilator",
    "icarus": "cocotb on Icarus",
}
"""What checks frames under each name, for people."""


def require_engine(engine: str) -> None:
    """Raise a :class:`.SimulationError` with the install command if a tool is missing."""
    if engine not in ENGINES:
        raise SimulationError(f"simulator {engine!r}: choose one of {', '.join(ENGINES)}")
    require_simulator("verilator" if engine == FREE else engine)


def simulate(
    files: VerilogFiles, job: Job, work: Path, *, simulator: str = ENGINE, **options: Any
) -> VerilogRun:
    """Build (once for the same Verilog and tools) and run a job on any engine.

    Parameters
    ----------
    files : VerilogFiles
    job : Job
        Probes only with cocotb.
    work : Path
    simulator : {"verilator-free", "verilator", "icarus"}
    **options
        ``progress``, ``timeout``, ``builds`` and ``stage``, as for
        :func:`~sim.run.verilog.simulate_verilog`, whose errors are raised here too.

    Returns
    -------
    VerilogRun
    """
    require_engine(simulator)
    if simulator == FREE:
        return simulate_free_running(files, job, work, **options)
    return simulate_verilog(files, job, work, simulator=simulator, **options)
