"""The scenario inside a Verilog simulator; cocotb imports this module there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from compiler.array.screen.design import PLANES_PORTS
from hdl.keywords import spelled

from .errors import Hang, note_hang
from .scenario import read_job, run_job

PERIOD_NS = 10
IDLE = ("frames__valid", "states__ready", "load__valid", "load__payload", "frames__payload")
PLANES_IDLE = ("planes_base", *(f"{PLANES_PORTS}_{name}" for name in ("arready", "rvalid", "rid")))


class _Ports:
    """Top-level ports; falling edges lie where outputs have settled and inputs may change."""

    def __init__(self, dut: Any, clock: str = "clk"):
        self._dut = dut
        self._handles: dict[str, Any] = {}
        self._edge = FallingEdge(getattr(dut, clock))

    def _handle(self, name: str) -> Any:
        if name not in self._handles:
            handle = self._dut
            for part in name.split("."):
                handle = getattr(handle, spelled(part))
            self._handles[name] = handle
        return self._handles[name]

    def get(self, name: str) -> int:
        value = self._handle(name).value
        return int(value) if value.is_resolvable else -1

    def set(self, name: str, value: int) -> None:
        self._handle(name).value = value

    async def settle(self) -> None:
        await ReadOnly()

    async def tick(self) -> None:
        await self._edge


async def reset(dut: Any, idle: Iterable[str]) -> None:
    """Start the clock, and hold the reset for three cycles with some inputs at 0."""
    for name in idle:
        getattr(dut, name).value = 0
    dut.rst.value = 1
    Clock(dut.clk, PERIOD_NS, "ns").start(start_high=False)
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value = 0


@cocotb.test()
async def bench(dut: Any) -> None:
    """Reset, run the job, write what came out."""
    spec = json.loads(Path(os.environ["SPARSEFLOW_JOB"]).read_text())
    run = Path(spec["run"])
    job = read_job(run / "job.json")
    words = ("matrix__valid",) if job.matrix else ()
    await reset(dut, (*IDLE, *words, *(PLANES_IDLE if job.planes else ())))
    progress = run / "progress"
    started = perf_counter()
    try:
        outcome = await run_job(job, _Ports(dut), lambda done: _note(progress, done))
    except Hang as error:
        note_hang(run, error)
        raise
    seconds = perf_counter() - started
    (run / "outcome.json").write_text(
        json.dumps(asdict(outcome) | {"seconds": seconds}, allow_nan=False)
    )


def _note(path: Path, done: int) -> None:
    path.write_text(str(done))
