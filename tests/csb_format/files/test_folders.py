"""Folders appear whole; what killed processes leave goes, and what they moved away comes back."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from csb_format.files import folders
from csb_format.files.folders import (
    cache_folder,
    locked,
    plain_place,
    private_folder,
    replaced_folder,
    shared_folder,
)
from csb_format.files.ownership import Marker, PlaceError, check_shared
from csb_format.files.replace import replace_file

EMPTY = hashlib.sha256(b"").hexdigest()


def write(folder: Path, text: str | BaseException, meanwhile: Path | None = None) -> None:
    """Replace a folder; with an error, in half."""
    with replaced_folder(folder, "verilog") as new:
        new.mkdir()
        if meanwhile:
            meanwhile.touch()
        if isinstance(text, BaseException):
            raise text
        (new / "a").write_text(text)


def killed(program: str, *words: object) -> None:
    """Run a program that kills itself."""
    head = (
        "import os, sys\nfrom pathlib import Path\nfrom csb_format.files import folders, replace\n"
    )
    command = [sys.executable, "-c", head + program, *map(str, words)]
    assert subprocess.run(command, check=False).returncode == -9


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("exchange", [True, False])
def test_the_new_folder_takes_the_place_of_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(folders, "_exchanged", lambda *_: False)
    for text in ("old", "new"):
        write(tmp_path / "out", text)
        assert (tmp_path / "out" / "a").read_text() == text
    assert entries(tmp_path) == ["out"]


def test_the_old_folder_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", KeyboardInterrupt())
    assert (tmp_path / "out" / "a").read_text() == "old"
    assert entries(tmp_path) == ["out"]


def test_what_came_in_the_meantime_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    with pytest.raises(PlaceError, match="holds mine"):
        write(tmp_path / "out", "new", tmp_path / "out" / "mine")
    assert (tmp_path / "out" / "mine").exists()


def test_a_killed_process_leaves_the_old_and_nothing_after_the_next(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    program = """
with folders.replaced_folder(sys.argv[1], "verilog") as new:
    new.mkdir()
    (new / "a").write_text("half")
    os.kill(os.getpid(), 9)
"""
    killed(program, tmp_path / "out")
    assert (tmp_path / "out" / "a").read_text() == "old"
    assert len(entries(tmp_path)) == 2
    write(tmp_path / "out", "new")
    assert entries(tmp_path) == ["out"]


def test_what_was_moved_away_by_a_killed_process_comes_back(tmp_path: Path) -> None:
    """Where a system cannot exchange folders, none is there for a moment."""
    write(tmp_path / "out", "old")
    program = """
folders._exchanged = lambda *_: False
rename = Path.rename
def dies(path, target):
    rename(path, target)
    os.kill(os.getpid(), 9)
Path.rename = dies
with folders.replaced_folder(sys.argv[1], "verilog") as new:
    new.mkdir()
"""
    killed(program, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(KeyboardInterrupt), replaced_folder(tmp_path / "out", "verilog"):
        raise KeyboardInterrupt
    assert (tmp_path / "out" / "a").read_text() == "old"
    assert entries(tmp_path) == ["out"]


def test_a_killed_process_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")
    (tmp_path / ".other.1.sparseflow").touch()
    killed(
        "os.replace = lambda *_: os.kill(os.getpid(), 9)\nreplace.replace_file(*sys.argv[1:], b'')",
        path,
    )
    assert path.read_bytes() == b"old"
    assert len(entries(tmp_path)) == 3
    replace_file(path, b"new")
    assert entries(tmp_path) == [".other.1.sparseflow", "model"]


def test_a_living_process_keeps_its_folder(tmp_path: Path) -> None:
    with private_folder(tmp_path, "run") as first, private_folder(tmp_path, "run") as second:
        assert first.exists()
        assert first != second
    assert entries(tmp_path) == []


def test_folders_that_only_look_like_leftovers_stay(tmp_path: Path) -> None:
    (tmp_path / ".run.abcdefgh").mkdir()
    (tmp_path / ".other.abcdefgh.sparseflow").mkdir()
    (tmp_path / ".run.abcdefgh.sparseflow").symlink_to(tmp_path / ".run.abcdefgh")
    with private_folder(tmp_path, "run"):
        pass
    assert len(entries(tmp_path)) == 3


def test_a_private_folder_may_be_shared_within_its_process(tmp_path: Path) -> None:
    with private_folder(tmp_path, "run") as private, shared_folder(private, ["build"]):
        (private / "build").touch()


def test_a_folder_without_a_lock_goes_when_it_is_old(tmp_path: Path) -> None:
    """Its process was killed in between, or is about to lock it."""
    path = tmp_path / ".run.abcdefgh.sparseflow"
    path.mkdir()
    for age, there in ((0, True), (3600, False)):
        os.utime(path, (time.time() - age,) * 2)
        with private_folder(tmp_path, "run"):
            assert path.exists() == there
    path.mkdir()
    (path / "mine").touch()
    os.utime(path, (0, 0))
    with private_folder(tmp_path, "run"):
        assert (path / "mine").exists()


def test_a_lock_is_for_one_at_a_time(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with locked(tmp_path / "lock"):
            order.append("second")

    with locked(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        with (
            pytest.raises(PlaceError, match="another run is at work in"),
            locked(tmp_path / "lock", wait=False),
        ):
            order.append("wrong")
        time.sleep(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_shared_folder_lists_what_was_written(tmp_path: Path) -> None:
    given = {"living": ["build"]}
    with shared_folder(tmp_path / "w", ["build", "figures.json"], **given) as work:
        (work / "build").mkdir()
        (work / "build" / "a.o").touch()
        (work / "notes").touch()
    assert Marker.of(work) == Marker("work", {"build/a.o": ""})
    with shared_folder(work, ["figures.json"]):
        (work / "figures.json").touch()
    assert Marker.of(work) == Marker("work", {"build/a.o": "", "figures.json": EMPTY})


def test_a_folder_in_which_nothing_was_written_is_as_before(tmp_path: Path) -> None:
    with pytest.raises(KeyError), shared_folder(tmp_path / "w", ["build"]):
        raise KeyError
    assert entries(tmp_path) == []


def test_what_a_killed_run_wrote_is_ours(tmp_path: Path) -> None:
    program = """
