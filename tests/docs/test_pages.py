"""Pages name files that are there, their Python runs, and the changelog knows this version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sparseflow
from tests.docs.blocks import one
from tests.test_rooms import ROOT

LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")
NAMED = ["CONTRIBUTING.md", "docs/develop.md"]
PAGES = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("name", PAGES)
def test_links_to_files_lead_somewhere(name: str) -> None:
    page = ROOT / name
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", NAMED)
def test_files_in_code_type_are_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = re.findall(r"`((?:[\w.]+/)+[\w.]*)`", text)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "name",
    ["SIMULATORS", "INSTALL", "require_simulator", "_runner", "LANES", "KINDS", "kind_of"],
)
def test_recipes_name_what_the_code_calls_so(name: str) -> None:
    text = (ROOT / "docs" / "develop.md").read_text(encoding="utf-8")
    (line, *_) = [part for part in text.split("\n\n") if f"`{name}`" in part]
    files = re.findall(r"`((?:\w+/)+\w+\.py)`", line)
    sources = [(ROOT / path).read_text(encoding="utf-8") for path in files]
    assert any(re.search(rf"^(?:def )?{name}\b", source, re.MULTILINE) for source in sources)


def test_python_of_the_front_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = one("docs/index.md", "python")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "index.md", "exec"), {})
    assert capsys.readouterr().out.startswith("0 mismatches, ")


def test_every_guide_is_in_the_contents() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    entries = re.findall(r"^(?:[\w: ]+ <)?(\w+)>?$", text, re.MULTILINE)
    guides = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert guides <= set(entries)


def test_changelog_has_this_version_with_a_date() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.escape(sparseflow.__version__)
    assert re.search(rf"^## \[{version}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE)
