"""A screen unit with planes outside in a Verilog simulator; cocotb imports this module there."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cocotb

from ..run.cocotb_bench import _Ports, reset
from .screen_bench import run_screen
from .screen_verilog import read_screen_job

IDLE = ("m_axi_arready", "m_axi_rvalid", "m_axi_rid", "hidden__valid", "largest__ready", "write")


@cocotb.test()
async def screened(dut: Any) -> None:
    """Reset, run the job, write what happened."""
    run = Path(json.loads(Path(os.environ["SPARSEFLOW_JOB"]).read_text())["run"])
    job = read_screen_job(run)
    await reset(dut, IDLE)
    given = job.memory, job.design, job.blocks, job.states, job.pauses
    done = await run_screen(_Ports(dut), *given, limit=10_000_000)
    (run / "outcome.json").write_text(json.dumps(asdict(done), allow_nan=False))
