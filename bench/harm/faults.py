"""What bit flips on the way into the accelerator do: masked, detected, or a mismatch.

``python -m bench.harm.faults --json bench/results/faults.json`` prints and writes the table.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from boards.link.protocol import FLAG, Command, Damaged, FrameFinder, Request, enframe
from compiler.abi.frames import Stimulus
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.random_models import random_frames, random_network
from hdl.verilog import emit_verilog
from sim.regress.faults import BLIND, MEMORIES, PLACES, campaign, table

from ..record import write_record

NETWORKS = {
    "LSTM": {},
    "two layers, projection": {"layers": 2, "projection": 8},
}


GROUPS = {"memories": MEMORIES, "frames, marks and packets": ("packet", "frame", "frame mark")}
OPTIONS: tuple[dict[str, bool], ...] = ({}, {"checked": True}, {"checked": True, "walk": True})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="flips for each design")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results = []
    for name, more in NETWORKS.items():
        for options in OPTIONS:
            rows, seconds, words = measured(more, given.count, given.seed, options)
            told = "".join(f", {option}" for option in options)
            show(f"{name}{told}, {given.count} flips in {seconds:.1f} s", rows)
            row = link_row(words, given.count // len(PLACES), given.seed)
            show("the serial link, in software on both ends", [row])
            rows.append(row)
            results.append(
                {
                    "network": name,
                    "array": "4 x 4",
                    **{option: options.get(option, False) for option in OPTIONS[-1]},
                    "seen": {n: seen(rows, of) for n, of in GROUPS.items()},
                    "told": {n: told_of(rows, n) for n in BLIND},
                    "rows": rows,
                    "load_words": len(words),
                }
            )
            print(f"seen: {results[-1]['seen']}, told: {results[-1]['told']}")
    if given.json:
        write_record(given.json, "bench.harm.faults", given.seed, results)


def measured(
    more: dict[str, Any], count: int, seed: int, options: dict[str, bool]
) -> tuple[list[dict[str, int | str]], float, list[int]]:
    rng = np.random.default_rng(seed)
    model = random_network(rng, 12, 16, 4, (1, 1, 1), **more)
    image = compile_model(model, design_for(model, 4, 4, **options))
    stimulus = Stimulus.of(image, random_frames(rng, model, [4, 3]))
    with tempfile.TemporaryDirectory() as folder:
        files = emit_verilog(image.design, Path(folder) / "v")
        started = time.perf_counter()
        found = campaign(image, files, stimulus, count, seed, Path(folder))
        seconds = time.perf_counter() - started
    return table(found), seconds, image.load_words()


def seen(rows: list[dict[str, int | str]], places: Collection[str]) -> float:
    """Of the flips in some places that are not masked the share that is detected."""
    mine = [row for row in rows if row["place"] in places]
    detected, wrong = (sum(int(row[name]) for row in mine) for name in ("detected", "mismatch"))
    return detected / max(1, detected + wrong)


def told_of(rows: list[dict[str, int | str]], place: str) -> float:
    """Of all flips in a place, masked or not, the share that is detected."""
    (row,) = (row for row in rows if row["place"] == place)
    return int(row["detected"]) / max(1, int(row["flips"]))


def link_row(words: list[int], count: int, seed: int) -> dict[str, int | str]:
    """Flips on the serial line that carries load words in frames with a check sequence."""
    rng = np.random.default_rng(seed)
    groups = [tuple(words[at : at + 32]) for at in range(0, len(words), 32)]
    bodies = [
        Request(n % 256, Command.WRITE, len(group), 0, group).encode()
        for n, group in enumerate(groups)
    ]
    line = b"".join(map(enframe, bodies))
    effects = dict.fromkeys(("masked", "detected", "mismatch"), 0)
    for _ in range(count):
        bit = int(rng.integers(8 * len(line)))
        bad = bytearray(line)
        bad[bit // 8] ^= 1 << bit % 8
        # a flag at the end, as the next frame brings it
        found = list(FrameFinder().feed(bytes(bad) + bytes([FLAG])))
        effects[link_effect(bodies, found)] += 1
    return {"place": "link frame", "flips": count, **effects}


def link_effect(sent: list[bytes], found: list[bytes | Damaged]) -> str:
    """Frames that are damaged or missing are asked for again: that is detected."""
    taken = [body for body in found if isinstance(body, bytes)]
    if any(body not in sent for body in taken):
        return "mismatch"
    return "masked" if taken == sent else "detected"


def show(title: str, rows: list[dict[str, int | str]]) -> None:
    shown = Table(title=title)
    for column in rows[0]:
        shown.add_column(column.replace("_", " "), justify="left" if column == "place" else "right")
    for row in rows:
        shown.add_row(*map(str, row.values()))
    Console(width=110).print(shown)


if __name__ == "__main__":
    main()
