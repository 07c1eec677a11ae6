"""The C library of ``engine/c``: compiled at first use, kept for the user, called by ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from csb_format.files.cache import place_of_user
from csb_format.files.folders import locked, private_folder, temporary_folder
from csb_format.files.replace import replace_file

__all__ = [
    "ABI",
    "FLAGS",
    "SOURCES",
    "Error",
    "Format",
    "Layer",
    "NativeError",
    "Options",
    "Shape",
    "compiler",
    "declare",
    "kernels",
    "library",
    "sources",
]

ABI = 2  # of sparseflow_run.h
SOURCES = Path(__file__).resolve().parents[1] / "c"
# Wrapping is written as unsigned arithmetic; shifts of negative numbers are those of GNU C.
# Vectors pass between functions that are all inlined: no call's form could matter (psabi)
FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread", "-Wno-psabi")
COMPILERS = ("cc", "gcc", "clang")
FOLDER, NAME, SUM = "engine", "libsparseflow_run.so", ".sha256"
# of the environment, what would make it another library than ours
CHANGES_COMPILERS = ("CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH", "GCC_EXEC_PREFIX", "COMPILER_PATH")
_TEXT = 400


class NativeError(RuntimeError):
    """The C library cannot be built, or cannot run what it is given."""


class Error(ctypes.Structure):
    """``sparseflow_run_error``."""

    _fields_ = (("code", ctypes.c_int32), ("text", ctypes.c_char * _TEXT))


class Options(ctypes.Structure):
    """``sparseflow_run_options``."""

    _fields_ = (("kernel", ctypes.c_char_p), ("threads", ctypes.c_uint32))


class Format(ctypes.Structure):
    """``sparseflow_run_format``."""

    _fields_ = (("bits", ctypes.c_int32), ("fraction", ctypes.c_int32))


class Shape(ctypes.Structure):
    """``sparseflow_run_shape``."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("inputs", "units", "outputs", "classes")),
        *((name, ctypes.c_uint32) for name in ("levels", "directions", "pool", "threads")),
        *((name, Format) for name in ("input", "output", "hidden", "cell", "logits")),
        ("weights", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
    )


class Layer(ctypes.Structure):
    """``sparseflow_run_layer``."""

    _fields_ = (
        ("kernel", ctypes.c_char * 16),
        *((name, ctypes.c_uint32) for name in ("window", "state_digits", "weight_digits")),
        ("sum_bits", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("weights", "entries", "loads", "rests", "bytes")),
    )


def sources() -> list[Path]:
    """All C files, in one order everywhere."""
    return sorted(SOURCES.rglob("*.c"))


def compiler() -> str:
    """The C compiler's path.

    Raises
    ------
    NativeError
        If there is none.
    """
    for name in COMPILERS:
        if found := shutil.which(name):
            return found
    raise NativeError(
        "no C compiler (cc, gcc, clang) is on the path, and running a model on the CPU compiles a "
        "small library once: install one, sudo apt-get install gcc libc6-dev"
    )


@cache
def library() -> ctypes.CDLL:
    """The library, built if this user has none of these sources and this compiler.

    Raises
    ------
    NativeError
        If it cannot be built or loaded; the compiler's first line of error is in it.
    """
    if sys.byteorder != "little":
        raise NativeError("this CPU is big-endian: run models on it with the integer model alone")
    loaded = _loaded()
    declare(loaded)
    if loaded.sparseflow_run_abi() != ABI:
        raise NativeError(f"the built library has another interface than {ABI}: remove {FOLDER}")
    return loaded


def kernels() -> list[str]:
    """Kernels that this CPU can run, the fastest first."""
    name, found = library().sparseflow_run_kernel, list[str]()
    while (one := name(len(found))) is not None:
        found.append(one.decode())
    return found


def _loaded() -> ctypes.CDLL:
    place = place_of_user(FOLDER)
    if place is not None:
        return ctypes.CDLL(str(_kept(place)))
    command = compiler()
    with temporary_folder("engine") as folder:  # for this process: what is loaded stays so
        _compile(command, folder / NAME)
        return ctypes.CDLL(str(folder / NAME))


