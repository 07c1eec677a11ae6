"""What a user's file was taken for, told before anything else is done with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from csb_format.pooling import EVERY, FED, LAST, check_pool
from pruning.files.network import Network
from pruning.importers import Imported
from pruning.importers.checkpoint import CheckpointError
from pruning.mlp import linears_of
from pruning.reset_first import ResetFirstGRU
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.data.inputs import Inputs
from pruning.tasks.data.wrong_data import DataSetError
from pruning.tasks.networks.sequence import answers
from pruning.tasks.scores.answers import Answers, check_answers
from pruning.tasks.scores.score import Score, in_words

from .wishes import Wish

__all__ = [
    "METADATA",
    "answers_as_read",
    "as_read",
    "check_alike",
    "check_judging",
    "check_names",
    "check_width",
    "described",
    "noted",
    "noted_inputs",
    "of_part",
    "pool_of",
    "score_as_read",
    "taking_part",
    "unseen",
]

METADATA = "sparseflow"
UNSEEN = (
    "pooling, activations and normalisation between its layers cannot be seen in a state dict: "
    "compare the accuracy as read with yours"
)


def pool_of(network: Network, asked: str | None, path: Path, framewise: bool = False) -> str:
    """How the head is fed: as asked for, else as the file says.

    Else with the output at the last frame, or at every one where the data is ``framewise``.

    Raises
    ------
    CheckpointError
        If the file says otherwise, or there is no head to feed.
    """
    said = _said(network, path)
    if asked is not None and network.head is None:
        raise CheckpointError(f"{path} has no head to feed: leave --pool out")
    if asked is not None and said is not None and asked != said:
        raise CheckpointError(
            f"{path} feeds its head as --pool {said} does: leave --pool out, or bring a network "
            f"that was trained with --pool {asked}"
        )
    return asked or said or (EVERY if framewise and network.head is not None else LAST)


def _said(network: Network, path: Path) -> str | None:
    """What the file notes, or its graph computes."""
    said = noted(network.imported, path).get("pool")
    if said is not None:
        _check(said, path)
        return str(said)
    return network.fed


def _check(said: object, path: Path) -> None:
    try:
        check_pool(str(said))
    except ValueError as error:
        raise CheckpointError(f"{path}: its metadata says {error}: prune again") from error


def described(network: Network, pool: str) -> str:
    """What a file was taken for, on one line."""
    recurrent, head = network.recurrent, network.head
    first = isinstance(recurrent, ResetFirstGRU)
    kind = ("GRU" if first else type(recurrent).__name__) + "Cell" * network.cell
    options = [
        f"{recurrent.num_layers} layers" if recurrent.num_layers > 1 else "",
        "both directions" if recurrent.bidirectional else "",
        f"projected to {recurrent.proj_size}" if recurrent.proj_size else "",
        "" if recurrent.bias else "no bias",
        "linear_before_reset of 0" if first else "",
    ]
    sizes = f"nn.{kind}({recurrent.input_size}, {recurrent.hidden_size})"
    network_text = ", ".join([sizes, *filter(None, options)])
    if head is None:
        return f"{network_text}; no head"
    linear = ", ReLU, ".join(
        f"nn.Linear({one.in_features}, {one.out_features})" for one in linears_of(head)
    )
    return f"{network_text}; head {linear} on {FED[check_pool(pool)]} (--pool {pool})"


def as_read(network: Network, pool: str, path: Path, data: SequenceData | None) -> list[str]:
    """What the file was taken for, and the score of that network, a line each.

    Parameters
    ----------
    network : Network
    pool : {"last", "hn", "mean", "every"}
    path : Path
        For errors; see :func:`score_as_read`.
    data : SequenceData, optional
        With labels or targets; without it nobody can know the score, which is said.
    """
    lines = [f"read as {network.imported.source}: {described(network, pool)}"]
    if network.head is None:
        return lines
    if data is None:
        return [*lines, f"note: {UNSEEN}; labels in the data show it"] if unseen(network) else lines
    return [
        *lines,
        score_as_read(network, answers_as_read(network, pool, path, data).score(), data),
    ]


def unseen(network: Network) -> bool:
    """Whether more may stand around the head than the file can say: it has no graph."""
    return network.head is not None and network.imported.reading is None


def score_as_read(network: Network, score: Score, data: SequenceData) -> str:
    """The score of a network as it was read, on one line."""
    return f"as read: {in_words(score.figures, 1)} on {data.scored}{of_part(network)}"


def of_part(network: Network) -> str:
    """What follows a score where the network is part of a larger one."""
    return ", of the part that is cut out alone" if network.imported.cut else ""


def answers_as_read(network: Network, pool: str, path: Path, data: SequenceData) -> Answers:
    """What the network as read answers to data with labels or targets.

    Raises
    ------
    CheckpointError
        If the data has another width, or there is no head.
    DataSetError
        If its labels are beyond the classes, its targets of another width, or either of another
        kind.
    """
    classifier = network.classifier(path, pool)
    check_judging(network, pool, path, data)
    return answers(classifier, data)


def check_judging(network: Network, pool: str, path: Path, data: SequenceData) -> None:
    """Refuse data that a network with a head cannot be scored on; errors name both."""
    assert network.head is not None
    check_width(network, data, path)
    check_answers(data, network.head.out_features, pool, path)


def check_alike(data: SequenceData, judged: SequenceData) -> None:
    """Refuse to fine-tune on classes what is scored by numbers, and the other way round.

    Raises
    ------
    DataSetError
        Naming both files.
    """
    kinds = ["labels" if each.targets is None else "targets" for each in (data, judged)]
    if kinds[0] != kinds[1]:
        raise DataSetError(
            f"{data.file} has {kinds[0]} and {judged.file} {kinds[1]}: the network is scored on "
            f"what it is fine-tuned on, give {kinds[0]} in both"
        )


def check_width(network: Network, data: SequenceData, path: Path) -> None:
    """Refuse sequences of another width.

    Raises
    ------
    CheckpointError
        Naming both.
    """
    width = network.recurrent.input_size
    if data.width != width:
        raise CheckpointError(
            f"{path} takes {width} features a frame, the data has {data.width}: give the data "
            + (
                "that its module takes, the output of what stands before it"
                if network.imported.cut
                else "that it was trained on"
            )
        )


def noted(imported: Imported, path: Path) -> dict[str, Any]:
    """What ``prune`` has noted in a checkpoint."""
    try:
        about = json.loads(imported.metadata.get(METADATA, "{}"), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise CheckpointError(f"{path}: damaged metadata ({where}): prune again") from error
    except (ValueError, RecursionError) as error:  # NaN, endless numbers, endless depth
        raise CheckpointError(f"{path}: damaged metadata: prune again") from error
    if not isinstance(about, dict):
        raise CheckpointError(f"{path}: its metadata is no object: prune again")
    layout = about.get("layout", {})
    if not isinstance(layout, dict) or not all(_is_wish(each) for each in layout.values()):
        raise CheckpointError(f"{path}: its metadata has a layout of something else: prune again")
    noted = [about, *layout.values()]
    counts = [each.get(key) for each in noted for key in ("banks", "width") if key in each]
    if not all(_is_count(count) for count in counts):
        raise CheckpointError(f"{path}: its metadata names {counts} banks: prune again")
    return about


def noted_inputs(network: Network, path: Path) -> Inputs | None:
    """What ``prune`` has noted of the inputs; None where the checkpoint comes from elsewhere."""
    about = noted(network.imported, path)
    return Inputs.of_note(about.get("inputs", {}), path) if "sparsity_requested" in about else None


def check_names(network: Network, inputs: Inputs, path: Path, data: str) -> None:
    """Refuse names of classes that are not one for each output of the head.

    Raises
    ------
    DataSetError
        Naming both.
    """
    count = 0 if network.head is None else network.head.out_features
    if inputs.label_names and len(inputs.label_names) != count:
        raise DataSetError(
            f"{data} has names of {len(inputs.label_names)} classes, {path} {count} outputs: give "
            "the data that it was trained on"
        )


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_wish(value: object) -> bool:
    """Whether it is what `prune` notes of a matrix: a :class:`.Wish`, field by field."""
    if not isinstance(value, dict) or not value.keys() <= {each.name for each in fields(Wish)}:
        return False
    sparsity = value.get("sparsity")
    return sparsity is None or (isinstance(sparsity, float | int) and 0 <= sparsity < 1)


def taking_part(network: Network, restored: Sequence[str]) -> str:
    """What :meth:`.Network.restore` has put back; empty if it is nothing."""
    told = f"{', '.join(restored)}: what {network.imported.source} had removed takes part"
    return told if restored else ""
