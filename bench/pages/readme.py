"""What README says of measurements."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from boards.board import board
from csb_format import Model
from csb_format.random_models import random_model
from sparseflow.pages.figures import asked, bits_per_nonzero, sizes, sparsity

from ..accuracy.report import Tests
from ..accuracy.rows import GLOBAL_BANKS
from .page import Page
from .processors import beside_others, times_as_fast
from .results import ROOT, counted, mean, record, scores, table, written

__all__ = ["README"]

_STAGES = {
    "dense": "dense, float",
    "pruned": "pruned, float",
    "fixed": "integer model, 16 bits",
    "rtl": "Verilog",
}
_PROCESSORS = "8 bits|batch|us a step|ONNX Runtime int8|MKL's CSR|torch's CSR|torch.nn.LSTM"
_OTHERS = ("MKL CSR", "torch CSR int32", "torch.nn.LSTM")
_ASKED = 0.875  # sparsity of the demo
_STATES = 2 * 128  # of a frame of the demo: h and c
_WORKLOADS = {
    "demo-16x8": "demo 12 -> 128",
    "ptb-small-32x16": "PTB 128 -> 256 -> 256, 14x, two layers",
    "timit-16x16": "TIMIT 153 -> 1024, projection 512",
    "timit-64x16": "TIMIT",
    "ptb-1500-64x16": "PTB 1500 -> 1500 at 80 %",
    "gru-64x16": "GRU 153 -> 1024",
    "gru0-64x16": "GRU, reset first, 153 -> 1024",
    "timit-256x16": "TIMIT",
    "ptb-gates-8x8": "PTB 200 -> 200 -> 200 at 80 %, k per gate",
    "ptb-gates-16x8": "PTB 200, k per gate",
    "ptb-gates-32x8": "PTB 200, k per gate",
    "ptb-gates-64x8": "PTB 200, k per gate",
    "gru-gates-16x8": "GRU 64 -> 256, k per gate",
}
_FREE = ("unstructured, k per matrix", "banks of 100", "banks of 50", "banks of 25")
_GLOBAL = ("unstructured, global", *reversed(GLOBAL_BANKS))
_FREE_AT = {"ptb200": (0.6, 0.7, 0.8, 0.875, 0.9), "ptb650brief": (0.6, 0.8)}
_PATTERNS = ("unstructured", "banks of 100", "banks of 25", "blocks 4x4")


def _demo() -> Model:
    """Of the demo's shape."""
    return random_model(np.random.default_rng(0), 12, 128, 8, 1, 2)


def _stages() -> str:
    heads = ["stage", "accuracy, seeds 0 to 4, mean ± standard deviation"]
    found = record("seeds")["summary"]
    shares = ((title, found[stage]) for stage, title in _STAGES.items())
    return table(
        [heads, *([t, f"{100 * s['mean']:.2f} % ± {100 * s['stdev']:.2f}"] for t, s in shares)]
    )


def _arrays() -> str:
    heads = "array M x N|floor|cycle model|Verilog|multipliers busy|with weights asked for|"
    lines = [(heads + "Verilator|Icarus|Amaranth").split("|")]
    share = asked(_demo(), _ASKED)
    for row in record("arrays")["rows"]:
        cycles = (f"{row[name]:,.0f}" for name in ("floor", "model_cycles", "rtl_cycles"))
        names = ("verilator", "icarus", "amaranth")
        speeds = (_thousands(row[f"{name}_cycles_per_second"]) for name in names)
        busy = (f"{100 * used:.1f} %" for used in (row["utilisation"], row["utilisation"] * share))
        lines.append([f"{row['M']} x {row['N']}", *cycles, *busy, *speeds])
    return table(lines)


def _thousands(speed: float) -> str:
    return f"{speed / 1000:.{0 if speed >= 10_000 else 1}f} k/s"


def _boards() -> str:
    heads = "board|M x N|layer, bits|LUT|block RAM|multipliers|place and route reaches|a step"
    lines = [heads.split("|")]
    for row in record("boards")["rows"]:
        bits = sorted({row["value_bits"], row["act_bits"]})
        large = f" and {row['spram']} SPRAM" if row["spram"] else ""
        of = board(row["board"])
        lines.append([
            of.title,
            f"{row['M']} x {row['N']}",
            f"{row['layer']}, {' and '.join(map(str, bits))}",
            f"{row['lut']:,}",
            f"{row['ram']}{large}",
            f"{row['dsp']} of {of.has.multipliers}",
            f"{row['fmax_mhz']:.1f} MHz",
            f"{_three(row['step_us'])} us at {_clock(row['fmax_mhz'], row['clock_mhz'])} MHz",
        ])  # fmt: skip
    return table(lines)


def _three(value: float) -> str:
    """Three digits that count."""
    return f"{value:#.3g}".rstrip(".")


def _clock(reached: float, asked: float) -> str:
    return f"{asked:g}" if reached >= asked else f"{reached:.1f}"


def _utilisation() -> str:
    heads = "workload|M x N|floor|Verilog|multipliers busy|with weights asked for"
    lines = [heads.split("|")]
    for row in record("utilisation")["rows"]:
        cycles = [f"{row['floor']:,}", f"{row['rtl_cycles']:,}"]
        shares = (f"{100 * row[name]:.1f} %" for name in ("utilisation", "utilisation_asked"))
        size = f"{row['M']} x {row['N']}"
        lines.append([_WORKLOADS[row["workload"]], size, *cycles, *shares])
    return table(lines)


