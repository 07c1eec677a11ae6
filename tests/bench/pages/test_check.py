"""Every measured figure of README and docs is one of bench/results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.accuracy.report import report
from bench.array.utilisation_report import markdown
from bench.pages.accuracy import WORDS
from bench.pages.check import PAGES
from bench.pages.page import Page

ROOT = Path(__file__).resolve().parents[3]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.name)


@pages
def test_tables_are_made_of_the_results(page: Page) -> None:
    text = page.text()
    assert page.updated(text) == text, "python -m bench.pages.check --write"


@pages
def test_sentences_say_what_was_measured(page: Page) -> None:
    assert not page.missing(page.text())


@pages
def test_no_figure_is_left_unchecked(page: Page) -> None:
    # all else of the results is written by the report
    assert not page.unchecked(WORDS if page.path.name == "results.md" else page.text())


def test_the_results_are_what_the_report_writes(tmp_path: Path) -> None:
    rows, placed = (
        json.loads((ROOT / f"bench/results/{name}.json").read_text("utf-8"))["rows"]
        for name in ("accuracy", "boards")
    )
    made = report(rows, tmp_path / "results", placed)
    assert made == (ROOT / "docs/results.md").read_text("utf-8")


def test_the_utilisation_is_what_the_bench_writes() -> None:
    file = ROOT / "bench/results/utilisation.json"
    record = json.loads(file.read_text("utf-8"))
    made = markdown(record["rows"], record["shapes"])
    assert made == file.with_suffix(".md").read_text("utf-8")


PAGE = Page(
    Path("page.md"),
    ("| a | b |\n|---|---|\n| 1.5 | 2 |",),
    ("takes 3.25 us of 1,000",),
    ("7.5 asked",),
)
TEXT = "It takes\n3.25 us of 1,000, as 7.5 asked.\n\n| a | b |\n|---|---|\n| 1.5 | 2 |\n\nEnd.\n"


def test_a_page_as_it_should_be() -> None:
    assert (PAGE.updated(TEXT), PAGE.missing(TEXT), PAGE.unchecked(TEXT)) == (TEXT, [], [])


@pytest.mark.parametrize(("old", "new"), [("3.25", "3.52"), ("1,000", "1,001")])
def test_another_figure_is_named(old: str, new: str) -> None:
    text = TEXT.replace(old, new)
    assert PAGE.missing(text) == list(PAGE.sentences)
    assert new in PAGE.unchecked(text)


def test_another_table_is_made_anew() -> None:
    old = TEXT.replace("1.5 | 2", "1.4 | 2").replace("2 |\n\nEnd", "2 |\n| 9 | 9 |\n\nEnd")
    assert PAGE.updated(old) == TEXT
    with pytest.raises(ValueError, match=r"page.md has no table with the heads \| c \|"):
        replace(PAGE, tables=("| c |\n|---|",)).updated(TEXT)


def test_a_figure_that_nobody_measures_is_named() -> None:
    assert PAGE.unchecked(TEXT + "A new claim: 12 % and 4.5, not `1.0`.\n") == ["12 %", "4.5"]
