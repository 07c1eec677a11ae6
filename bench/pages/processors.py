"""What docs/cpu.md says of the C library's speed, and docs/serve.md of the server's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .page import Page
from .results import ROOT, record, table

__all__ = ["PROCESSORS", "SERVING"]

Row = dict[str, Any]
RUNTIME = "ONNX Runtime int8"
WIDE = ("torch CSR int32", "ours in float32")
NARROW = ("MKL CSR", "torch CSR int32", "oneDNN int8", "ours in float32")
WIDE_HEADS = "torch CSR|our float32"
NARROW_HEADS = "MKL's CSR|torch CSR|oneDNN int8|our float32"
ROWS: list[Row] = record("cpu")["rows"]


def _name(row: Row) -> str:
    """The shape, and bits of weights and states."""
    what, _, bits = row["what"].partition(", weights of ")
    weights, states = bits.split(" bits, states of ")
    return f"{what}, {weights} / {states}"


def _beside_others(kernel: str) -> list[Row]:
    return [
        row
        for row in ROWS
        if row["kernel"] == kernel and row["threads"] == 1 and RUNTIME in row["times_as_fast"]
    ]


def _rows(kernel: str, heads: str, others: Sequence[str]) -> str:
    lines = [heads.split("|")]
    for row in _beside_others(kernel):
        times = row["times_as_fast"]
        found = times | {RUNTIME: times.get(f"{RUNTIME} LSTM", times[RUNTIME])}
        cells = (f"{found[name]:.1f}" if name in found else "" for name in (RUNTIME, *others))
        lines.append([_name(row), str(row["batch"]), f"{row['us']:.1f}", *cells])
    return table(lines)


def _threads() -> str:
    """Two threads, on the processor that was measured last."""
    lines = [["1024 -> 1024, two threads", "us a step", "beside one thread", "an equal split"]]
    for row in _of_here(threads=2):
        step = row["what"].partition(", weights of ")[2]
        bits, _, where = step.partition(", ")[2].partition(", ")
        states, weights = bits.removeprefix("states of "), step.partition(" bits")[0]
        times = row["times_as_fast"]
        equal = f"{times['an equal split']:.2f}" if "an equal split" in times else ""
        name = f"{weights} / {states}, {where}"
        lines.append([name, f"{row['us']:.1f}", f"{times['one thread']:.2f}", equal])
    return table(lines)


def _of_here(threads: int) -> list[Row]:
    here = record("cpu")["cpu"]
    return [row for row in ROWS if row["threads"] == threads and row["cpu"] == here]


def _row(words: str, kernel: str = "avx2") -> Row:
    rows = _of_here(threads=1)
    return next(row for row in rows if words in row["what"] and row["kernel"] == kernel)


def _two_there() -> str:
    """Two threads on the processor with AVX-512."""
    row = next(r for r in ROWS if r["threads"] == 2 and r["kernel"] == "avx512")
    return f"two threads took {row['times_as_fast']['one thread']:.2f} times less there"


def _limit() -> str:
    row = _row("its limit")
    return f"takes {row['times_as_fast']['our product']:.2f} times as long as its limit"


def _latency() -> str:
    row = _row("steps, 12 -> 128")
    return (
        f"a million steps of 12 -> 128: p50 {row['p50']:.1f} us, p99 {row['p99']:.1f} us, "
        f"p99.9 {row['p99.9']:.1f} us"
    )


def _widths() -> str:
    wide, wider = (_row(f"banks of {width}, ")["us"] for width in (128, 129))
    over = 1 / _row("banks of 65, ")["times_as_fast"]["banks of 64"]
    return (
        f"Banks of 129 columns take {wider / wide:.2f} times what those of 128 take, with the same "
        f"weights; those of 65 take {over:.2f} times what those of 64 take"
    )


def _kept() -> str:
    each = {k: _row(f"banks of 64, {k} of each kept")["times_as_fast"] for k in (5, 6, 7)}
    costs = [f"{1 / next(iter(times.values())):.2f}" for times in each.values()]
    return f"a weight costs {costs[0]}, {costs[1]} and {costs[2]} times as much with 5, 6 and 7"


PROCESSORS = Page(
    ROOT / "docs/cpu.md",
    (
        _rows("avx2", f"what, weights and states|batch|us a step|{RUNTIME}|{NARROW_HEADS}", NARROW),
        _rows("avx512", f"what, AVX-512|batch|us a step|{RUNTIME}|{WIDE_HEADS}", WIDE),
        _threads(),
    ),
    (
        f"one thread of {record('cpu')['cpu']}",
        f"one thread of {_beside_others('avx512')[0]['cpu']}",
        _two_there(),
        _limit(),
        _latency(),
        _widths(),
        _kept(),
    ),
    (
        "p99, p99.9",
        "Armv8.2",
        "to 20 % of",
        "throttled to 20 %",
        "below 1.6",
        "below 1.35, where 1.5 is ideal",
    ),
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


def _cores(row: dict[str, Any]) -> float:
    """Of the server, for what a row asks of it."""
    asked = row["streams"] * row["frames_a_second_of_each"]
    return float(asked * row["server_cpu_seconds"] / row["frames_right"])


def _served() -> tuple[str, ...]:
    rows = record("serving")["rows"]
    row = max(rows, key=lambda row: row["seconds"])
    fast = max(rows, key=lambda row: row["frames_a_second_of_each"])
    rate, minutes = row["frames_a_second_of_each"], row["seconds"] / 60
    return (
        f"{row['streams']:,} streams of {rate:g} frames a second each for {minutes:g} minutes, "
        f"{row['frames_right']:,} frames: p99 {row['ms_from_due']['p99']:,.0f} ms",
        f"on {record('serving')['cpu']}",
        f"{fast['frames_a_second_of_each']:g} frames a second of each take {_cores(fast):.2f} of a "
        "core of the server",
    )


SERVING = Page(ROOT / "docs/serve.md", (_load_rows(),), _served())
