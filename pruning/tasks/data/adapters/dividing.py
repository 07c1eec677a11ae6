"""Training and validation data: sources are divided, never what comes from one of them."""

from __future__ import annotations

import numpy as np

from ..wrong_data import DataSetError
from .recordings import Recordings

__all__ = ["divided"]


def divided(
    given: Recordings, share: float, seed: int, overlap: int
) -> tuple[Recordings, Recordings, list[str]]:
    """Training and validation part.

    Whole sources go to one side or the other. Where each has one class, every class has its share.
    What comes from one recording is divided in time: its end is for validation.

    Parameters
    ----------
    given : Recordings
    share : float
        Of the validation, between 0 and 1.
    seed : int
        Of the choice.
    overlap : int
        Windows of one recording that a window shares frames with, on each side.

    Returns
    -------
    train, val : Recordings
    told : list of str

    Raises
    ------
    DataSetError
        If a part would be empty.
    """
    names = list(dict.fromkeys(given.sources))
    if len(names) == 1:
        return _in_time(given, share, overlap)
    chosen = _chosen(given, names, share, seed)
    train = [n for n, source in enumerate(given.sources) if source not in chosen]
    val = [n for n, source in enumerate(given.sources) if source in chosen]
    told = f"divided by source: {len(names) - len(chosen)} train, {len(chosen)} validate"
    return given.chosen(train), given.chosen(val), [f"{told} (seed {seed})"]


def _in_time(
    given: Recordings, share: float, overlap: int
) -> tuple[Recordings, Recordings, list[str]]:
    total = len(given.sequences)
    first = total - max(1, round(total * share))
    if first - overlap < 1:
        raise DataSetError(
            f"--split {share:g}: {total} sequences of one recording leave none to train on that "
            "shares no frame with the validation; cut shorter windows, or name --sequence"
        )
    told = f"one recording, divided in time: the last {total - first} of {total} validate"
    left = f", {overlap} between overlap both and are left out" if overlap else ""
    train, val = list(range(first - overlap)), list(range(first, total))
    return given.chosen(train), given.chosen(val), [told + left]


def _chosen(given: Recordings, names: list[str], share: float, seed: int) -> set[str]:
    """Sources for validation: of every class its share, to one."""
    random = np.random.default_rng(seed)
    kinds = _class_of(given)
    order = [names[n] for n in random.permutation(len(names))]
    order.sort(key=lambda name: kinds.get(name, 0))  # stable: random within a class
    count = min(len(names) - 1, max(1, round(len(names) * share)))
    # At even distances through all classes: each has its share, and all together the count.
    at = np.floor((np.arange(count) + random.random()) * len(order) / count).astype(int)
    return {order[n] for n in at}


def _class_of(given: Recordings) -> dict[str, int]:
    """The class of each source; of a source with several, none."""
    if not given.classes:
        return {}
    found: dict[str, set[int]] = {}
    for source, answer in zip(given.sources, given.answers, strict=True):
        found.setdefault(source, set()).update(np.unique(answer).tolist())
    return {source: min(kinds) for source, kinds in found.items() if len(kinds) == 1}
