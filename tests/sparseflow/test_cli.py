from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sparseflow
from sparseflow import cli

COMMANDS = ["prune", "pack", "verilog", "simulate", "report", "demo"]
Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line as a shell does; returns the exit status."""

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["sparseflow", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    monkeypatch.setenv("COLUMNS", "120")
    return call


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Put a pipeline in place that only notes how it is called."""
    made: list[tuple[str, dict[str, Any]]] = []

    def note(name: str) -> Callable[..., None]:
        return lambda **given: made.append((name, given))

    names = ["prune_checkpoint", *COMMANDS[1:]]
    replace_pipeline(monkeypatch, **{name: note(name) for name in names})
    return made


def replace_pipeline(monkeypatch: pytest.MonkeyPatch, **functions: Callable[..., None]) -> None:
    fake = SimpleNamespace(**functions)
    monkeypatch.setitem(sys.modules, "sparseflow.pipeline", fake)
    monkeypatch.setattr(sparseflow, "pipeline", fake, raising=False)


def test_version(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"sparseflow {sparseflow.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_goes_in_what_comes_out_and_what_is_next(
    run: Run, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    assert [word for word in ("In:", "Out:", "Next:") if word not in text] == []


def test_help_lists_every_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert [command for command in COMMANDS if command not in text] == []


@pytest.mark.parametrize(
    ("arguments", "name", "given"),
    [
        (
            "prune d.st --data x.ts --out p.st --banks 16 --sparsity 0.5 --epochs 3 --seed 7",
            "prune_checkpoint",
            {
                "checkpoint": Path("d.st"),
                "data": Path("x.ts"),
                "out": Path("p.st"),
                "banks": 16,
                "sparsity": 0.5,
                "epochs": 3,
                "seed": 7,
            },
        ),
        (
            "pack p.st --calibration x.ts --out m.st",
            "pack",
            {"pruned": Path("p.st"), "calibration": Path("x.ts"), "out": Path("m.st")},
        ),
        (
            "verilog m.st --out v --pes 16 --lanes 4 --images coe",
            "verilog",
            {"model": Path("m.st"), "out": Path("v"), "pes": 16, "lanes": 4, "images": "coe"},
        ),
        (
            "simulate m.st --data x.ts --build b --simulator icarus --utterances 2",
            "simulate",
            {
                "model": Path("m.st"),
                "data": Path("x.ts"),
                "build": Path("b"),
                "simulator": "icarus",
                "pes": 8,
                "lanes": 8,
                "utterances": 2,
            },
        ),
        ("report b --out r", "report", {"run_dir": Path("b"), "out": Path("r")}),
        ("demo --seed 4", "demo", {"out": Path("build/demo"), "seed": 4, "pes": 8, "lanes": 8}),
    ],
)
def test_command_calls_the_pipeline(
    run: Run,
    calls: list[tuple[str, dict[str, Any]]],
    arguments: str,
    name: str,
    given: dict[str, Any],
) -> None:
    assert run(*arguments.split()) == 0
    assert calls == [(name, given)]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("banks 0:\n  must be at least 1"), "error: banks 0: must be at least 1\n"),
        (RuntimeError("verilator ended with 1"), "error: verilator ended with 1\n"),
        (FileNotFoundError(2, "No such file", "m.st"), "error: m.st: No such file\n"),
        (OSError("disc full"), "error: disc full\n"),
        (ValueError(), "error: ValueError\n"),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            "error: the package torch is not installed: pip install -e '.[train,demo]'\n",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_error_is_one_line_and_status_2(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    line: str,
) -> None:
    replace_pipeline(monkeypatch, demo=raising(error))
    assert run("demo") == 2
    captured = capsys.readouterr()
    assert captured.err == line
    assert captured.out == ""


def raising(error: Exception) -> Callable[..., None]:
    def fail(**_: object) -> None:
        raise error

    return fail


def test_debug_shows_where_an_error_arose(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_pipeline(monkeypatch, demo=raising(ValueError("seen")))
    monkeypatch.setattr(sys, "argv", ["sparseflow", "--debug", "demo"])
    with pytest.raises(ValueError, match="seen"):
        cli.main()


def test_programming_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_pipeline(monkeypatch, demo=raising(TypeError("ours")))
    monkeypatch.setattr(sys, "argv", ["sparseflow", "demo"])
    with pytest.raises(TypeError, match="ours"):
        cli.main()


@pytest.mark.parametrize(
    "arguments", ["demo --pes 0", "prune a --data b --out c --sparsity 1.5", "verilog m --out"]
)
def test_wrong_use_ends_with_status_2(
    run: Run, calls: list[tuple[str, dict[str, Any]]], arguments: str
) -> None:
    assert run(*arguments.split()) == 2
    assert calls == []
