"""The report's pictures, as SVG text for a web page.

Colours are style sheet variables, so a picture follows the light or dark page it is in.
Text stays text: it can be read aloud, searched and copied.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

__all__ = ["accuracy", "increments", "memory", "number", "row_banks", "step_cycles"]

# matplotlib accepts no CSS variables: these stand-ins are exchanged in the finished text.
INK, MUTED, LINE, OURS, OTHER = "#010101", "#020202", "#030303", "#040404", "#050505"
PLUS, MINUS, EMPTY = "#060606", "#070707", "#080808"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    OURS: "--ours",
    OTHER: "--other",
    PLUS: "--plus",
    MINUS: "--minus",
    EMPTY: "--empty",
}
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "text.parse_math": False,  # names come from users' files
}
_NO_METADATA: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def accuracy(values: Mapping[str, float], of: str = "utterances") -> str:
    """Bars of the share of utterances, or frames, classified rightly, by stage.

    Parameters
    ----------
    values : mapping
        Some of the stages ``dense``, ``pruned``, ``fixed`` and ``rtl``, each 0..1; at least
        one.
    of : str
        What the shares are of.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    names = {
        "dense": "dense, float",
        "pruned": "pruned, float",
        "fixed": "pruned, integers",
        "rtl": "Verilog, simulated",
    }
    measured = {key: label for key, label in names.items() if key in values}
    bars = [(label, values[key], key != "dense") for key, label in measured.items()]
    return _bars("accuracy", bars, f"{of} classified rightly", share=True)


def step_cycles(values: Mapping[str, float]) -> str:
    """Bars of clock cycles for one LSTM step.

    Parameters
    ----------
    values : mapping
        ``floor`` (stored nonzeros / multipliers), ``model`` (cycle model) and ``rtl``
        (counted in simulation), in cycles.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    names = {"floor": "floor", "model": "cycle model", "rtl": "Verilog"}
    bars = [(label, values[key], key != "floor") for key, label in names.items()]
    return _bars("cycles", bars, "clock cycles per step")


def memory(values: Mapping[str, float]) -> str:
    """Bars of the bytes that the matrices occupy in three formats.

    Parameters
    ----------
    values : mapping
        ``dense16``, ``csr16`` and ``csb``, in bytes.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    names = {"dense16": "dense, 16 bits", "csr16": "CSR, 16 bits", "csb": "CSB"}
    bars = [(label, values[key], key == "csb") for key, label in names.items()]
    return _bars("bytes", bars, "bytes of weights and indices")


