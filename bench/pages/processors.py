"""What docs/cpu.md says of the C library's speed."""

from __future__ import annotations

from typing import Any

from .page import Page
from .results import ROOT, record, table

__all__ = ["PROCESSORS"]

OTHERS = ("ONNX Runtime int8", "torch CSR int32", "ours in float32")
HEADS = "what, weights and states|batch|us a step|beside ONNX Runtime int8|torch CSR|our float32"


def _name(row: dict[str, Any]) -> str:
    """The shape, and bits of weights and states."""
    what, _, bits = row["what"].partition(", weights of ")
    weights, states = bits.split(" bits, states of ")
    return f"{what}, {weights} / {states}"


def _rows() -> str:
    lines = [HEADS.split("|")]
    for row in record("cpu")["rows"]:
        if row["kernel"] != "avx512" or row["threads"] != 1:
            continue
        times = row["times_as_fast"]
        found = times | {OTHERS[0]: times.get("ONNX Runtime int8 LSTM", times[OTHERS[0]])}
        cells = (f"{found[name]:.1f}" if name in found else "" for name in OTHERS)
        lines.append([_name(row), str(row["batch"]), f"{row['us']:.1f}", *cells])
    return table(lines)


def _two_threads() -> str:
    row = next(row for row in record("cpu")["rows"] if row["threads"] == 2)
    times = row["times_as_fast"]["one thread"]
    return f"take {times:.1f} times less with two threads than with one"


PROCESSORS = Page(
    ROOT / "docs/cpu.md",
    (_rows(),),
    (_two_threads(), f"one thread of {record('cpu')['cpu']}"),
    ("p99, p99.9", "Armv8.2"),
)
