"""What is said of a field of options, and how its values are checked."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Said"]


@dataclass(frozen=True)
class Said:
    """What is said of a field.

    Parameters
    ----------
    help : str
    least, most : float, optional
        Of its range, both included.
    multiple : int
        That it must be one of.
    name : str
        On the command line, if it is not the field's; of a flag without its ``--no-`` twin.
    argument : bool
        Given by its place.
    plain : bool
        The range is checked by the command line's library, which shows it in the help.
    panel : str
        Under which it stands in the help; empty for that of most.
    """

    help: str
    least: float | None = None
    most: float | None = None
    multiple: int = 1
    name: str = ""
    argument: bool = False
    plain: bool = False
    panel: str = ""
