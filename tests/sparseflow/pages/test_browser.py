"""The pages in a real browser: readable at any width, in light and dark, by keys and aloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pruning.doctor.diagnose import bank_loads, diagnose
from pruning.importers import import_model
from sparseflow.pages import doctor_report, regress_page
from sparseflow.pages.hardware.beside import dense_cycles, on_boards
from sparseflow.pages.hardware.matrices import matrices
from sparseflow.pages.learning import page as learning
from sparseflow.pages.report import write_report
from tests.installed import brought, program

from .test_regress_page import case, results, run
from .test_report import example

pytestmark = pytest.mark.slow
sync_api = brought("playwright.sync_api")
WIDTHS, SCHEMES = (400, 1400), ("light", "dark")
LONG = "a_module_with_quite_a_long_name.of_its_own.recurrent_0"
LEAST = 8.5  # pixels of a letter in a picture

# All texts as rectangles; those that a scrolling box hides are not there.
TEXTS = """() => {
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());) {
    if (!node.data.trim() || node.parentElement.closest('style, title')) continue;
    const range = document.createRange(); range.selectNodeContents(node);
    const box = node.parentElement.closest('.scroll')?.getBoundingClientRect();
    const svg = node.parentElement.closest('svg');
    const frame = (svg || node.parentElement.closest('figure, .card, .tile, main') || document.body)
      .getBoundingClientRect();
    for (const r of range.getClientRects()) {
      if (r.width < 1 || r.height < 1) continue;
      if (box && (r.right > box.right + 1 || r.left < box.left - 1
                  || r.bottom > box.bottom + 1 || r.top < box.top - 1)) continue;
      found.push({text: node.data.trim().slice(0, 40), svg: !!svg, x: r.left, y: r.top,
        right: r.right, bottom: r.bottom, size: svg
          ? parseFloat(getComputedStyle(node.parentElement).fontSize)
            * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width
          : parseFloat(getComputedStyle(node.parentElement).fontSize),
        out: r.left < frame.left - 1 || r.right > frame.right + 1
          || r.top < frame.top - 1 || r.bottom > frame.bottom + 1});
    }
  }
  return found;
}"""
# What cuts off its contents without a way to see them.
CLIPPED = """() => [...document.querySelectorAll('main *')].filter(e => {
  const style = getComputedStyle(e);
  const over = e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0;
  return over && (['hidden', 'clip'].includes(style.overflowX)
    || (['auto', 'scroll'].includes(style.overflowX) && e.tabIndex !== 0));
}).map(e => e.outerHTML.slice(0, 80))"""
FOCUSED = """() => {
  const e = document.activeElement, style = getComputedStyle(e);
  return [e.tagName, e.getAttribute('aria-label') || e.textContent.trim().slice(0, 30),
          style.outlineStyle, parseFloat(style.outlineWidth)];
}"""


def _scores(classes: int) -> dict[str, Any]:
    random = np.random.default_rng(classes)
    counts = np.diag(random.integers(20, 60, classes)) + (random.random((classes,) * 2) < 0.1)
    rows = [(int(row.sum()), int(row[n])) for n, row in enumerate(counts)]
    return {
        "kind": "classes", "each": "sequence", "count": int(counts.sum()),
        "models": {key: {"accuracy": 0.97} for key in ("dense", "pruned", "fixed", "rtl")},
        "by_length": [{"from": 7, "to": 11, "sequences": 70, "count": 70, "accuracy": 0.971}],
        "by_class": [
            {"class": n, "name": f"phone {n}", "count": of, "right": right}
            for n, (of, right) in enumerate(rows)
        ],
        "confusion": counts.tolist(),
    }  # fmt: skip


def _numbers() -> dict[str, Any]:
    """What is another in the report of a forecast."""
    errors = {"mse": 0.02, "mae": 0.1, "r2": 0.97}
    scores = {
        "kind": "numbers", "each": "frame", "count": 1234,
        "models": {key: errors for key in ("dense", "pruned", "fixed", "rtl")},
        "by_length": [{"from": 20, "to": 20, "sequences": 100, "count": 100, **errors}],
        "by_output": [{"output": n, **errors, "r2": None} for n in range(3)],
    }  # fmt: skip
    return {
        "accuracy": dict.fromkeys(("dense", "pruned", "fixed", "rtl")), "scores": scores,
        "increments": [{"sparsity": 0.5, "mse": 0.019}, {"sparsity": 0.8, "mse": 0.03}],
        "increments_of": {"sequences": 9, "dense": None, "dense_score": errors},
    }  # fmt: skip


def _reports(folder: Path) -> Iterator[tuple[str, Path]]:
    """As users have them: scored by class, of many classes, all equal, of long commands."""
    from csb_format.random_models import random_network
    from sparseflow.steps.generating.hardware import compile_array

    model = random_network(np.random.default_rng(0), 12, 24, 4, (1, 2, 1))
    design = compile_array(model, 4, 4).design
    long = f"sparseflow prune {LONG}.safetensors --data {'x' * 90}.npz --out {LONG}.pruned"
    more = {
        "boards": on_boards(model, design, None), "matrices": matrices(model),
        "dense_cycles_per_step": dense_cycles(model, design), "commands": [long, "# said", long],
        "saturation": {"cell_l0": {"format": "s18.13", "clipped": 3, "seen": 1000}},
    }  # fmt: skip
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "nine": more | {"scores": _scores(9)},
        "many": more | {"scores": _scores(61)},
        "equal": more | {"accuracy": dict.fromkeys(("dense", "pruned", "fixed", "rtl"), 1.0)},
        "unscored": {"accuracy": dict.fromkeys(("dense", "pruned", "fixed", "rtl"))},
        "numbers": more | _numbers(),
    }
    for name, kind in kinds.items():
        write_report(example() | kind, folder / name)
        yield f"report, {name}", folder / name / "report.html"


def _doctors(folder: Path) -> Iterator[tuple[str, Path]]:
    """A dense network, whose lines coincide, and a pruned one with names that fill a line."""
    torch.manual_seed(0)
    for name, sparsity in (("dense", 0.0), ("pruned", 0.8)):
        weights = {
            f"{LONG}.{key}": tensor * (torch.rand(tensor.shape) >= sparsity)
            for key, tensor in torch.nn.LSTM(32, 64, num_layers=2).state_dict().items()
        }
        torch.save(weights, folder / "model.pt")
        model = import_model(folder / "model.pt")
        found = diagnose(model)
        loads = {
            m.name: bank_loads(model.mask(m.name), m.suggested).numpy() for m in found.matrices
        }
        command = "sparseflow doctor model.pt --html page.html"
        page = folder / f"doctor_{name}.html"
        page.write_text(doctor_report.page(found, loads, command), "utf-8")
        yield f"doctor, {name}", page


def _regressions(folder: Path) -> Iterator[tuple[str, Path]]:
    """Two runs, lines that meet, a red case with a long name."""
    change = {"figure": "outputs", "was": "0" * 64, "now": "1" * 64, "allowed": 0}
    red = case(f"{LONG}[seed=1,stall=0.3]", verdict="failed", changes=[change], log="last words")
    runs = [run(cycles_per_step=33.0, fmax_mhz=90.0), run(cycles_per_step=35.0, fmax_mhz=95.5)]
    lines = {"percent": 91, "files": {"a.py": {"percent": 80, "missing": "1-3, 8"}}}
    text = regress_page.page(
        results(case("a"), red, lines=lines), runs, "sparseflow regress s.toml"
    )
    (folder / "regress.html").write_text(text, "utf-8")
    yield "regress", folder / "regress.html"


def _adaptations(folder: Path) -> Iterator[tuple[str, Path]]:
    """One that is kept, of two layers, and one of a head that is rolled back, of numbers."""
    kept: dict[str, Any] = {
        "model": f"{LONG}.safetensors", "kept_epoch": 11, "rolled_back": False, "steps": 1234,
        "options": {"mode": "all", "memory": 4 << 20, "batch": 32, "rate": 0.25,
                    "gradient_bits": 8, "seed": 0},
        "sequences": {"learnt": 12345, "held_out": 678},
        "before": {"score": {"accuracy": 0.684}, "cost": 1.31},
        "after": {"score": {"accuracy": 0.9676}, "cost": 0.21},
        "epochs": [
            {"epoch": n, "cost": 1 / n, "held_out": {"accuracy": 0.97 - 0.2 / n},
             "held_out_cost": 1.1 / n, "clipped": 1e-4 / n, "exponents_moved": 1234 // n}
            for n in range(1, 13)
        ],
        "exponents": {"d.0": list(range(-14, -43, -1)), "d.1": list(range(-12, -41, -1))},
        "changed": {
            f"layers.{n}.{name}": {"numbers": 123456, "moved": 98765, "largest": 43}
            for n in range(2) for name in ("weight_ih", "weight_hh", "bias")
        },
    }  # fmt: skip
    error = {"mse": 0.0213, "mae": 0.1, "r2": 0.97}
    back = kept | {
        "kept_epoch": 0, "rolled_back": True, "exponents": {}, "options": kept["options"]
        | {"mode": "head", "memory": 0}, "before": {"score": error, "cost": 0.02},
        "after": {"score": error, "cost": 0.02},
        "epochs": [{**each, "held_out": error} for each in kept["epochs"][:1]],
    }  # fmt: skip
    for name, found in (("kept", kept), ("rolled back", back)):
        path = folder / f"adapt_{name}.html"
        path.write_text(learning.page(found, f"sparseflow adapt {LONG} --page page.html"), "utf-8")
        yield f"adapt, {name}", path


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    return dict(
        [*_reports(folder), *_doctors(folder), *_regressions(folder), *_adaptations(folder)]
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = program("chromium chromium-browser", "chromium")
    with sync_api.sync_playwright() as driver:
        # as root, a container's usual user, Chromium refuses its own sandbox
        shown = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield shown
        shown.close()


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES], ids=str)
def window(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.route(lambda url: not url.startswith("file:"), lambda route: route.abort())
    yield context.new_page()
    context.close()


def _open(window: Any, path: Path) -> None:
    """Go to a page, and unfold all that it holds."""
    window.goto(path.as_uri())
    window.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")


def _overlapping(texts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Texts that lie on each other by more than the blank that every line has around it."""
    left, top, right, bottom = (
        np.array([t[key] for t in texts]) for key in ("x", "y", "right", "bottom")
    )
    wide = np.minimum.outer(right, right) - np.maximum.outer(left, left)
    high = np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top)
    least = np.minimum.outer(bottom - top, bottom - top)
    pairs = np.argwhere(np.triu((wide > 2) & (high > 0.35 * least), 1))
    return [(texts[a]["text"], texts[b]["text"]) for a, b in pairs]


