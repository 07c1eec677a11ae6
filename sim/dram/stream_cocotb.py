"""A streamed matrix inside a Verilog simulator; cocotb imports this module there."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cocotb

from ..run.cocotb_bench import _Ports, reset
from .stream_bench import run_stream
from .stream_verilog import StreamOutcome, read_stream_job

IDLE = ("start", "stop", "m_axi_arready", "m_axi_rvalid", "m_axi_rid", "matrix__ready")


@cocotb.test()
async def streamed(dut: Any) -> None:
    """Reset, run the job, write what happened."""
    run = Path(json.loads(Path(os.environ["SPARSEFLOW_JOB"]).read_text())["run"])
    job = read_stream_job(run)
    await reset(dut, IDLE)
    ports, memory, taker = _Ports(dut), job.memory, job.taker
    await run_stream(ports, memory, taker, job.frames, limit=10_000_000)
    traffic = memory.traffic
    outcome = StreamOutcome(
        taken=taker.cycles,
        arrived=traffic.arrived,
        wrong=taker.wrong,
        bursts=len(traffic.bursts),
        violations=traffic.violations,
        errors=ports.get("errors"),
    )
    (run / "outcome.json").write_text(json.dumps(asdict(outcome), allow_nan=False))
