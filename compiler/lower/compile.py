"""From a model and a design to memory contents and a program."""

from __future__ import annotations

from csb_format.model import Model

from ..array.design import Design
from ..array.screen.behind import check_screen
from .image import Image, image_of
from .schedule import schedule

__all__ = ["compile_model"]


def compile_model(model: Model, design: Design, *, head: bool = False) -> Image:
    """Order rows and passes, lay out vectors, write memories and program.

    Parameters
    ----------
    model : Model
        Every matrix has banks that ``design.lanes`` divides.
    design : Design
    head : bool
        Whether the model's linear output layer runs on the array too.

    Returns
    -------
    Image

    Raises
    ------
    DesignError
        If the model does not fit; the message names the memory and what it needs.
    """
    check_screen(model, design)
    return image_of(schedule(model, design, head=head), model)
