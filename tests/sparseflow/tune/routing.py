"""Stand-ins for an engine of jobs, and for synthesis, place and route."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from boards.board import board
from boards.build.bitstream import KIND
from boards.tools.errors import BitstreamError
from csb_format.files.folders import replaced_folder
from sim.jobs.child import run_call
from sim.jobs.store import Store
from sim.jobs.task import Outcome, Task

__all__ = ["Inline", "Tools"]

BOARD = board("ulx3s")


class Inline:
    """Runs tasks in this process, where the tools have stand-ins."""

    def __init__(self, folder: Path):
        self.folder, self.ran = folder, 0

    def results(
        self, tasks: Sequence[Task], store: Store | None = None
    ) -> Iterator[tuple[str, Outcome]]:
        assert store is not None
        for task in tasks:
            self.ran += 1
            work = self.folder / f"task{self.ran}"
            work.mkdir()
            inputs = {name: str(store.path(digest)) for name, digest in task.inputs.items()}
            call = {"call": task.call, "arguments": task.arguments, "inputs": inputs}
            found = run_call(call | {"folder": str(work)})
            paths = [path for path in (work / "kept").rglob("*") if path.is_file()]
            files = {p.relative_to(work / "kept").as_posix(): p.read_bytes() for p in paths}
            yield task.key, Outcome(found["value"], files, found["failure"], log="log")


class Tools:
    """In the place of synthesis, place and route: every clock up to one is met."""

    def __init__(self, most: dict[tuple[int, int], float]):
        self.most = most
        self.asked: list[float] = []

    def __call__(self, model: Any, name: str, out: Path, array: tuple[int, int],
                 clock: float | None, seed: int, **more: Any) -> str:  # fmt: skip
        most, wanted = self.most[array], clock or BOARD.clock_hz / 1e6
        self.asked.append(wanted)
        if not most:
            raise BitstreamError("place and route came to nothing")
        if clock and clock > most:
            raise BitstreamError(f"the design misses its clock: {most:g} MHz reached")
        with replaced_folder(out, KIND) as new:
            (new / "verilog").mkdir(parents=True)
            (new / "verilog" / "top.v").write_text("module top;\n")
            (new / "sparseflow.bit").write_text(f"{array} {min(wanted, most):g}")
            (new / "summary.md").write_text("# Made\n")
            told = {"clock_mhz": min(wanted, most), "fmax_mhz": most + 0.5, "seed": seed + 1,
                    "placer": "heap", "estimated": {"lut": 9, "ram": 1}, "lut": 10, "ram": 1,
                    "bitstream_sha256": "0", "tools": {},
                    "attempts": [{"seed": seed, "placer": "heap", "fmax_mhz": most,
                                  "clock_mhz": wanted, "failure": ""}]}  # fmt: skip
            (new / "summary.json").write_text(json.dumps(told))
        return ""
