"""The smallest array that holds a model and trains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from csb_format.model import Model
from csb_format.scales import DesignError, Scales
from csb_format.shape import LstmShape, ModelShape

from ..array.design import Design
from ..array.needs import design_for
from ..array.widths import SPAN, align_bits
from ..lower.learning.masters import learning_passes
from ..lower.load import MAX_LOADED
from ..lower.passes import HEAD
from ..lower.schedule import schedule
from .layout import GRADIENT_BITS, LearningLayout
from .transposed import leaving_beats

__all__ = ["learns_head", "training_design"]


def learns_head(shape: ModelShape) -> bool:
    """Whether the array has the head: it runs on every frame's state, of one direction.

    Else the host has it, which takes the mean, or both directions.
    """
    return shape.pool != "mean" and shape.directions == 1


def training_design(
    model: Model | ModelShape,
    pes: int,
    lanes: int,
    answers: int,
    frames: int = 0,
    gradient_bits: int = 8,
    **options: int | bool,
) -> Design:
    """The smallest design of this array that holds a model and trains it.

    Parameters
    ----------
    model : Model or ModelShape
    pes, lanes : int
    answers : int
        Most answers of a batch.
    frames : int
        Most steps of a batch, of its longest sequence, times sequences, in whole N of them; 0: the
        linear output layer learns alone, if the array has it (:func:`learns_head`).
    gradient_bits : int
        Of recurrent layers.
    **options
        As for :func:`compiler.array.needs.design_for`; ``unguarded`` if nobody says otherwise.

    Raises
    ------
    DesignError
        If the array cannot carry the model, or cannot train it.
    """
    # the tape makes vector banks so deep that they lie in blocks
    options.setdefault("unguarded", True)
    if answers < 1:
        raise DesignError(f"answers = {answers}: must be at least 1")
    head = learns_head(model.shape)
    if not (head or frames):
        raise DesignError(
            "the head of this model learns on the host, so the array has nothing to train: give "
            "frames, for its recurrent layers"
        )
    plain = design_for(model, pes, lanes, head=head, all_pes=True, **options)
    least = 8
    if plain.value_bits < least:
        raise DesignError(
            f"value_bits = {plain.value_bits}: gradients lie where weights do, which must have "
            f"{least} bits at least to train"
        )
    if lanes * plain.index_bits < align_bits(plain):
        raise DesignError(f"lanes = {lanes}: too few to keep a gradient's shift; take more")
    if not frames:
        layout = LearningLayout(schedule(model.shape, plain, head=True), answers)
        return _sized(plain, [layout])
    return _backward_design(model.shape, plain, answers, frames, gradient_bits)


def _backward_design(
    shape: ModelShape, plain: Design, answers: int, frames: int, bits: int
) -> Design:
    """One in which recurrent layers learn too."""
    digit = 0 if plain.value_bits >= bits else plain.value_bits - 1
    formats = max(*map(Scales.largest, shape.layers), *map(_apart, shape.layers))
    head = learns_head(shape)
    fitting = replace(
        plain,
        # sums of columns leave where sums of a linear layer would
        linear=max(plain.linear, 1),
        projectors=max(plain.projectors, 1),
        train=1,
        backward=True,
        forward=plain.acc_bits,
        max_align=max(plain.max_align, SPAN + formats + digit),
    )
    plan = schedule(shape, fitting, head=head)
    layouts = [
        LearningLayout(plan, answers if given.matrix == HEAD else frames, given,
                       GRADIENT_BITS if given.matrix == HEAD else bits)
        for given in learning_passes(plan)
    ]  # fmt: skip
    found = _sized(fitting, layouts)
    # sums of columns leave without a pause, if they are taken
    return replace(found, output_depth=max(found.output_depth, leaving_beats(found)))


def _apart(layer: LstmShape) -> int:
    """Bits between the formats of gates of a matrix."""
    fracs = [[f.frac for f in of] for of in (layer.weight_ih_formats, layer.weight_hh_formats)]
    return max(max(some) - min(some) for some in fracs)


def _sized(design: Design, layouts: Sequence[LearningLayout]) -> Design:
    """With memories for all of them, which load packets reach."""
    sizes: dict[str, Any] = {}
    for layout in layouts:
        for name, least in layout.sizes.items():
            sizes[name] = max(sizes.get(name, 0), least)
    for name in ("matrix_depth", "vector_depth", "train"):
        if sizes[name] > MAX_LOADED:
            raise DesignError(
                f"a batch of {max(at.answers for at in layouts)} answers or steps needs {name} = "
                f"{sizes[name]}: load packets reach {MAX_LOADED}; give smaller batches or shorter "
                "sequences, or take more PEs"
            )
    return replace(design, forward=design.forward_bits, **sizes)
