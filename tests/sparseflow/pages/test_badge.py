"""The badge: a picture that needs nothing else, with what came of a run."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from sim.regress.jobs.verdicts import CaseResult, Run
from sim.regress.suite.suite import Case
from sparseflow.pages.badge import GREEN, GREY, RED, badge

CASE = CaseResult(Case("a"), {}, {}, [], None, "", (), "", "")
BROKEN = replace(CASE, failure={"kind": "crash", "text": "x", "details": {}})
RUN = Run("s", 0.0, 1.0, (CASE, CASE), (), True, 0)


@pytest.mark.parametrize(
    ("run", "said", "colour"),
    [
        (RUN, "2 of 2 passed", GREEN),
        (replace(RUN, results=(CASE, BROKEN)), "1 of 2 passed", RED),
        (replace(RUN, gone=("b",)), "2 of 2 passed, 1 gone", RED),
        (replace(RUN, gated=False), "2 of 2 passed, no baseline", GREY),
        (replace(RUN, results=(CASE, replace(BROKEN, flaky="x"))), "1 of 2 passed, 1 flaky", RED),
    ],
)
def test_it_says_what_came_of_a_run(run: Run, said: str, colour: str) -> None:
    text = badge(run)
    root = ElementTree.fromstring(text)
    assert root.attrib["aria-label"] == f"s: {said}"
    assert colour in text
    assert {GREEN, RED, GREY} - {colour} == {c for c in (GREEN, RED, GREY) if c not in text}


def test_it_needs_nothing_else_and_is_as_wide_as_its_texts() -> None:
    text = badge(replace(RUN, suite='<b>&"' + "x" * 200))
    root = ElementTree.fromstring(text)
    name, said = root.findall(".//{*}text")
    assert name.text is not None
    assert name.text.startswith('<b>&"xxx')
    assert len(name.text) == 40
    widths = [float(node.attrib["textLength"]) for node in (name, said)]
    assert float(root.attrib["width"]) == sum(widths) + 40
    assert "href" not in text
    assert text.count("http") == 1  # the name of the format
