"""From a pruned checkpoint to integers, checked against the float network."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from csb_format import Model
from csb_format.files.matrixfile import PackedMatrix
from csb_format.geometry import Geometry
from csb_format.pooling import LAST
from pruning.files.layouts import balanced_over, layout_of
from pruning.files.network import Network, load_network
from pruning.importers import Cut, Imported, import_model
from pruning.importers.checkpoint import CheckpointError
from pruning.importers.cut import METADATA as CUT
from pruning.importers.imported import is_float, no_floats
from pruning.integers.calibrate import Saturation, count_saturations
from pruning.integers.packing import pack_matrices
from pruning.integers.qat import Precision, QatClassifier
from pruning.integers.quantise import build_model
from pruning.integers.self_check import StageError, self_check
from pruning.integers.tensors import suffixes
from pruning.mask.views import Banks
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.data.inputs import Inputs, joined
from pruning.tasks.scores.score import Score, in_words

from ..pages.figures import states
from ..pages.made.typed import with_command
from ..pages.scores.figures import MODELS, described
from ..pages.scores.integers import integer_answers
from ..pages.scores.told import all_of
from .options import PackOptions
from .places import SOUNDS
from .progress import say
from .reading import (
    answers_as_read,
    as_read,
    check_alike,
    check_judging,
    check_names,
    check_width,
    noted,
    noted_inputs,
    of_part,
    pool_of,
)
from .screening import check_head, screened
from .tuning.controls import QAT, Controls
from .tuning.integers import finetuned
from .wishes import Wish, is_called, parse, spread

__all__ = [
    "Packed",
    "Packing",
    "pack_checkpoint",
    "pack_imported",
    "saturation",
    "states_of",
]

# Values of one layer that the self-check may hold at once.
_SAMPLE = 1 << 22


@dataclass(frozen=True)
class Packing:
    """How to pack; the defaults are those of ``sparseflow pack``.

    Parameters
    ----------
    masks : Path, optional
        Masks that are kept in a file of their own.
    banks : int, optional
        Of every matrix; by default what the checkpoint says.
    wishes : sequence of str
        For single matrices, as :func:`sparseflow.steps.wishes.parse` reads them.
    value_bits, act_bits : int
        Of weights, 4..18, and of inputs and hidden state, 6..18.
    per_gate : bool
        Formats for every gate.
    percentile : float
        Percent of magnitudes that formats must hold.
    qat_epochs : int
        Epochs of fine-tuning in these integers; 0 for none.
    seed : int
        Of that fine-tuning.
    controls : Controls
        How it runs.
    bound : float, optional
        Largest relative error that the self-check passes.
    pool : {"last", "hn", "mean", "every"}, optional
        How the head is fed; by default what the checkpoint says, else ``"last"``.
    cell_range : tuple of int
        Of pre-activations and cell states, one of all layers or one of each; see
        :class:`csb_format.cells.cell.Cell`. None by default: 16, or more in layers where the
        calibration data asks for it.
    cut : Cut, optional
        What of a larger network's state dict is taken; by default what the file notes.
    controls : Controls
        Of the fine-tuning.
    screen : bool
        Whether the head is stored in planes; see :mod:`csb_format.screening`.
    head_bits : int
        Leading bits of every row of the head that its weights are rounded to, 4..16.
    """

    masks: Path | None = None
    banks: int | None = None
    wishes: Sequence[str] = ()
    value_bits: int = Precision.value_bits
    act_bits: int = Precision.act_bits
    per_gate: bool = Precision.per_gate
    percentile: float = Precision.percentile
    qat_epochs: int = PackOptions.qat_epochs
    seed: int = PackOptions.seed
    bound: float | None = None
    pool: str | None = None
    cell_range: tuple[int, ...] = ()
    cut: Cut | None = None
    controls: Controls = QAT
    screen: bool = PackOptions.screen
    head_bits: int = PackOptions.head_bits

    @property
    def precision(self) -> Precision:
        """What chooses the formats."""
        one, given = len(self.cell_range) == 1, self.cell_range
        return Precision(
            self.value_bits, self.act_bits, self.per_gate, self.percentile,
            given[0] if one else Precision.reach,
            calibrated=not given, layer_reaches=() if one else given, head_bits=self.head_bits,
        )  # fmt: skip

    def options(self) -> dict[str, Any]:
        """What was said beside bits and banks, for the report's commands."""
        given = {
            "per-gate": self.per_gate,
            "percentile": self.percentile if self.percentile != Precision.percentile else None,
            "qat-epochs": self.qat_epochs,
            "seed": self.seed if self.qat_epochs else None,
            "pool": self.pool,
            "cell-range": ",".join(map(str, self.cell_range)) or None,
            "head-bits": self.head_bits if self.head_bits != PackOptions.head_bits else None,
            "screen": self.screen,
            **(self.cut.options() if self.cut else {}),
        }
        said = {name: value for name, value in given.items() if value not in (None, False, 0)}
        return said | self.controls.options(QAT)


