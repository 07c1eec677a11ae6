"""Tests of many parameters: the first few in every run, the others where slow tests run.

``@pytest.mark.quick(4)`` marks all but the first four of a test's parameters ``slow``.
"""

from __future__ import annotations

from collections import Counter

import pytest

__all__ = ["pytest_collection_modifyitems"]


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seen: Counter[str] = Counter()
    for item in items:
        if mark := item.get_closest_marker("quick"):
            name = item.nodeid.partition("[")[0]
            seen[name] += 1
            if seen[name] > mark.args[0]:
                item.add_marker(pytest.mark.slow)
