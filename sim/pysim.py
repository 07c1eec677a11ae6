"""The scenario on Amaranth's own simulator: no tools needed, small designs only."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Value
from amaranth.sim import Simulator

from hdl.compiler import Image
from hdl.core import Core

from .scenario import Job, Outcome, Progress, run_job

__all__ = ["simulate_amaranth"]


class _Ports:
    """Ports of a core by the names that they have in Verilog."""

    def __init__(self, core: Core, context: Any):
        self._context = context
        self._values = {
            "__".join(map(str, path)): Value.cast(value)
            for path, _, value in core.signature.flatten(core)
        }

    def get(self, name: str) -> int:
        value = self._values[name]
        return int(self._context.get(value)) & ((1 << len(value)) - 1)

    def set(self, name: str, value: int) -> None:
        self._context.set(self._values[name], value)

    async def tick(self) -> None:
        await self._context.tick()


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
    SimulationError
        If the accelerator hangs.
    """
    if job.probes:
        raise ValueError(f"probe {job.probes[0]}: only Verilog simulators sample signals inside")
    core = Core(image.design, image if loaded else None)
    outcome: list[Outcome] = []

    async def bench(context: Any) -> None:
        outcome.append(await run_job(job, _Ports(core, context), progress))

    simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return outcome[0]
