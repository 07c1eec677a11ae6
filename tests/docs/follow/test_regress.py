"""docs/regress.md: its tutorial in a shell, its CI on a machine like that of a CI."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.blocks import ROOT, blocks, one, reader_shell

PAGE = "docs/regress.md"


@pytest.mark.slow
def test_the_tutorial_goes_from_nothing_to_green_and_red(tmp_path: Path) -> None:
    kept = [b for b in blocks(PAGE, "sh") if b.mark != "skip" and b.heading == "Five minutes"]
    assert [block.mark for block in kept] == ["", "", "", "", "red", "red", "", ""]
    for block in kept:
        done = reader_shell(block.text.replace("--accept", "--accept --uncommitted"), tmp_path)
        assert done.returncode == (1 if block.mark == "red" else 0), done.stdout + done.stderr
        if block.mark == "red":
            quoted = re.search(r"^cycles_per_step .*$", (ROOT / PAGE).read_text("utf-8"), re.M)
            assert quoted is not None
            assert quoted[0] in done.stderr
    results = json.loads((tmp_path / "my/out/results.json").read_text())
    assert results["verdict"] == "passed"
    assert len(results["cases"]) == 4
    (save,) = tmp_path.glob("my/out/replay/*/waves.gtkw")
    assert "sparseflow.controller." in save.read_text()


def gitlab() -> dict[str, Any]:
    (job,) = yaml.safe_load(one(PAGE, "yaml", "In CI")).values()
    return dict(job)


def test_what_gitlab_keeps_is_what_the_script_writes() -> None:
    script = (ROOT / "examples/regress/ci.sh").read_text("utf-8")
    places = dict(re.findall(r"^(\w+)=\$\{\1:-(.*)\}$", script, re.M))
    job = gitlab()
    assert set(job["cache"]["paths"]) == {places["CACHE"], str(Path(places["HISTORY"]).parent)}
    assert set(job["artifacts"]["paths"]) == {places["RED"], f"{places['OUT']}/report.html"}
    assert job["artifacts"]["reports"]["junit"] == f"{places['OUT']}/junit.xml"
    # a red run is one that people want to see, and one of the history
    assert job["cache"]["when"] == job["artifacts"]["when"] == "always"