def increments(steps: Sequence[Mapping[str, float]], dense: float) -> str:
    """Accuracy against sparsity while pruning proceeds.

    Parameters
    ----------
    steps : sequence of mappings
        ``sparsity`` and ``accuracy`` after each increment, both 0..1.
    dense : float
        Accuracy of the dense network, 0..1, drawn as a reference line.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    with _style("increments"):
        figure, axes = _canvas(2.4)
        axes.axhline(dense, color=OTHER, linestyle=(0, (4, 3)), linewidth=1.5, clip_on=False)
        axes.annotate("dense", (1, dense), (-4, 4), ha="right", **_IN_AXES, color=MUTED)
        x = [step["sparsity"] for step in steps]
        y = [step["accuracy"] for step in steps]
        axes.plot(x, y, color=OURS, marker="o", linewidth=2, clip_on=False)
        # Some room on both sides: half a per cent must not look like a fall.
        axes.set_ylim(max(0.0, min([*y, dense]) - 0.02), min(1.0, max([*y, dense]) + 0.02))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        axes.set_xlabel("weights removed")
        axes.set_ylabel("accuracy")
        return _svg(figure, "increments", "Accuracy after every pruning increment")


def row_banks(picture: Mapping[str, Any]) -> str:
    """Draw one row of a pruned matrix, a bank a line, its kept columns filled.

    Parameters
    ----------
    picture : mapping
        ``matrix``, ``row``, ``bank_width``, ``banks``, ``columns``, ``kept`` (column
        numbers) and ``values`` (their weights, same order).

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    width, banks = int(picture["bank_width"]), int(picture["banks"])
    with _style("row"):
        figure, axes = _canvas(1.1 + 0.24 * banks, width=8.0)
        _empty_cells(axes, banks, width, int(picture["columns"]))
        _kept_cells(axes, width, picture["kept"], picture["values"])
        axes.set_xlim(-0.1, width + 0.1)
        axes.set_ylim(banks + 0.05, -0.05)
        indices = range(0, width, 1 + (width - 1) // 16)
        axes.set_xticks([index + 0.5 for index in indices], [str(index) for index in indices])
        axes.set_yticks([b + 0.5 for b in range(banks)], [f"bank {b}" for b in range(banks)])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("index in the bank")
        _row_legend(axes, padded=banks * width > int(picture["columns"]))
        label = f"Kept weights of row {picture['row']} of {picture['matrix']}, bank by bank"
        return _svg(figure, "row", label)


_IN_AXES: dict[str, Any] = {
    "xycoords": ("axes fraction", "data"),
    "textcoords": "offset points",
}


def _style(name: str) -> AbstractContextManager[None]:
    # Same input, same bytes: identifiers are hashes of this salt and the content.
    settings: Any = {**_STYLE, "svg.hashsalt": name}
    return matplotlib.rc_context(settings)


def _canvas(height: float, width: float = 4.8) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    return figure, axes


def _bars(name: str, bars: list[tuple[str, float, bool]], title: str, share: bool = False) -> str:
    """Horizontal bars with their values written out; ours are coloured, references grey."""
    with _style(name):
        figure, axes = _canvas(0.5 + 0.36 * len(bars))
        labels, values, ours = zip(*bars, strict=True)
        colours = [OURS if own else OTHER for own in ours]
        drawn = axes.barh(range(len(bars)), values, height=0.62, color=colours)
        texts = [f"{v:.2%}" if share else number(v) for v in values]
        axes.bar_label(drawn, texts, padding=4, color=INK)
        axes.set_yticks(range(len(bars)), labels)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="x", bottom=False, labelbottom=False)
        axes.set_xlim(0, 1.2 * (1 if share else max(*values, 1)))
        axes.set_xlabel(title)
        text = ", ".join(f"{label}: {text}" for label, text in zip(labels, texts, strict=True))
        return _svg(figure, name, f"{title}. {text}")


def number(value: float) -> str:
    """A count as text: digits in groups of three, at most one decimal."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def _empty_cells(axes: Axes, banks: int, width: int, columns: int) -> None:
    for bank in range(banks):
        real = max(0, min(width, columns - bank * width))
        for index in range(width):
            padding = {"fill": False, "edgecolor": OTHER, "linestyle": ":"}
            style: dict[str, Any] = {"facecolor": EMPTY} if index < real else padding
            axes.add_patch(_cell(index, bank, **style))


def _kept_cells(axes: Axes, width: int, kept: Sequence[int], values: Sequence[float]) -> None:
    largest = max((abs(v) for v in values), default=1) or 1
    for column, value in zip(kept, values, strict=True):
        bank, index = divmod(column, width)
        colour = PLUS if value >= 0 else MINUS
        # Never fainter than this: the smallest kept weight must be seen.
        strength = 0.4 + 0.6 * abs(value) / largest
        axes.add_patch(_cell(index, bank, facecolor=colour, alpha=strength))


def _cell(index: int, bank: int, **style: Any) -> matplotlib.patches.Rectangle:
    return matplotlib.patches.Rectangle((index + 0.06, bank + 0.1), 0.88, 0.8, **style)


def _row_legend(axes: Axes, padded: bool) -> None:
    entries = [
        Patch(facecolor=PLUS, label="kept, positive"),
        Patch(facecolor=MINUS, label="kept, negative"),
        Patch(facecolor=EMPTY, label="removed"),
    ]
    if padded:
        entries.append(Patch(fill=False, edgecolor=OTHER, linestyle=":", label="padding"))
    axes.legend(
        handles=entries, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2,
        handlelength=1, handleheight=1, borderpad=0, columnspacing=1.4,
    )  # fmt: skip


def _svg(figure: Figure, name: str, label: str) -> str:
    """Finish a figure: one ``<svg>`` element with unique identifiers and CSS colours."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    # Several pictures share a page, and matplotlib numbers every figure from 1.
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)
