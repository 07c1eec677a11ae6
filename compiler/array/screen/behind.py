"""A screen unit behind an array: what of a model it takes, and how wide it is."""

from __future__ import annotations

from csb_format.arguments import shown
from csb_format.model import Model
from csb_format.scales import DesignError
from csb_format.screening.layer import ScreenedLayer
from csb_format.shape import ModelShape

from ..design import Design
from ..placement import Placement
from .bus import outside
from .design import BUS_BITS, LARGEST, MOST_TOP, ScreenDesign

__all__ = ["check_screen", "screen_behind", "states_of", "unit_takes"]

_HOST = "give largest = 0 (--largest 0), which leaves the head to the host"


def screen_behind(
    model: Model | ModelShape,
    design: Design,
    largest: int | None = None,
    *,
    digits: int = 0,
    lanes: int = 0,
    planes: int = 0,
) -> ScreenDesign | None:
    """The unit that finds the largest logits of a model's head, if the head is screened.

    Parameters
    ----------
    model : Model or ModelShape
        A shape tells nothing of a screen: it gets none.
    design : Design
        Of the array, without it.
    largest : int, optional
        k, logits that it finds, 1..8; 0 for no unit. By default :data:`.design.LARGEST` of a
        screened head, as far as it has so many.
    digits, lanes : int
        Lanes of first planes and of all others; by default all columns in a cycle, and in six.
    planes : int
        Bits of the bus over which planes come from a memory outside, one of
        :data:`.design.BUS_BITS`; 0: they lie on the chip.

    Raises
    ------
    DesignError
        If the model's head is not screened and a number is given, or the unit cannot take what the
        array gives; the message names the mend.
    """
    if planes not in (0, *BUS_BITS):
        widths = ", ".join(map(str, BUS_BITS))
        raise DesignError(
            f"planes = {shown(planes)}: bits of the bus to a memory outside, one of {widths}; 0 "
            "for planes on the chip"
        )
    head = model.head if isinstance(model, Model) else None
    if largest == 0 or (largest is None and not isinstance(head, ScreenedLayer)):
        if planes and isinstance(head, ScreenedLayer):
            raise DesignError(
                f"planes = {planes}: planes are for the unit that finds the largest logits, and "
                "with the whole head on the array, or largest = 0, there is none; leave one out"
            )
        if planes:
            raise DesignError(
                f"planes = {planes}: planes are those of a screened head that a unit behind the "
                "array looks at, and there is none; pack the model with --screen, or leave it out"
            )
        return None
    if not isinstance(head, ScreenedLayer):
        raise DesignError(
            f"largest = {largest}: the model has no screened head; pack it with --screen, or leave "
            "it out"
        )
    assert isinstance(model, Model)
    _check(model)
    top = min(LARGEST, head.output_size) if largest is None else largest
    if not 1 <= top <= min(MOST_TOP, head.output_size):
        there = f"the head has {head.output_size:,} outputs; a unit finds 1 to {MOST_TOP} of them"
        raise DesignError(f"largest = {top}: {there}, and 0 leaves it to the host")
    states = states_of(model.shape, design)
    units, places = states.lanes, states.beats * states.lanes
    made = ScreenDesign.of(
        head,
        top=top,
        digits=digits or places,
        lanes=lanes or units * -(-places // (6 * units)),
        elements=units,
        places=places,
        bank_width=states.bank_width,
    )
    return outside(made, planes) if planes else made


def states_of(shape: ModelShape, design: Design) -> Placement:
    """How the hidden states of the last layer come."""
    last = shape.layers[-1]
    width = last.weight_hh.bank_width * (last.weight_hh.banks // design.lanes)
    return Placement(design, last.hidden_size, width)


def check_screen(model: Model, design: Design) -> None:
    """Raise a :class:`.DesignError` unless a design's screen unit can take this model, if any."""
    if design.screen is None:
        return
    if not isinstance(model.head, ScreenedLayer):
        raise DesignError(
            "the design has a screen unit and the model no screened head: pack it with --screen, "
            "or take a design without one"
        )
    wanted = screen_behind(model, design, min(design.screen.top, model.head.output_size))
    assert wanted is not None
    for name in ("rows", "columns", "places", "bank_width", *_FIXED):
        if getattr(design.screen, name) != getattr(wanted, name):
            raise DesignError(
                f"the head has {name} = {getattr(wanted, name)}, the screen unit of the design "
                f"{getattr(design.screen, name)}: generate a design for this model"
            )
    for name in ("low_bits", "logit_bits", "bound_bits"):
        if getattr(design.screen, name) < getattr(wanted, name):
            raise DesignError(
                f"the head needs {name} = {getattr(wanted, name)}, the screen unit of the design "
                f"has {getattr(design.screen, name)}: generate a design for this model"
            )


def unit_takes(model: Model) -> bool:
    """Of a model with a screened head: whether a unit can take what leaves the array before it."""
    try:
        _check(model)
    except DesignError:
        return False
    return True


# numbers of a head that a unit has in its logic
_FIXED = ("prior_shift", "far_shift", "norm_shift", "typical")


def _check(model: Model) -> None:
    """Whether the unit can take what leaves the array."""
    if model.directions == 2:
        raise DesignError(
            f"a screen unit takes the states of one direction, this model has two: {_HOST}"
        )
    if any(layer.weight_hr is not None for layer in model.shape.layers):
        raise DesignError(f"a screen unit takes hidden states, this model projects them: {_HOST}")
    if model.pool == "mean":
        raise DesignError(
            "a screen unit takes the state of every frame, this head the mean over time (pool "
            f"'mean'): {_HOST}"
        )
