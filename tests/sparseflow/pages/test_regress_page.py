"""The page of a regression: what is red comes first, what changed is drawn, nothing is lost."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from sparseflow.pages.regress_page import page
from sparseflow.pages.regress_plots import _axes, _Axis

VOID = ("meta", "br", "path", "use", "link")


class Checked(HTMLParser):
    """Every element is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [str(value) for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def case(name: str, **more: Any) -> dict[str, Any]:
    return {
        "case": name, "verdict": "passed", "figures": {"cycles_per_step": 33.0, "mismatches": 0},
        "times": {"seconds": 1.5, "cycles_per_second": 1234.0}, "failure": None, "changes": [],
        "flaky": "", "log": "", "kept": "",
        "replay": f"sparseflow regress s.toml --replay {name}", **more,
    }  # fmt: skip


def results(*cases: dict[str, Any], **more: Any) -> dict[str, Any]:
    verdict = "failed" if any(c["verdict"] == "failed" for c in cases) else "passed"
    return {
        "suite": "s", "verdict": verdict, "started": 0.0, "seconds": 9.0, "gated": True,
        "gone": [], "flaky": [], "commit": "", "shard": "", "bins": "touched", "hardware": 2,
        "cases": list(cases), "lines": {},
        "coverage": {"shape": {"hit": 1, "bins": 3, "missed": ["head", "projected"]}}, **more,
    }  # fmt: skip


def run(**figures: float) -> dict[str, Any]:
    cases = {"a": {"seconds": 1.0, "passed": True, **figures}, "b": {"cycles_per_step": 7}}
    return {"seconds": 9.0, "passed": 2, "failed": 0, "cases": cases}


def whole(text: str) -> str:
    checked = Checked()
    checked.feed(text)
    assert not [tag for tag in checked.open if tag not in ("tr", "td", "th", "p")]
    assert len(set(checked.ids)) == len(checked.ids)
    return text


def titles(text: str) -> list[str]:
    return re.findall(r"<figure>\s*<h3>(.*?)</h3>", text)


def test_a_green_page_of_one_run() -> None:
    text = whole(page(results(case("a")), [run(cycles_per_step=33.0)]))
    assert titles(text) == ["Cases by run", "Wall time by run"]
    assert "No other figure has changed" in text
    assert "What is red" not in text
    assert "1 of 3" in text
    assert "head; projected" in text


def test_what_changed_is_drawn_and_nothing_else() -> None:
    runs = [run(cycles_per_step=33.0, fmax_mhz=90.0), run(cycles_per_step=33.0, fmax_mhz=95.5)]
    text = whole(page(results(case("a")), runs))
    assert titles(text)[2:] == ["Fmax mhz by run"]
    text = whole(page(results(case("a")), [*runs, run(cycles_per_step=41.0)]))
    assert titles(text)[2:] == ["Cycles a step by run", "Fmax mhz by run"]


def test_a_long_history_shows_its_end() -> None:
    text = whole(page(results(case("a")), [run(cycles_per_step=n) for n in range(200)]))
    assert ">200<" in text
    assert ">100<" not in text


def test_red_cases_tell_their_story() -> None:
    details = {"layer": 0, "row": 11, "expected": 8, "got": 7, "where": "long"}
    failure = {"kind": "mismatch", "text": "h[3] is <7>", "details": details}
    change = {"figure": "outputs", "was": "ab" * 32, "now": None, "allowed": 0.0}
    near = {"figure": "fmax_mhz", "was": 90.0, "now": 80.0, "allowed": 0.05}
    cases = (
        case("a"),
        case("b", verdict="failed", failure=failure, log="last words", kept="out/cases/b"),
        case("c", verdict="failed", changes=[change, near]),
    )
    text = whole(page(results(*cases, gone=["d"]), [run()]))
    assert text.index("What is red") < text.index("History")
    assert "mismatch: h[3] is &lt;7&gt;" in text
    assert "<dt>row</dt><dd>11</dd>" in text
    said = re.sub("</?span[^>]*>", "", text)  # words of a command, which no line breaks
    assert "sparseflow regress s.toml --replay b" in said
    assert "last words" in text
    assert "abababababab...</td><td>none</td><td>exact" in text
    assert "<td>90</td><td>80</td><td>5 %</td>" in text
    assert "not in the suite: d" in text


def test_lines_that_nothing_ran_are_named() -> None:
    files = {"x.py": {"percent": 50.0, "missing": "3-5"}, "y.py": {"percent": 100.0, "missing": ""}}
    lines = {"percent": 75.0, "files": files}
    text = whole(page(results(case("a"), lines=lines), [run()]))
    assert "1 of 2 files completely" in text
    assert "<td>3-5</td>" in text
    assert "y.py" not in text


def test_runs_and_their_commits_are_counted() -> None:
    first, second = (run() | {"commit": name} for name in ("abcdef123456", "123456abcdef"))
    dirty = run() | {"commit": "123456abcdef-dirty"}
    text = whole(page(results(case("a"), commit="123456abcdef"), [first, second, dirty]))
    assert "3 runs of 2 commits in its history" in text
    assert "commit <code>123456abcdef</code>" in text
    assert re.search(r">abcdef1<", text)
    assert re.search(r">123456a\*<", text)
    assert "1 run of 1 commit in" in page(results(case("a")), [first])
    assert "1 run in its history" in page(results(case("a")), [run()])


def pair(one: list[float], other: list[float]) -> list[dict[str, Any]]:
    return [run() | {"cases": {"s[seed=1]": {"n": a}, "s[seed=2]": {"n": b}}}
            for a, b in zip(one, other, strict=True)]  # fmt: skip


def test_lines_that_coincide_do_not_hide_each_other() -> None:
    same = whole(page(results(case("a")), pair([33.0, 41.0], [33.0, 41.0])))
    assert ">s[seed=1], s[seed=2]<" in same
    meet = whole(page(results(case("a")), pair([33.0, 41.0], [34.0, 41.0])))
    assert ">s[seed=1]<" in meet
    widths = re.findall(r"stroke: var\(--series-[12]\); stroke-width: ([\d.]+)", meet)
    assert len(set(widths)) == 2  # the one below is the wider one


def test_the_axis_ends_at_the_last_run() -> None:
    for runs in (1, 2, 30, 60):
        _, axes = _axes("cases", _Axis(5, ["abc"] * runs))
        assert axes.get_xlim() == (5 - 0.6, 4 + runs + 0.6)
        shown, names = _Axis(5, ["abc"] * runs).ticks()
        assert len(shown) <= 8
        assert shown[-1] == 4 + runs
        assert names == [f"{shown[0]}\nabc", *map(str, shown[1:])]


def test_flaky_cases_and_shards_are_told() -> None:
    flaky = case("b~2", verdict="failed", flaky="1 of 2 runs failed")
    text = whole(page(results(case("b"), flaky, flaky=["b"], shard="1/2"), [run()]))
    assert "flaky: 1 of 2 runs failed" in text
    assert '<b class="failed">1</b><span>flaky cases</span>' in text
    assert "shard 1/2 of the suite" in text


def test_the_page_says_which_bins_count() -> None:
    assert "Of the bins that these cases can touch." in page(results(case("a")), [run()])
    assert "Of all bins that there are." in page(results(case("a"), bins="all"), [run()])
