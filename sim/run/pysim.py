"""The scenario on Amaranth's own simulator: no tools needed, small designs only."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

from compiler.abi.states import Outcome
from compiler.lower.image import Image
from hdl.core.core import Core

from .scenario import Job, Progress, run_job

__all__ = ["BlockPorts", "simulate_amaranth"]


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


class BlockPorts:
    """:class:`~sim.run.streams.Ports` of a block.

    Parameters
    ----------
    block : wiring.Component
    context : SimulatorContext
        Of the test bench that drives it.
    """

    def __init__(self, block: wiring.Component, context: Any):
        self._context = context
        self._values = {
            "__".join(map(str, path)): Value.cast(value)
            for path, _, value in block.signature.flatten(block)
        }

    def get(self, name: str) -> int:
        """Settled value of a port, unsigned."""
        value = self._values[name]
        return int(self._context.get(value)) & ((1 << len(value)) - 1)

    def set(self, name: str, value: int) -> None:
        """Drive an input port for the coming edge."""
        self._context.set(self._values[name], value)

    async def settle(self) -> None:
        """Nothing: what is read has settled."""

    async def tick(self) -> None:
        """Pass the next rising edge."""
        await self._context.tick()
