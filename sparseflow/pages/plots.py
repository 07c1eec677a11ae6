"""The report's pictures, as SVG text for a web page.

Colours are style sheet variables, so a picture follows the light or dark page it is in.
Text stays text: it can be read aloud, searched and copied.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from textwrap import wrap
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .figures import number

__all__ = [
    "accuracy",
    "draw_lines",
    "increments",
    "memory",
    "number",
    "row_banks",
    "step_cycles",
    "together",
]

# matplotlib accepts no CSS variables: these stand-ins are exchanged in the finished text.
INK, MUTED, LINE, OURS, OTHER = "#010101", "#020202", "#030303", "#040404", "#050505"
PLUS, MINUS, EMPTY, GOOD, BAD = "#060606", "#070707", "#080808", "#090909", "#101010"
SERIES = tuple(f"#{digit * 6}" for digit in "9abcde")
"""Of lines that are told apart, on light and on dark ground, by the colour-blind too."""
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    OURS: "--ours",
    OTHER: "--other",
    PLUS: "--plus",
    MINUS: "--minus",
    EMPTY: "--empty",
    GOOD: "--good",
    BAD: "--bad",
    **{colour: f"--series-{n}" for n, colour in enumerate(SERIES, 1)},
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
MOST_BANKS = 16  # of a row's picture
LEAST_SPREAD = 0.02  # of an axis cut to its values: a tenth of a per cent is no gulf
_NO_METADATA: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def accuracy(values: Mapping[str, float], of: str = "utterances") -> str:
    """Share of utterances, or frames, classified rightly, by stage: dots on an axis cut to them.

    Bars from 0 would all look the same.

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
    dots = [(label, values[key], key != "dense") for key, label in names.items() if key in values]
    title = f"{of} classified rightly"
    with _style("accuracy"):
        figure, axes = _canvas(0.7 + 0.46 * len(dots))
        _draw_dots(axes, dots)
        axes.set_xlabel(title)
        return _svg(
            figure, "accuracy", f"{title}. " + ", ".join(f"{n}: {v:.2%}" for n, v, _ in dots)
        )


