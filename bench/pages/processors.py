"""What docs/cpu.md says of the C library's speed, and docs/serve.md of the server's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .page import Page
from .results import ROOT, record, table

__all__ = ["PROCESSORS", "SERVING", "beside_others", "times_as_fast"]

Row = dict[str, Any]
RUNTIME = "ONNX Runtime int8"
OTHERS = ("MKL CSR", "torch CSR int32", "oneDNN int8", "ours in float32")
HEADS = f"us a step|{RUNTIME}|MKL's CSR|torch CSR|oneDNN int8|our float32"
ROWS: list[Row] = record("cpu")["rows"]


def _name(row: Row) -> str:
    """The shape, and bits of weights and states."""
    what, _, bits = row["what"].partition(", weights of ")
    weights, states = bits.split(" bits, states of ")
    return f"{what}, {weights} / {states}"


def beside_others(kernel: str, here: bool) -> list[Row]:
    """Rows of one thread, of this processor or of those that have no faster kernel."""
    return [
        row
        for row in ROWS
        if row["kernel"] == kernel
        and row["threads"] == 1
        and RUNTIME in row["times_as_fast"]
        and (row["cpu"] == record("cpu")["cpu"]) == here
    ]


def times_as_fast(row: Row, others: Sequence[str]) -> list[str]:
    """Batch, microseconds, and how often ONNX Runtime and others take that long."""
    found = with_whole_lstm(row["times_as_fast"])
    cells = (f"{found[name]:.1f}" if name in found else "" for name in (RUNTIME, *others))
    return [str(row["batch"]), f"{row['us']:.1f}", *cells]


def with_whole_lstm(given: dict[str, float]) -> dict[str, float]:
    """ONNX Runtime's own LSTM, where it was measured, for its products alone."""
    return given | {RUNTIME: given.get(f"{RUNTIME} LSTM", given[RUNTIME])}


def _rows(found_rows: Sequence[Row], what: str) -> str:
    lines = [f"{what}|batch|{HEADS}".split("|")]
    lines += ([_name(row), *times_as_fast(row, OTHERS)] for row in found_rows)
    return table(lines)


def _threads() -> str:
    """Two threads, the processor that was measured last first."""
    heads = "1024 -> 1024, two threads|processor|us a step|beside one thread|an equal split"
    lines = [heads.split("|")]
    for row in (row for row in ROWS if row["threads"] == 2):
        step = row["what"].partition(", weights of ")[2]
        bits, _, where = step.partition(", ")[2].partition(", ")
        states, weights = bits.removeprefix("states of "), step.partition(" bits")[0]
        times = row["times_as_fast"]
        equal = f"{times['an equal split']:.2f}" if "an equal split" in times else ""
        name = f"{weights} / {states}, {where}"
        cpu = row["cpu"].partition("(")[2].rstrip(")")
        lines.append([name, cpu, f"{row['us']:.1f}", f"{times['one thread']:.2f}", equal])
    return table(lines)


def _of_here(threads: int) -> list[Row]:
    here = record("cpu")["cpu"]
    return [row for row in ROWS if row["threads"] == threads and row["cpu"] == here]


def _row(words: str, kernel: str) -> Row:
    rows = _of_here(threads=1)
    return next(row for row in rows if words in row["what"] and row["kernel"] == kernel)


def _portable() -> str:
    """Numba's kernels, in microseconds."""
    heads = "us|float32|int8|MKL's CSR|torch's CSR|ONNX Runtime int8|ONNX Runtime float32"
    names = ("float32", "int8", "MKL CSR", "torch CSR int32", RUNTIME, "ONNX Runtime float32")
    lines = [heads.split("|")]
    for row in record("inference")["rows"]:
        us, what = with_whole_lstm(row["us"]), row["what"]
        if "product" not in what or what == "product of 4096 x 1024, 16 banks":
            cells = (f"{us[name]:,.1f}" if name in us else "" for name in names)
            lines.append([what, *cells])
    return table(lines)


def _limits() -> str:
    wide, narrow = (_row("its limit", name)["times_as_fast"] for name in ("avx512", "avx2"))
    return (
        f"takes {wide['our product']:.2f} times as long as its limit, with AVX2 "
        f"{narrow['our product']:.2f} times"
    )


