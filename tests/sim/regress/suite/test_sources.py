"""Figures are accepted of sources that somebody can get again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sim.regress.suite.sources import (
    COMMANDS,
    ROOMS,
    SourcesError,
    check_committed,
    measured,
    uncommitted,
)
from sim.regress.suite.suite import Suite, read_suite

ROOT = Path(__file__).parents[4]
OTHER = '[[cases]]\nname = "c"\nkind = "command"\ncommand = ["make", "{out}"]\n'
OURS = '[[cases]]\nname = "c"\nkind = "command"\ncommand = ["{python}", "-m", "sparseflow"]\n'


def git(root: Path, *words: str) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", "-C", str(root), *who, *words], check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a room in it."""
    root = tmp_path / "a repository"
    (root / "hdl").mkdir(parents=True)
    (root / "hdl" / "core.py").write_text("a = 1\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


def suite_of(folder: Path, text: str) -> Suite:
    (folder / "suite.toml").write_text(text)
    return read_suite(folder / "suite.toml")


def test_what_a_suite_measures(tmp_path: Path) -> None:
    assert measured(suite_of(tmp_path, OTHER)) == ()
    assert measured(suite_of(tmp_path, OURS)) == COMMANDS
    default = read_suite(ROOT / "examples" / "regress" / "default.toml")
    assert measured(default) == COMMANDS
    assert measured(default.only("shape")) == ROOMS
    assert all((ROOT / room).is_dir() for room in COMMANDS)


def test_a_committed_tree_is_accepted(root: Path, tmp_path: Path) -> None:
    assert uncommitted(ROOMS, root) == []
    (root / "notes.txt").touch()  # in no room
    check_committed(suite_of(tmp_path, OURS), root)


def test_no_repository_is_asked_nothing(tmp_path: Path) -> None:
    assert uncommitted(ROOMS, tmp_path) == []


@pytest.mark.parametrize("name", ["hdl/core.py", "hdl/new one.py", "sim/new.py"])
def test_changed_and_new_files_are_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook
    monkeypatch.setenv("GIT_WORK_TREE", "/nowhere")
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("a = 2\n")
    assert uncommitted(ROOMS, root) == [name]
    with pytest.raises(SourcesError, match=rf"in no commit: {name} differs; commit first, or give"):
        check_committed(suite_of(tmp_path, OURS), root)
    check_committed(suite_of(tmp_path, OTHER), root)  # it measures none of ours


def test_many_are_counted(root: Path, tmp_path: Path) -> None:
    for n in range(6):
        (root / "hdl" / f"{n}.py").touch()
    with pytest.raises(SourcesError, match=r"hdl/0\.py, hdl/1\.py, hdl/2\.py and 3 more differ;"):
        check_committed(suite_of(tmp_path, OURS), root)


def test_where_git_cannot_tell_that_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(root / ".git")
    (root / ".git").write_text("gitdir: /nowhere\n")
    with pytest.raises(SourcesError, match=r"cannot tell whether .* is as committed: fatal"):
        uncommitted(ROOMS, root)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SourcesError, match="git is not installed; commit first, or give --uncomm"):
        uncommitted(ROOMS, root)
