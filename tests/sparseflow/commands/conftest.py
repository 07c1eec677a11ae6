"""A user's folder, for the tests of the commands that prepare a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sparseflow.commands.prepared import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)
