"""Jobs as files, between the process that asks and the one that simulates."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from .scenario import Job
from .streams import Pauses

__all__ = ["read_job", "write_job"]


def write_job(path: Path, job: Job) -> None:
    """Write a job as JSON."""
    fields = asdict(job)
    # a payload may have more digits than Python writes in tens
    fields["matrix"] = [f"{payload:x}" for payload in job.matrix]
    path.write_text(json.dumps(fields, allow_nan=False))


def read_job(path: Path) -> Job:
    """Read a job that :func:`write_job` wrote."""
    fields = json.loads(path.read_text())
    for name in ("idle", "stall"):
        fields[name] = Pauses(**fields[name])
    fields["matrix"] = [int(payload, 16) for payload in fields["matrix"]]
    return Job(**fields)
