"""Recurrent layers on the array, and the head of the model on a screen unit behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csb_format.fixed import IntArray
from csb_format.model import Model
from csb_format.scales import DesignError
from csb_format.screening.layer import ScreenedLayer

from ..array.design import Design
from ..array.screen import ScreenDesign
from .compile import compile_model
from .image import Image
from .plan import Emission
from .screen import ScreenImage, screen_image, screen_widths

__all__ = ["ScreenedImage", "compile_screened"]

_PREFIX = "screen_"


@dataclass(frozen=True, eq=False)
class ScreenedImage:
    """Contents of an array and of the screen unit that takes its states.

    Parameters
    ----------
    array : Image
        Of the recurrent layers.
    screen : ScreenImage
        Of the head.
    """

    array: Image
    screen: ScreenImage

    @property
    def emission(self) -> Emission:
        """What leaves the array for each frame."""
        return self.array.parts[0].emissions[0]

    @property
    def memories(self) -> dict[str, list[int]]:
        """Of both."""
        screen = {_PREFIX + name: words for name, words in self.screen.memories.items()}
        return dict(self.array.memories) | screen

    def width(self, name: str) -> int:
        """Bits of a word of a memory."""
        if name.startswith(_PREFIX):
            return screen_widths(self.screen.design)[name.removeprefix(_PREFIX)]
        return self.array.width(name)


def compile_screened(
    model: Model, design: Design, *, top: int, digits: int = 0, lanes: int = 0
) -> ScreenedImage:
    """The array's image, and a screen unit that takes what the array gives, beat by beat.

    Parameters
    ----------
    model : Model
        Packed with a screened head that is fed with every frame, in one direction.
    design : Design
    top : int
        k, logits that the unit finds.
    digits, lanes : int
        Lanes of first planes and of all others; by default all columns in a cycle, and in six.

    Raises
    ------
    DesignError
        If the model's head is not screened, or takes something else than the array gives.
    """
    head = model.head
    if not isinstance(head, ScreenedLayer):
        raise DesignError("the model has no screened head: pack it with --screen")
    image = compile_model(model, design)
    if len(image.parts) > 1 or len(image.parts[0].emissions) > 1 or model.directions > 1:
        raise DesignError("a screen unit takes the states of one direction: this model has two")
    emission = image.parts[0].emissions[0]
    order = _order(emission)
    elements = emission.placement.lanes
    screen = ScreenDesign.of(
        head,
        top=top,
        digits=digits or len(order),
        lanes=lanes or elements * -(-len(order) // (6 * elements)),
        elements=elements,
        places=len(order),
    )
    return ScreenedImage(image, screen_image(screen, head, order))


def _order(emission: Emission) -> IntArray:
    """Which column of the head comes at each place of a hidden state; -1 for none."""
    columns = np.arange(emission.placement.size, dtype=np.int64)
    return emission.placement.to_order(columns + 1) - 1
