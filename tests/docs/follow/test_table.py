"""The table of docs/develop.md: every page has a test that follows it."""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT, blocks

ROW = re.compile(r"^\| ((?:docs/)?\w+\.md) \| (.*?) \| .* \|$", re.M)


def rows() -> dict[str, list[str]]:
    """Of each page its tests."""
    text = (ROOT / "docs/develop.md").read_text("utf-8")
    found = ROW.findall(text)
    assert len(found) == len(dict(found)), "a page stands in the table twice"
    return {page: re.findall(r"`([^`]+)`", tests) for page, tests in found}


def test_every_page_has_a_test() -> None:
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert set(rows()) == pages | {"README.md", "CONTRIBUTING.md"}


def test_the_tests_name_their_pages() -> None:
    for page, tests in rows().items():
        assert tests, page
        for name in tests:
            text = (ROOT / name).read_text("utf-8")
            stem = page.removeprefix("docs/").removesuffix(".md")
            every = "*.md" in text or "PAGES" in text  # of all pages, or those of a list elsewhere
            assert stem in text or every, f"{name} says nothing of {page}"


def test_pages_with_code_are_followed_by_more_than_their_links() -> None:
    """Code of a language that something here can run is no decoration."""
    run = {"sh", "python", "c", "verilog", "toml", "yaml"}
    for page, tests in rows().items():
        if {block.language for block in blocks(page)} & run and page != "docs/develop.md":
            assert any("test_pages" not in name or page == "docs/index.md" for name in tests), page


def test_marks_are_known() -> None:
    for page in rows():
        for block in blocks(page, "sh"):
            assert block.mark in ("", "red", "skip"), f"{page}: {block.mark}"
