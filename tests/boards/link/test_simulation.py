"""A board's top for a simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boards.link.simulation import emit_link
from compiler.array.needs import design_for
from csb_format.random_models import random_model
from csb_format.scales import DesignError


def test_a_streamed_design_is_refused(tmp_path: Path) -> None:
    model = random_model(np.random.default_rng(1), 12, 8, 4, 2, 1)
    with pytest.raises(DesignError, match=r"which no link carries: compile without streamed=True"):
        emit_link(design_for(model, 8, 4, streamed=True), tmp_path / "v")
    assert not list(tmp_path.iterdir())
