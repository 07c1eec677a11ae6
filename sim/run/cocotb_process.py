"""Builds and runs a simulator through cocotb, in a process of its own.

``python -m sim.run.cocotb_process build|test SPEC`` where SPEC is the JSON that
:mod:`sim.run.verilog` writes. A process of its own, because cocotb's runner changes the
environment, ends the interpreter on failure, and behaves otherwise under pytest.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

# cocotb imports pytest to name types of it: most of the start of a process that only starts others
sys.modules.setdefault("pytest", ModuleType("pytest"))
from cocotb_tools.runner import Icarus, Runner, Verilator  # noqa: E402

__all__ = ["main"]

# Without a limit on functions the C++ compiler takes minutes on one huge function.
VERILATOR_ARGS = [
    *("-Wno-fatal", "-O3"),
    *("--output-split-cfuncs", "500"),
    *("--x-assign", "fast", "--x-initial", "fast"),
]


class LinkedVerilator(Verilator):
    """cocotb's Verilator runner with variables for the makefile of the model.

    It overrides a private method: cocotb is pinned.

    Parameters
    ----------
    make : list of str
        See :func:`sim.run.verilated.make_variables`.
    """

    def __init__(self, make: list[str]):
        super().__init__()
        self._make = make

    def _build_command(self) -> Any:
        verilate, make = super()._build_command()
        return [verilate, [*make, *self._make]]


class FastVerilator(LinkedVerilator):
    """The same without ``--public-flat-rw``, which costs three quarters of speed.

    Only top-level ports stay visible.
    """

    def _build_command(self) -> Any:
        commands = super()._build_command()
        at = commands[0].index("--public-flat-rw")
        commands[0][at : at + 1] = ["--public-depth", "1"]
        return commands


def _runner(simulator: str, probe: bool, waves: bool, make: list[str]) -> tuple[Runner, list[str]]:
    if simulator == "icarus":
        # cocotb's dump of waveforms is SystemVerilog, which its runner sets
        return Icarus(), [] if waves else ["-g2005"]
    return (LinkedVerilator(make) if probe else FastVerilator(make)), VERILATOR_ARGS


def main(action: str, path: str) -> None:
    """Run one action on a specification."""
    spec = json.loads(Path(path).read_text())
    runner, arguments = _runner(
        spec["simulator"], spec["probe"] or spec["waves"], spec["waves"], spec.get("make", [])
    )
    arguments = [*arguments, *spec.get("options", [])]
    if spec["waves"] and spec["simulator"] == "verilator":
        # the runner's is VCD; signals whose names start with _ are left out by default
        arguments = [*arguments, "--trace-fst", "--trace-structs", "--trace-underscore"]
    if action == "build":
        runner.build(
            sources=spec["sources"],
            hdl_toplevel=spec["top"],
            build_dir=spec["build"],
            build_args=arguments,
            timescale=("1ns", "1ps"),
            always=True,
            waves=spec["waves"],
        )
        return
    runner.test(
        test_module=spec["bench"],
        hdl_toplevel_lang="verilog",
        hdl_toplevel=spec["top"],
        build_dir=spec["build"],
        test_dir=spec["run"],
        results_xml=str(Path(spec["run"]) / "results.xml"),
        extra_env={"SPARSEFLOW_JOB": path},
        seed=0,
        # Icarus takes the place of its dump from the build otherwise, which others share
        plusargs=[f"+dumpfile_path={spec['top']}.fst"] if spec["simulator"] == "icarus" else [],
        waves=spec["waves"],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A build or a run of cocotb in this process.")
    parser.add_argument("action", choices=["build", "test"])
    parser.add_argument("spec", help="JSON that sim.run.verilog writes")
    given = parser.parse_args()
    if not Path(given.spec).is_file():
        parser.error(
            f"{given.spec}: there is no such specification: sparseflow simulate writes one"
        )
    main(given.action, given.spec)
