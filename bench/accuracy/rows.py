"""Every row of the accuracy tables, the most telling first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from .networks import NETWORKS
from .patterns import SLICED, SPARSITIES

__all__ = [
    "AMPLE",
    "BANKS",
    "BEST",
    "BITS",
    "CLAIM",
    "GLOBAL",
    "GLOBAL_BANKS",
    "LONGER",
    "POWERS",
    "TUNING",
    "WAYS",
    "Row",
    "rows",
]

BITS = ((16, 16), (12, 12), (8, 8), (4, 8))  # weights, activations
WAYS = ("after", "longer", "aware")
BANKS = tuple(f"banks of {width}" for width in (25, 50, 100))
_POWERS = tuple(f"banks of {width}" for width in (8, 16, 32, 64))
_BLOCKS = ("blocks 4x4", "blocks 8x8")
_DIAGNOSIS = ("1 bank", "banks in W_ih only", "banks in W_hh only")
GLOBAL_BANKS = tuple(f"{name}, global" for name in BANKS)
GLOBAL = ("unstructured, global", *GLOBAL_BANKS)
POWERS = tuple(f"{name}, global" for name in _POWERS)
TUNING = ("cubic", "rewound", "decayed")  # ways to fine-tune, besides that of all the tables
BEST = "rewound"  # of the ways, on words and on characters
LONGER = 2  # times the fine-tuning, for all of them
AMPLE = 4  # times the fine-tuning, to see whether the gap is a matter of it
CLAIM = (0.6, 0.7, 0.8)
_REST = tuple(s for s in SPARSITIES if s not in CLAIM)


@dataclass(frozen=True)
class Row:
    """One result.

    Parameters
    ----------
    network : str
    stage : str
        ``dense`` (trained from nothing), ``tuned`` (fine-tuned, pruned or not), ``energy``,
        ``bits`` or ``rtl``.
    seed : int
    pattern : str
        Empty for a dense copy that is fine-tuned like the others.
    sparsity : float
        Asked for.
    bits, act_bits : int
        Of weights and activations.
    way : str
        Of bits: ``after`` training, after ``longer`` training in float, or ``aware``. Of
        fine-tuning: as all patterns, or one of ``TUNING``.
    times : int
        The network's epochs of fine-tuning, so often. Bits of more than once are of the network
        that ``BEST`` has fine-tuned.
    """

    network: str
    stage: str
    seed: int = 0
    pattern: str = ""
    sparsity: float = 0.0
    bits: int = 0
    act_bits: int = 0
    way: str = ""
    times: int = 1

    @property
    def name(self) -> str:
        """As ``--only`` takes it, without spaces."""
        what = f"{self.pattern}@{100 * self.sparsity:g}" if self.pattern else ""
        bits = f"{self.bits}w{self.act_bits}a-{self.way}" if self.bits else self.way
        times = f"{self.times}x" if self.times > 1 else ""
        parts = (self.network, f"s{self.seed}", self.stage, what, bits, times)
        return "/".join(part for part in parts if part).replace(",", "").replace(" ", "-")

    @property
    def start(self) -> Row | None:
        """The row whose network this one starts from."""
        if self.stage == "dense":
            return None
        if self.stage in ("tuned", "energy"):
            return Row(self.network, "dense", self.seed)
        main = NETWORKS[self.network]
        once = Row(self.network, "tuned", self.seed, main.main, main.main_sparsity)
        return once if self.times == 1 else replace(once, way=BEST, times=self.times)


def rows(seeds: Iterable[int]) -> list[Row]:
    """All rows of some seeds: what is claimed first, then all of the first seed."""
    every = list(seeds)
    ordered = [*_claimed(every), *(row for seed in every for row in _of_seed(seed))]
    return list(dict.fromkeys(ordered))


def _claimed(seeds: list[int]) -> Iterator[Row]:
    """What k per matrix gains, what k per gate would, and how to fine-tune."""
    network = "ptb200"
    for seed in seeds:
        yield Row(network, "dense", seed)
        yield Row(network, "energy", seed)
        yield from _tuned(network, seed, ("unstructured", *GLOBAL, *SLICED), (0.8,))
        yield from _tuned(network, seed, ("unstructured", *GLOBAL), (0.6,))
    for seed in seeds:
        yield from _tuned(network, seed, SLICED, (0.6, 0.9))
    for seed in seeds[:1]:
        yield from _tuning(network, seed)
    for seed in seeds:
        yield from _tuned(network, seed, ("unstructured", *GLOBAL), (0.7, 0.9, 0.875))
        yield from _tuned(network, seed, POWERS, (0.8, 0.6))
    for seed in seeds:
        yield from _tuned("timit256", seed, ("unstructured, global", "8 banks, global"), (0.875,))
    for seed in seeds:
        yield from _tuned("shakespeare256", seed, ("8 banks, global",), (0.875,))
        for way in ("", "rewound"):
            for given in (("", 0.0), ("8 banks", 0.875)):
                yield Row("shakespeare256", "tuned", seed, *given, way=way, times=LONGER)
        for stage in ("bits", "rtl"):
            yield Row("shakespeare256", stage, seed, "8 banks", 0.875, 16, 16, "after", LONGER)
        yield Row("ptb650brief", "dense", seed)
        yield from _tuned("ptb650brief", seed, ("unstructured", *GLOBAL), (0.8, 0.6))
    for seed in seeds:
        yield from _tuned(network, seed, POWERS, SPARSITIES)
    for seed in seeds[1:]:
        yield from _tuning(network, seed)


def _tuning(network: str, seed: int) -> Iterator[Row]:
    """Ways to fine-tune, all equally long."""
    for pattern in ("banks of 25, global", "unstructured"):
        for way in ("", *TUNING):
            yield Row(network, "tuned", seed, pattern, 0.8, way=way, times=LONGER)
    for way in ("", "rewound"):
        yield Row(network, "tuned", seed, way=way, times=LONGER)


def _of_seed(seed: int) -> Iterator[Row]:
    for network in ("ptb200",):
        yield Row(network, "dense", seed)
        yield Row(network, "energy", seed)
        yield Row(network, "tuned", seed)
        yield from _tuned(network, seed, ("unstructured", "banks of 25"), (0.8, 0.6, 0.7))
        yield from _tuned(network, seed, (*BANKS, *_BLOCKS, "N:M"), (0.8,))
        yield from _tuned(network, seed, BANKS, CLAIM)
    yield from _start("shakespeare256", seed)
    yield from _speech("timit256", seed)
    yield from _numbers("ptb200", seed)
    yield from _tuned("ptb200", seed, _DIAGNOSIS, (0.8,))
    yield from _ample("ptb200", seed)
    yield from _tuned("ptb200", seed, _POWERS, (0.8,))
    yield from _tuned("ptb200", seed, _BLOCKS, CLAIM)
    yield from _tuned("ptb200", seed, ("unstructured", "banks of 25"), _REST)
    yield from _brief("ptb650brief", seed)
    yield from _tuned("ptb200", seed, ("N:M",), CLAIM)
    yield from _main("timit1024", seed)
    yield from _numbers("shakespeare256", seed)
    yield from _tuned("ptb200", seed, _POWERS, CLAIM)
    yield from _tuned("ptb200", seed, (*BANKS, *_POWERS, *_BLOCKS, "N:M"), _REST)
    for network in ("ptb650", "ptb1500"):
        yield from _main(network, seed)
        yield from _tuned(network, seed, ("unstructured", *BANKS, *_BLOCKS), CLAIM)


def _speech(network: str, seed: int) -> Iterator[Row]:
    yield from _main(network, seed)
    yield from _tuned(network, seed, _DIAGNOSIS, (NETWORKS[network].main_sparsity,))
    patterns = ("unstructured", "8 banks", *BANKS, *_POWERS, *_BLOCKS, "N:M")
    yield from _tuned(network, seed, patterns, SPARSITIES)


def _main(network: str, seed: int) -> Iterator[Row]:
    yield from _start(network, seed)
    yield from _numbers(network, seed)


def _start(network: str, seed: int) -> Iterator[Row]:
    """Dense, pruned as the accelerator takes it, and unstructured beside it."""
    plan = NETWORKS[network]
    yield Row(network, "dense", seed)
    yield Row(network, "energy", seed)
    yield from _tuned(network, seed, (plan.main, "unstructured"), (plan.main_sparsity,))
    yield Row(network, "tuned", seed)


def _tuned(
    network: str, seed: int, patterns: Iterable[str], sparsities: Iterable[float]
) -> Iterator[Row]:
    for sparsity in sparsities:
        for pattern in patterns:
            yield Row(network, "tuned", seed, pattern, sparsity)


def _ample(network: str, seed: int) -> Iterator[Row]:
    """What the claim compares, where there is time to recover."""
    yield Row(network, "tuned", seed, times=AMPLE)
    patterns = ("unstructured", "banks of 25", "banks of 100", "banks of 25, global")
    for row in _tuned(network, seed, patterns, (0.8, 0.6)):
        yield replace(row, times=AMPLE)


def _brief(network: str, seed: int) -> Iterator[Row]:
    """Whether banks cost less where there are weights to spare."""
    yield from _start(network, seed)
    yield from _tuned(network, seed, ("unstructured", *BANKS), CLAIM)
    # about the weights of the dense network of 200 units
    yield Row(network, "tuned", seed, NETWORKS[network].main, 0.9)
    yield from _tuned(network, seed, ("1 bank", *_BLOCKS), (0.8,))


def _numbers(network: str, seed: int) -> Iterator[Row]:
    plan = NETWORKS[network]
    given = (seed, plan.main, plan.main_sparsity)
    if not plan.gpu:
        value_bits, act_bits = plan.rtl_bits
        yield Row(network, "rtl", *given, value_bits, act_bits, "after")
    for way in WAYS:
        for value_bits, act_bits in BITS:
            yield Row(network, "bits", *given, value_bits, act_bits, way)
