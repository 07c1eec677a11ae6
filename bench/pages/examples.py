"""What the pages of the examples say of their scores and of boards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boards.board import board
from csb_format import load_model

from ..accuracy.rows import BEST
from ..examples.run import CASES
from ..masks.pretrained import NETWORK, SEED
from .page import Page
from .results import ROOT, bitstreams, case, scores, table

__all__ = ["EXAMPLES", "scores_of"]


def scores_of(row: Mapping[str, Any], baselines: Mapping[str, str] | None = None) -> str:
    """A table of what a network is worth in float, in integers and in Verilog."""
    found, scored = row["scores"], row["scored"]
    lines = [["", *_heads(found["fixed"]), "of"]]
    every, share = _of(scored)
    lines += [
        [name, *text.replace("MSE ", "").replace("MAE ", "").replace("R2 ", "").split(", "), every]
        for name, text in (baselines or {}).items()
    ]
    removed = f"pruned, {1 - row['kept'] / row['weights']:.2%} removed, float"
    names = {
        "dense, float": ("dense", every),
        removed: ("pruned", every),
        "integers": ("fixed", every),
        "Verilog": ("rtl", share),
        "integers on the same": ("fixed_simulated", share),
    }
    for name, (key, of) in ((n, way) for n, way in names.items() if way[0] in found):
        lines.append([name, *_figures(found[key]), of])
    return table(lines)


def _of(scored: Mapping[str, int]) -> list[str]:
    """How many are scored, and how many of them in simulation."""
    if "counted" in scored:
        return [f"{scored[key]:,} frames" for key in ("counted", "counted_simulated")]
    return [f"{scored[key]:,} windows" for key in ("sequences", "simulated")]


def _heads(score: Mapping[str, float]) -> list[str]:
    if "mse" in score:
        return ["MSE", "MAE", "R2"]
    return ["right", "perplexity"] if "perplexity" in score else ["right"]


def _figures(score: Mapping[str, float]) -> list[str]:
    if "mse" in score:
        return [f"{score[name]:.4g}" for name in ("mse", "mae", "r2")]
    others = [f"{score['perplexity']:.4g}"] if "perplexity" in score else []
    return [f"{score['accuracy']:.2%}", *others]


def _fits(row: Mapping[str, Any]) -> str:
    lines = [["board", "array that fits", "cycles", "MHz", "a step"]]
    for name, fit in row["fit"].items():
        if fit is None:
            lines.append([board(name).title, "none", "", "", ""])
            continue
        step = f"{fit['microseconds']:.2f} us"
        lines.append([board(name).title, f"{fit['M']} x {fit['N']}", str(fit["cycles"]),
                      f"{fit['megahertz']:.4g}", step])  # fmt: skip
    return table(lines)


def _phones() -> Page:
    row = case("examples", case="phones")
    said, majority = (_line(row, start) for start in ("phones.csv: ", "always pau: "))
    return Page(
        ROOT / "docs/phones.md",
        (scores_of(row), _placed("phones", "a frame"), _fits(row)),
        (
            said,
            f"To say silence always would be right in {majority} of the frames",
        ),
    )


def _line(row: Mapping[str, Any], start: str) -> str:
    """What follows these words in what the example printed."""
    (found,) = (line for line in row["told"] if line.startswith(start))
    return str(found.removeprefix(start))


def _watch() -> Page:
    row = case("examples", case="watch")
    return Page(ROOT / "docs/watch.md", (scores_of(row), _placed("watch", "a frame"), _fits(row)))


def _glucose() -> Page:
    row = case("examples", case="glucose")
    simple = dict(line.split(": ", 1) for line in row["told"] if "MSE" in line)
    linear = float(simple["linear"].split(", ")[0].removeprefix("MSE "))
    found = row["scores"]
    less = {key: 1 - found[key]["mse"] / linear for key in ("dense", "fixed")}
    runs = [line.partition(": ")[2] for line in row["told"] if "readings" in line]
    return Page(
        ROOT / "docs/glucose.md",
        (scores_of(row, simple), _placed("glucose", "a reading"), _fits(row)),
        (
            *runs,
            f"The squared error of the integers is {less['fixed']:.1%} below that of the linear "
            f"forecast, of the dense network {less['dense']:.1%}",
        ),
    )


def _placed(name: str, step: str) -> str:
    """Bitstreams of an example's network, in brief; docs/boards.md has more of the shipped one."""
    lines = [["board, bitstream", "M x N", "LUT", "block RAM", "reaches", step]]
    for row in bitstreams(name):
        reaches = f"{row['fmax_mhz']:.1f} of {row['clock_mhz']:g} MHz"
        lines.append([
            board(row["board"]).title,
            f"{row['M']} x {row['N']}",
            f"{row['lut']:,}",
            str(row["ram"]),
            reaches,
            _microseconds(row["step_us"]),
        ])  # fmt: skip
    return table(lines)


def _microseconds(one: float) -> str:
    return f"{one:.1f} us" if one >= 10 else f"{one:.2f} us"


def _shakespeare() -> Page:
    row, trained = case("examples", case="shakespeare"), scores(NETWORK)
    model = load_model(ROOT / CASES["shakespeare"].model)
    whole = float(model.provenance["test perplexity"].partition(" ")[0])
    dense = trained.ways["dense", 0.0, BEST][SEED]
    return Page(
        ROOT / "docs/shakespeare.md",
        (scores_of(row), _placed("shakespeare", "a character"), _fits(row)),
        (
            _line(row, "hamlet.npz: "),
            f"All of Hamlet in one go, the integers come to {whole:.2f} and a dense copy that was "
            f"fine-tuned as long to {dense:.2f}",
        ),
        ("87.5 % pruned",),
    )


EXAMPLES = (_phones(), _watch(), _glucose(), _shakespeare())