def test_pages_are_readable_and_nothing_is_cut_off(pages: dict[str, Path], window: Any) -> None:
    for name, path in pages.items():
        _open(window, path)
        assert window.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert window.evaluate(CLIPPED) == [], name
        texts = window.evaluate(TEXTS)
        assert len(texts) > 30, name
        assert [t["text"] for t in texts if t["out"]] == [], name
        assert [t["text"] for t in texts if t["size"] < LEAST] == [], name
        assert _overlapping(texts) == [], name


def test_pages_are_for_everybody(pages: dict[str, Path], window: Any) -> None:
    """What axe-core knows: contrast, names of pictures, order of headings, heads of tables."""
    axe = brought("axe_playwright_python.sync_playwright")
    for name, path in pages.items():
        _open(window, path)
        found = axe.Axe().run(window).response["violations"]
        told = {rule["id"]: [node["html"][:90] for node in rule["nodes"]] for rule in found}
        assert told == {}, name


def test_what_scrolls_is_reached_by_keys_and_shown(pages: dict[str, Path], window: Any) -> None:
    for name, path in pages.items():
        _open(window, path)
        count = window.locator(".scroll, summary").count()
        seen = []
        for _ in range(count):
            window.keyboard.press("Tab")
            tag, label, style, width = window.evaluate(FOCUSED)
            assert (style != "none", width >= 2) == (True, True), (name, tag, label)
            seen.append(label)
        assert len(seen) == len(set(seen)) == count, name


def test_faults_are_seen(window: Any) -> None:
    """The checks above can fail."""
    window.set_content(
        '<main><p style="width:3rem;overflow:hidden;white-space:nowrap">cut off in the middle</p>'
        '<p style="position:absolute;left:9px;top:90px">one text</p>'
        '<p style="position:absolute;left:12px;top:92px">on another</p>'
        '<svg viewBox="0 0 900 90" width="90"><text x="896" y="50" font-size="11">out</text></svg>'
        "</main>"
    )
    texts = window.evaluate(TEXTS)
    assert len(window.evaluate(CLIPPED)) == 1
    assert ("one text", "on another") in _overlapping(texts)
    (small,) = [t for t in texts if t["svg"]]
    assert small["out"]
    assert small["size"] < LEAST
