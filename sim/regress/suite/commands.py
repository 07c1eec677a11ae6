"""Cases of kind ``command``: what they may say, and their words with the places filled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .values import SuiteError

__all__ = ["OF_ALL", "OF_COMMANDS", "PLACES", "check_command", "check_keys", "filled"]

PLACES = ("python", "out", "suite", "seed")
OF_COMMANDS = {"command", "figures"}
OF_ALL = {"name", "kind", "expect", "timeout"}
# A program's text in a word may hold braces of its own; it has blanks, quotes or brackets too.
_PLACE = re.compile(r"[^\s'\"()\[\];$]*\{([A-Za-z_]\w*)\}[^\s'\"()\[\];$]*")


def check_keys(given: Iterable[str], kind: object, where: str) -> None:
    """Refuse keys that a case of this kind does not look at.

    Raises
    ------
    SuiteError
        Naming the first.
    """
    for key in given:
        if kind == "command" and key not in OF_COMMANDS | OF_ALL:
            names = ", ".join(sorted(OF_COMMANDS | OF_ALL))
            raise SuiteError(
                f"{where}: {key} means nothing to a case of kind command: it has {names}; write it "
                "into the command, or leave it out"
            )
        if kind != "command" and key in OF_COMMANDS:
            raise SuiteError(f'{where}: {key} is for kind = "command": add that, or leave it out')


def check_command(command: list[str], figures: list[str], where: str) -> None:
    """Refuse words that are none, and places that nothing fills.

    Raises
    ------
    SuiteError
        Naming the word.
    """
    if not command or not all(isinstance(word, str) and "\0" not in word for word in command):
        raise SuiteError(f"{where}: command = {command}: give a list of words")
    if not all(isinstance(name, str) for name in figures):
        raise SuiteError(f"{where}: figures = {figures}: give names of figures, as texts")
    for word in command:
        found = _PLACE.fullmatch(word)
        if found and found[1] not in PLACES:
            known = ", ".join(f"{{{name}}}" for name in PLACES)
            raise SuiteError(
                f"{where}: nothing fills {{{found[1]}}} in {word!r}: there are {known}"
            )


def filled(word: str, given: Mapping[str, str]) -> str:
    """A word with its places filled; other braces stay as they are."""
    for name in PLACES:
        word = word.replace(f"{{{name}}}", given[name])
    return word
