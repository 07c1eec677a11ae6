"""What the guide on quantisation says of measurements."""

from __future__ import annotations

from ..page import Page
from ..results import ROOT, record, table

__all__ = ["QUANTISATION"]


def _quantised() -> str:
    ways = "more float epochs, then quantised|fine-tuned in these bits"
    lines = [["network", "bits w/a", "float", "after training", *ways.split("|")]]
    for row in record("quantisation")["summary"]:
        bits = f"{row['value_bits']}/{row['act_bits']}" + ", per gate" * row["per_gate"]
        cells = (f"{row[n]:.2%} ({row[f'{n}_loss']:.3f})" for n in ("after", "float", "aware"))
        lines.append([row["network"], bits, f"{row['pruned']:.2%}", *cells])
    return table(lines)


def _reaches() -> str:
    heads = "lanes of|ranges of its layers|LUT of a lane|more|LUT, Xilinx 7|LUT of the core|more"
    lines, one = [heads.split("|")], dict[str, tuple[int, int]]()
    for row in record("reaches")["rows"]:
        lane, core = row["lane"]["ecp5"]["lut"], row["core"]["ecp5"]["lut"]
        least = one.setdefault(row["cell"], (lane, core))
        more = (f"{found / of - 1:.1%}" for found, of in zip((lane, core), least, strict=True))
        of_lane, of_core = more
        counts = [f"{lane:,}", of_lane, f"{row['lane']['xc7']['lut']:,}", f"{core:,}", of_core]
        lines.append([row["cell"].upper(), row["reaches"], *counts])
    return table(lines)


def _quantisation() -> Page:
    found, utterances = record("quantisation"), record("icarus")["rows"][0]["utterances"]
    differ = sum(row["different_bits"] for row in found["rows"])
    demo, small = (
        next(row for row in found["summary"] if row["network"] == name and row["value_bits"] == 4)
        for name in ("demo, 128 units", "small, 16 units")
    )
    loses, less = (100 * (small["further"] - small[way]) for way in ("float", "aware"))
    one = 100 / utterances
    return Page(
        ROOT / "docs/quantisation.md",
        (_quantised(), _reaches()),
        (
            f"on the {utterances} test utterances of JapaneseVowels, means of three seeds, "
            f"{found['epochs']} epochs of further fine-tuning",
            f"One utterance is {one:.2f} %, {one / len(found['seed']):.2f} % of a mean",
            f"fine-tuning in them gains nothing: {100 * demo['aware']:.2f} % against "
            f"{100 * demo['after']:.2f} %",
            f"in float, loses {loses:.1f} % when it is quantised to 4 bits; fine-tuned in 4 bits "
            f"it loses {less:.1f} %",
            "no output of the integer model differs from the fine-tuning forward in any row"
            if differ == 0
            else f"{differ} outputs of the integer model differ",
        ),
    )


QUANTISATION = _quantisation()
