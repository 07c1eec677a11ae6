"""What the guide on integration says of loads, soft errors and what protects from them."""

from __future__ import annotations

from ..page import Page
from ..results import ROOT, record, table

__all__ = ["INTEGRATION"]


def _loads() -> str:
    lines = [
        [
            "top",
            "model",
            "array",
            "bus",
            "latency",
            "weights",
            "cycles",
            "floor",
            "of the bus",
            "all of it",
            "cycles",
            "of the bus",
        ]
    ]
    for row in record("load")["rows"]:
        lines.append([
            f"`{row['top']}`",
            row["model"],
            f"{row['M']} x {row['N']}",
            str(row["bus_bits"]),
            " to ".join(map(str, row["latency"] or ())),
            *(f"{row[f'weight_{name}']:,}" for name in ("bytes", "cycles", "floor")),
            f"{100 * row['weight_share']:.1f} %",
            *(f"{row[name]:,}" for name in ("bytes", "cycles")),
            f"{100 * row['share']:.1f} %",
        ])  # fmt: skip
    return table(lines)


def _flips() -> str:
    heads = "network|option|memories|frames, marks, packets|two bits of a word|words not used"
    lines = [heads.split("|")]
    for row in record("faults")["rows"]:
        option = " ".join(f"--{name}" for name in ("checked", "walk") if row[name])
        shares = [row["seen"][name] for name in ("memories", "frames, marks and packets")]
        shares += [row["told"][name] for name in ("two bits", "unread")]
        percent = (f"{100 * share:.1f} %" for share in shares)
        lines.append([row["network"], f"`{option}`" if option else "", *percent])
    return table(lines)


def _protection() -> str:
    heads = "option|cells of|LUT|carry|flip-flops|block RAM|LUT RAM"
    lines = [heads.split("|")]
    names = ("lut", "carry", "ff", "block_ram", "lut_ram")
    for row in record("protection")["rows"]:
        option = f"`{row['option']}`" if row["option"] else ""
        for family in [name for name in ("ecp5", "xc7") if name in row]:
            counts = (f"{row[family][name]:,}" for name in names)
            lines.append([option, {"ecp5": "ECP5", "xc7": "Xilinx 7"}[family], *counts])
    return table(lines)


def _placed_protection() -> str:
    lines = [["option", "LUT", "flip-flops", "block RAM", "MHz"]]
    for row in record("protection")["rows"]:
        if "board" not in row:
            continue
        counts = (f"{row[name]:,}" for name in ("lut", "ff", "ram"))
        option = f"`{row['option']}`" if row["option"] else ""
        lines.append([option, *counts, f"{row['fmax_mhz']:.1f}"])
    return table(lines)


def _integration() -> Page:
    low, high = record("load")["latency"]
    late, at_once = (
        next(row for row in record("load")["rows"] if row["case"] == name)
        for name in ("dram demo 512", "dram demo 512 at once")
    )
    (enables, *_) = record("enables")["rows"]
    plain, enabled = enables["plain"], enables["enabled"]
    return Page(
        ROOT / "docs/integration.md",
        (_loads(), _flips(), _protection(), _placed_protection()),
        (
            f"a memory latency random in {low} to {high} cycles",
            "at least 18 times the memory's latency in beats: "
            f"{18 * high:,} beats at {high} cycles",
            f"The demo has {late['floor']} beats of {late['bus_bits']} bits",
            f"{100 * late['share']:.1f} % where memory takes {low} to {high} cycles",
            f"{100 * at_once['share']:.1f} % where it answers at once",
            f"{100 * late['floor'] / (late['floor'] + high):.0f} % of the bus for the demo",
            f"{plain['changes']:,} changes of bits without, of them {plain['lanes']:,} in lanes, "
            f"and {enabled['changes']:,} with, {-100 * enables['saved']:.2f} % more",
        ),
        ("reaches 90 % of the bus", "LiteX 2024.12"),
    )


INTEGRATION = _integration()
