"""The wheel holds our packages and nothing else; no file tells where it was written."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from csb_format import save_model
from csb_format.extras import extra_of, install
from csb_format.random_models import demo_sized
from sparseflow.commands.cli import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"boards", "compiler", "csb_format", "engine", "hdl", "pruning", "sim", "sparseflow"}
GUARD = "sparseflow_rooms.py"  # says which file hides one of them
NOT_OURS = {".git", ".venv", "shared", "sim_build", "__pycache__"}
NOT_OURS |= {".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
MADE = {ROOT / "build", ROOT / "dist"}
# In pieces, so that this file does not hold what it forbids.
FOLDERS = ["work", "root", "opt", r"home/[\w.-]+", r"Users/[\w.-]+", r"tmp/[\w.-]+"]
MACHINE = re.compile(r"(?<![\w.$})])/(?:" + "|".join(FOLDERS) + ")" + "/")
REGISTRY = re.compile("|".join(["pypi" + r"\.org", "python" + "hosted", "pytorch" + r"\.org/whl"]))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    return Path(next(WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])))


def our_files() -> Iterator[Path]:
    for folder, subfolders, files in os.walk(ROOT):
        kept = (name for name in set(subfolders) - NOT_OURS if Path(folder, name) not in MADE)
        subfolders[:] = sorted(kept)
        yield from (Path(folder, name) for name in sorted(files) if name != ".git")


def test_wheel_holds_exactly_our_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        top = {name.partition("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES | {GUARD}
    assert len(top) == len(PACKAGES) + 2


def test_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    here = {path.relative_to(ROOT).as_posix() for path in our_files()}
    assert inside == {name for name in here if name.partition("/")[0] in PACKAGES | {GUARD}}
    assert {f"{package}/py.typed" for package in PACKAGES} <= inside


def test_wheel_carries_licence_and_notice(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist() if "/licenses/" in name}
        metadata = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    assert names == {"LICENSE", "NOTICE"}
    assert "Classifier: Private :: Do Not Upload\n" in text


def test_no_other_distribution_ships_our_packages(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An editable install lists no modules, so the wheel itself is put on the path.
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    owners = importlib.metadata.packages_distributions()
    assert {name for name in PACKAGES if set(owners[name]) != {"sparseflow"}} == set()


@pytest.mark.parametrize("pattern", [MACHINE, REGISTRY], ids=["path", "registry"])
def test_no_file_names_a_machine(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in our_files()
        if (match := pattern.search(path.read_bytes().decode("latin-1")))
    ]
    assert not found, "\n".join(found)


def test_machine_patterns_match_what_they_should() -> None:
    assert MACHINE.search("open('/" + "work/main/x')")
    assert MACHINE.search("see /" + "home/ada/notes")
    assert MACHINE.search("at /" + "tmp/run1/log")
    assert not MACHINE.search("see docs/" + "work/plan.md and $HOME/" + "work/x")
    assert REGISTRY.search("https://pypi" + ".org/simple")


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def needed(extra: str) -> set[str]:
    """Packages that an extra brings, those of the extras in it too."""
    found = set()
    for line in PROJECT["optional-dependencies"][extra]:
        if within := re.match(r"sparseflow\[([\w,]+)\]", line):
            found |= {package for other in within[1].split(",") for package in needed(other)}
        else:
            found.add(re.split(r"[<>=\[]", line)[0])
    return found


def test_the_core_is_light() -> None:
    core = {re.split(r"[<>=]", line)[0] for line in PROJECT["dependencies"]}
    assert core == {"intelhex", "numpy", "pyserial", "rich", "safetensors", "scipy", "typer"}


def test_every_package_stands_in_one_extra_with_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    lines = [line for line in text.splitlines() if re.match(r'\s+"[\w.-]+[<>=]', line)]
    assert all(re.search(r"#\s+\S", line) for line in lines), "a dependency without a reason"
    names = [re.split(r"[<>=]", line.strip(' "'))[0] for line in lines]
    assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)


def test_all_is_all_that_users_can_ask_for() -> None:
    extras = set(PROJECT["optional-dependencies"])
    assert extras == {"all", "bench", "bitstream", "cpu", "demo", "dev", "docs", "generate",
                      "huggingface", "lightning", "onnx", "regress", "report", "score", "serve",
                      "simulate", "slow", "sounds", "tables", "tensorboard", "train",
                      "transformers"}  # fmt: skip
    for extra in extras - {"bench", "dev", "docs", "slow"}:
        assert needed(extra) <= needed("all")
    assert needed("generate") < needed("simulate") < needed("regress")


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("amaranth", "generate"),
        ("pyosys", "bitstream"),
        ("cocotbext.axi", "simulate"),
        ("llvmlite", "cpu"),
        ("torch", "train"),
        ("jinja2", "report"),
        ("onnx", "onnx"),
        ("distributed", "regress"),
        ("sktime", "demo"),
        ("httptools", "serve"),
        ("pytest", "dev"),
        ("numpy", ""),
        ("of_another", ""),
    ],
)
def test_the_extra_of_a_module(module: str, extra: str) -> None:
    assert extra_of(module) == extra
    text = install(module)
    assert text.startswith(f"the package {module.partition('.')[0]} is not installed: ")
    assert text.endswith(f"pip install -e '.[{extra}]'" if extra else "install it with pip")


RUN = """
import sys
for name in {missing!r}: sys.modules[name] = None
sys.argv = ["sparseflow", *{words!r}]
from sparseflow.commands.cli import main
main()
"""


@pytest.mark.parametrize(("command", "extra"), EXTRAS.items())
@pytest.mark.quick(5)
def test_a_command_names_the_extra_that_is_missing(
    command: str, extra: str, tmp_path: Path
) -> None:
    save_model(tmp_path / "m", demo_sized())
    words = {
        "prune": ["x", "--data", "y", "--out", "z"],
        "pack": ["x", "--calibration", "y", "--out", "z"],
        "cut": ["x", "--data", "y", "--out", "z"],
        "doctor": ["x"],
        "verilog": ["m", "--out", "z"],
        "ip": ["m", "--out", "z"],
        "simulate": ["m", "--data", "y", "--build", "z"],
        "report": ["x", "--out", "z"],
        "regress": [str(ROOT / "examples/regress/default.toml")],
        "build": ["m", "--board", "ulx3s", "--out", "z"],
        "timing": ["--json", "z"],
        "serve": ["m"],
        "study": ["--html", "z.html"],
        "tune": ["m", "--board", "ulx3s", "--html", "z.html"],
    }
    if command == "data":  # tells how to get the recordings themselves
        return
    missing = ["torch", "amaranth", "cocotb", "jinja2", "matplotlib", "numba", "pyosys"]
    missing += ["httptools", "msgspec", "prometheus_client"]
    code = RUN.format(missing=missing, words=[command, *words.get(command, [])])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert re.match(rf"error: the package \w+ is not installed: .* '{extra}'", last), last
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_core_alone_installs_and_works(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, with what ``pip install`` of the wheel brings and no more."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "v")], check=True)
    here = str(tmp_path / "v" / "bin" / "python")
    subprocess.run([here, "-m", "pip", "install", "-q", str(wheel)], check=True)
    save_model(tmp_path / "m", demo_sized())
    program = (
        "import numpy as np, boards.host.driver, sparseflow as sf\n"
        "model = sf.load('m')\nimage = sf.compile(model, 16, 8)\n"
        "with sf.open('model', image) as board:\n"
        "    board.load(model)\n    print(board.run(np.zeros((1, 12), np.int64)).hidden.shape)"
    )
    shown = [
        subprocess.run([here, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        for words in (
            ["-c", program],
            ["-m", "sparseflow", "--version"],
            ["-m", "sparseflow", "fit", "m", "--board", "ulx3s"],
        )
    ]
    assert shown[0].stdout.strip() == "(1, 128)"
    assert shown[1].stdout.startswith("sparseflow 0.")
    assert "is the fastest" in shown[2].stdout