with folders.shared_folder(sys.argv[1], ["build"]) as work:
    (work / "build").mkdir()
    (work / "build" / "half").touch()
    os.kill(os.getpid(), 9)
"""
    killed(program, tmp_path / "w")
    check_shared(tmp_path / "w", ["build"])
    with shared_folder(tmp_path / "w", ["build"]):
        pass
    assert Marker.of(tmp_path / "w") == Marker("work", {"build/half": EMPTY})


def test_a_cache_is_added_to_by_many(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    for n in range(2):
        place = cache_folder(tmp_path, ["build"]) / "build" / str(n)
        place.mkdir(parents=True)
        (place / "program").touch()
    check_shared(tmp_path, ["build"])
    (tmp_path / "verilog").mkdir()
    (tmp_path / "verilog" / "mine.v").touch()
    with pytest.raises(PlaceError, match=r"holds verilog/mine\.v"):
        cache_folder(tmp_path, ["build", "verilog"])


@pytest.mark.parametrize("name", ["a b", "a#b", "a:b", "a$b", "it's", 'a"b', "é", "a=b", "a%b"])
def test_paths_that_tools_cannot_take_are_built_elsewhere(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with plain_place(folder) as place:
        assert place != folder
        (place / "sub").mkdir()
        (place / "sub" / "program").touch()
    assert (folder / "sub" / "program").exists()
    assert not place.exists()


def test_other_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    with plain_place(tmp_path) as place:
        assert place == tmp_path


def test_a_place_of_temporary_folders_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with pytest.raises(PlaceError, match="set TMPDIR to another one"), plain_place(folder):
        pytest.fail("it was taken")
    assert os.listdir(folder) == []


@pytest.mark.parametrize("place", ["/proc/x", "/proc/a/b"])
def test_where_nothing_can_be_made_the_folder_is_named(place: str) -> None:
    told = r"^/proc(/a)?: no folder can be made there \("
    with pytest.raises(PlaceError, match=told), replaced_folder(place, "build"):
        pytest.fail("it was made")


@pytest.mark.parametrize("name", ["x" * 255, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 127])
def test_every_name_that_a_folder_takes_is_written(tmp_path: Path, name: str) -> None:
    """The hidden ones beside it are no longer than it is."""
    write(tmp_path / name, "a")
    write(tmp_path / name, "b")
    replace_file(tmp_path / name / name, b"c")
    assert entries(tmp_path) == [name]
    (tmp_path / name / name).unlink()
    program = """
with folders.replaced_folder(sys.argv[1], "verilog") as new:
    os.kill(os.getpid(), 9)
"""
    killed(program, tmp_path / name)
    assert len(entries(tmp_path)) == 2
    write(tmp_path / name, "c")
    assert entries(tmp_path) == [name]


def test_the_second_of_two_first_ones_takes_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw that nothing was there."""
    with private_folder(tmp_path, "out") as beside:
        (beside / "out").mkdir()
        (beside / "out" / "a").write_text("second")
        write(tmp_path / "out", "first")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "exists", lambda _: False)
            folders.put(beside / "out", tmp_path / "out")
    assert (tmp_path / "out" / "a").read_text() == "second"
    assert entries(tmp_path) == ["out"]