def _processors() -> str:
    """The C library with weights and states of 8 bits, beside others."""
    lines = [_PROCESSORS.split("|")]
    for row in beside_others("avx512", here=True):
        what, _, bits = row["what"].partition(", weights of ")
        if bits == "8 bits, states of 8" and row["batch"] != 64:
            lines.append([what, *times_as_fast(row, _OTHERS)])
    return table(lines)


def _earlier(what: str) -> str:
    """The commit of a row, and how many times as fast."""
    rows = record("speed")["rows"]
    start = f"{what}, before: tree "
    found = next(row for row in rows if row["what"].startswith(start))
    return f"{found['what'].removeprefix(start)}: {found['times_as_fast']:.1f}"


def _accuracy() -> str:
    ours, ample, wide = scores("ptb200"), scores("ptb200").ample, scores("ptb650brief")
    heads = ["network", "dense", "80 %: unstructured", *_PATTERNS[1:]]
    often = "2 x 200, four times the fine-tuning, one seed"
    keys = [("dense", 0.0), *((pattern, 0.8) for pattern in _PATTERNS)]
    few, brief = (_of_seeds_with_all(found.tuned, keys) for found in (ours, wide))
    named = [(f"2 x 200, {counted(len(few[keys[0]]))} seeds", few), (often, ample)]
    named.append(("2 x 650, trained briefly, one seed", brief))
    rows = (
        [title, *(written(list(found.get(k, {}).values())) for k in keys)] for title, found in named
    )
    return table([heads, *rows])


def _per_matrix() -> str:
    """Of masks as `prune` makes them: above unstructured, the same seeds in all of a line."""
    lines = [["network", "pruned", "seeds", "unstructured", *(f"+ {name}" for name in _FREE)]]
    for network, title in ("ptb200", "2 x 200"), ("ptb650brief", "2 x 650, trained briefly"):
        for share in _FREE_AT[network]:
            base, gaps = _apart(network, share)
            found = [mean(base), *(mean(gap) for gap in gaps)]
            lines.append([title, f"{100 * share:g} %", counted(len(base)), *found])
    return table(lines)


def _apart(network: str, share: float) -> tuple[list[float], list[list[float]]]:
    """Unstructured, and how far above it the others are; the seeds that all have."""
    keys = [(name, share) for name in ("unstructured", *_GLOBAL)]
    base, *others = _of_seeds_with_all(scores(network).tuned, keys).values()
    return list(base.values()), [[found[seed] - base[seed] for seed in base] for found in others]


def _of_seeds_with_all(found: Tests, keys: Sequence[tuple[str, float]]) -> Tests:
    """Scores of the seeds that all of these patterns were trained with."""
    seeds = set.intersection(*(set(found[key]) for key in keys))
    return {key: {s: v for s, v in found[key].items() if s in seeds} for key in keys}


def _sentences() -> tuple[str, ...]:
    demo = _demo()
    achieved, size = sparsity(demo), sizes(demo)
    seeds, whole = record("seeds")["rows"], record("icarus")["rows"][0]
    differ, frames = (sum(row[name] for row in seeds) for name in ("mismatches", "frames"))
    loses = (f"{i - f:z.2f}" for b in (16, 8) for i, f in scores("ptb200").bits["after", b])
    ample = {k: v[0] for k, v in scores("ptb200").ample.items()}
    gap = ample["banks of 25", 0.6] - ample["unstructured", 0.6]
    return (
        f"{whole['utterances']} test utterances, {whole['frames']:,} frames",
        f"matrix reaches {100 * achieved['weight_hh_l0']:.2f} %; the input",
        f"reaches {100 * achieved['weight_ih_l0']:.2f} % with one weight a bank",
        f"{differ} of {_STATES * frames:,} states differ",
        f"CSB takes {size['csb']:,} bytes for both matrices, 16-bit CSR {size['csr16']:,}, dense "
        f"{size['dense16']:,}; {bits_per_nonzero(demo):.1f} bits a nonzero",
        f"one thread of {record('cpu')['cpu']}, weights at 87.5 %",
        f"beside that of commit {_earlier('1024 -> 1024, batch 16: 1,000 steps')} times as fast",
        f"and with 650 all lie {_wide()} above",
        f"times as long banks of 25 are {gap:.2f} above unstructured at 60 %",
        "The integers lose {} at 16 bits and {} at 8.".format(*loses),
    )


def _wide() -> str:
    """Of the banks of the larger network at 80 %, above unstructured."""
    found = sorted(statistics.mean(gap) for gap in _apart("ptb650brief", 0.8)[1][1:])
    return f"{found[0]:.2f} to {found[-1]:.2f}"


README = Page(
    ROOT / "README.md",
    (_stages(), _arrays(), _boards(), _utilisation(), _processors(), _per_matrix(), _accuracy()),
    _sentences(),
    (
        "Python 3.11",
        "87.5 % sparsity asked",
        "banks within 0.2 of unstructured",
        "At 60 and 70 %",
        "at 80 % those",
        "at 87.5 % they are not",
    ),
)
