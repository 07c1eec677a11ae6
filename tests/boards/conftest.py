"""One small accelerator for all tests of this room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from csb_format import Model
from csb_format.design import Design
from hdl.compiler import compile_model
from hdl.verilog import VerilogFiles, emit_verilog
from sim.random_models import random_model


@pytest.fixture(scope="session")
def model() -> Model:
    """8 inputs, 64 units: the smallest whose matrix memories are worth block RAM."""
    return random_model(np.random.default_rng(3), 8, 64, banks=4, k_ih=1, k_hh=4)


@pytest.fixture(scope="session")
def design(model: Model) -> Design:
    return Design.for_model(model, pes=4, lanes=4)


@pytest.fixture(scope="session")
def files(model: Model, design: Design, tmp_path_factory: pytest.TempPathFactory) -> VerilogFiles:
    folder: Path = tmp_path_factory.mktemp("boards") / "verilog"
    return emit_verilog(design, folder, compile_model(model, design))
