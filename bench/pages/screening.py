"""What docs/screening.md says of heads in planes."""

from __future__ import annotations

from typing import Any

from .page import Page
from .results import ROOT, record, table

__all__ = ["SCREENING"]

Row = dict[str, Any]
STORED = 16  # bits of a weight in the full layer


def _size(row: Row) -> str:
    return f"{row['vocabulary']:,} x {row['inputs']}"


def _read(rows: list[Row]) -> str:
    heads = "head|top|tokens|wrong|bits a weight|p50|p99|worst|of 16 bits|bytes a token"
    heads += "|rows with digits|second plane|exact"
    lines = [heads.split("|")]
    for row in rows:
        bits, count = row["bits_per_weight"], row["rows"]
        lines.append([
            _size(row),
            str(row["k"]),
            f"{row['tokens']:,}",
            str(row["wrong"]),
            *(f"{bits[name]:.2f}" for name in ("mean", "p50", "p99", "worst")),
            f"{100 * bits['mean'] / STORED:.1f} %",
            f"{row['bytes_per_token']:,.0f}",
            *(f"{count[name]:,.0f}" for name in ("first", "second", "exact")),
        ])  # fmt: skip
    return table(lines)


def _networks(rows: list[Row]) -> str:
    lines = [["network", "head", "seed", "SHA-256 of its weights", "perplexity in integers"]]
    for row in rows:
        if row["k"] == 1:
            found = [row["network"], _size(row), str(row["seed"]), f"`{row['hash'][:16]}`"]
            lines.append([*found, f"{row['perplexity']:.2f}"])
    return table(lines)


def _margins(rows: list[Row]) -> str:
    lines = [["margin", "top", "tokens right", "bits a weight, guessed", "exact rows"]]
    for row in rows:
        told = "1, the proof" if row["proven"] else f"{row['margin']:g}, a guess"
        bits, exact = row["bits_per_weight"]["mean"], row["rows"]["exact"]
        cells = [f"{100 * row['right']:.2f} %", f"{bits:.2f}", f"{exact:.1f}"]
        lines.append([told, str(row["k"]), *cells])
    return table(lines)


def _heads(rows: list[Row]) -> str:
    lines = [["bits of the head", "perplexity", "stored, a weight", "top 5 reads", "p99"]]
    for row in rows:
        bits = row["bits_per_weight"]
        cells = [str(row["bits"]), f"{row['perplexity']:.2f}", f"{row['bits_stored']:.1f}"]
        lines.append([*cells, f"{bits['mean']:.2f}", f"{bits['p99']:.2f}"])
    return table(lines)


def _rectified(rows: list[Row]) -> str:
    """Of each width the means over seeds, the worst for what is wrong."""
    lines = [["rows", "margin", "zero", "skipped", "bits a weight", "wrong of", "right, %"]]
    for width, margin in sorted({(row["width"], row["margin"]) for row in rows}, key=_order):
        here = [row for row in rows if (row["width"], row["margin"]) == (width, margin)]
        mean = {
            name: sum(row[name] for row in here) / len(here)
            for name in ("zeros", "skipped", "bits_per_weight", "accuracy")
        }
        told = "1, the proof" if here[0]["proven"] else f"{margin:g}, a guess"
        count = sum(row["sequences"] * row["width"] for row in here)
        lines.append([
            str(width),
            told,
            f"{100 * mean['zeros']:.1f} %",
            f"{100 * mean['skipped']:.1f} %",
            f"{mean['bits_per_weight']:.1f}",
            f"{sum(row['wrong'] for row in here)} of {count:,}",
            f"{100 * mean['accuracy']:.2f}",
        ])  # fmt: skip
    return table(lines)


def _units(rows: list[Row]) -> str:
    """Of each width and each number of lanes, means over seeds, the worst of all."""
    heads = "rows|lanes that multiply|cycles a state|worst|as many multipliers, whole layer|times"
    lines = [heads.split("|")]
    proven = [row for row in rows if row["proven"]]
    for width in sorted({row["width"] for row in proven}):
        here = [row["unit"] for row in proven if row["width"] == width]
        for same in zip(*here, strict=True):
            mean = {k: sum(unit[k] for unit in same) / len(same) for k in ("cycles", "times")}
            lines.append([
                str(width),
                str(same[0]["lanes"]),
                f"{mean['cycles']:,.0f}",
                f"{max(unit['worst'] for unit in same):,}",
                f"{same[0]['whole_layer']:,}",
                f"{mean['times']:.2f}",
            ])  # fmt: skip
    return table(lines)


def _order(of: tuple[int, float]) -> tuple[int, float]:
    return of[0], -of[1]


def _times(rows: list[Row], sizes: dict[str, str]) -> str:
    lines = [["top 5, one token", "head", "us", "times ours", "95 %"]]
    for row in rows:
        times = [row[f"times_{name}"] for name in ("median", "low", "high")]
        ours = times[1] == times[2] == 1
        beside = ["", ""] if ours else [f"{times[0]:.2f}", f"{times[1]:.2f} to {times[2]:.2f}"]
        lines.append([row["contender"], sizes[row["network"]], f"{row['us']:.1f}", *beside])
    return table(lines)


