"""A page, and what it must say of what was measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Page"]

_FIGURE = re.compile(r"\d[\d,]*\.\d+|\b\d{1,3}(?:,\d{3})+\b|\d+ ?%")


@dataclass(frozen=True)
class Page:
    """Tables and sentences that results stand in.

    Parameters
    ----------
    path : Path
    tables : tuple of str
        Whole tables, each found in the page by its line of heads.
    sentences : tuple of str
        Words that the page must hold, wherever its lines end.
    others : tuple of str
        Words with figures that nobody measures: versions, what was asked for, examples.
    """

    path: Path
    tables: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def text(self) -> str:
        """As it stands."""
        return self.path.read_text("utf-8")

    def updated(self, text: str) -> str:
        """The text with its tables made anew.

        Raises
        ------
        ValueError
            If a table is not there.
        """
        for table in self.tables:
            heads = table.partition("\n")[0]
            pattern = re.compile(re.escape(heads) + r"\n(?:\|.*\n?)*")
            if not pattern.search(text):
                raise ValueError(f"{self.path.name} has no table with the heads {heads}")
            text = pattern.sub(lambda found, table=table: table + "\n", text)  # type: ignore[misc]
        return text

    def missing(self, text: str) -> list[str]:
        """Sentences that a text does not have."""
        plain = " ".join(text.split())
        return [words for words in self.sentences if " ".join(words.split()) not in plain]

    def unchecked(self, text: str) -> list[str]:
        """Figures of a text that stand in none of the tables, sentences, code and others."""
        text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        for table in self.tables:
            text = text.replace(table, "")
        plain = " ".join(text.split())
        for words in sorted((*self.sentences, *self.others), key=len, reverse=True):
            plain = plain.replace(" ".join(words.split()), "#")
        plain = re.sub(r"`[^`]*`", "", plain)
        return [match[0] for match in _FIGURE.finditer(plain)]
