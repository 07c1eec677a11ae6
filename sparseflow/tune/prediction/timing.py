"""Networks drawn and timed on this processor: from priors, then about those predicted badly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from csb_format.cells import LSTM
from csb_format.geometry import most_banks
from engine.native.model import NativeModel

from ...steps.cpu.timing import random_frames_of
from ..network import Network
from .draw import WITHIN, log_size
from .steps import Timed, left_out, terms

__all__ = ["caches", "drawn", "gathered", "near", "timed"]

TURNS, STEPS, MOST_TURNS = 10, 40, 60
SETTLED, MOST_UNSETTLED = 0.02, 0.05
"""Times that fall by less are final; turns go on while more of the networks are not."""
BADLY, NEIGHBOURS = 8, 3  # networks that others are drawn about in a round, and how many each
BOUND = 0.1  # error of a network that is left out, above which others are drawn about it
CACHES = (32_768, 1_048_576)  # of usual processors
SYSTEM = Path("/sys/devices/system/cpu/cpu0/cache")
SIZES = {"K": 1 << 10, "M": 1 << 20}
CELLS = (LSTM, LSTM, LSTM, LSTM, "gru", "gru0")


def caches() -> tuple[int, int]:
    """Bytes of the two nearest caches of data, as the system tells; else usual ones."""
    found = dict(enumerate(CACHES, 1))
    for folder in sorted(SYSTEM.glob("index*")):
        try:
            kind, level, size = (
                (folder / n).read_text().strip() for n in ("type", "level", "size")
            )
        except OSError:
            continue
        if kind != "Instruction" and int(level) in found and re.fullmatch(r"\d+[KM]", size):
            found[int(level)] = int(size[:-1]) * SIZES[size[-1]]
    return found[1], found[2]


def drawn(count: int, seed: int) -> Iterator[Network]:
    """Networks that people might run on a processor, sizes evenly on a logarithmic scale."""
    rng = np.random.default_rng(seed)
    size = partial(log_size, rng)
    for _ in range(count):
        inputs, hidden = size(8, 400), size(16, 600)
        cell = str(rng.choice(CELLS))
        projection = size(8, hidden) if cell == LSTM and rng.random() < 0.15 else 0
        narrowest = min(inputs, hidden, projection or hidden)
        banks = min(int(rng.choice((1, 2, 4, 8, 8, 16, 32))), most_banks(narrowest))
        widths = -(-inputs // banks), -(-(projection or hidden) // banks)
        bits = int(rng.choice((8, 8, 16, 12)))
        yield Network(inputs, hidden, banks, size(1, widths[1]), size(1, widths[0]),
                      int(rng.choice((1, 1, 2))), 1, projection, bits, bits, cell)  # fmt: skip


def near(middle: Network, count: int, rng: np.random.Generator) -> Iterator[Network]:
    """Neighbours of a network: each size between half of it and 1.2 times it."""
    for _ in range(count):
        sizes = {
            name: max(middle.banks, round(getattr(middle, name) * rng.uniform(*WITHIN)))
            for name in ("inputs", "hidden", "projection")
            if getattr(middle, name)
        }
        kept = {
            name: max(1, round(getattr(middle, name) * rng.uniform(*WITHIN)))
            for name in ("k", "k_input")
        }
        yield _within(middle.at(**sizes, **kept))


def _within(one: Network) -> Network:
    """With no more weights in a bank than it is wide, nor more banks than a matrix may have."""
    narrowest = min(one.inputs, one.hidden, one.projection or one.hidden)
    one = one.at(banks=min(one.banks, most_banks(narrowest)))
    return one.at(
        k=min(one.k, -(-(one.projection or one.hidden) // one.banks)),
        k_input=min(one.k_input, -(-one.inputs // one.banks)),
    )


def timed(networks: Sequence[Network], seed: int, kernel: str | None = None) -> list[Timed]:
    """Times of all in turns, the least of all turns: a busy neighbour is so for some of them.

    Turns go on until few times still fall.

    Parameters
    ----------
    networks : sequence of Network
    seed : int
        Of weights and frames.
    kernel : str, optional
        Of the library; by default the fastest of this processor.
    """
    models = [network.random(seed) for network in networks]
    natives = [NativeModel(model, kernel) for model in models]
    frames = [random_frames_of(native, seed) for native in natives]
    streams = [native.start() for native in natives]
    least, before = np.full(len(networks), np.inf), np.full(len(networks), np.inf)
    for turn in range(MOST_TURNS):
        for n, stream in enumerate(streams):
            least[n] = min(least[n], float(np.min(stream.time(frames[n], STEPS))))
        if turn % TURNS == TURNS - 1:
            if np.mean(least < (1 - SETTLED) * before) <= MOST_UNSETTLED:
                break
            before = least.copy()
    room = caches()
    return [
        Timed(terms(native, model, room), us, int(native.shape.weights))
        for native, model, us in zip(natives, models, least.tolist(), strict=True)
    ]


def gathered(
    networks: Sequence[Network], rounds: int, seed: int, tell: Callable[[str], None]
) -> list[Timed]:
    """Networks that are timed, then more about those that all others predict badly.

    What was off by more than ``BOUND`` is timed again with its neighbours: it may have been
    the machine.

    Parameters
    ----------
    networks : sequence of Network
    rounds : int
        Of drawing more.
    seed : int
    tell : callable
        Takes lines about the progress.
    """
    tell(f"{len(networks)} networks to time, in turns")
    every, rng = list(networks), np.random.default_rng(seed)
    found = timed(every, seed)
    for _ in range(rounds):
        off = np.abs(left_out(found))
        bad = [n for n in np.argsort(-off)[:BADLY] if off[n] > BOUND]
        if not bad:
            break
        more = [one for n in bad for one in near(every[n], NEIGHBOURS, rng)]
        tell(f"{len(more)} more, about {len(bad)} that were off by more than {BOUND:.0%}")
        again = timed([*(every[n] for n in bad), *more], seed)
        for n, one in zip(bad, again[: len(bad)], strict=True):
            found[n] = min(found[n], one, key=lambda each: each.microseconds)
        every, found = [*every, *more], [*found, *again[len(bad) :]]
    return found
