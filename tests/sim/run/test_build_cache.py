"""Built simulators are kept once for a user, within a limit, and none goes while it is used."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from csb_format.files.ownership import PlaceError
from sim.run import build_cache
from sim.run.build_cache import DONE, builds_of_user, in_use, trim
from sim.run.builds import built, is_built, workplace
from sim.run.errors import SimulationError, ToolFailed


def make(builds: Path, name: str, used: float, size: int = 1000) -> Path:
    """A finished build that was last used then."""
    build = builds / name
    with in_use(build):
        build.mkdir()
        (build / DONE).touch()
        (build / "program").write_bytes(bytes(size))
    os.utime(builds / f".{name}.used", (used, used))
    return build


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(build_cache.FOLDER, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert builds_of_user() == tmp_path / "xdg" / "sparseflow" / "builds"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert builds_of_user() == tmp_path / "home" / ".cache" / "sparseflow" / "builds"
    monkeypatch.setenv(build_cache.FOLDER, str(tmp_path / "own"))
    assert builds_of_user() == tmp_path / "own" / "builds"
    monkeypatch.setenv(build_cache.FOLDER, "~/mine")
    assert builds_of_user() == tmp_path / "home" / "mine" / "builds"


def test_no_home_to_write_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds lie beside the run."""
    (tmp_path / "file").touch()
    monkeypatch.setenv(build_cache.FOLDER, str(tmp_path / "file" / "below"))
    assert builds_of_user() is None
    with workplace(tmp_path / "work", "x") as places:
        built(places.build, lambda place: (place / "program").touch())
    assert (tmp_path / "work" / "build" / "x" / "built").exists()


def test_a_folder_of_others_is_left_alone(tmp_path: Path, own_builds: Path) -> None:
    own_builds.mkdir(parents=True)
    (own_builds / "thesis.pdf").touch()
    with pytest.raises(PlaceError, match=r"thesis\.pdf.*or set SPARSEFLOW_CACHE"):
        builds_of_user()
    assert [path.name for path in own_builds.iterdir()] == ["thesis.pdf"]


def test_the_longest_unused_goes(
    tmp_path: Path, own_builds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = builds_of_user()
    assert builds == own_builds
    builds.mkdir()
    for age, name in enumerate(["new", "older", "oldest"]):
        make(builds, name, used=1000.0 - age)
    assert trim(builds) == []
    monkeypatch.setenv(build_cache.LIMIT, "0.000002")
    assert trim(builds) == ["oldest"]
    monkeypatch.setenv(build_cache.LIMIT, "0")
    with in_use(builds / "older"):
        os.utime(builds / ".older.used", (0, 0))
        assert trim(builds) == ["new"]
    assert trim(builds) == ["older"]


def test_a_new_build_makes_room(
    tmp_path: Path, own_builds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert builds_of_user() == own_builds
    own_builds.mkdir()
    make(own_builds, "old", used=1.0)
    monkeypatch.setenv(build_cache.LIMIT, "0.0000015")

    def large(place: Path) -> None:
        (place / "program").write_bytes(bytes(1000))

    for _ in range(2):
        with workplace(tmp_path / "work", "x") as places:
            built(places.build, large)
    assert {path.name for path in own_builds.iterdir() if not path.name.startswith(".")} == {"x"}


@pytest.mark.parametrize("value", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_none(
    value: str, own_builds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_builds.mkdir(parents=True)
    monkeypatch.setenv(build_cache.LIMIT, value)
    with pytest.raises(SimulationError, match=f"SPARSEFLOW_CACHE_GB={value}: give gigabytes"):
        trim(own_builds)
    with pytest.raises(SimulationError, match="give gigabytes"), workplace(own_builds.parent, "x"):
        pytest.fail("it would be said after the run")


def test_half_a_build_that_was_being_removed_is_none(
    own_builds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever removes a build may be killed in the middle."""
    own_builds.mkdir(parents=True)
    build = make(own_builds, "x", used=1.0)
    monkeypatch.setenv(build_cache.LIMIT, "0")

    def killed(path: Path, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            trim(own_builds)
    assert (build / "program").exists()
    assert not is_built(build)
    assert trim(own_builds) == ["x"]


def test_two_who_make_room_remove_no_more_than_one(
    own_builds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_builds.mkdir(parents=True)
    for number in range(8):
        make(own_builds, f"b{number}", used=1000.0 + number)
    monkeypatch.setenv(build_cache.LIMIT, "0.000005")
    with ThreadPoolExecutor(4) as pool:
        gone = [name for names in pool.map(lambda _: trim(own_builds), range(4)) for name in names]
    assert sorted(gone) == ["b0", "b1", "b2"]


BUILDER = """
import sys, time
from pathlib import Path
from sim.run.builds import built, in_use
def make(place):
    (place / "half").touch()
    print("building", flush=True)
    time.sleep(600)
with in_use(Path(sys.argv[1])):
    built(Path(sys.argv[1]), make)
"""


def test_who_is_killed_while_building_keeps_nobody(own_builds: Path) -> None:
    own_builds.mkdir(parents=True)
    build = own_builds / "x"
    command = [sys.executable, "-c", BUILDER, str(build)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "building\n"
        with ThreadPoolExecutor(1) as pool:
            mine = pool.submit(built, build, lambda place: (place / "whole").touch())
            other.send_signal(signal.SIGKILL)
            assert mine.result() > 0
    assert sorted(path.name for path in build.iterdir()) == [DONE, "whole"]


def test_what_cannot_be_written_is_named(own_builds: Path) -> None:
    """Of another user's, for instance."""
    (own_builds / ".x.used").mkdir(parents=True)
    mend = r"builds: .*, so no simulator can be kept there: make room, or set SPARSEFLOW_CACHE$"
    with pytest.raises(SimulationError, match=mend), in_use(own_builds / "x"):
        pytest.fail("nothing says that it is in use")


def test_a_full_disk_is_named_and_left_as_it_was(own_builds: Path) -> None:
    def fills(place: Path) -> None:
        (place / "half").touch()
        raise ToolFailed("build failed\ncc1plus: fatal error: x.o: No space left on device", 1)

    said = r"^.*builds: No space left on device, .*set SPARSEFLOW_CACHE\nbuild failed\ncc1plus"
    with pytest.raises(SimulationError, match=said):
        built(own_builds / "x", fills)
    assert not (own_builds / "x").exists()

    def needs_a_library(place: Path) -> None:
        built(own_builds / "x", fills)

    with pytest.raises(SimulationError) as error:
        built(own_builds / "model", needs_a_library)
    assert str(error.value).count("so no simulator can be kept") == 1
    assert not any(own_builds.glob("[a-z]*"))
