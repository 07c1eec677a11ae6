"""Whose a place is: only what a marker of ours lists is ever replaced."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csb_format.files import ownership
from csb_format.files.folders import cache_folder, replaced_folder, shared_folder
from csb_format.files.ownership import (
    MARKER,
    Marker,
    PlaceError,
    check_file,
    check_replaceable,
    check_shared,
    contents,
)
from csb_format.files.replace import replace_file

NAMES = ("cases", "report.html")


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A folder of ours with a file and a folder."""
    with replaced_folder(tmp_path / "rtl", "verilog") as new:
        (new / "sub").mkdir(parents=True)
        (new / "top.v").write_text("module top; endmodule")
        (new / "sub" / "image.mem").write_text("0")
    return tmp_path / "rtl"


def link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    path.symlink_to(path.parent / "elsewhere")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


SPECIAL: list[tuple[Callable[[Path], None], str]] = [
    (link, "a link to .*elsewhere"),
    (os.mkfifo, "a FIFO"),
    (listening, "a socket"),
]


@pytest.mark.parametrize(("make", "what"), SPECIAL)
def test_what_is_no_plain_file_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "out"
    make(place)
    before = place.lstat()
    with pytest.raises(PlaceError, match=rf"out is {what}, which is never replaced: name a plain"):
        replace_file(place, b"new")
    with pytest.raises(PlaceError, match=rf"out is {what}, not a folder: give another place"):
        check_replaceable(place, "verilog")
    with pytest.raises(PlaceError, match=rf"out is {what}, not a folder"):
        check_shared(place, NAMES)
    (tmp_path / "shared").mkdir()
    place.rename(tmp_path / "shared" / "cases")
    with pytest.raises(PlaceError, match=rf"cases is {what}, which is never replaced: remove it"):
        check_shared(tmp_path / "shared", NAMES)
    assert (tmp_path / "shared" / "cases").lstat().st_ino == before.st_ino


def test_a_device_is_never_replaced() -> None:
    with pytest.raises(PlaceError, match="/dev/null is a device, which is never replaced"):
        replace_file("/dev/null", b"new")
    with pytest.raises(PlaceError, match="/dev/null is a device, not a folder"):
        check_replaceable("/dev/null", "verilog")


def test_a_place_where_no_file_can_be_made_is_refused_at_once() -> None:
    with pytest.raises(PlaceError, match=r"^/proc: no file can be made there.*give another place"):
        check_file("/proc/model.safetensors")


def test_an_input_is_not_replaced_by_what_is_made_of_it(tmp_path: Path) -> None:
    (tmp_path / "net.pt").touch()
    (tmp_path / "sub").mkdir()
    check_file(tmp_path / "other.pt", tmp_path / "net.pt", None)
    check_file(tmp_path / "net.pt", tmp_path / "absent.pt")
    with pytest.raises(PlaceError, match=r"new\.pt is written by the same command"):
        check_file(tmp_path / "new.pt", tmp_path / "." / "new.pt")
    with pytest.raises(PlaceError, match=r"net\.pt is read by the same command: name another"):
        check_file(tmp_path / "sub" / ".." / "net.pt", None, tmp_path / "net.pt")


