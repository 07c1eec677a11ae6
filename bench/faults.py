"""What bit flips on the way into the accelerator do: masked, detected, or a mismatch.

``python -m bench.faults --json bench/results/faults.json`` prints and writes the table.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from csb_format import Design
from hdl.compiler import compile_model
from hdl.verilog import emit_verilog
from sim.random_models import random_frames, random_network
from sim.regress.faults import campaign, table
from sim.stimulus import Stimulus

from .record import write_record

NETWORKS = {
    "LSTM": {},
    "two layers, projection": {"layers": 2, "projection": 8},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1400, help="flips for each network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results = []
    for name, more in NETWORKS.items():
        rows, seconds, words = measured(more, given.count, given.seed)
        show(f"{name}, {given.count} flips in {seconds:.1f} s", rows)
        results.append({"network": name, "array": "4 x 4", "rows": rows, "load_words": words})
    if given.json:
        write_record(given.json, "bench.faults", given.seed, results)


def measured(
    more: dict[str, int], count: int, seed: int
) -> tuple[list[dict[str, int | str]], float, int]:
    rng = np.random.default_rng(seed)
    model = random_network(rng, 12, 16, 4, (1, 1, 1), **more)
    image = compile_model(model, Design.for_model(model, 4, 4))
    stimulus = Stimulus.of(image, random_frames(rng, model, [4, 3]))
    with tempfile.TemporaryDirectory() as folder:
        files = emit_verilog(image.design, Path(folder) / "v")
        started = time.perf_counter()
        found = campaign(image, files, stimulus, count, seed, Path(folder))
        seconds = time.perf_counter() - started
    return table(found), seconds, len(image.load_words())


def show(title: str, rows: list[dict[str, int | str]]) -> None:
    shown = Table(title=title)
    for column in rows[0]:
        shown.add_column(column.replace("_", " "), justify="left" if column == "place" else "right")
    for row in rows:
        shown.add_row(*map(str, row.values()))
    Console(width=110).print(shown)


if __name__ == "__main__":
    main()
