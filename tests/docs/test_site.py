"""The site builds without a warning, and needs nothing from anywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from docs import accessible, reference
from tests.installed import brought, program
from tests.test_rooms import MAY_IMPORT, ROOT, modules


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_every_guide_and_every_folder_has_a_page(site: Path) -> None:
    guides = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert guides <= {path.stem for path in site.glob("*.html")}
    folders = {name for name in modules() if modules()[name].stem == "__init__"}
    assert {path.stem for path in (site / "reference").glob("*.html")} == folders


@pytest.mark.slow
def test_ports_of_components_are_told(site: Path) -> None:
    text = (site / "reference" / "hdl.core.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", text)
    assert "ProcessingElement(design" in text
    assert "Attributes" in text
    assert "src_loc_at" not in text


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=[\"'](?:https?:)?//[^\"']+")
    found = {
        match.group()
        for path in site.rglob("*.html")
        for match in loads.finditer(path.read_text(encoding="utf-8"))
    }
    assert found == set()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1400, "light")])
def test_pages_are_for_everybody(site: Path, width: int, scheme: Any) -> None:
    """What axe-core finds, on every guide, the search and a page of the reference."""
    axe = brought("axe_playwright_python.sync_playwright")
    chosen = [*sorted(site.glob("*.html")), site / "reference" / "hdl.core.html"]
    with brought("playwright.sync_api").sync_playwright() as driver:
        chromium = program("chromium chromium-browser", "chromium")
        # as root, a container's usual user, Chromium refuses its own sandbox
        shown = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        size = {"width": width, "height": 900}
        window = shown.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        for path in chosen:
            window.goto(path.as_uri())
            assert window.evaluate("document.documentElement.scrollWidth <= innerWidth"), path.name
            found = axe.Axe().run(window).response["violations"]
            told = {rule["id"]: [node["html"][:90] for node in rule["nodes"]] for rule in found}
            assert told == {}, path.name
        shown.close()


def test_a_page_is_finished_once() -> None:
    page = (
        '<p class="caption" role="heading"><aside class="sidebar-drawer"><aside class="toc-drawer '
        'no-toc"><pre><div class="table-wrapper x"><th class="head"><p></p></th>'
        '<div id="search-results">'
    )
    done = accessible.finish(page)
    assert accessible.finish(done) == done
    assert done.count('tabindex="0"') == 2
    for words in ('aria-level="2"', '"All pages"', '"On this page"', "<td></td>", "<h1>Search"):
        assert words in done


def test_reference_has_every_room_and_every_module() -> None:
    assert tuple(MAY_IMPORT) == reference.ROOMS
    text = "\n".join(reference.pages(ROOT).values())
    named = set(re.findall(r"automodule:: (\S+)", text))
    assert named == {name for name in modules() if not name.endswith(".__main__")}


def test_pages_that_lost_their_folder_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "hdl.gone.rst").write_text("old")
    reference.write(ROOT, tmp_path)
    assert not (tmp_path / "hdl.gone.rst").exists()
    (before,) = tmp_path.glob("hdl.bus.rst")
    stamp = before.stat().st_mtime_ns
    reference.write(ROOT, tmp_path)
    assert before.stat().st_mtime_ns == stamp