@dataclass(frozen=True, eq=False)
class Packed:
    """A model, and how far it is from the float network.

    Parameters
    ----------
    model : Model
    network : Network
        The file it comes from.
    stages : list of StageError
        Of the self-check.
    saturations : dict of str to Saturation
    lowered : dict of str to int
        Fraction bits that weight formats gave up so that products meet.
    tuned : tuple of (Score, Score), optional
        In integers before and after fine-tuning in them.
    read : tuple of str
        What the file was taken for, where that has not been said yet.
    scores : dict
        Of the float network (``pruned``) and of the integers (``fixed``) on the same data, as
        ``scores`` of :data:`sparseflow.pages.report.SCHEMA`; empty without labels and targets.
    judged : str
        That data in words.
    asked_range : bool
        Whether the range of states was given.
    screened : str
        On a head in planes; empty for another.
    """

    model: Model
    network: Network
    stages: list[StageError]
    saturations: dict[str, Saturation]
    lowered: dict[str, int]
    tuned: tuple[Score, Score] | None = None
    read: tuple[str, ...] = ()
    scores: dict[str, Any] = field(default_factory=dict)
    judged: str = ""
    asked_range: bool = False
    screened: str = ""

    @property
    def score(self) -> str:
        """Both scores on one line; empty without them."""
        if not self.scores:
            return ""
        real, integers = (in_words(self.scores["models"][name]) for name in ("pruned", "fixed"))
        if self.scores["kind"] == "numbers":
            return f"score: float {real}; integer model {integers}; {self.judged}"
        return f"accuracy: {real} float, {integers} integer model, {self.judged}"

    def figures(self) -> dict[str, Any]:
        """What ``pack --json`` writes, keys as docs/data.md has them."""
        return {
            "distances": [_distance(stage) for stage in self.stages],
            "saturation": saturation(self.saturations),
            "lowered": self.lowered,
            **({"scores": self.scores} if self.scores else {}),
            **({"tuned": [dict(score.figures) for score in self.tuned]} if self.tuned else {}),
        }


def states_of(network: Network, data: SequenceData, how: Packing) -> list[dict[str, Any]]:
    """Ranges that ``pack`` would give each layer, and what its states clip, without any masks.

    Parameters
    ----------
    network : Network
        Of which there are integers.
    data : SequenceData
        Frames as the network takes them; the first sequences are looked at.
    how : Packing

    Raises
    ------
    ValueError
        For weights that no formats hold.
    """
    lstm = network.packable()
    sample = _sample(data, lstm.hidden_size)
    formats = how.precision.formats(lstm, network.head, sample)
    clipped = saturation(count_saturations(lstm, formats, sample))
    cells = {
        end.removeprefix("_"): layer.arithmetic
        for end, layer in zip(suffixes(lstm), formats.layers, strict=True)
    }
    return states(cells, clipped)


def saturation(found: Mapping[str, Saturation]) -> dict[str, dict[str, Any]]:
    """Of every tensor and state how many values of those ``seen`` its ``format`` has ``clipped``.

    Weights and biases are all seen; states are those of the sequences of the self-check.
    """
    return {
        name: {"clipped": one.clipped, "seen": one.seen, "format": one.format}
        for name, one in found.items()
    }


def _distance(stage: StageError) -> dict[str, Any]:
    """A stage as JSON has it; a distance that is infinite, or of nothing, is null."""
    numbers = {name: float(getattr(stage, name)) for name in ("max_error", "rms_error", "relative")}
    known = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    return {"stage": stage.stage, "output": stage.output, **known}


