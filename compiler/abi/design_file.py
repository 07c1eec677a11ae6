"""``design.json``: what was fixed when a bitstream was made, beside it."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from csb_format.files.claims import check_regular
from csb_format.files.foreign import kind_of_file
from csb_format.scales import DesignError

from ..array.design import Design
from ..array.screen.design import ScreenDesign
from .identity import identity
from .register_types import RegisterError

__all__ = ["DESIGN_FILE", "read_design"]

DESIGN_FILE = "design.json"
_BYTES = 1 << 16  # a design has less than one
_MOST = 1 << 16  # lanes are laid out one by one
_DEEPEST = 1 << 32  # places of a memory: bits of its register
_FEW = 8  # of a list
_MOST_SCREEN = 1 << 32  # of a number of a screen unit, which checks them itself
_DEPTHS = (
    *("matrix_depth", "vector_depth", "program_depth", "output_depth"),
    *("slots", "cells", "indexed"),
)
_BUS = 32  # bits, where no other are named
_MEND = f"give the folder of a build, its {DESIGN_FILE}, or sf.compile(...)"


def read_design(path: Path) -> Design:
    """The design of a build.

    Parameters
    ----------
    path : Path
        The folder of the build, or its ``design.json``.

    Returns
    -------
    Design

    Raises
    ------
    DesignError
        For a file that is no JSON object with the fields of a :class:`.Design` and their
        types, each once, or whose numbers make no accelerator; the field is named.
    OSError
        If there is no such file.
    """
    path = path / DESIGN_FILE if path.is_dir() else path
    check_regular(path)
    try:
        given = _parsed(path)
        _check_names(given, Design)
        screen = given.pop("screen", None)
        for name, value in given.items():
            _check_value(name, value)
        design = Design(**given, screen=_screen(screen))
        identity(design, _BUS, _BUS)  # its registers hold what the design says
    except RegisterError as error:
        raise DesignError(f"{path} is no design that an accelerator has: {error}") from error
    except DesignError as error:
        raise DesignError(f"{path} is no design ({error}): {_MEND}") from error
    return design


def _parsed(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        data = file.read(_BYTES + 1)
    if len(data) > _BYTES:
        raise DesignError(f"it has more than {_BYTES} bytes")
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_once)
    except DesignError:
        raise
    except (ValueError, RecursionError):  # a number of 5000 digits is a ValueError too
        kind = kind_of_file(path)
        raise DesignError("it is no whole JSON" if not kind or "JSON" in kind else kind) from None
    if not isinstance(found, dict):
        raise DesignError(f"it holds a JSON {type(found).__name__}, not an object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DesignError(f"it holds {twice[:40]!a} twice")
    return dict(pairs)


def _screen(given: object) -> ScreenDesign | None:
    """The screen unit of a design, if it has one."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise DesignError("screen: must be null, or an object of numbers")
    _check_names(given, ScreenDesign)
    for name, value in given.items():
        if type(value) is not int or not 0 <= value < _MOST_SCREEN:
            raise DesignError(f"{name} of its screen: must be 0 to {_MOST_SCREEN - 1}")
    return ScreenDesign(**given)


def _check_names(given: dict[str, Any], kind: type[Design | ScreenDesign]) -> None:
    known = {field.name for field in fields(kind)}
    if strange := sorted(set(given) - known):
        raise DesignError(f"it has a field {strange[0][:40]!a} that no design has")
    wanted = [field.name for field in fields(kind) if field.default is MISSING]
    if missing := [name for name in wanted if name not in given]:
        raise DesignError(f"it lacks {', '.join(missing)}")


def _check_value(name: str, value: object) -> None:
    """A flag is true or false, everything else a whole number; bounded before it is used."""
    if name == "cell":
        return  # a design names those that there are
    if name == "wider":
        if not isinstance(value, list) or len(value) >= _FEW:
            said = json.JSONEncoder().encode(value)[:40]
            raise DesignError(f"wider = {said}: must be a list of whole numbers, fewer than {_FEW}")
        for one in value:
            _check_value("reach", one)
        return
    flag = isinstance(Design.__dataclass_fields__[name].default, bool)
    if type(value) is not (bool if flag else int):
        kind = "true or false" if flag else "a whole number"
        raise DesignError(f"{name} = {json.JSONEncoder().encode(value)[:40]}: must be {kind}")
    most = (_DEEPEST if name in _DEPTHS else _MOST) - 1
    if isinstance(value, int) and not 0 <= value <= most:
        shown = str(value) if abs(value) < 1 << 64 else f"a number of {value.bit_length()} bits"
        raise DesignError(f"{name} = {shown}: must be 0 to {most}")
