"""An element of an array of Slurm's jobs: ``python -m sim.jobs.node FOLDER``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .slurm import run_element

NUMBER = "SLURM_ARRAY_TASK_ID"

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A task of an array, on a node of Slurm.")
    parser.add_argument("folder", help="what sim.jobs.slurm has written")
    given = parser.parse_args()
    if not os.path.isdir(given.folder) or not os.environ.get(NUMBER, "").isdecimal():
        parser.error(
            f"{given.folder} without {NUMBER}: Slurm runs this, by --engine slurm of sparseflow"
        )
    run_element(Path(given.folder), int(os.environ[NUMBER]))
