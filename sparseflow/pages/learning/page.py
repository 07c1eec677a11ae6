"""What a model learnt, as one page: scores, costs, what was clipped, what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from pruning.tasks.scores.score import in_words

from ..plots import INK, LINE, OTHER, _canvas, _style, _svg, draw_lines
from ..report_page import templates

__all__ = ["page"]

MOST_LINES = 4  # colours that can be told apart
_WORDS = {"head": "the head", "recurrent": "the recurrent layers", "all": "all layers"}


def page(found: Mapping[str, Any], command: str = "") -> str:
    """The page; it needs no network.

    Parameters
    ----------
    found : mapping
        Figures of :func:`sparseflow.steps.learning.adapting.adapt`.
    command : str
        That was typed, if one was.
    """
    template = templates().get_template("learning.html.j2")
    kind = "accuracy" if "accuracy" in found["before"]["score"] else "mse"
    return template.render(
        found=found,
        before=in_words(found["before"]["score"]),
        after=in_words(found["after"]["score"]),
        what=_WORDS[found["options"]["mode"]],
        score=_scores(found, kind),
        costs=_costs(found),
        exponents=_exponents(found["exponents"]),
        clipped=_clipped(found),
        rows=[_row(epoch) for epoch in found["epochs"]],
        changed=[_changed(name, of) for name, of in found["changed"].items()],
        facts=_facts(found),
        command=command,
    )


def _scores(found: Mapping[str, Any], kind: str) -> str:
    start = found["before"]["score"][kind]
    line = [start, *(epoch["held_out"][kind] for epoch in found["epochs"])]
    label = "accuracy on held-out data" if kind == "accuracy" else "MSE on held-out data"
    with _style("learning-score"):
        figure, axes = _canvas(2.6)
        axes.axhline(start, color=OTHER, linestyle=(0, (4, 3)), linewidth=1.5)
        draw_lines(axes, range(len(line)), [(label, line)])
        kept = found["kept_epoch"]
        axes.plot([kept], [line[kept]], marker="o", markersize=17, fillstyle="none", color=INK,
                  clip_on=False)  # fmt: skip
        if kind == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        _finish(axes)
        told = ", ".join(f"{n}: {value:.4g}" for n, value in enumerate(line))
        return _svg(figure, "learning-score", f"{label} by epoch. {told}")


def _costs(found: Mapping[str, Any]) -> str:
    learnt: list[float | None] = [None, *(epoch["cost"] for epoch in found["epochs"])]
    held = [found["before"]["cost"], *(epoch["held_out_cost"] for epoch in found["epochs"])]
    with _style("learning-cost"):
        figure, axes = _canvas(2.9)
        lines: Sequence[tuple[str, Sequence[float | None]]] = [
            ("data that is learnt", learnt), ("held-out data", held)
        ]  # fmt: skip
        draw_lines(axes, range(len(held)), lines)
        axes.set_ylim(bottom=0)
        _finish(axes)
        figure.legend(loc="outside lower left", ncols=2, fontsize=10)
        told = ", ".join(f"{n}: {value:.4g}" for n, value in enumerate(held))
        return _svg(figure, "learning-cost", f"Cost on held-out data by epoch. {told}")


def _clipped(found: Mapping[str, Any]) -> str:
    """Share of the gradients that were saturated, epoch by epoch."""
    line = [epoch["clipped"] for epoch in found["epochs"]]
    with _style("learning-clipped"):
        figure, axes = _canvas(2.9)
        draw_lines(axes, range(1, len(line) + 1), [("clipped", line)])
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        _finish(axes, "epoch")
        told = ", ".join(f"{n}: {value:.2g}" for n, value in enumerate(line, 1))
        return _svg(figure, "learning-clipped", f"Share of gradients clipped by epoch. {told}")


def _exponents(of: Mapping[str, Sequence[int]]) -> str:
    """Of what matrices are multiplied by, at each step from the end; empty where nothing was."""
    lines = [(f"layer {name[2:]}", list(e)) for name, e in of.items() if name.startswith("d.")]
    if not lines:
        return ""
    longest = max(len(values) for _, values in lines)
    with _style("learning-exponents"):
        figure, axes = _canvas(2.9)
        padded: list[tuple[str, Sequence[float | None]]] = [
            (name, [*map(float, values), *[None] * (longest - len(values))])
            for name, values in lines[:MOST_LINES]
        ]
        draw_lines(axes, range(longest), padded)
        _finish(axes, "steps from the end")
        if len(lines) > 1:
            figure.legend(loc="outside lower left", ncols=4, fontsize=10)
        told = "; ".join(f"{name}: {', '.join(map(str, values))}" for name, values in lines)
        return _svg(figure, "learning-exponents", f"Exponents by steps from the end. {told}")


def _finish(axes: Any, below: str = "epoch (ringed: kept)") -> None:
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_xlabel(below)


def _row(epoch: Mapping[str, Any]) -> list[str]:
    return [
        str(epoch["epoch"]),
        f"{epoch['cost']:.4f}",
        in_words(epoch["held_out"]),
        f"{epoch['held_out_cost']:.4f}",
        f"{epoch['clipped']:.4%}",
        f"{epoch['exponents_moved']:,}",
    ]


def _changed(name: str, of: Mapping[str, Any]) -> list[str]:
    share = of["moved"] / max(of["numbers"], 1)
    return [name, f"{of['numbers']:,}", f"{share:.1%}", f"{of['largest']:,}"]


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    options, counts = found["options"], found["sequences"]
    memory = f"{options['memory']:,} bytes" if options["memory"] else "as much as a batch takes"
    return [
        ("learnt from", f"{counts['learnt']:,} sequences"),
        ("judged by", f"{counts['held_out']:,} sequences held out"),
        ("steps", f"{found['steps']:,} of {options['batch']} sequences"),
        ("rate", f"{options['rate']:g}"),
        ("gradients", f"{options['gradient_bits']} bits"),
        ("memory of a step", memory),
        ("seed", str(options["seed"])),
        *_cycles(found.get("array")),
    ]


def _cycles(of: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What the cycle model says, where an array has learnt."""
    if of is None:
        return []
    batch = f"of {of['sequences']} sequences of {of['steps']} frames"
    return [
        (f"cycles of a batch {batch}", f"{of['cycles']:,}, if the host takes none"),
        ("of which the array works", f"{of['array_cycles']:,}"),
        (
            "of which words pass",
            f"{of['transfer_cycles']:,}, {of['hidden_cycles']:,} of them while the array works",
        ),
    ]
