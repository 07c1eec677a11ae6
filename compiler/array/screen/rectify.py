"""The screen unit of a linear layer with a ReLU behind it: what is fixed when it is generated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from csb_format.arguments import whole
from csb_format.heads.mlp import MlpHead, Rectifier
from csb_format.scales import DesignError
from csb_format.screening.layer import ScreenedLayer

from .design import ScreenDesign

__all__ = ["STORED", "RectifyDesign", "planes_of"]

#: Cycles from a row's sum to when its activation has been written.
STORED = 1


@dataclass(frozen=True)
class RectifyDesign(ScreenDesign):
    """A unit that computes the rows of a layer that are not proven to be zero behind its ReLU.

    The stages are those of :class:`.ScreenDesign`. What they are compared with is no k-th largest
    logit but a constant, the least sum that does not round to zero; ``top`` is 1 and says nothing.

    Parameters
    ----------
    shift, width : int
        Of :class:`~csb_format.heads.mlp.Rectifier`: fraction bits that sums lose, 0..62, and bits
        of an activation, 2..32.

    Raises
    ------
    DesignError
        As :class:`.ScreenDesign`, or if these do not hold.
    """

    shift: int = 0
    width: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            whole("shift", self.shift, 0, 62)
            whole("width", self.width, 2, 32)
        except ValueError as error:
            raise DesignError(str(error)) from error

    @classmethod
    def of_head(cls, head: MlpHead, *, digits: int, lanes: int, elements: int = 1) -> RectifyDesign:
        """The unit for the first layer of a head, with the least widths that hold its numbers.

        Parameters
        ----------
        head : MlpHead
            Its first layer a :class:`~csb_format.screening.layer.ScreenedLayer`.
        digits, lanes, elements : int
            As of :class:`.ScreenDesign`.

        Raises
        ------
        DesignError
            Also for a first layer without planes.
        """
        layer, behind = planes_of(head), head.rectifiers[0]
        given: dict[str, Any] = {"top": 1, "digits": digits, "lanes": lanes, "elements": elements}
        made = cls.of(layer, **given)
        assert isinstance(made, cls)
        bits = max(made.bound_bits, behind.least.bit_length() + 1)
        return replace(made, bound_bits=bits, shift=behind.shift, width=behind.width)

    @property
    def rectifier(self) -> Rectifier:
        """ReLU, rounding and saturation."""
        return Rectifier(self.shift, self.width)


def planes_of(head: MlpHead) -> ScreenedLayer:
    """The first layer of a head, or a :class:`.DesignError` where it has no planes."""
    layer = head.hidden[0]
    if not isinstance(layer, ScreenedLayer):
        raise DesignError(
            "the first layer of the head has no planes: take ScreenedLayer.of(head.hidden[0])"
        )
    return layer
