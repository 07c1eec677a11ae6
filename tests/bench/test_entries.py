"""Every module that ``python -m`` runs says how it is called, and takes no nonsense."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bench.conftest import RunModule

# what cannot run without being told something
ASKS = [
    *("boards.link.c_header", "boards.tools.yosys_process", "compiler.abi.register_text"),
    *("sim.jobs.child", "sim.run.cocotb_process", "sparseflow"),
    "bench.masks.pretrained",
]
ELSEWHERE = {"bench.masks.nni_worker"}  # in an interpreter of its own, which has NNI


def test_nothing_takes_nonsense(
    runnable: list[str], run_module: RunModule, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in sorted({*runnable} - ELSEWHERE):
        for words in (["--nonsense"], ["--pes", "nonsense", "what", "more"]):
            assert run_module(module, *words) == 2, f"{module} {words}"
            told = re.sub(r"\x1b\[[0-9;]*m", "", "".join(capsys.readouterr()))
            assert re.search(r"[Uu]sage: |error: ", told), f"{module}: {told}"


@pytest.mark.parametrize("module", ASKS)
def test_without_an_argument_it_says_how_it_is_called(
    module: str,
    runnable: list[str],
    run_module: RunModule,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert module in runnable
    assert run_module(module) == 2
    assert re.search(r"usage: ", "".join(capsys.readouterr()), re.IGNORECASE)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("sim.jobs.child", ["/nowhere"]),
        ("sim.run.cocotb_process", ["build", "/nowhere"]),
        ("boards.link.c_header", ["/dev/null/x"]),
    ],
)
def test_a_file_that_is_not_there_is_told(
    module: str, words: list[str], run_module: RunModule, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_module(module, *words) == 2
    assert "Traceback" not in (told := capsys.readouterr().err)
    assert re.search(r"error: .*; name a folder|error: /nowhere: there is no such", told)


def test_every_entry_answers_help(
    runnable: list[str], run_module: RunModule, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in sorted({*runnable} - ELSEWHERE):
        if not module.startswith("bench."):  # those have a test of their own
            assert run_module(module, "--help") == 0, module
            assert re.search(r"usage: ", capsys.readouterr().out, re.IGNORECASE), module
