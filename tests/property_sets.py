"""Property sets of others: proofs with them run where a folder of them is given, and are told of.

``pytest -m slow --property-sets FOLDER tests/hdl/bus/test_property_sets.py``
"""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["OPTION", "PropertySets", "property_sets"]

OPTION = "--property-sets"
MARK = "foreign"
ADVICE = (
    f"not given, so tests marked {MARK} are deselected; {OPTION} FOLDER runs them: bench/formal of "
    "ZipCPU's wb2axip (Apache 2.0), which is no part of this project"
)


class PropertySets:
    """Leaves out tests that need the folder where it is not given, and says so in every run."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        if config.getoption(OPTION) is not None:
            return
        left = [item for item in items if item.get_closest_marker(MARK)]
        items[:] = [item for item in items if item not in left]
        if left:
            config.hook.pytest_deselected(items=left)

    def pytest_report_header(self, config: pytest.Config) -> str:
        folder = config.getoption(OPTION)
        return f"property sets of others: {ADVICE if folder is None else folder}"


@pytest.fixture(scope="session")
def property_sets(request: pytest.FixtureRequest) -> Path:
    """The folder that was given."""
    return Path(request.config.getoption(OPTION)).resolve(strict=True)
