"""Hardware enumerated: ``python -m bench.tune.hardware [--json FILE]``.

Designs a second of one core (processor time) over banks, k, bits and every array of ULX3S, and what
sizes between powers of two bring beside the array that ``sparseflow fit`` names.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from boards.board import board
from boards.resources import choices
from csb_format import load_model
from csb_format.shape import ModelShape
from sparseflow.tune.hardware import candidates, front, space
from sparseflow.tune.network import Network

from ..record import Smallest, write_record

__all__ = ["main"]

SEED = 0
BOARDS = ("ulx3s", "ecpix5", "tang_primer_20k")
LEAST = 2000  # designs a second and core
SHIPPED = "examples/shakespeare/model.safetensors"
NETWORKS = {
    "12 -> 128, 8 banks, 16 bits": Network(12, 128, 8, 2, 1),
    "120 -> 120, 8 banks, 16 bits": Network(120, 120, 8, 2, 2),
    "300 -> 300, 10 banks, 8 bits": Network(300, 300, 10, 4, 4, value_bits=8, act_bits=8),
    "PTB 200, 2 layers, 8 banks, 8 bits": Network(200, 200, 8, 5, 5, 2, value_bits=8, act_bits=8),
}


def main(
    json: Annotated[Path | None, typer.Option(help="Write the rows here.")] = None,
    smallest: Smallest = False,
) -> None:
    """Enumerate, print a table, write JSON."""
    rows = [_rate(smallest)]
    if not smallest:
        named = {name: network.shape for name, network in NETWORKS.items()}
        named["shakespeare"] = load_model(SHIPPED).shape
        rows += [row for name, shape in named.items() for row in _beside(name, shape)]
    Console(width=120).print(_table(rows))
    if json:
        write_record(json, "bench.tune.hardware", SEED, rows, least=LEAST)


def _rate(smallest: bool) -> dict[str, Any]:
    shapes = ((8, 1),) if smallest else ((8, 1), (8, 2), (8, 4), (16, 1))
    values = (8,) if smallest else (4, 6, 8, 12, 16)
    networks = [
        Network(12, 128, banks, k, max(1, k // 2), value_bits=value, act_bits=act)
        for banks, k in shapes
        for value in values
        for act in (8, 12, 16)
    ]
    begun = time.process_time()
    count = sum(1 for _ in space(networks, board("ulx3s")))
    seconds = time.process_time() - begun
    return {"case": "space", "networks": len(networks), "designs": count,
            "cpu_s": round(seconds, 3), "a_second": round(count / seconds)}  # fmt: skip


def _beside(name: str, shape: ModelShape) -> Iterator[dict[str, Any]]:
    for target in BOARDS:
        there = board(target)
        kept = front(candidates(shape, there))
        usual = next((c for c in choices(shape, there) if c.fits), None)
        if not kept or usual is None:
            yield {"case": "beside fit", "network": name, "board": target, "fits": False}
            continue
        best = kept[0]
        yield {
            "case": "beside fit",
            "network": name,
            "board": target,
            "fits": True,
            "tuned": f"{best.design.pes} x {best.design.lanes}",
            "tuned_us": round(best.microseconds, 3),
            "usual": f"{usual.design.pes} x {usual.design.lanes}",
            "usual_us": round(usual.microseconds, 3),
            "faster": round(usual.microseconds / best.microseconds - 1, 4),
            "front": len(kept),
        }


def _table(rows: list[dict[str, Any]]) -> Table:
    rate = rows[0]
    table = Table(title=f"{rate['designs']} designs, {rate['a_second']} a second of a core")
    for head in ("network", "board", "tuned", "us", "fit names", "us", "faster"):
        table.add_column(head)
    for row in rows[1:]:
        names = ("network", "board", "tuned", "tuned_us", "usual", "usual_us")
        told = [str(row.get(name, "nothing fits")) for name in names]
        table.add_row(*told, f"{row.get('faster', 0):.1%}")
    return table


if __name__ == "__main__":
    typer.run(main)
