"""The wheel holds our packages and nothing else; no file tells where it was written."""

from __future__ import annotations

import importlib.metadata
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"boards", "compiler", "csb_format", "engine", "hdl", "pruning", "sim", "sparseflow"}
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
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES
    assert len(top) == len(PACKAGES) + 1


def test_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    here = {path.relative_to(ROOT).as_posix() for path in our_files()}
    assert inside == {name for name in here if name.partition("/")[0] in PACKAGES}
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
