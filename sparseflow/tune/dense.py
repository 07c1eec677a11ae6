"""A trained network as a search takes it: sizes and weights of its matrices, its loss."""

from __future__ import annotations

from pathlib import Path

from pruning.cells import cell_of
from pruning.files.network import load_network

from ..steps.places import need_labels, read_scaled
from ..steps.reading import answers_as_read, pool_of
from .accuracy import Dense
from .patterns import Sizes

__all__ = ["dense_of"]


def dense_of(checkpoint: Path, data: Path, val: Path | None) -> Dense:
    """Read a checkpoint, and score it.

    Parameters
    ----------
    checkpoint : Path
        A recurrent module and its head, of any option.
    data : Path
        Labelled sequences to train on.
    val : Path, optional
        Others to score on; by default ``data`` too.

    Raises
    ------
    ValueError
        If it has no head, or the data no labels: there would be no loss.
    """
    frames, _ = read_scaled(data)
    network = load_network(checkpoint, frames=frames.sequences)
    if network.head is None:
        raise ValueError(f"{checkpoint} has no head, so no loss: a search needs one")
    for path in filter(None, (data, val)):
        need_labels(path, "a search")
    judged = read_scaled(val)[0] if val else frames
    pool = pool_of(network, None, checkpoint, judged.framewise)
    figures = answers_as_read(network, pool, checkpoint, judged).score().figures
    counted = figures.get("accuracy") is not None
    loss = 1 - (figures["accuracy"] or 0) if counted else float(figures["mse"] or 0)
    recurrent = network.packable()
    sizes = Sizes(
        tuple((name, *size) for name, size in network.matrices().items()),
        recurrent.num_layers,
        1 + recurrent.bidirectional,
        cell_of(recurrent).name,
    )
    weights = {name: getattr(recurrent, name).detach().numpy() for name in network.matrices()}
    return Dense(sizes, weights, loss, counted)