def _kept(place: Path) -> Path:
    """The library in the user's folder, built by one process at a time.

    Without a compiler any that another one has built of these sources.
    """
    sources_digest = _digest()
    try:
        command = compiler()
    except NativeError:
        for target in sorted(place.glob(f"{sources_digest}-*/{NAME}")):
            if _is_whole(target):
                return target
        raise
    digest = f"{sources_digest}-{_version(command)}"
    target = place / digest / NAME
    if not _is_whole(target):
        with locked(place / f".{digest}.lock"), private_folder(place, digest) as beside:
            if not _is_whole(target):
                _compile(command, beside / NAME)
                target.parent.mkdir(exist_ok=True)
                built = (beside / NAME).read_bytes()
                replace_file(target, built)
                replace_file(target.with_suffix(SUM), hashlib.sha256(built).hexdigest().encode())
    return target


def _is_whole(target: Path) -> bool:
    """Whether it is what was built: half of a library ends the process that loads it."""
    try:
        told = target.with_suffix(SUM).read_text("ascii", errors="replace")
        return hashlib.sha256(target.read_bytes()).hexdigest() == told
    except OSError:
        return False


def _digest() -> str:
    """Of the sources and flags, for this kind of processor."""
    digest = hashlib.sha256(platform.machine().encode() + repr(FLAGS).encode())
    for path in _all_files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:24]


def _version(command: str) -> str:
    try:
        done = subprocess.run(
            [command, "--version"], capture_output=True, check=False, env=_clean()
        )
    except OSError as error:
        raise NativeError(f"{command}: {error.strerror}: install a C compiler that runs") from error
    return hashlib.sha256(done.stdout).hexdigest()[:8]


def _all_files() -> Iterator[Path]:
    yield from sources()
    yield from sorted(SOURCES.rglob("*.h"))


def _clean() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in CHANGES_COMPILERS} | {"LC_ALL": "C"}


def _compile(command: str, target: Path) -> None:
    words = [command, *FLAGS, "-o", str(target), *map(str, sources())]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=_clean())
    except OSError as error:
        raise NativeError(f"{command}: {error.strerror}: install a C compiler that runs") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        why = (lines or done.stderr.splitlines() or ["it said nothing"])[0]
        raise NativeError(
            f"{command} could not build the library for this CPU: {why}: install a GCC of 10 or "
            "later, or Clang 14, with the headers of the C library (libc6-dev)"
        )
    if not target.exists():
        raise NativeError(f"{command} said nothing and built nothing: install GCC or Clang")


def declare(loaded: ctypes.CDLL) -> None:
    """Types of all functions: a pointer that ctypes takes for an int loses its upper half."""
    pointer, number, size = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_size_t
    error = ctypes.POINTER(Error)
    given = {
        "abi": ((), number),
        "kernel": ((number,), ctypes.c_char_p),
        "read": ((ctypes.c_char_p, size, pointer, pointer, error), ctypes.c_int32),
        "open": ((ctypes.c_char_p, pointer, pointer, error), ctypes.c_int32),
        "close": ((pointer,), None),
        "shape": ((pointer, pointer), None),
        "layer": ((pointer, number, pointer), ctypes.c_int32),
        "start": ((pointer, number, pointer, error), ctypes.c_int32),
        "end": ((pointer,), None),
        "reset": ((pointer, number), None),
        "step": ((pointer, pointer, pointer, error), ctypes.c_int32),
        "step_some": ((pointer, number, pointer, pointer, pointer, error), ctypes.c_int32),
        "time": ((pointer, pointer, size, size, pointer, error), ctypes.c_int32),
        "states": ((pointer, pointer, pointer), None),
        "sequences": ((pointer, size, *(pointer,) * 5, error), ctypes.c_int32),
        "logits": ((pointer, size, pointer, pointer, error), ctypes.c_int32),
        "top": ((pointer, size, pointer, number, number, *(pointer,) * 3, error), ctypes.c_int32),
        "table": ((number, number, number, pointer, pointer), ctypes.c_int32),
    }
    for name, (arguments, result) in given.items():
        function = getattr(loaded, f"sparseflow_run_{name}")
        function.argtypes, function.restype = arguments, result
