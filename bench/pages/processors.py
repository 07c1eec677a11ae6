"""What docs/cpu.md says of the C library's speed, and docs/serve.md of the server's."""

from __future__ import annotations

from typing import Any

from .page import Page
from .results import ROOT, record, table

__all__ = ["PROCESSORS", "SERVING"]

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


LOAD = "streams|frames a second of each|streams in a request|for|p50|p99|p99.9|longest"
COST = "frames a batch|us of server a frame|clients killed|mixed up|lost"


def _load_rows() -> str:
    lines = [[*LOAD.split("|"), *COST.split("|")]]
    for row in record("serving")["rows"]:
        ms, cost = row["ms_from_due"], 1e6 * row["server_cpu_seconds"] / row["frames_right"]
        lines.append([
            f"{row['streams']:,}",
            f"{row['frames_a_second_of_each']:g}",
            str(row["streams_in_a_request"]),
            f"{row['seconds']:g} s",
            *(f"{ms[name]:,.0f} ms" for name in ("p50", "p99", "p99.9", "most")),
            f"{row['frames_a_batch']:.0f}",
            f"{cost:.0f}",
            str(row["clients_killed"]),
            str(row["mixed_up"]),
            str(row["lost"]),
        ])  # fmt: skip
    return table(lines)


def _longest_load() -> dict[str, Any]:
    found: dict[str, Any] = max(record("serving")["rows"], key=lambda row: row["seconds"])
    return found


def _served() -> str:
    row = _longest_load()
    rate, minutes = row["frames_a_second_of_each"], row["seconds"] / 60
    return (
        f"{row['streams']:,} streams of {rate:g} frames a second each for {minutes:g} minutes, "
        f"{row['frames_right']:,} frames: p99 "
        f"{row['ms_from_due']['p99']:,.0f} ms"
    )


SERVING = Page(
    ROOT / "docs/serve.md", (_load_rows(),), (_served(), f"on {record('serving')['cpu']}")
)