def pack_checkpoint(
    path: Path,
    calibration: SequenceData,
    how: Packing,
    labelled: bool = False,
    judged: SequenceData | None = None,
    inputs: Inputs | None = None,
    val: SequenceData | None = None,
) -> Packed:
    """Quantise a pruned checkpoint to the accelerator's integers, and check every stage.

    Parameters
    ----------
    path : Path
        What :func:`pruning.files.network.load_network` reads.
    calibration : SequenceData
        Typical frames; with labels that mean something if there are epochs to fine-tune.
    how : Packing
    labelled : bool
        Whether the labels mean something: then the accuracy as read is told.
    judged : SequenceData, optional
        Labelled; what float network and integers are scored on, by default the calibration data
        if that is labelled.
    inputs : Inputs, optional
        What the calibration data says of its frames; the model carries it on.
    val : SequenceData, optional
        Labelled, for epochs of fine-tuning: chooses the one that is kept.

    Raises
    ------
    UnsupportedLayerError
        For a cell that is stepped, as ``nn.LSTMCell``.
    CheckpointError
        If neither the checkpoint nor the caller says how many banks there are, or weights
        are not finite.
    UnbalancedError
        Naming matrix, row and bank.
    ScaleMismatchError
        If the checkpoint was pruned on data of another scale.
    SelfCheckError
        Naming the first stage beyond the bound.
    """
    shared = not how.qat_epochs
    network = load_network(path, how.masks, calibration.sequences, shared=shared, cut=how.cut)
    about = noted(network.imported, path)
    about |= with_command(about)
    of_prune = noted_inputs(network, path)
    known = joined(inputs or Inputs(), of_prune, calibration.file or "the calibration data", path)
    check_names(network, known, path, calibration.file)
    pool = pool_of(network, how.pool, path, labelled and calibration.framewise)
    lstm, head, masks = network.packable(), network.head, network.masks
    if how.screen:
        check_head(head)
    network.check_finite(path)
    check_width(network, calibration, path)
    read = as_read(network, pool, path, calibration if labelled else None)
    judged = judged or (calibration if labelled and head is not None else None)
    real = None if judged is None else answers_as_read(network, pool, path, judged).score()
    names = {network.names[f"recurrent.{leaf}"]: leaf for leaf in network.matrices()}
    found = _layout(network.imported, list(names), about, how, path)
    layout = {names[name]: banks for name, banks in found.items()}
    own = {key: value for key, value in about.items() if key not in ("layout", "inputs")}
    provenance = {key: json.dumps(value, allow_nan=False) for key, value in own.items()}
    if options := how.options() | ({} if val is None else {"val": "val.npz"}):
        provenance["pack"] = json.dumps(options, allow_nan=False)
    if known.sounds:
        provenance[SOUNDS] = known.sounds.text()
    if network.imported.cut:
        provenance[CUT] = network.imported.cut.text()
    formats, gained = how.precision.formats(lstm, head, calibration.sequences), None
    # Before any time is spent: what is not balanced ends here.
    model = build_model(lstm, head, layout, formats, masks=masks, provenance=provenance, pool=pool)
    if how.qat_epochs:
        for line in read:
            say(line)
        if val is not None:
            check_judging(network, pool, path, val)
            check_alike(calibration, val)
        tuned, gained = _finetuned(network, calibration, replace(how, pool=pool), path, val)
        lstm, head, formats = tuned.lstm.pruned(), tuned.head, tuned.lstm.formats
        model = tuned.to_model(layout, provenance)
    sample = _sample(calibration, lstm.hidden_size)
    model = replace(model, input_scale=known.scale, label_names=known.label_names)
    checked = self_check(lstm, head, model, sample, how.bound)
    clipped = count_saturations(lstm, formats, sample, head)
    model, told = screened(model, sample) if how.screen else (model, "")
    noted_too = {"saturation": json.dumps(saturation(clipped), allow_nan=False)}
    return Packed(
        replace(model, provenance={**model.provenance, **noted_too}),
        network,
        checked,
        clipped,
        formats.lowered,
        gained,
        () if how.qat_epochs else tuple(read),
        {} if judged is None or real is None else _scores(real, model, judged),
        "" if judged is None else all_of(judged) + of_part(network),
        bool(how.cell_range),
        told,
    )


