"""Commands whose options are derived from the classes of :mod:`sparseflow.steps.options`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from ..steps.options import Said

__all__ = ["derived", "within"]

OptionsT = TypeVar("OptionsT")


def derived(options: type[OptionsT]) -> Callable[[Callable[[OptionsT], None]], Any]:
    """Make a command of a function that takes the options as one object.

    Parameters
    ----------
    options : type
        A frozen dataclass whose fields are annotated with :class:`~sparseflow.steps.options.Said`.
    """

    def decorate(function: Callable[[OptionsT], None]) -> Any:
        def command(*words: Any, **given: Any) -> None:
            function(options(*words, **given))

        parameters = list(_parameters(options))
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate


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
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
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
    return typer.Option(*([said.name] if said.name else []), **about)
