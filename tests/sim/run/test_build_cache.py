"""Built simulators are kept once for a user, within a limit, and none goes while it is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from csb_format.files.ownership import PlaceError
from sim.run import build_cache
from sim.run.build_cache import builds_of_user, in_use, trim
from sim.run.builds import DONE, built, workplace
from sim.run.errors import SimulationError


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