def _scores(real: Score, model: Model, data: SequenceData) -> dict[str, Any]:
    """Of both, on the same data."""
    integers = integer_answers(model, data)
    models: dict[str, Any] = dict.fromkeys(MODELS)
    models |= {"pruned": dict(real.figures), "fixed": dict(integers.score().figures)}
    return {"models": models, **described(integers, data)}


def _finetuned(
    network: Network, data: SequenceData, how: Packing, path: Path, val: SequenceData | None
) -> tuple[QatClassifier, tuple[Score, Score]]:
    classifier = network.classifier(path)
    lstm, head = network.packable(), classifier.head
    formats = how.precision.formats(lstm, head, data.sequences)
    own = copy.deepcopy(lstm), copy.deepcopy(head)
    model = QatClassifier(*own, formats, network.masks, how.pool or LAST)
    about = {"checkpoint": path.name, "value_bits": how.value_bits, "act_bits": how.act_bits}
    about |= {"asked": how.options()}
    return model, finetuned(model, data, how.qat_epochs, how.seed, how.controls, about, val)


def _sample(data: SequenceData, hidden: int) -> list[Any]:
    """The first sequences, at least one, that fit the self-check's memory."""
    frames = 0
    chosen: list[Any] = []
    for sequence in data.sequences:
        frames += len(sequence)
        if chosen and frames * hidden > _SAMPLE:
            break
        chosen.append(sequence)
    return chosen


def pack_imported(path: Path, how: Packing) -> tuple[dict[str, PackedMatrix], list[str]]:
    """Pack the pruned matrices of any network; and name those that are left out, dense.

    Parameters
    ----------
    path : Path
        What :func:`.import_model` reads.
    how : Packing
        Its masks, banks, wishes and value bits count.
    """
    imported = import_model(path, how.masks, matrices=True)
    for note in imported.notes:
        say(f"note: {note}")
    if not imported.state_dict:
        raise CheckpointError(f"{path} holds masks alone: give the weights, and this with --masks")
    tensors = {name: t for name, t in imported.state_dict.items() if t.ndim == 2}
    every = [name for name, tensor in tensors.items() if is_float(tensor)]
    if tensors and not every:
        raise CheckpointError(f"{path}: {no_floats(list(tensors), next(iter(tensors.values())))}")
    named = [name for name, _ in parse(how.wishes)]
    chosen = [n for n in every if n in imported.masks or any(is_called(n, x) for x in named)]
    if not chosen:
        raise CheckpointError(
            f"{path} has no pruned matrix: prune it first, or name dense ones with "
            "--for NAME:banks=N"
        )
    layout = _layout(imported, chosen, noted(imported, path), how, path)
    say(f"read as {imported.source}: {len(imported.state_dict)} tensors, matrices alone")
    packed = pack_matrices(
        imported.state_dict, layout, value_bits=how.value_bits, masks=imported.masks
    )
    return packed, [name for name in every if name not in chosen]


def _layout(
    imported: Imported, names: Sequence[str], about: Mapping[str, Any], how: Packing, path: Path
) -> dict[str, Geometry | int]:
    """Banks of every matrix, by its name in the file: as asked for, or as noted there."""
    noted = about.get("layout", {}) if how.banks is None else {}
    default = Wish(how.banks or about.get("banks"))
    wanted = spread(parse(how.wishes), names, default, {n: Wish(**w) for n, w in noted.items()})
    unsaid = [name for name, wish in wanted.items() if not (wish.banks or wish.width)]
    if unsaid:
        count = balanced_over(imported, unsaid)
        known = f"--banks {count}, over which it is balanced" if count else "--banks"
        raise CheckpointError(f"{path} does not say how many banks it has: give {known}")
    if any(wish.sparsity is not None for wish in wanted.values()):
        raise ValueError("--for with a sparsity: packing removes no weights, use sparseflow prune")
    return {n: layout_of(imported, n, Banks(w.banks, w.width)) for n, w in wanted.items()}
