"""What the driver is given: integers of the wire, or raw features that the model can scale."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from csb_format import IntArray, Model

__all__ = ["GIVEN", "Given", "integers_of"]

Given = Literal["integers", "raw", "scaled"]
"""``"integers"``: in the format of the first layer. ``"raw"``: features as they were before any
scaling, of any numbers; the model's scale is applied. ``"scaled"``: real numbers as in training;
they are rounded to the format alone."""
GIVEN: tuple[Given, ...] = get_args(Given)


def integers_of(
    model: Model, frames: npt.ArrayLike, given: Given | None = None
) -> tuple[IntArray, Given]:
    """Frames for the wire, and what they were taken for.

    Parameters
    ----------
    model : Model
    frames : array (T, X)
    given : {"integers", "raw", "scaled"}, optional
        What they are. By default integers are ``"integers"``, and floats ``"raw"`` if the model
        has a scale.

    Returns
    -------
    int64 array (T, X), str

    Raises
    ------
    ValueError
        For another shape, numbers outside the format, floats that nobody can scale, NaN.
    """
    layer, array = model.layers[0], np.asarray(frames)
    if array.ndim != 2 or array.shape[1] != layer.input_size or not len(array):
        raise ValueError(
            f"frames have shape {array.shape}: give (T, {layer.input_size}), T at least 1"
        )
    if given is not None and given not in GIVEN:
        raise ValueError(f"given = {given!r}: choose one of {', '.join(GIVEN)}")
    kind = given or _kind(model, array)
    if kind == "raw":
        if model.input_scale is None:
            raise ValueError(
                "raw features, and the model knows no scale: pack it with data that `sparseflow "
                'data` has written, or scale them yourself and say given="scaled"'
            )
        array = model.input_scale.apply(array)
    if kind != "integers":
        if array.dtype.kind not in "fiu":
            raise ValueError(f"frames are {array.dtype}: give numbers")
        return layer.input.quantise(array), kind
    if array.dtype.kind not in "iu":
        raise ValueError(f"frames are {array.dtype}: quantise them to integers first")
    if array.min() < layer.input.min or array.max() > layer.input.max:
        known = ', or say given="raw" if they are no integers of this format'
        raise ValueError(
            f"frames reach from {array.min()} to {array.max()}, their format from "
            f"{layer.input.min} to {layer.input.max}: quantise them to it"
            + known
            * (model.input_scale is not None)
        )
    return array.astype(np.int64), kind


def _kind(model: Model, frames: npt.NDArray[np.generic]) -> Given:
    return "raw" if frames.dtype.kind == "f" and model.input_scale is not None else "integers"
