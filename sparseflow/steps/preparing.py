"""The steps before hardware, for Python: prune a checkpoint, pack it as integers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from compiler.array.needs import check_supported
from csb_format import Model, save_model
from csb_format.cells import LSTM
from csb_format.files.container import check_named
from csb_format.files.matrixfile import PackedMatrix, save_matrices
from csb_format.files.ownership import check_file
from csb_format.files.replace import replace_file
from csb_format.precision import Balance, Precision
from csb_format.scales import DesignError

from ..pages import figures
from .options import PackOptions, PruneOptions
from .places import has_labels, need_labels, read_scaled
from .progress import say, show
from .ranges import cell_ranges, in_words
from .tuning.controls import QAT, Controls, patience_needs_val
from .tuning.whole import whole_lines

if TYPE_CHECKING:  # torch is loaded only where it is used
    from pruning.files.network import Network
    from pruning.importers import Cut
    from pruning.tasks.recipes.finetuning import Pruned

    from .packing import Packed

__all__ = ["pack", "pack_matrices", "prune_checkpoint"]

_STATES = ("pre_", "cell_")
_MUCH = 0.05  # relative error of a stage that is worth a word


def prune_checkpoint(
    checkpoint: Path,
    data: Path,
    out: Path,
    banks: int = PruneOptions.banks,
    sparsity: float = PruneOptions.sparsity,
    epochs: int = PruneOptions.epochs,
    seed: int = PruneOptions.seed,
    *,
    masks: Path | None = None,
    bank_width: int | None = None,
    wishes: Sequence[str] = (),
    pool: str | None = None,
    budget: str = PruneOptions.budget,
    val: Path | None = None,
    controls: Controls | None = None,
    cut: Cut | None = None,
) -> Network:
    """Prune all matrices of a recurrent classifier in increments, fine-tuning after each.

    Parameters
    ----------
    checkpoint : Path
        An ``nn.LSTM`` or ``nn.GRU`` of any option, or a cell of theirs, and an ``nn.Linear``
        (see :func:`pruning.files.network.load_network`).
    data : Path
        ``.npz`` of labelled sequences (see :func:`pruning.tasks.data.datasets.load_sequences`).
        A recurrent module without a head needs no labels: it is fine-tuned to its own dense
        outputs at every frame.
    out : Path
        Pruned checkpoint, with its masks, under the names that the checkpoint has.
    banks, sparsity, seed
        As for :class:`pruning.tasks.recipes.recipe.Recipe`.
    epochs : int
        Of all increments together, at least 1; the last increment gets about half.
    masks : Path, optional
        Masks of the checkpoint that are kept in a file of their own.
    bank_width : int, optional
        Columns of a bank, instead of ``banks``.
    wishes : sequence of str
        For single matrices, ``weight_ih:banks=16,sparsity=0.5``.
    pool : {"last", "hn", "mean", "every"}, optional
        How the head is fed; by default what the checkpoint says, else ``"last"``.
    budget : {"global", "gate", "equal"}
        As for :func:`pruning.face.prune`.
    val : Path, optional
        Labelled ``.npz`` that is not trained on: the score of the dense network and after every
        increment is told and noted, and of the last increment the epoch with the best is kept.
    controls : Controls, optional
        Learning rate, batch, optimizer, schedule, device, early stop; where steps are noted.
    cut : Cut, optional
        What of a larger network's state dict is taken: then ``data`` is what its recurrent module
        takes. The rest is kept in ``out`` as it was, and the cut is noted there.

    Returns
    -------
    Network
        What was pruned; whether it ``has_integers`` says if it can be packed as a model.
    """
    from pruning.files.network import load_network
    from pruning.tasks.recipes.recipe import Recipe

    from .training import Asked, prune_network

    if epochs < 1:
        raise ValueError(f"epochs {epochs}: must be at least 1, pruned weights need fine-tuning")
    chosen = controls or Controls()
    if chosen.patience is not None and val is None:
        raise ValueError(patience_needs_val(chosen.patience))
    check_file(out, checkpoint, data, masks, val)
    check_named(out)
    chosen.check(checkpoint, data, masks, val, out)
    increments = min(4, epochs)
    share = max(1, epochs // (increments + 3))
    recipe = Recipe(
        budget=budget,
        increments=increments,
        step_epochs=share,
        final_epochs=epochs - share * (increments - 1),
        tuning=chosen.training(),
    )
    if bank_width is not None and banks != Balance.banks:
        raise ValueError(f"--banks {banks} and --bank-width {bank_width}: give one of them")
    asked = Asked(banks, sparsity, bank_width, tuple(wishes), pool, budget, cut)
    frames, inputs = read_scaled(data)
    network = load_network(checkpoint, masks, frames.sequences, cut=cut)
    if network.head is not None:
        need_labels(data, "fine-tuning")
    judged = None
    if val is not None:
        wanted = "the score while pruning (--val)" if network.head is not None else ""
        judged, _ = read_scaled(val, wanted, inputs, data)
    pruned = prune_network(
        network, checkpoint, frames, out, asked, recipe, seed, judged, inputs, chosen
    )
    _tell_achieved(network, pruned)
    say(f"wrote {out} (seed {seed})")
    for place in (chosen.log, chosen.tensorboard):
        if place is not None:
            say(f"wrote {place}")
    return network


def _tell_achieved(network: Network, pruned: Pruned) -> None:
    """Each matrix, and all of them: where they share, no request is for one of them."""
    for matrix in pruned.report:
        name = network.names[matrix.name]
        packed = pruned.geometries[matrix.name]
        kept = f"{packed.kept_text} of {packed.bank_width} a bank"
        say(f"{name}: {matrix.requested:.2%} asked, {matrix.achieved:.2%} achieved, {kept}")
        if matrix.achieved == 0 < matrix.alone:
            say("  note: all are larger than what went elsewhere; --budget equal asks each")
        if matrix.note:
            say(f"  note: {matrix.note.removeprefix(f'{matrix.name}: ')}")
    weights = [matrix.matrix.shape[0] * matrix.matrix.shape[1] for matrix in pruned.report]
    asked, achieved = (
        sum(share * count for share, count in zip(shares, weights, strict=True)) / sum(weights)
        for shares in ([m.requested for m in pruned.report], [m.achieved for m in pruned.report])
    )
    say(f"all matrices: {asked:.2%} asked, {achieved:.2%} achieved")
    found = ((network.names[name], g.columns, g.banks) for name, g in pruned.geometries.items())
    for line in whole_lines(found):
        say(line)


def pack(
    pruned: Path,
    calibration: Path,
    out: Path,
    banks: int | None = None,
    value_bits: int = PackOptions.value_bits,
    act_bits: int = PackOptions.act_bits,
    *,
    masks: Path | None = None,
    wishes: Sequence[str] = (),
    per_gate: bool = PackOptions.per_gate,
    percentile: float = PackOptions.percentile,
    qat_epochs: int = PackOptions.qat_epochs,
    seed: int = PackOptions.seed,
    bound: float | None = None,
    pool: str | None = None,
    data: Path | None = None,
    cut: Cut | None = None,
    figures_file: Path | None = None,
    cell_range: str | None = None,
    val: Path | None = None,
    controls: Controls | None = None,
    screen: bool = PackOptions.screen,
    head_bits: int = PackOptions.head_bits,
) -> Model:
    """Quantise a pruned checkpoint, check every stage, pack it in CSB, write the model file.

    Parameters
    ----------
    pruned : Path
    calibration : Path
        ``.npz`` of sequences; the largest magnitude sets the input format. Labelled, if
        there are epochs to fine-tune.
    out : Path
    banks : int, optional
        By default what the checkpoint says.
    value_bits, act_bits : int
        Of weights, 4..18, and of inputs and hidden state, 6..18.
    masks, wishes
        As for :func:`prune_checkpoint`; a wish has no sparsity here.
    cell_range : str, optional
        As :func:`sparseflow.steps.ranges.cell_ranges` reads it.
    per_gate, percentile, qat_epochs, seed, bound, pool
        As in :class:`sparseflow.steps.packing.Packing`.
    data : Path, optional
        Labelled ``.npz`` that the float network and the integers are scored on; by default the
        calibration, where that has labels.
    cut : Cut, optional
        What of a larger network's state dict is taken; by default what ``prune`` has noted.
    figures_file : Path, optional
        Where scores, saturation and distances go, as JSON.
    val : Path, optional
        Labelled ``.npz`` that is not trained on: of the epochs of fine-tuning that with the best
        score is kept.
    controls : Controls, optional
        Of the fine-tuning, as for :func:`prune_checkpoint`; by default
        :data:`sparseflow.steps.tuning.controls.QAT`.
    screen : bool
        Whether the head is stored in planes; see :mod:`csb_format.screening`.
    head_bits : int
        Leading bits of every row of the head that its weights are rounded to, 4..16.

    Raises
    ------
    ValueError
        For ``val`` or ``controls`` without epochs of fine-tuning, or patience without ``val``; for
        ``screen`` without a head.
    """
    from .packing import Packing, pack_checkpoint

    chosen = controls or QAT
    _check_tuning(qat_epochs, val, chosen)
    check_file(out, pruned, calibration, masks, data)
    check_named(out)
    if figures_file is not None:
        check_file(figures_file, pruned, calibration, masks, data, out)
    chosen.check(pruned, calibration, masks, data, val, out, figures_file)
    chosen.training()
    frames, inputs = read_scaled(calibration, "fine-tuning in integers" if qat_epochs else "")
    judged = None
    if data is not None:
        judged, _ = read_scaled(data, "the score (--data)", inputs, calibration)
    held = None
    if val is not None:
        held, _ = read_scaled(val, "the score while fine-tuning (--val)", inputs, calibration)
    how = Packing(
        masks, banks, tuple(wishes), value_bits, act_bits, per_gate, percentile, qat_epochs, seed,
        bound, pool, cell_ranges(cell_range), cut, chosen, screen, head_bits,
    )  # fmt: skip
    packed = pack_checkpoint(pruned, frames, how, has_labels(calibration), judged, inputs, held)
    size = figures.bits_per_nonzero(packed.model)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_model(out, packed.model)
    if figures_file is not None:
        text = json.dumps(packed.figures(), indent=2, sort_keys=True, allow_nan=False)
        replace_file(figures_file, f"{text}\n".encode())
    _tell(packed, size)
    for place in filter(None, (out, figures_file, chosen.log, chosen.tensorboard)):
        say(f"wrote {place}")
    return packed.model


def _check_tuning(epochs: int, val: Path | None, chosen: Controls) -> None:
    """Refuse what would do nothing."""
    given = {
        "val": val,
        **chosen.options(QAT),
        "log": chosen.log,
        "tensorboard": chosen.tensorboard,
    }
    told = [name for name, value in given.items() if value is not None]
    if told and not epochs:
        raise ValueError(
            f"--{told[0]} is of fine-tuning in integers: give --qat-epochs, or no --{told[0]}"
        )
    if chosen.patience is not None and val is None:
        raise ValueError(patience_needs_val(chosen.patience))


def _tell(packed: Packed, size: float) -> None:
    from pruning.integers.self_check import adding

    model = packed.model
    for line in packed.read:
        say(line)
    for note in packed.network.imported.notes:
        say(f"note: {note}")
    for name, share in figures.sparsity(model).items():
        say(f"{name}: {share:.2%} sparse, {figures.matrices(model)[name].real_nonzeros} nonzeros")
    show(_stages(packed))
    for stage in adding(packed.stages, _MUCH):
        say(f"note: stage {stage.stage}, {stage.output}: {stage.mend_of(model)}")
    if packed.tuned:
        before, after = packed.tuned
        what = "score" if before.accuracy is None else "accuracy"
        say(f"{what} in integers: {before}, fine-tuned in them {after}")
    if packed.score:
        say(packed.score)
    if model.input_scale is not None:
        say(f"the scale of {len(model.input_scale)} raw features goes with the model")
    if model.label_names:
        say(f"classes: {', '.join(model.label_names)}")
    if packed.screened:
        say(packed.screened)
    if said := _range(packed):
        # a GRU keeps its state in [-1, 1), whatever this range is
        what = "cell states and pre-activations" if model.cell == LSTM else "pre-activations"
        say(f"{what}: {said}")
    clipped = {n: found for n, found in packed.saturations.items() if found.clipped}
    for name, found in clipped.items():
        count = f"{found.clipped} of {found.seen} ({found.share:.2%})"
        say(f"saturated: {name} in {found.format}, {count}")
    say(f"saturated: {'nothing else' if clipped else 'nothing'}; {size:.2f} bits a nonzero")
    for name, bits in packed.lowered.items():
        say(f"note: {name} gives up {bits} fraction bits so that its products can be added")
    try:
        check_supported(model)
    except DesignError as error:
        say(f"note: {error}")


def _range(packed: Packed) -> str:
    """What they are in, and why, where that is not plain."""
    usual, found = Precision.reach, figures.reaches(packed.model)
    given = in_words(found)
    if packed.asked_range:
        return f"{given}, as asked"
    if any(cell.reach != usual for cell in found.values()):
        return f"{given}: wider where [-{usual}, {usual}) saturates, further from the float network"
    if any(one.clipped for n, one in packed.saturations.items() if n.startswith(_STATES)):
        return f"{given}: they saturate, but wider steps are no nearer to the float network"
    return ""


def _stages(packed: Packed) -> Table:
    """How far every stage is from the float network."""
    title = "distance from the float network"
    table = Table("stage", "output", box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for heading in ("largest error", "rms error", "relative"):
        table.add_column(heading, justify="right")
    for row in packed.stages:
        figure = (f"{row.max_error:.2g}", f"{row.rms_error:.2g}", f"{row.relative:.2%}")
        table.add_row(row.stage, row.output, *figure)
    return table


def pack_matrices(
    pruned: Path,
    out: Path,
    banks: int | None = None,
    value_bits: int = PackOptions.value_bits,
    *,
    masks: Path | None = None,
    wishes: Sequence[str] = (),
) -> dict[str, PackedMatrix]:
    """Pack the pruned matrices of any network, GRUs and linear layers too, each on its own.

    Parameters
    ----------
    pruned : Path
        Any checkpoint that :func:`.import_model` reads.
    out : Path
        See :func:`csb_format.files.matrixfile.load_matrices`.
    banks, value_bits, masks, wishes
        As for :func:`pack`. A matrix without a zero is left out unless a wish names it.
    """
    from .packing import Packing, pack_imported

    check_file(out, pruned, masks)
    check_named(out)
    how = Packing(masks, banks, tuple(wishes), value_bits)
    packed, left = pack_imported(pruned, how)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_matrices(out, packed)
    for name, found in packed.items():
        shape = found.matrix.geometry
        say(
            f"{name}: {shape.rows} x {shape.columns}, {shape.kept_text} in each of {shape.banks} "
            f"banks, {shape.sparsity:.2%} sparse, {found.fixed}, "
            f"{-(-shape.packed_bits // 8):,} bytes"
        )
    for name in left:
        say(f"note: {name} is dense, left out; --for {name}:banks=N packs it")
    say(f"wrote {out}")
    return packed
