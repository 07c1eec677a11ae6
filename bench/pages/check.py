"""Whether README and docs say what was measured.

``python -m bench.pages.check`` names every sentence whose figures are no longer those of
``bench/results``; ``--write`` makes the tables anew. A result that changed changes its page in
the same commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from csb_format.files.replace import replace_file

from .accuracy import RESULTS
from .behaviour import BEHAVIOUR
from .examples import EXAMPLES
from .guides import GUIDES
from .learning import LEARNING, LEARNING_ARRAY
from .page import Page
from .predict import PREDICTION
from .processors import PROCESSORS, SERVING
from .readme import README
from .recipe import RECIPE
from .results import ROOT
from .screening import SCREENING
from .tune import TUNE

__all__ = ["PAGES", "main"]

PAGES: tuple[Page, ...] = (
    README,
    RECIPE,
    RESULTS,
    PROCESSORS,
    SERVING,
    SCREENING,
    LEARNING,
    LEARNING_ARRAY,
    TUNE,
    BEHAVIOUR,
    PREDICTION,
    *GUIDES,
    *EXAMPLES,
)


def main(
    write: Annotated[bool, typer.Option("--write", help="Make the tables anew.")] = False,
) -> None:
    """Compare, and say what differs."""
    found = [line for page in PAGES for line in _differences(page, write)]
    for line in found:
        print(line)
    if found:
        raise SystemExit(1)
    print(f"{len(PAGES)} pages say what was measured")


def _differences(page: Page, write: bool) -> Iterator[str]:
    """One line for every sentence and table that is not in a page."""
    name, text = page.path.relative_to(ROOT), page.text()
    made = page.updated(text)
    if made != text and write:
        replace_file(page.path, made.encode())
    elif made != text:
        yield f"{name}: tables differ: python -m bench.pages.check --write"
    yield from (f"{name} must say: {words}" for words in page.missing(made))


if __name__ == "__main__":
    typer.run(main)
