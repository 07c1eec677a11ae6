"""Files are replaced whole, or not at all."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from csb_format.files.replace import replace_file


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def test_new_contents_and_nothing_beside(old: Path) -> None:
    replace_file(old, b"new")
    assert old.read_bytes() == b"new"
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failed_write_leaves_the_old_file(
    old: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*args: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="no space left"):
        replace_file(old, b"new")
    assert old.read_bytes() == b"old"
    assert list(old.parent.iterdir()) == [old]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "nowhere" / "file", b"new")


def test_threads_that_write_the_same_file_do_not_meet(tmp_path: Path) -> None:
    """Cases of a regression begin side by side, and each notes the same settings."""
    target = tmp_path / "settings"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: replace_file(target, b"same"), range(400)))
    assert [path.name for path in tmp_path.iterdir()] == ["settings"]
    assert target.read_bytes() == b"same"