def test_free_are_absent_empty_and_our_own_folders(ours: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (ours, tmp_path / "empty", tmp_path / "not" / "there"):
        check_replaceable(folder, "verilog")
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("name", ["my_top.v", "sub/calib.hex", ".hidden", "sub/new/a"])
def test_a_file_on_no_list_is_kept(ours: Path, name: str) -> None:
    (ours / name).parent.mkdir(exist_ok=True)
    (ours / name).write_text("mine")
    with pytest.raises(PlaceError, match=rf"holds {name}: give a new or an empty folder$"):
        check_replaceable(ours, "verilog")


def test_a_link_in_our_folder_is_of_others(ours: Path, tmp_path: Path) -> None:
    (ours / "sub" / "away").symlink_to(tmp_path)
    with pytest.raises(PlaceError, match="holds sub/away"):
        check_replaceable(ours, "verilog")


def test_another_commands_folder_is_kept(ours: Path) -> None:
    with pytest.raises(PlaceError, match=r"is of another command \(verilog\): give a new"):
        check_replaceable(ours, "build")


@pytest.mark.parametrize("kind", ["verilog", "build", "ip", "artifacts", "failed build"])
def test_nothing_is_added_to_a_folder_that_a_command_replaces_as_a_whole(
    tmp_path: Path, kind: str
) -> None:
    with replaced_folder(tmp_path / "ours", kind) as new:
        new.mkdir()
        (new / "top.v").touch()
    told = (
        r"ours is of another command \((regress --)?%s.*\), which replaces it as a whole: give an"
    )
    for use in (
        lambda: check_shared(tmp_path / "ours", ["report.html"]),
        lambda: shared_folder(tmp_path / "ours", ["report.html"]).__enter__(),
        lambda: cache_folder(tmp_path / "ours", ["models"]),
    ):
        with pytest.raises(PlaceError, match=told % kind.split()[-1]):
            use()
    check_replaceable(tmp_path / "ours", kind)


def test_what_commands_add_to_is_named_by_them(tmp_path: Path) -> None:
    with shared_folder(tmp_path, ["report.html"]):
        (tmp_path / "report.html").touch()
    with pytest.raises(
        PlaceError, match=r"is of another command \(simulate, report, regress, demo"
    ):
        check_replaceable(tmp_path, "verilog")
    cache_folder(tmp_path / "cache", ["models"])
    with pytest.raises(PlaceError, match=r"is of another command \(regress --cache\): give a new"):
        check_replaceable(tmp_path / "cache", "verilog")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{}",
        "[1]",
        '{"sparseflow": 1, "version": 1, "files": ["top.v"]}',
        '{"sparseflow": "verilog", "version": 2, "files": ["top.v", "sub/image.mem"]}',
        '{"sparseflow": "verilog", "version": 1, "files": 7}',
        "[" * 100_000,
    ],
)
def test_a_folder_without_a_marker_of_ours_is_of_others(ours: Path, text: str | None) -> None:
    (ours / MARKER).unlink()
    if text is not None:
        (ours / MARKER).write_text(text)
    with pytest.raises(PlaceError, match=r"version 0\.2\.0 or an earlier one .* yourself$"):
        check_replaceable(ours, "verilog")


def test_a_marker_behind_a_link_is_none(ours: Path, tmp_path: Path) -> None:
    (ours / MARKER).rename(tmp_path / "copy")
    (ours / MARKER).symlink_to(tmp_path / "copy")
    assert Marker.of(ours) is None


