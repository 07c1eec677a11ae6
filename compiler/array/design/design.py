"""The array: everything that is fixed when hardware is generated."""

from __future__ import annotations

from dataclasses import dataclass

from .checks import check_array, plain
from .parameters import Parameters

__all__ = ["Array", "Design"]


@dataclass(frozen=True)
class Array:
    """The array that is taken where nobody says otherwise.

    Parameters
    ----------
    pes, lanes : int
        M and N.
    """

    pes: int = 16
    lanes: int = 8


@dataclass(frozen=True)
class Design(Parameters):
    """Parameters that hold to all that hardware asks of them.

    Parameters
    ----------
    **parameters
        Those of :class:`.Parameters`; integers of numpy are kept as Python's.

    Raises
    ------
    DesignError
        If one of these does not hold; the message names the value.
    """

    def __post_init__(self) -> None:
        for name, value in plain(self).items():
            object.__setattr__(self, name, value)
        check_array(self)