def _cycles(rows: list[Row]) -> str:
    heads = "array|planes lie|top|cycles a token|p99|worst|LSTM alone"
    heads += "|bytes a token|of 21 bits a weight"
    lines = [heads.split("|")]
    for row in rows:
        cycles, bus = row["cycles_per_token"], row["bus_bits"]
        lines.append([
            f"{row['pes']} x {row['lanes']}",
            f"outside, {bus} bits" if bus else "on the chip",
            str(row["k"]),
            *(f"{cycles[name]:,.0f}" for name in ("mean", "p99", "worst")),
            f"{row['lstm_cycles']:,.0f}",
            f"{row['bytes_per_token']:,.0f}",
            f"{100 * row['bytes_per_token'] / row['bytes_dense']:.1f} %",
        ])  # fmt: skip
    return table(lines)


BESIDE = (
    *("planes", "words", "top", "tokens", "cycles a token in Verilog", "in the model"),
    *("bytes over the bus", "tokens that differ"),
)


def _beside(row: Row) -> list[str]:
    """Every token of Verilog beside the models."""
    return [
        f"outside, {row['bus_bits']} bits" if row["bus_bits"] else "on the chip",
        f"{row['words']:,}",
        str(row["k"]),
        str(row["tokens"]),
        *(f"{row[name]:,.1f}" for name in ("verilog_cycles", "model_cycles")),
        f"{row['bus_bytes']:,.0f}" if row["bus_bits"] else "",
        str(row["wrong"]),
    ]


def _verilog(rows: list[Row]) -> str:
    """Of the unit alone, with a shortened head."""
    lines = [[f"{row['pes']} x {row['lanes']}", *_beside(row)] for row in rows]
    return table([["array", *BESIDE], *lines])


def _together(rows: list[Row]) -> str:
    """Of arrays with the unit behind them."""
    lines = [["array", "matrices", *BESIDE]]
    for row in rows:
        lies = "streamed" if row["streamed"] else "on the chip"
        lines.append([f"{row['pes']} x {row['lanes']}", lies, *_beside(row)])
    return table(lines)


def _area(rows: list[Row]) -> str:
    """Of arrays with a unit behind them, every module synthesised once."""
    heads = "array|head|of|LUT4|LUT sites|FF|DSP|LUT4 of the array's|sites"
    lines = [heads.split("|")]
    for row in (row for row in rows if "unit" in row):
        sides = {"array": row["array"], "unit": row["unit"]}
        for other in rows:
            if "fetched" in other and all(other[n] == row[n] for n in ("pes", "lanes", "rows")):
                sides[_outside(other)] = other["fetched"]
        for side, cells in sides.items():
            counts = [f"{cells[of]:,}" for of in ("lut", "sites", "ff", "dsp")]
            shares = [f"{100 * cells[of] / row['array'][of]:.0f} %" for of in ("lut", "sites")]
            about = [f"{row['pes']} x {row['lanes']}", f"{row['rows']:,} x {row['columns']}", side]
            lines.append([*about, *counts, *(shares if side != "array" else ["", ""])])
    return table(lines)


def _outside(row: Row) -> str:
    """What a unit with planes outside is called, by its bus and lanes."""
    few = row["digits"] < row["columns"]
    lanes = f", {row['digits']} and {row['multipliers']} lanes" if few else ""
    return f"unit, {row['bus_bits']} bits to a memory outside{lanes}"


def _parts(rows: list[Row]) -> str:
    """Of units with planes outside, by module."""
    lines = [["unit of lanes", "part", "LUT4", "LUT sites", "FF", "DSP"]]
    for row in (row for row in rows if "parts" in row):
        unit = f"{row['digits']} and {row['multipliers']}"
        for part in row["parts"]:
            counts = [f"{part[of]:,}" for of in ("lut", "sites", "ff", "dsp")]
            lines.append([unit, f"`{part['part']}`", *counts])
    return table(lines)


def _placed(row: Row) -> str:
    """Of a whole bitstream."""
    return (
        f"Placed and routed with its link on `{row['board']}`, {row['pes']} x {row['lanes']} and a "
        f"screen of {row['rows']:,} rows of {row['columns']} take {row['lut']:,} LUT, "
        f"{row['ff']:,} registers, {row['ram']} block RAM and {row['dsp']} multipliers, and reach "
        f"{row['fmax_mhz']:.1f} MHz where {row['clock_mhz']:g} were asked for."
    )


def _page() -> Page:
    found = record("screening")
    rows: list[Row] = found["rows"]
    hard = found["hard"]
    sizes = {row["network"]: _size(row) for row in rows}
    return Page(
        ROOT / "docs/screening.md",
        (
            _read(rows),
            _networks(rows),
            _margins(found["margins"]),
            _heads(found["heads"]),
            _times(found["times"], sizes),
            _rectified(record("rectified")["rows"]),
            _units(record("rectified")["rows"]),
            _cycles(found["cycles"]),
            _verilog(record("screening_outside")["rows"]),
            _together(record("screening_together")["rows"]),
            _area(record("screening_area")["rows"]),
            _parts(record("screening_area")["rows"]),
        ),
        (
            f"Of {hard['cases']:,} adversarial cases {hard['wrong']} were wrong; in "
            f"{hard['ties']:,} of them logits are equal at the k-th place.",
            *(_placed(row) for row in record("screening_area")["rows"] if "fmax_mhz" in row),
        ),
        (
            "10,000 x 200", "15,625 of 16,625", "10,000 words", "10,000 rows", "75 % of a row's",
            "fits best: 53 %", "largest: 38 %", "2.4 bits", "2.7 at p99", "20 and 30 %",
            "2,000 and 500", "10,000 tokens", "within 0.05", "16.8 from memory",
            "up to 1,024", "a multiple of 4,096", "pruned to 80 % at once",
        ),
    )  # fmt: skip


SCREENING = _page()