def test_the_current_folder_does_not_go(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for inside in (ours, ours / "sub"):
        monkeypatch.chdir(inside)
        with pytest.raises(PlaceError, match="is the current folder, or holds it"):
            check_replaceable(ours, "verilog")


def test_equal_contents_give_equal_markers(ours: Path) -> None:
    found = json.loads((ours / MARKER).read_text())
    digests = {
        path: hashlib.sha256((ours / path).read_bytes()).hexdigest() for path in contents(ours)
    }
    assert found == {"files": digests, "sparseflow": "verilog", "version": 1}
    assert list(digests) == ["sub/image.mem", "top.v"]
    assert Marker.of(ours) == Marker("verilog", digests)


@pytest.mark.parametrize("name", ["top.v", "sub/image.mem"])
def test_what_was_changed_since_is_the_users(ours: Path, name: str) -> None:
    text = (ours / name).read_text()
    (ours / name).write_text("mine")
    refused = rf"holds {name}, changed since it was written \(move it away to keep it\): give a new"
    with pytest.raises(PlaceError, match=refused):
        check_replaceable(ours, "verilog")
    (ours / name).write_text(text)
    check_replaceable(ours, "verilog")
    (ours / name).unlink()
    check_replaceable(ours, "verilog")


def test_a_list_without_states_is_held_by_its_names(ours: Path) -> None:
    files = ["sub/image.mem", "top.v"]
    old = {"files": files, "sparseflow": "verilog", "version": 1}
    (ours / MARKER).write_text(json.dumps(old))
    (ours / "top.v").write_text("mine")
    check_replaceable(ours, "verilog")
    (ours / "mine.v").touch()
    with pytest.raises(PlaceError, match=r"holds mine\.v: give"):
        check_replaceable(ours, "verilog")


@pytest.mark.parametrize("check", [check_replaceable, check_shared])
@pytest.mark.parametrize(("make", "what"), SPECIAL[:2])
@pytest.mark.parametrize("states", [True, False])
def test_one_rule_for_what_took_the_place_of_a_file(
    ours: Path, check: Any, make: Callable[[Path], None], what: str, states: bool
) -> None:
    marker = Marker.of(ours)
    assert marker is not None
    files = marker.files if states else dict.fromkeys(contents(ours), "")
    kind = "verilog" if check is check_replaceable else "work"
    (ours / MARKER).write_bytes(Marker(kind, files).text())
    (ours / "sub" / "image.mem").unlink()
    make(ours / "sub" / "image.mem")
    with pytest.raises(PlaceError, match=rf"holds sub/image\.mem, {what}"):
        check(ours, "verilog" if check is check_replaceable else ["sub"])


def test_links_that_a_tool_made_are_ours(tmp_path: Path) -> None:
    with shared_folder(tmp_path, ["cases"], living=["cases"]):
        (tmp_path / "cases").mkdir()
        (tmp_path / "cases" / "latest").symlink_to("a")
    check_shared(tmp_path, ["cases"])
    (tmp_path / "cases" / "latest").unlink()
    (tmp_path / "cases" / "latest").symlink_to(tmp_path)
    with pytest.raises(PlaceError, match="holds cases/latest, a link to"):
        check_shared(tmp_path, ["cases"])


def test_a_shared_folder_tells_results_from_what_lives_on(tmp_path: Path) -> None:
    names = ("history.jsonl", "report.html")
    with shared_folder(tmp_path, names, living=names[:1]):
        for name in names:
            (tmp_path / name).write_text("ours")
    (tmp_path / "history.jsonl").write_text("added to")
    check_shared(tmp_path, names)
    (tmp_path / "report.html").write_text("with my notes")
    with pytest.raises(PlaceError, match=r"holds report\.html, changed since it was written"):
        check_shared(tmp_path, names)


def test_a_folder_that_is_replaced_while_it_is_looked_at_is_no_change(
    ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands on one folder: the marker of one is not held against files of the other."""
    real = ownership.contents

    def meanwhile(*given: Any) -> Any:
        monkeypatch.setattr(ownership, "contents", real)
        with replaced_folder(ours, "verilog") as new:
            new.mkdir()
            (new / "top.v").write_text("the other's")
        return real(*given)

    monkeypatch.setattr(ownership, "contents", meanwhile)
    check_replaceable(ours, "verilog")
    assert ownership.contents is real


def test_what_a_command_does_not_write_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with shared_folder(tmp_path, NAMES):
        (tmp_path / "cases").mkdir()
        (tmp_path / "cases" / "log").touch()
    check_shared(tmp_path, NAMES)
    (tmp_path / "cases" / "mine").touch()
    with pytest.raises(PlaceError, match=r"holds cases/mine, .* on no list of ours"):
        check_shared(tmp_path, NAMES)


@pytest.mark.parametrize("name", ["cases/x", "report.html"])
def test_names_that_are_taken_are_refused(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    place.write_text("mine")
    with (
        pytest.raises(PlaceError, match=rf"holds {name}, which would be replaced"),
        shared_folder(tmp_path, NAMES),
    ):
        pytest.fail("it was taken")
    assert not (tmp_path / MARKER).exists()
    assert place.read_text() == "mine"


def test_the_current_folder_and_links_with_listed_names_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlaceError, match="is the current folder, or holds it"):
        check_replaceable(".", "kind")
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / MARKER).write_bytes(Marker("kind", {"a": ""}).text())
    (folder / "a").write_text("ours")
    check_replaceable(folder, "kind")
    (folder / "a").unlink()
    (folder / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PlaceError, match=r"holds a, a link to .*: give"):
        check_replaceable(folder, "kind")