def _latency() -> str:
    row = _row("steps, 12 -> 128", "avx512")
    return (
        f"a million steps of 12 -> 128: p50 {row['p50']:.1f} us, p99 {row['p99']:.1f} us, "
        f"p99.9 {row['p99.9']:.1f} us"
    )


def _width(width: int, beside: int, kernel: str) -> float:
    """Times that a weight takes longer in banks of one width than of another."""
    times = {n: _row(f"banks of {n}, ", kernel)["times_as_fast"] for n in {width, beside} - {64}}
    speed = {n: found["banks of 64"] for n, found in times.items()} | {64: 1.0}
    return float(speed[beside] / speed[width])


def _widths() -> str:
    pairs = ((65, 64), (129, 128), (257, 128))
    wide, narrow = ([f"{_width(*pair, name):.2f}" for pair in pairs] for name in ("avx512", "avx2"))
    return (
        f"A weight in banks of 65 columns takes {wide[0]} times what it takes in those of 64, and "
        f"in those of 129 and 257 {wide[1]} and {wide[2]} times what it takes in those of 128; "
        f"with AVX2 {narrow[0]}, {narrow[1]} and {narrow[2]}"
    )


def _kept(kernel: str) -> str:
    each = [_row(f"banks of 64, {k} of each kept", kernel)["times_as_fast"] for k in (5, 6, 7)]
    costs = [f"{1 / next(iter(times.values())):.2f}" for times in each]
    return f"{costs[0]}, {costs[1]} and {costs[2]}"


def _odd() -> str:
    return (
        f"a weight costs {_kept('avx512')} times as much with 5, 6 and 7 of them kept as with 8, "
        f"with AVX2 {_kept('avx2')} times"
    )


PROCESSORS = Page(
    ROOT / "docs/cpu.md",
    (
        _rows(beside_others("avx512", here=True), "what, weights and states"),
        _rows(beside_others("avx2", here=False), "what, AVX2"),
        _threads(),
        _portable(),
    ),
    (
        f"one thread of {record('cpu')['cpu']}",
        f"one thread of {beside_others('avx2', here=False)[0]['cpu']}",
        _limits(),
        _latency(),
        _widths(),
        _odd(),
        f"one thread of {record('inference')['cpu']}: the portable reference",
    ),
    (
        "p99, p99.9",
        "Armv8.2",
        "to 20 % of",
        "throttled to 20 %",
    ),
)


LOAD = "streams|frames a second of each|HTTP|for|p50|p99|p99.9|longest"
COST = "frames a batch|us of server a frame|clients killed|mixed up|lost"


def _load_rows() -> str:
    lines = [[*LOAD.split("|"), *COST.split("|")]]
    for row in record("serving")["rows"]:
        ms, cost = row["ms_from_due"], 1e6 * row["server_cpu_seconds"] / row["frames_right"]
        lines.append([
            f"{row['streams']:,}",
            f"{row['frames_a_second_of_each']:g}",
            "uvicorn" if row["case"].endswith("uvicorn") else "ours",
            f"{row['seconds']:g} s",
            *(f"{ms[name]:,.0f} ms" for name in ("p50", "p99", "p99.9", "most")),
            f"{row['frames_a_batch']:.0f}",
            f"{cost:.0f}",
            str(row["clients_killed"]),
            str(row["mixed_up"]),
            str(row["lost"]),
        ])  # fmt: skip
    return table(lines)


def _served() -> tuple[str, ...]:
    rows = record("serving")["rows"]
    row = max(rows, key=lambda row: row["seconds"])
    theirs = next(row for row in rows if row["case"].endswith("uvicorn"))
    ours = next(r for r in rows if f"{r['case']} behind uvicorn" == theirs["case"])
    rate, minutes = row["frames_a_second_of_each"], row["seconds"] / 60
    return (
        f"{row['streams']:,} streams of {rate:g} frames a second each for {minutes:g} minutes, "
        f"{row['frames_right']:,} frames: p99 {row['ms_from_due']['p99']:,.0f} ms",
        f"on {record('serving')['cpu']}",
        f"take {theirs['server_cpu_seconds'] / ours['server_cpu_seconds']:.1f} times the processor",
    )


SERVING = Page(ROOT / "docs/serve.md", (_load_rows(),), _served())
