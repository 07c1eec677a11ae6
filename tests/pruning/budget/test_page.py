"""docs/budget.md: its command, its example and its names."""

import importlib
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from pruning.budget.magnitude import global_goals
from pruning.mask.goals import Goal, goals_for
from pruning.mask.views import Banks
from sparseflow.commands.cli import app
from tests.docs.blocks import blocks

PAGE = "docs/budget.md"


def test_its_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(nn.LSTM(16, 16).state_dict(), tmp_path / "dense.pt")
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(PAGE, "sh")
    found = CliRunner().invoke(app, shlex.split(block.text)[1:], env={"COLUMNS": "100"})
    assert found.exit_code == 0, found.output
    patterns = {row["pattern"] for row in json.loads(Path("plan.json").read_text())["rows"]}
    assert {"8 banks, equal k", "1 bank, k per matrix", "unstructured, global"} <= patterns


def test_its_example_holds() -> None:
    lstm = nn.LSTM(200, 200, 2)
    goals = goals_for(lstm, Goal(Banks(8), 0.9))
    assert {goal.whole(800, 200) for goal in goals.values()} == {3}
    assert Goal(Banks(8), 0.9).view.layout(800, 200).sparsity(3) == pytest.approx(0.88)
    assert sum(goal.keep or 0 for goal in global_goals(lstm, goals).values()) == 10


def test_its_names_exist() -> None:
    named = re.findall(r"`(pruning(?:\.\w+)+)\.(\w+)`", Path(PAGE).read_text(encoding="utf-8"))
    assert len(named) >= 3
    for module, name in named:
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
