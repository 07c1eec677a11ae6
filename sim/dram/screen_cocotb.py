"""A screen unit with planes outside in a Verilog simulator; cocotb imports this module there."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from ..run.cocotb_bench import PERIOD_NS, _Ports
from .screen_bench import run_screen
from .screen_verilog import read_screen_job

IDLE = ("m_axi_arready", "m_axi_rvalid", "m_axi_rid", "hidden__valid", "largest__ready", "write")


@cocotb.test()
async def screened(dut: Any) -> None:
    """Reset, run the job, write what happened."""
    run = Path(json.loads(Path(os.environ["SPARSEFLOW_JOB"]).read_text())["run"])
    job = read_screen_job(run)
    for name in IDLE:
        getattr(dut, name).value = 0
    dut.rst.value = 1
    Clock(dut.clk, PERIOD_NS, "ns").start(start_high=False)
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value = 0
    given = job.memory, job.design, job.blocks, job.states, job.pauses
    done = await run_screen(_Ports(dut), *given, limit=10_000_000)
    (run / "outcome.json").write_text(json.dumps(asdict(done), allow_nan=False))
