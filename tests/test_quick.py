from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import pytest

@pytest.mark.quick(2)
@pytest.mark.parametrize("n", range(5))
def test_many(n): pass

def test_one(): pass
"""


@pytest.mark.parametrize(("chosen", "passed"), [("not slow", 3), ("slow", 3), ("", 6)])
def test_the_first_parameters_are_quick(
    pytester: pytest.Pytester, chosen: str, passed: int
) -> None:
    pytester.makeconftest(Path(__file__).with_name("quick.py").read_text("utf-8"))
    pytester.makeini("[pytest]\nmarkers =\n    slow: s\n    quick: q\n")
    pytester.makepyfile(TESTS)
    pytester.runpytest_inprocess("-m", chosen).assert_outcomes(passed=passed, deselected=6 - passed)
