"""How the C library is built: once, by any C compiler, and what is said where it cannot be."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from csb_format.files.cache import FOLDER
from engine.native import library as native
from engine.native.library import ABI, FLAGS, NativeError, compiler, library, sources


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As in a process that has not loaded it, of a user with an empty cache."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))
    library.cache_clear()
    yield tmp_path / "cache"
    library.cache_clear()


def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str = f"return {ABI};") -> None:
    """Sources that take no time to compile."""
    folder = tmp_path / "c"
    folder.mkdir()
    names = (
        "kernel read open close shape layer start end reset step step_some states time sequences "
        "logits top table"
    )
    text = "".join(f"void sparseflow_run_{name}(void) {{}}\n" for name in names.split())
    export = '__attribute__((visibility("default")))'
    text = text.replace("void spa", f"{export} void spa")
    (folder / "all.c").write_text(f"{export} int sparseflow_run_abi(void) {{ {body} }}\n{text}")
    monkeypatch.setattr(native, "SOURCES", folder)


def test_it_is_built_once(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny(tmp_path, monkeypatch)
    assert library().sparseflow_run_abi() == ABI
    (built,) = fresh.rglob("*.so")
    before = built.stat().st_mtime_ns
    library.cache_clear()
    library()
    assert built.stat().st_mtime_ns == before
    assert {path.suffix for path in built.parent.iterdir()} == {".so", ".sha256"}


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", None])
def test_half_of_a_library_is_built_again(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    tiny(tmp_path, monkeypatch)
    library()
    library.cache_clear()
    (built,) = fresh.rglob("*.so")
    whole = built.read_bytes()
    beside = built.with_name("half")
    beside.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    beside.replace(built)  # this process has the other one loaded
    assert library().sparseflow_run_abi() == ABI
    assert built.read_bytes() == whole


def test_a_machine_without_a_compiler_takes_what_it_has(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny(tmp_path, monkeypatch)
    library()
    library.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert library().sparseflow_run_abi() == ABI
    library.cache_clear()
    (fresh / next(fresh.rglob("*.so"))).unlink()
    with pytest.raises(NativeError, match=r"no C compiler .* apt-get install gcc"):
        library()


def test_a_compiler_that_makes_nothing_is_named(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny(tmp_path, monkeypatch)
    for number, (text, told) in enumerate(
        [("#!/bin/sh\n", "built nothing"), ("#!/no/such/shell\n", "install a C compiler that runs")]
    ):
        folder = tmp_path / f"bin{number}"
        folder.mkdir()
        (folder / "cc").write_text(text)
        (folder / "cc").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        library.cache_clear()
        with pytest.raises(NativeError, match=told):
            library()
    assert not list(fresh.rglob("*.so"))


def test_other_sources_are_another_library(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny(tmp_path, monkeypatch)
    library()
    path = tmp_path / "c" / "all.c"
    path.write_text(path.read_text() + "\n")
    library.cache_clear()
    library()
    assert len(list(fresh.rglob("*.so"))) == 2


def test_without_a_place_to_keep_it_it_is_built_for_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: Path
) -> None:
    tiny(tmp_path, monkeypatch)
    (tmp_path / "file").touch()
    monkeypatch.setenv(FOLDER, str(tmp_path / "file" / "below"))
    assert library().sparseflow_run_abi() == ABI


@pytest.mark.usefixtures("fresh")
def test_errors_name_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny(tmp_path, monkeypatch, f"return {ABI + 1};")
    with pytest.raises(NativeError, match=f"has another interface than {ABI}"):
        library()
    (tmp_path / "c" / "all.c").write_text("int x = nothing;")
    with pytest.raises(NativeError, match=r"could not build .*'?nothing.*install a GCC"):
        library()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NativeError, match=r"no C compiler .*apt-get install gcc"):
        library()
    monkeypatch.setattr(sys, "byteorder", "big")
    with pytest.raises(NativeError, match="big-endian"):
        library()


def test_big_endian_processors_are_refused_when_compiled() -> None:
    words = [compiler(), "-fsyntax-only", "-U__BYTE_ORDER__", "-D__BYTE_ORDER__=4321", "-x", "c"]
    done = subprocess.run(
        [*words, str(native.SOURCES / "sparseflow_run.h")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode
    assert "this CPU is big-endian" in done.stderr


def test_no_warning_and_no_name_but_ours(tmp_path: Path) -> None:
    """A library that is linked into programs of others brings no other symbol than its own."""
    made = tmp_path / "all.so"
    words = [compiler(), *FLAGS, "-O0", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-o", str(made)]
    subprocess.run([*words, *map(str, sources())], check=True)
    names = subprocess.run(
        ["nm", "-D", "--defined-only", str(made)], capture_output=True, text=True, check=True
    )
    found = {line.split()[-1] for line in names.stdout.splitlines()}
    assert found
    assert all(name.startswith("sparseflow_run_") for name in found)