def _draw_dots(axes: Axes, dots: Sequence[tuple[str, float, bool]]) -> None:
    """One a line with its value above it; the first is a reference for those below."""
    values = [value for _, value, _ in dots]
    room = max(0.4 * (max(values) - min(values)), LEAST_SPREAD / 2)
    axes.set_xlim(max(0.0, min(values) - room), min(1.0, max(values) + room))
    axes.axvline(values[0], color=OTHER, linestyle=(0, (4, 3)), linewidth=1.2, clip_on=False)
    for place, (_, value, own) in enumerate(dots):
        style: dict[str, Any] = {"color": OURS if own else OTHER, "clip_on": False, "zorder": 3}
        axes.plot([value], [place], marker="o", markersize=9, **style)
        low, high = axes.get_xlim()
        side = ("right", -9) if value > (low + high) / 2 else ("left", 9)
        axes.annotate(
            f"{value:.2%}", (value, place), (side[1], 0), textcoords="offset points",
            ha=side[0], va="center", color=INK,
        )  # fmt: skip
    axes.set_yticks(range(len(dots)), [label for label, _, _ in dots])
    axes.set_ylim(len(dots) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(PercentFormatter(1))


def step_cycles(values: Mapping[str, float], dense: float | None = None) -> str:
    """Bars of clock cycles for one step.

    Parameters
    ----------
    values : mapping
        ``floor`` (stored nonzeros / multipliers), ``model`` (cycle model) and ``rtl``
        (counted in simulation), in cycles.
    dense : float, optional
        Of the same array running the network with every weight kept.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    names = {"floor": "floor", "model": "cycle model", "rtl": "Verilog"}
    bars = [(label, values[key], key != "floor") for key, label in names.items()]
    bars += [] if dense is None else [("dense network", dense, False)]
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


def increments(steps: Sequence[Mapping[str, float]], dense: float, what: str = "accuracy") -> str:
    """Accuracy, or the mean squared error, against sparsity while pruning proceeds.

    Parameters
    ----------
    steps : sequence of mappings
        ``sparsity``, 0..1, and ``accuracy``, 0..1, or ``mse`` after each increment.
    dense : float
        Of the dense network, drawn as a reference line.
    what : {"accuracy", "mse"}

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
        y = [step[what] for step in steps]
        axes.plot(x, y, color=OURS, marker="o", linewidth=2, clip_on=False)
        if what == "accuracy":
            # Some room on both sides: half a per cent must not look like a fall.
            axes.set_ylim(max(0.0, min([*y, dense]) - 0.02), min(1.0, max([*y, dense]) + 0.02))
            axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        else:
            axes.set_ylim(0, 1.2 * max([*y, dense]) or 1)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        axes.set_xlabel("weights removed")
        axes.set_ylabel("accuracy" if what == "accuracy" else "mean squared error")
        form = "{:.2%}" if what == "accuracy" else "{:.4g}"
        each = ", ".join(f"{n:.0%} removed: {form.format(v)}" for n, v in zip(x, y, strict=True))
        return _svg(figure, "increments", f"While pruning; dense {form.format(dense)}. {each}")


def row_banks(picture: Mapping[str, Any]) -> str:
    """Draw one row of a pruned matrix, a bank a line, its kept columns filled.

    Of many banks the first ``MOST_BANKS`` are drawn.

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
    width, banks = int(picture["bank_width"]), min(MOST_BANKS, int(picture["banks"]))
    columns = min(int(picture["columns"]), banks * width)
    pairs = zip(picture["kept"], picture["values"], strict=True)
    drawn = [(column, value) for column, value in pairs if column < banks * width]
    with _style("row"):
        figure, axes = _canvas(1.3 + 0.24 * banks)
        _empty_cells(axes, banks, width, columns)
        _kept_cells(axes, width, drawn)
        axes.set_xlim(-0.1, width + 0.1)
        axes.set_ylim(banks + 0.05, -0.05)
        indices = range(0, width, 1 + (width - 1) // 10)
        axes.set_xticks([index + 0.5 for index in indices], [str(index) for index in indices])
        axes.set_yticks([b + 0.5 for b in range(banks)], [f"bank {b}" for b in range(banks)])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("index in the bank")
        _row_legend(axes, padded=banks * width > columns)
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


def _bars(name: str, bars: list[tuple[str, float, bool]], title: str) -> str:
    """Horizontal bars with their values written out; ours are coloured, references grey."""
    with _style(name):
        figure, axes = _canvas(0.5 + 0.36 * len(bars))
        labels, values, ours = zip(*bars, strict=True)
        colours = [OURS if own else OTHER for own in ours]
        drawn = axes.barh(range(len(bars)), values, height=0.62, color=colours)
        texts = [number(value) for value in values]
        axes.bar_label(drawn, texts, padding=4, color=INK)
        axes.set_yticks(range(len(bars)), labels)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="x", bottom=False, labelbottom=False)
        axes.set_xlim(0, 1.2 * max(*values, 1))
        axes.set_xlabel(title)
        text = ", ".join(f"{label}: {text}" for label, text in zip(labels, texts, strict=True))
        return _svg(figure, name, f"{title}. {text}")


def together(
    lines: Mapping[str, Sequence[float | None]], most: int = 4, letters: int = 60
) -> Iterator[tuple[str, list[float | None]]]:
    """Lines that are the same everywhere as one, with the names of them all, for a legend.

    Parameters
    ----------
    lines : mapping of str to sequence
    most : int
        Names that are told; the others are counted.
    letters : int
        Of a line of the legend.
    """
    groups: dict[tuple[float | None, ...], list[str]] = {}
    for name, values in lines.items():
        groups.setdefault(tuple(values), []).append(name)
    for same, names in groups.items():
        more = len(names) - most
        text = ", ".join(names[:most]) + f" and {more} more" * (more > 0)
        yield "\n".join(wrap(text, letters, break_on_hyphens=False)), list(same)


def draw_lines(
    axes: Axes, places: Sequence[float], chosen: Sequence[tuple[str, Sequence[float | None]]]
) -> None:
    """Lines, one a colour; where two meet, the one below shows on both sides of the other."""
    for n, (colour, (label, values)) in enumerate(zip(SERIES, chosen, strict=False)):
        given = [(at, v) for at, v in zip(places, values, strict=True) if v is not None]
        size = len(chosen) - n - 1
        if given:
            axes.plot(*zip(*given, strict=True), marker="o", color=colour, label=label,
                      linewidth=2 + 1.2 * size, markersize=6 + 1.6 * size)  # fmt: skip


def _empty_cells(axes: Axes, banks: int, width: int, columns: int) -> None:
    for bank in range(banks):
        real = max(0, min(width, columns - bank * width))
        for index in range(width):
            padding = {"fill": False, "edgecolor": OTHER, "linestyle": ":"}
            style: dict[str, Any] = {"facecolor": EMPTY} if index < real else padding
            axes.add_patch(_cell(index, bank, **style))


def _kept_cells(axes: Axes, width: int, kept: Sequence[tuple[int, float]]) -> None:
    largest = max((abs(value) for _, value in kept), default=1) or 1
    for column, value in kept:
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
        handles=entries, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2,
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
