"""The measured rows as Markdown and as a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from compiler.timing.causes import CAUSES
from csb_format.files.replace import replace_file

from .shapes import shapes_markdown
from .utilisation_published import PUBLISHED

__all__ = ["markdown", "plot"]


def markdown(rows: list[dict[str, Any]], shapes: list[dict[str, Any]]) -> str:
    """Tables of what was measured, where the cycles went, and what others published."""
    lines = [
        "# Multiplier utilisation",
        "",
        "Whole steps in the steady state, batch 1, Verilog on Verilator; written by",
        "`python -m bench.array.utilisation --json bench/results/utilisation.json`.",
        "Utilisation is real nonzero products / (cycles x multipliers); no value differed from",
        "the integer model. A bank keeps a whole number of weights, more than the sparsity asks",
        "for: `asked` counts those alone that it asks for.",
        "",
        "| workload | M x N | floor | model | Verilog | utilisation | asked | promised |"
        " lone step | MACs a cycle | dense-equivalent operations a cycle | bits a weight |"
        " weight bytes |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [_measured(row) for row in rows]
    lines += ["", "Cycles of a step by cause:", "", f"| workload | {' | '.join(CAUSES)} |"]
    lines += ["|---|" + "---:|" * len(CAUSES)]
    for row in rows:
        shares = (f"{row['cycles_by_cause'][name]:g}" for name in CAUSES)
        lines.append(f"| {row['workload']} | {' | '.join(shares)} |")
    lines += ["", *shapes_markdown(shapes)]
    lines += ["", "Published:", "", "| who | what | share of multipliers | batch | source |"]
    lines += ["|---|---|---:|---:|---|"]
    for other in PUBLISHED:
        share = (
            f"{other.low:.0%}" if other.low == other.high else f"{other.low:.0%}-{other.high:.0%}"
        )
        lines.append(
            f"| {other.name} | {other.workload} | {share} | {other.batch} | {other.source} |"
        )
    return "\n".join(lines) + "\n"


def _measured(row: dict[str, Any]) -> str:
    promised = row["promised"]
    least = f"{promised['share']:.0%}" if "share" in promised else f"{promised['cycles']:,} cycles"
    cells = [
        row["what"],
        f"{row['M']} x {row['N']}",
        *(f"{row[key]:,}" for key in ("floor", "model_cycles", "rtl_cycles")),
        f"{row['utilisation']:.1%}",
        f"{row['utilisation_asked']:.1%}",
        least,
        f"{row['lone_step_latency']:,}",
        f"{row['macs_a_cycle']:,.0f}",
        f"{row['dense_equivalent_operations_a_cycle']:,.0f}",
        f"{row['bits_a_weight']:.1f}",
        f"{row['weight_bytes']:,}",
    ]
    return f"| {' | '.join(cells)} |"


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Bars: ours, then the range of each published figure."""
    figure, axis = plt.subplots(figsize=(9, 0.42 * (len(rows) + len(PUBLISHED)) + 1.2))
    labels = []
    for at, row in enumerate(rows):
        axis.barh(at, row["utilisation"], color="#2a6f97")
        axis.text(
            row["utilisation"] - 0.01,
            at,
            f"{row['utilisation']:.1%}",
            ha="right",
            va="center",
            color="white",
            fontsize=9,
        )
        labels.append(f"{row['what']}, {row['M']} x {row['N']}")
    for at, other in enumerate(PUBLISHED, len(rows)):
        axis.barh(at, other.high, color="#d9d9d9")
        axis.barh(at, other.low, color="#9a9a9a")
        text = (
            f"{other.low:.0%}" if other.low == other.high else f"{other.low:.0%}-{other.high:.0%}"
        )
        axis.text(other.high + 0.01, at, text, va="center", fontsize=9)
        labels.append(f"{other.name}, {'batch 1' if other.batch == 1 else f'batch {other.batch}'}")
    axis.set_yticks(range(len(labels)), labels, fontsize=9)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.05)
    axis.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1))
    axis.set_xlabel("multipliers used over a whole LSTM step")
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    replace_file(path, buffer.getvalue())
    plt.close(figure)
