"""What the recipe says of measurements."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import stdev

from csb_format.geometry import Geometry
from pruning.tasks.networks.sequence import NOISE
from pruning.tasks.training.controls import MOMENTUM
from sparseflow.steps.tuning.controls import QAT, Controls

from ..accuracy.report import gaps
from ..accuracy.rows import BEST
from ..masks.pretrained import NETWORK, SEED
from .kinds import kinds_sentences, kinds_table
from .page import Page
from .results import ROOT, above, mean, scores, table, tests

__all__ = ["RECIPE"]

_WIDTHS = ((8,), (16,), (25, 32), (50, 64), (100, 128))
_WAYS = ("", "rewound", "cubic", "decayed")
_SPEECH, _ASKED = "timit256", 0.875


def _index_bits() -> str:
    heads = "columns in a bank|index bits|bits a nonzero, 16-bit weights|8-bit weights"
    lines = [heads.split("|")]
    for widths in _WIDTHS:
        (index,) = {Geometry(1, w, 1, 1, 16).index_bits for w in widths}
        lines.append([", ".join(map(str, widths)), *map(str, (index, 16 + index, 8 + index))])
    return table(lines)


def _achieved(columns: int, kept: Iterable[int]) -> list[str]:
    """Sparsity that whole numbers of weights in 8 banks give, percent."""
    return [f"{100 * (1 - 8 * k / columns):.1f}" for k in kept]


def _ptb() -> list[str]:
    ours, wide = scores("ptb200"), scores("ptb650brief")
    ample = {key: found[0] for key, found in ours.ample.items()}
    gap = ample["banks of 25", 0.6] - ample["unstructured", 0.6]
    (gain,) = gaps(ours.tuned, "banks of 25, global", "banks of 25", 0.8)
    ways, free = (_ways(pattern) for pattern in ("banks of 25, global", "unstructured"))
    narrow = [f"banks of {w}, global" for w in (8, 16, 32, 64)]
    powers = [mean(above("ptb200", name, 0.8)) for name in narrow]
    made = [f"{100 * ours.achieved[name, 0.8]:.1f}" for name in narrow]
    names = {p: p for p in ("unstructured", "1 bank", "N:M", "blocks 4x4")}
    names |= {str(width): f"banks of {width}" for width in (100, 50, 25, 32, 16, 8)}
    at = {short: mean(tests("ptb200", name, 0.8), 1) for short, name in names.items()}
    return [
        f"gains {-gain:.2f} in banks of 25 at 80 % over equal k (seed 0)",
        f"come to {ways['']} at the tables' learning rate and **{ways['rewound']} at the one",
        f"a cubic schedule to {ways['cubic']}, masks that decay (SR-STE) to {ways['decayed']} "
        f"(seed 6; unstructured {', '.join(free.values())})",
        f"{', '.join(powers[:-1])} and {powers[-1]} above unstructured pruning of each matrix "
        "to 80 % in banks of 8, 16, 32 and 64 (three seeds), whose whole numbers make it "
        f"{', '.join(made[:-1])} and {made[-1]} %",
        f"banks of 25 with equal k from {ours.tuned['banks of 25', 0.8][0]:.1f} "
        f"to {ample['banks of 25', 0.8]:.1f}, and nearly halved what pruning costs",
        "at 60 % it took what banks cost more than unstructured pruning from "
        f"{mean(above('ptb200', 'banks of 25', 0.6, 0))} to {gap:.2f}",
        f"in the LSTM and reach {wide.tuned['banks of 25', 0.9][0]:.1f}",
        f"have 0.64 million, dense, and reach {ours.dense[0]:.1f} (one seed",
        f"the perplexity is {at['unstructured']} unstructured (three seeds)",
        f"{at['1 bank']} with one bank a row (one seed)",
        f"{at['100']} in banks of 100 columns, {at['50']} of 50, {at['25']} of 25 (three",
        f"{at['N:M']} for 1 of 5 (N:M, one seed), {at['blocks 4x4']} in blocks of 4 x 4",
        f"which leave a narrow last bank, come to {at['16']} and {at['32']}",
        f"banks of 8 to {at['8']} (seed 0)",
        *_shipped(),
    ]


def _shipped() -> list[str]:
    """What its fine-tuning has gained, on the network that ships."""
    found = scores(NETWORK)
    once = found.tuned["8 banks", 0.875][SEED]
    longer, best = (found.ways["8 banks", 0.875, way][SEED] for way in ("", BEST))
    return [
        f"comes to a perplexity of {best:.2f} on Hamlet; as the tables it would come to "
        f"{once:.2f}, twice as long at their learning rate to {longer:.2f} (seed {SEED})"
    ]


def _ways(pattern: str) -> dict[str, str]:
    """Each way to fine-tune at 80 %, of the one seed that has them."""
    found = scores("ptb200").ways
    return {way: mean(list(found[pattern, 0.8, way].values())) for way in _WAYS}


def _energies() -> list[str]:
    names = ("unstructured", *(f"banks of {width}" for width in (100, 64, 32, 8)), "blocks 4x4")
    found = scores(_SPEECH).energy
    free, hundred, wide, middle, narrow, blocks = (f"{found[n, _ASKED][0]:.1f} %" for n in names)
    return [
        f"unstructured pruning keeps {free} of it, banks of 100 columns {hundred}, of 64 {wide}",
        f"of 32 {middle}, of 8 {narrow}, blocks of 4 x 4 {blocks}",
    ]


def _errors(pattern: str, digits: int = 1) -> str:
    return mean(tests(_SPEECH, pattern, _ASKED), digits)


def _of_all(pattern: str) -> str:
    """Of all seeds that it was trained with."""
    return mean(list(scores(_SPEECH).tuned[pattern, _ASKED].values()))


def _trained(pattern: str, digits: int) -> str:
    return mean(scores(_SPEECH).trained[pattern, _ASKED], digits)


def _speech() -> list[str]:
    ours, apart = scores(_SPEECH), above(_SPEECH, "8 banks", _ASKED)
    bits = {b: ours.bits["after", b][0] for b in (16, 12, 8, 4)}
    middle = sorted(_errors(f"banks of {width}") for width in (16, 25, 32, 50, 64))
    return [
        f"(8 banks, 87.5 %, seed 0, frame error {bits[16][1]:.2f} % in float)",
        f"integers give {bits[16][0]:.2f} % at 16 bits, {bits[12][0]:.2f} % at 12, "
        f"{bits[8][0]:.2f} % at 8, {bits[4][0]:.2f} % at 4 (8-bit",
        f"At {100 * ours.achieved['8 banks', _ASKED]:.1f} % it makes more errors in 8 banks",
        f"({_of_all('8 banks')} against {_of_all('unstructured')} % of frames, eight seeds",
        f"difference is {mean(apart, 1)} with a standard deviation of {stdev(apart):.1f})",
        f"({_trained('8 banks', 2)} against {_trained('unstructured', 2)} %)",
        f"banks of 16 to 64 columns come to {middle[0]} to {middle[-1]} %",
        f"of 8 and 100 columns to {_errors('banks of 8')} and {_errors('banks of 100')} %",
        f"one bank a row to {_errors('1 bank')} %",
        f"Blocks ({_errors('blocks 4x4')} % of 4x4, {_errors('blocks 8x8')} % of 8x8) are worse",
        f"training frames too ({_trained('blocks 4x4', 0)} and {_trained('blocks 8x8', 0)} %)",
    ]


def _controls() -> tuple[str, ...]:
    """Defaults of training, and the momentum that torch is given."""
    return (
        f"| {Controls.lr:g}, {Controls.batch}, {Controls.weight_decay:g} | peak of the",
        f"(momentum {MOMENTUM:g})",
        f"but for a learning rate of {QAT.lr:g} by",
        f"| `--noise` | {NOISE:g}; none where",
    )


def _sentences() -> tuple[str, ...]:
    whole = _achieved(256, (5, 4, 3))
    padded = _achieved(153, (3, 2))
    banks = (
        f"8 banks (32 columns each) comes to {', '.join(whole)} %",
        f"(20 each, the last has 13) to {' and '.join(padded)} % and nothing",
    )
    return (*_ptb(), *_energies(), *_speech(), *banks, *_controls(), *kinds_sentences())


RECIPE = Page(
    ROOT / "docs/recipe.md",
    (_index_bits(), kinds_table()),
    _sentences(),
    (
        "Try 60, 80 and 87.5 % first",
        "on the Penn Treebank at 80 %",
        "2 x 650 units at 90 %",
        "0.68 million weights",
        "(seed 0) at 87.5 %",
        "half the matrices each make 70 % exactly",
        "2 x 200 units at 80 %",
        "one frame in a thousand is 0.1 %",
        "87.5 % pruned in 8 banks",
    ),
)
