"""Commands whose options are derived from the classes of :mod:`sparseflow.steps.options`."""

from __future__ import annotations

import errno
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from ..steps.options import Said
from ..steps.progress import alive

__all__ = ["derived", "naming_files", "within"]

_EITHER = inspect.Parameter.POSITIONAL_OR_KEYWORD
OptionsT = TypeVar("OptionsT")


def derived(
    options: type[OptionsT], *, ends: bool = True
) -> Callable[[Callable[[OptionsT], None]], Any]:
    """Make a command of a function that takes the options as one object.

    Parameters
    ----------
    options : type
        A frozen dataclass whose fields are annotated with
        :class:`~sparseflow.steps.options.said.Said`.
    ends : bool
        Whether it comes to an end by itself, so that signs of life tell something.
    """

    def decorate(function: Callable[[OptionsT], None]) -> Any:
        def command(*words: Any, **given: Any) -> None:
            chosen = options(*words, **given)
            with alive(function.__name__) if ends else nullcontext(), naming_files(chosen):
                function(chosen)

        parameters = list(_parameters(options))
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Fields that name what is written; the first that is given counts.
_WRITTEN = ("out", "build", "json_file", "json", "svg", "html", "plain")


@contextmanager
def naming_files(options: Any) -> Iterator[None]:
    """Let errors of a full disk and of too little memory name what was written or read.

    Raises
    ------
    OSError
        With the file's or folder's name.
    """
    given = {field.name: getattr(options, field.name) for field in fields(options)}
    paths = {name: path for name, path in given.items() if isinstance(path, Path)}
    try:
        yield
    except MemoryError as error:
        read = [str(path) for name, path in paths.items() if name not in _WRITTEN]
        told = "the memory of this machine is too small: give less data or a smaller model"
        raise OSError(errno.ENOMEM, told, ", ".join(read) or None) from error
    except OSError as error:
        if error.filename is not None or error.errno not in _FULL:
            raise
        written = [str(paths[name]) for name in _WRITTEN if name in paths]
        raise OSError(error.errno, error.strerror, (written or ["the results"])[0]) from error


def within(low: float, high: float | None = None, multiple: int = 1) -> Callable[[Any], Any]:
    """Refuse other numbers, naming what was given: Typer's own message does not."""

    def check(value: Any) -> Any:
        outside = value is not None and not (low <= value and (high is None or value <= high))
        if outside or (value is not None and multiple > 1 and value % multiple):
            limits = f"at least {low}" if high is None else f"{low} to {high}"
            steps = f"a multiple of {multiple}, " if multiple > 1 else ""
            raise typer.BadParameter(f"{value} must be {steps}{limits}")
        return value

    return check


def _parameters(options: type) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(options, include_extras=True)
    for field in fields(options):
        kind, said = get_args(hints[field.name])
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        yield inspect.Parameter(
            field.name,
            # those of a base class come first, with their defaults
            inspect.Parameter.KEYWORD_ONLY if field.kw_only else _EITHER,
            default=default,
            annotation=Annotated[kind, _told(field, said)],
        )


def _told(field: Field[Any], said: Said) -> Any:
    """What Typer is told of a field."""
    about: dict[str, Any] = {"help": said.help}
    if said.plain:
        about |= {"min": said.least, "max": said.most}
    elif said.least is not None:
        about["callback"] = within(said.least, said.most, said.multiple)
    if said.argument:
        return typer.Argument(**about)
    if said.panel:
        about["rich_help_panel"] = said.panel
    return typer.Option(*([said.name] if said.name else []), **about)
