"""What the page on learning in integers says of scores and speed."""

from __future__ import annotations

from typing import Any

from ..learning.speed import CLASSES, FRAMES, INPUTS, SEQUENCES, UNITS
from ..learning.tasks import TASKS
from .page import Page
from .results import ROOT, record, table

__all__ = ["LEARNING", "LEARNING_ARRAY"]


def _scores() -> str:
    heads = "task|moves|arithmetic|seeds|before, %|after, %|float, %|epochs|float's epochs"
    lines = [heads.split("|")]
    for row in record("learning")["summary"]:
        lines.append([
            TASKS[row["task"]].title,
            row["mode"],
            row["arithmetic"],
            str(row["seeds"]),
            f"{100 * row['before']:.1f}",
            f"{100 * row['score_mean']:.2f} ± {100 * row['score_sd']:.2f}",
            f"{100 * row['float_mean']:.2f}",
            *(f"{row[name]:.1f}" for name in ("epochs_mean", "float_epochs_mean")),
        ])  # fmt: skip
    return table(lines)


def _of(kind: str) -> list[dict[str, Any]]:
    return [row for row in record("learning")["speed"] if kind in row]


def _times() -> str:
    lines = [["a training step, one core", "CPU ms", "times int8"]]
    for row in _of("contender"):
        ratio = row["times_int8"]
        told = f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        lines.append([row["contender"], f"{row['ms']:.1f}", told])
    return table(lines)


def _page() -> Page:
    (memory,), (rescaling,) = _of("memory"), _of("rescaling")
    return Page(
        ROOT / "docs/learning.md",
        (_scores(), _times()),
        (
            f"{INPUTS} -> {UNITS}, {SEQUENCES} sequences of {FRAMES} frames, {CLASSES} classes",
            f"The tape takes {memory['tape'] / 1e6:.1f} MB, what PyTorch keeps "
            f"{memory['torch_saved'] / 1e6:.1f} MB",
            f"Watching gradients and following them takes {100 * rescaling['share']:.1f} % of a "
            f"step; looking for each tensor's own largest number first takes "
            f"{100 * rescaling['own_share']:.0f} % of one in the numpy reference",
        ),
        ("0.13 % there, 25.7 % of 512 x 128", "two at 0.5", "a norm of 0.25"),
    )


LEARNING = _page()


def _rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = record("training")["rows"]
    return found


def _cells() -> str:
    heads = "array|network|LUT|banks in blocks|head learns|all learn"
    heads += "|block RAM|a frame, cycles|head's update"
    lines = [heads.split("|")]
    for row in (row for row in _rows() if "plain_luts" in row):
        kinds = [kind for kind in ("plain", "train", "back") if f"{kind}_luts" in row]
        luts = (_told(row, kind) for kind in ("plain", "blocks", "train", "back"))
        rams = ", ".join(str(row[f"{kind}_block_rams"]) for kind in kinds)
        cycles = (f"{row[name]:,}" for name in ("frame_cycles", "update_cycles"))
        lines.append([row["case"], row["network"], *luts, rams, *cycles])
    return table(lines)


def _told(row: dict[str, Any], kind: str) -> str:
    """LUT, and how many more than without training."""
    if (luts := row.get(f"{kind}_luts")) is None:
        return "not measured"
    more = f" ({100 * (luts / row['plain_luts'] - 1):+.1f} %)"
    return f"{luts:,}" + more * (kind != "plain")


def _flat() -> list[dict[str, Any]]:
    """All but those of which cells alone are counted, module by module."""
    return [row for row in _rows() if row.get("flat", True)]


def _cycles() -> str:
    heads = "array|forward|W^T d|sums and moves|all|times the forward"
    lines = [heads.split("|")]
    for row in _flat():
        if "batch_times" in row:
            frames = row["steps"] * row["answers"]
            names = ("forward_cycles", "back_cycles", "update_cycles")
            parts = (f"{row[f'batch_{name}'] / frames:,.0f}" for name in names)
            whole = (f"{row['batch_frame_cycles']:,.0f}", f"{row['batch_times']:.2f}")
            lines.append([row["case"], *parts, *whole])
    return table(lines)


def _transfers() -> str:
    heads = "array|loaded|states and logits|sums|transfers, cycles|hidden|all, cycles|in Verilog"
    lines = [heads.split("|")]
    names = "loaded_words states_words sums_words transfer_cycles hidden_cycles whole_cycles"
    names += " measured_cycles"
    for row in _flat():
        frames = row["steps"] * row["answers"]
        told = (row.get(f"batch_{name}") for name in names.split())
        numbers = ("not measured" if n is None else f"{n / frames:,.0f}" for n in told)
        lines.append([row["case"], *numbers])
    return table(lines)


def _verilog() -> str:
    heads = "network|array|updates|numbers compared|mismatches|cycles|with pauses"
    lines = [heads.split("|")]
    rows = {row["case"]: row for row in record("learning_verilog")["rows"]}
    for name, row in rows.items():
        network, array, pauses = name.rsplit(", ", 2)
        if pauses != "pauses":
            continue
        plain = rows.get(f"{network}, {array}, no pauses")
        both = [row, *([plain] if plain else [])]
        sums = (f"{sum(one[n] for one in both):,}" for n in ("compared", "mismatches"))
        free = f"{plain['cycles']:,}" if plain else "not run"
        lines.append([network, array, str(row["updates"]), *sums, free, f"{row['cycles']:,}"])
    return table(lines)


def _boards() -> str:
    heads = "board|array|learns|LUT|flip-flops|block RAM|multipliers|reached, MHz|wanted, MHz"
    lines = [heads.split("|")]
    for row in record("learning_boards")["rows"]:
        array = f"{row['M']} x {row['N']}"
        names = ("lut", "ff", "ram", "dsp")
        numbers = [f"{row[n]:,}" for n in names] if row["fits"] else [row["why"], *[""] * 3]
        clocks = [f"{row[n]:g}" if n in row else "" for n in ("fmax_mhz", "clock_mhz")]
        learns = {"": "nothing", "head": "head", "all": "all"}[row["learns"]]
        lines.append([row["board"], array, learns, *numbers, *clocks])
    return table(lines)


def _parts() -> str:
    """Where the LUT of the middle array go, and what stays without what might be shared."""
    row = next(row for row in _rows() if row["case"].startswith("16 x 8"))
    plain, parts = row["plain_parts"], row["back_parts"]
    pe, ram, updater, columns, top = (
        parts[f"sparseflow{name}"] for name in ("_pe", "_ram", "_updater", "_columns", "")
    )
    rest = (row["back_luts"] - updater) / row["plain_luts"] - 1
    return (
        f"Of the {row['back_luts']:,} LUT of 16 x 8 PEs take {pe:,} "
        f"({plain['sparseflow_pe']:,} where nothing learns), updaters {updater:,}, "
        f"columns {columns:,}, memories {ram:,} ({plain['sparseflow_ram']:,}), "
        f"and what joins columns and chooses writes {top:,}: "
        f"without any updater it would be {100 * rest:.0f} % more than where nothing learns"
    )


def _array_page() -> Page:
    row = next(row for row in _rows() if "updater_luts" in row)
    return Page(
        ROOT / "docs/learning_array.md",
        (_verilog(), _cells(), _boards(), _cycles(), _transfers()),
        (
            f"Of the large PE the updater takes {row['updater_luts']:,} LUT, its columns "
            f"{row['columns_luts']:,} and {row['columns_block_rams']} block RAMs",
            _parts(),
        ),
        ("where the aim is 40 % more",),
    )


LEARNING_ARRAY = _array_page()
