"""The scenario on Amaranth's own simulator: no tools needed, small designs only."""

from __future__ import annotations

from typing import Any

from amaranth.sim import Simulator

from compiler.abi.states import Outcome
from compiler.lower.image import Image
from hdl.core.core import Core

from .block_ports import BlockPorts
from .scenario import Job, Progress, run_job

__all__ = ["simulate_amaranth"]


def simulate_amaranth(
    image: Image, job: Job, *, loaded: bool = True, progress: Progress | None = None
) -> Outcome:
    """Run a job on Amaranth's simulator.

    Parameters
    ----------
    image : Image
    job : Job
    loaded : bool
        Whether memories start with the image.
    progress : callable, optional
        Told the number of payloads taken, now and then.

    Returns
    -------
    Outcome

    Raises
    ------
    ValueError
        If the job asks for probes.
    Hang
        If the accelerator hangs.
    """
    if job.probes:
        raise ValueError(f"probe {job.probes[0]}: only Verilog simulators sample signals inside")
    core = Core(image.design, image if loaded else None)
    outcome: list[Outcome] = []

    async def bench(context: Any) -> None:
        outcome.append(await run_job(job, BlockPorts(core, context), progress))

    simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return outcome[0]
