"""A command works with the packages of its extra alone, and so does the front door."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from csb_format.extras import _extras, _plain
from sparseflow.commands.cli import EXTRAS

RUN = """
import sys
for name in {barred!r}: sys.modules[name] = None
sys.argv = ["sparseflow", *{words!r}]
from sparseflow.commands.cli import main
main()
"""
SUITE = """
name = "small"
[models.tiny]
input_size = 4
hidden_size = 4
banks = 2
k = 1
[[cases]]
name = "one"
model = "tiny"
lengths = [2]
pes = 4
lanes = 1
"""
ARRAY = ["--pes", "4", "--lanes", "4"]


def with_what_they_need(packages: set[str]) -> set[str]:
    """Packages and all that their distributions ask for."""
    found: set[str] = set()
    while packages - found:
        name = min(packages - found)
        found.add(name)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # not on this system
            continue
        packages = packages | {
            _plain(re.split(r"[^\w.-]", line)[0]) for line in lines if "extra ==" not in line
        }
    return found


def modules_beside(extra: str) -> list[str]:
    """Modules that other extras bring, and this one does not."""
    brought = _extras()
    others = brought["all"] - with_what_they_need(brought.get(extra, set()))
    owners = metadata.packages_distributions().items()
    return [module for module, names in owners if {_plain(name) for name in names} & others]


def run(folder: Path, barred: list[str], *words: object) -> subprocess.CompletedProcess[str]:
    code = RUN.format(barred=barred, words=[str(word) for word in words])
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def words(chain: Any, finished: Any) -> dict[str, list[object]]:
    data, half = ["--data", chain.data], ["--banks", 4, "--sparsity", 0.75]
    return {
        "prune": [chain.dense, *data, "--out", "p.safetensors", *half, "--epochs", 1],
        "pack": [chain.pruned, "--calibration", chain.data, "--out", "m.safetensors"],
        "doctor": [chain.dense],
        "verilog": [chain.model, "--out", "v", *ARRAY],
        "ip": [chain.model, "--out", "i", *ARRAY],
        "simulate": [chain.model, *data, "--build", "b", "--simulator", "icarus", *ARRAY],
        "report": [finished.folder / "b", "--out", "r"],
        "regress": ["suite.toml"],
        "build": [chain.model, "--board", "arty_a7", "--out", "o", *ARRAY],
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    ["prune", "pack", "doctor", "verilog", "ip", "simulate", "report", "regress", "build"],
)
def test_an_extra_is_enough_for_its_command(
    command: str, words: dict[str, list[object]], tmp_path: Path
) -> None:
    (tmp_path / "suite.toml").write_text(SUITE)
    done = run(tmp_path, modules_beside(EXTRAS[command]), command, *words[command])
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_picture_asks_for_what_draws_it(chain: Any, tmp_path: Path) -> None:
    done = run(tmp_path, modules_beside("train"), "doctor", chain.dense, "--svg", "a.svg")
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert re.match(r"error: the package matplotlib is not installed: .* 'report'", last), last


def test_what_the_extra_does_not_bring_is_named_by_the_one_that_does(
    chain: Any, tmp_path: Path
) -> None:
    floats = ["--dense", chain.dense, "--pruned", chain.pruned]
    words = [chain.model, "--data", chain.data, "--build", "b", "--simulator", "icarus", *ARRAY]
    done = run(tmp_path, modules_beside("simulate"), "simulate", *words, *floats)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert re.match(r"error: the package torch is not installed: .* extra 'train'", last), last


FACE = """
import sys
for name in {barred!r}: sys.modules[name] = None
import sparseflow as sf
model = sf.load(sys.argv[1])
image = sf.compile(model, 4, 4)
try:
    {call}
except ModuleNotFoundError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("call", "package", "extra"),
    [
        ("sf.prune", "torch", "train"),
        ("sf.emit(image, 'v')", "amaranth", "generate"),
        ("sf.verify(image, [])", "amaranth", "simulate"),
        ("sf.simulate(image, [])", "amaranth", "simulate"),
        ("sf.build(model, 'ulx3s', 'o')", "amaranth", "bitstream"),
        ("sf.open('sim', image)", "amaranth", "simulate"),
        ("import engine.exact", "numba", "cpu"),
        ("import engine.products", "numba", "cpu"),
    ],
)
def test_the_face_names_the_extra_that_is_missing(
    call: str, package: str, extra: str, chain: Any, tmp_path: Path
) -> None:
    code = FACE.format(barred=modules_beside(""), call=call)
    done = subprocess.run(
        [sys.executable, "-c", code, str(chain.model)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    wanted = rf"MissingExtraError the package {package} is not installed: .*\[{extra}\]'$"
    assert re.match(wanted, done.stdout.strip()), done.stdout
