"""What every test shares: reproducible randomness and the environment of the tools."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# Before torch is imported: spinning threads would take the cores from the simulators.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Distributions ship Yosys releases that Amaranth refuses.
os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")

# Examples follow from each test's source; slow machines are no failures.
settings.register_profile("sparseflow", derandomize=True, deadline=None)
settings.load_profile("sparseflow")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """State where randomness comes from, so that a failure can be run again."""
    hashes = os.environ.get("PYTHONHASHSEED", "random")
    return [
        "seeds: hypothesis derandomised (each example follows from the test's source); "
        f"NumPy and torch are seeded in each test; PYTHONHASHSEED={hashes}"
    ]
