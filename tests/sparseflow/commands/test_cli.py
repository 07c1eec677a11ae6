from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import sparseflow
from csb_format.extras import install
from csb_format.random_models import random_model
from sparseflow.commands import cli
from sparseflow.steps.generating.tops import top_of
from sparseflow.steps.options import PLAIN, VerilogOptions
from sparseflow.steps.tuning.controls import QAT, Controls

COMMANDS = ["prune", "pack", "verilog", "simulate", "report", "demo"]
ALL = [*COMMANDS, "data japanese-vowels"]
Run = Callable[..., int]
PRUNE: dict[str, Any] = {"masks": None, "bank_width": None, "wishes": ()}
PACK: dict[str, Any] = {
    "masks": None,
    "wishes": (),
    "per_gate": False,
    "percentile": 100.0,
    "qat_epochs": 0,
    "seed": 0,
    "bound": None,
    "pool": None,
    "data": None,
    "val": None,
    "controls": QAT,
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Put a pipeline in place that only notes how it is called."""
    made: list[tuple[str, dict[str, Any]]] = []

    model = random_model(np.random.default_rng(0), 4, 4, banks=4, k_ih=1, k_hh=1)
    returned = {"pack": model, "prune_checkpoint": SimpleNamespace(has_integers=True, head=None)}

    def note(name: str) -> Callable[..., object]:
        def called(**given: Any) -> object:
            made.append((name, given))
            return returned.get(name)

        return called

    names = ["prune_checkpoint", "japanese_vowels", "pack_matrices", *COMMANDS[1:]]
    replace_pipeline(monkeypatch, **{name: note(name) for name in names})
    return made


def replace_pipeline(monkeypatch: pytest.MonkeyPatch, **functions: Callable[..., object]) -> None:
    fake = SimpleNamespace(**functions)
    monkeypatch.setitem(sys.modules, "sparseflow.steps.pipeline", fake)
    monkeypatch.setattr("sparseflow.steps.pipeline", fake, raising=False)


def test_version(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"sparseflow {sparseflow.__version__}\n"


@pytest.mark.parametrize("command", ALL)
def test_help_says_what_goes_in_what_comes_out_and_what_is_next(
    run: Run, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(*command.split(), "--help") == 0
    text = capsys.readouterr().out
    assert [word for word in ("In:", "Out:", "Next:") if word not in text] == []


def test_help_lists_every_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert [command for command in [*COMMANDS, "data"] if command not in text] == []


def test_help_tells_the_layout_of_files(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert [word for word in ("npz", "frames", "lengths", "labels") if word not in text] == []
    assert run("prune", "--help") == 0
    text = capsys.readouterr().out
    assert [name for name in ("weight_ih_l0", "bias_hh_l0", "nn.Linear") if name not in text] == []


@pytest.mark.parametrize(
    ("arguments", "name", "given"),
    [
        (
            "prune d.st --data x.ts --out p.st --banks 16 --sparsity 0.5 --epochs 3 --seed 7",
            "prune_checkpoint",
            {
                "cut": None,
                "checkpoint": Path("d.st"),
                "data": Path("x.ts"),
                "out": Path("p.st"),
                "banks": 16,
                "sparsity": 0.5,
                "epochs": 3,
                "seed": 7,
                "budget": "global",
                "pool": None,
                "val": None,
                "controls": Controls(),
                **PRUNE,
            },
        ),
        (
            "prune d --data x --out p --masks m --bank-width 9 --for a:banks=2 --for b:width=3 "
            "--budget equal --lr 0.1 --batch 4 --optimizer sgd --schedule cosine --device cuda "
            "--weight-decay 0 --noise 0 --val v --patience 5 --log l.jsonl --tensorboard t",
            "prune_checkpoint",
            {
                "cut": None,
                "checkpoint": Path("d"),
                "data": Path("x"),
                "out": Path("p"),
                "banks": 8,
                "sparsity": 0.875,
                "epochs": 70,
                "seed": 0,
                "masks": Path("m"),
                "bank_width": 9,
                "wishes": ["a:banks=2", "b:width=3"],
                "budget": "equal",
                "pool": None,
                "val": Path("v"),
                "controls": Controls(
                    0.1, 4, "sgd", "cosine", 0.0, 0.0, "cuda", 5, Path("l.jsonl"), Path("t")
                ),
            },
        ),
        (
            "pack p --matrices --out m --banks 4 --value-bits 8 --masks k --for a:banks=2",
            "pack_matrices",
            {
                "pruned": Path("p"),
                "out": Path("m"),
                "banks": 4,
                "value_bits": 8,
                "masks": Path("k"),
                "wishes": ["a:banks=2"],
            },
        ),
        (
            "pack p --calibration x --out m --masks k --for a:banks=2 --per-gate --percentile 99.5 "
            "--qat-epochs 3 --seed 4 --bound 0.1",
            "pack",
            {
                "cut": None,
                "figures_file": None,
                "cell_range": None,
                "screen": False,
                "head_bits": 16,
                "pruned": Path("p"),
                "calibration": Path("x"),
                "out": Path("m"),
                "banks": None,
                "value_bits": 16,
                "act_bits": 16,
                "masks": Path("k"),
                "wishes": ["a:banks=2"],
                "per_gate": True,
                "percentile": 99.5,
                "qat_epochs": 3,
                "seed": 4,
                "bound": 0.1,
                "pool": None,
                "data": None,
                "val": None,
                "controls": QAT,
            },
        ),
        (
            "pack p.st --calibration x.ts --out m.st",
            "pack",
            {
                "cut": None,
                "figures_file": None,
                "cell_range": None,
                "screen": False,
                "head_bits": 16,
                "pruned": Path("p.st"),
                "calibration": Path("x.ts"),
                "out": Path("m.st"),
                "banks": None,
                "value_bits": 16,
                "act_bits": 16,
                **PACK,
            },
        ),
        (
            "pack p.st --calibration x.ts --out m.st --banks 4 --value-bits 8 --act-bits 12",
            "pack",
            {
                "cut": None,
                "figures_file": None,
                "cell_range": None,
                "screen": False,
                "head_bits": 16,
                "pruned": Path("p.st"),
                "calibration": Path("x.ts"),
                "out": Path("m.st"),
                "banks": 4,
                "value_bits": 8,
                "act_bits": 12,
                **PACK,
            },
        ),
        (
            "verilog m.st --out v --pes 16 --lanes 4 --images coe",
            "verilog",
            {
                "model": Path("m.st"),
                "out": Path("v"),
                "pes": 16,
                "lanes": 4,
                "images": "coe",
                "prefix": "sparseflow",
                "top": top_of(VerilogOptions(Path("m.st"), Path("v"))),
                "base": VerilogOptions.base,
                "also": (),
                "contexts": 1,
                "head": False,
                "dense": False,
                "deep": False,
                "streamed": False,
                "checked": False,
                "walk": False,
                "parts": False,
                "unguarded": False,
                "block_banks": False,
                "batched": False,
                "shallow": False,
                "largest": None,
                "planes": 0,
            },
        ),
        (
            "simulate m.st --data x.ts --build b --simulator icarus --utterances 2",
            "simulate",
            {
                "model": Path("m.st"),
                "data": Path("x.ts"),
                "build": Path("b"),
                "simulator": "icarus",
                "pes": 16,
                "lanes": 8,
                "icarus": None,
                "cocotb": 0,
                "utterances": 2,
                "seed": 0,
                "dense": None,
                "pruned": None,
                "board": None,
                "contexts": 1,
                "largest": None,
                "planes": 0,
                "head": False,
                "dense_head": False,
                "batched": False,
                **dict.fromkeys(PLAIN, False),
                "activity": None,
            },
        ),
        (
            "simulate m.st --data x.ts --build b --dense d.st --pruned p.st --pes 4 --lanes 2",
            "simulate",
            {
                "model": Path("m.st"),
                "data": Path("x.ts"),
                "build": Path("b"),
                "simulator": "verilator-free",
                "pes": 4,
                "lanes": 2,
                "icarus": None,
                "cocotb": 0,
                "utterances": None,
                "seed": 0,
                "dense": Path("d.st"),
                "pruned": Path("p.st"),
                "board": None,
                "contexts": 1,
                "largest": None,
                "planes": 0,
                "head": False,
                "dense_head": False,
                "batched": False,
                **dict.fromkeys(PLAIN, False),
                "activity": None,
            },
        ),
        ("data japanese-vowels --out d", "japanese_vowels", {"out": Path("d")}),
        ("report b --out r", "report", {"run_dir": Path("b"), "out": Path("r")}),
        (
            "demo --seed 4 --icarus 0 --contexts 2",
            "demo",
            {
                "out": Path("build/demo"),
                "seed": 4,
                "pes": 16,
                "lanes": 8,
                "icarus": 0,
                "cocotb": 0,
                "contexts": 2,
            },
        ),
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
            f"error: {install('torch', 'demo')}\n",
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
    ("arguments", "message"),
    [
        ("demo --pes 0", "'--pes': 0 must be a multiple of 4, at least 4"),
        ("demo --pes 6", "'--pes': 6 must be a multiple of 4"),
        ("demo --lanes 0", "'--lanes': 0 must be at least 1"),
        ("demo --seed -1", "'--seed': -1 must be 0 to 4294967295"),
        ("demo --icarus -2", "'--icarus': -2 must be at least 0"),
        ("demo --pes many", "--pes many: must be a whole number"),
        ("demo --pes=8x", "--pes 8x: must be a whole number"),
        ("prune a --data b --out c --sparsity high", "--sparsity high: must be a number"),
        ("prune a --data b --out c --sparsity 1.5", "'--sparsity': 1.5 must be 0 to 1"),
        ("prune a --data b --out c --sparsity nan", "'--sparsity': nan must be 0 to 1"),
        ("prune a --data b --out c --epochs 0", "'--epochs': 0 must be at least 1"),
        ("prune a --data b --out c --banks 0", "'--banks': 0 must be at least 1"),
        ("pack a --calibration b --out c --banks 0", "'--banks': 0 must be at least 1"),
        ("pack a --calibration b --out c --value-bits 3", "'--value-bits': 3 must be 4 to 18"),
        ("pack a --calibration b --out c --act-bits 19", "'--act-bits': 19 must be 6 to 18"),
        ("pack a --calibration b --out c --percentile 0", "'--percentile': 0.0 must be 50"),
        ("pack a --calibration b --out c --qat-epochs -1", "'--qat-epochs': -1 must be at least"),
        ("prune a --data b --out c --bank-width 0", "'--bank-width': 0 must be at least 1"),
        ("pack a --out c", "give --calibration, sequences that show"),
        ("pack a --out c --matrices --calibration b", "--matrices takes no --calibration"),
        ("verilog m --out v --images png", "'--images': "),
        ("verilog m --out", "'--out' requires"),
        ("verilog m", "Missing option '--out'"),
        ("simulate m --data d --build b --utterances 0", "'--utterances': 0 must be at least 1"),
        ("simulate m --data d --build b --dense x", "give both --dense and --pruned, or none"),
        ("simulate m --data d --build b --pruned x", "give both --dense and --pruned, or none"),
        ("simulate m --data d --build b --simulator icarus --icarus 2", "leave --icarus or --sim"),
        ("simulate m --data d --build b --simulator verilator --cocotb 2", "leave --cocotb or --s"),
        ("pruen", "No such command 'pruen'"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    run: Run,
    calls: list[tuple[str, dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    message: str,
) -> None:
    assert run(*arguments.split()) == 2
    assert calls == []
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert message in text


def test_without_arguments_help_is_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    shown = capsys.readouterr()
    assert "simulate" in shown.out + shown.err
    assert "error" not in shown.err


def test_long_logs_are_cut(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_pipeline(monkeypatch, demo=raising(RuntimeError("build failed\n" + "log\n" * 2000)))
    assert run("demo") == 2
    text = capsys.readouterr().err
    assert text.startswith("error: build failed log log")
    assert text.endswith("... (all: sparseflow --debug)\n")
    assert len(text) < 1100


def test_interruption_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    replace_pipeline(monkeypatch, demo=interrupted)
    assert run("demo") == 130
    assert capsys.readouterr().err == "ended by SIGINT\n"


@pytest.mark.parametrize(
    "words",
    ["simulate a --data b --build c --simulator bad", "pack a --calibration b --out c --pool bad"],
)
def test_a_choice_that_there_is_not_is_told_without_the_librarys_words(
    run: Any, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert run(*words.split()) == 2
    assert re.search(r"value for '--\w+': 'bad' is not one of", capsys.readouterr().err)


def test_a_reader_at_the_end_of_its_file_is_no_ctrl_d(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(**given: object) -> None:
        raise EOFError("d.npz ends too early")

    replace_pipeline(monkeypatch, prune_checkpoint=read)
    assert run("prune", "d.st", "--data", "x.npz", "--out", "p.st") == 2
    assert "error: d.npz ends too early" in capsys.readouterr().err
