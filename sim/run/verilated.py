"""What Verilator and the compiler are told of a design, and Verilator's own library, made once."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from csb_format.files.ownership import PlaceError
from hdl.core.array.elements import PE_MODULE
from hdl.core.array.takers import LANE_MODULE, PROJECTOR_MODULE
from hdl.verilog import VerilogFiles

from .build_cache import builds_of_user, in_use
from .builds import built, plain_sources, tools
from .processes import VERILATOR_MAKE, scratch, watched

__all__ = [
    "CONFIGURATION",
    "LARGE",
    "LIBRARY",
    "PROGRAM",
    "bring_configuration",
    "bring_library",
    "compile_program",
    "configuration",
    "make_variables",
    "only",
    "options_of",
]

CONFIGURATION = "blocks.vlt"
#: What Verilator links into every simulator.
LIBRARY = "libverilated.a"
#: Of what :func:`compile_program` makes.
PROGRAM = "simulation"
PROGRAM_FLAGS = (
    *("--cc", "--exe", "--build", "-j", "2", "-O3", "-Wno-fatal"),
    *("--x-assign", "fast", "--x-initial", "fast", "--no-timing"),
    *("--output-split", "20000", "--output-split-cfuncs", "500"),
    *("-MAKEFLAGS", "OPT_FAST=-O2"),
)
EMPTY = "module empty(input clk);\nendmodule\n"
FLAGS = ("--cc", "--build", "-j", "2", "-MAKEFLAGS", "OPT_GLOBAL=-O1", "--Mdir", "objects")
# What the library has is not compiled for each model.
LINKED = ("VM_GLOBAL_FAST=", "VM_GLOBAL_SLOW=")

# One C++ unit needs no precompiled headers, which cost more than a small model itself; many units
# are compiled in less memory, and side by side.
ONE_UNIT = "VM_PARALLEL_BUILDS=0"
SMALL = 400_000  # characters of the top module's Verilog; some forty PEs
# Of many PEs even these functions, one for each, are more than caches hold. Where ports of a PE
# stay variables, all PEs share theirs; copying words into ports costs less than that, then.
LARGE = 1_200_000  # some hundred and fifty PEs
SHARED = "-fno-dfg"  # which would look through ports


def make_variables(files: VerilogFiles) -> list[str]:
    """Variables for the makefile of a model that is linked with the library."""
    return [*LINKED, *([ONE_UNIT] if _size(files) < SMALL else [])]


def options_of(files: VerilogFiles) -> list[str]:
    """Options of Verilator that go with :func:`configuration`."""
    return [SHARED] if _size(files) >= LARGE else []


def configuration(files: VerilogFiles) -> str:
    """What Verilator is told of the design: blocks that are repeated stay functions of their own.

    Inlined into one module they are code for every PE, which no cache holds.
    """
    repeated = (PE_MODULE, LANE_MODULE, PROJECTOR_MODULE)
    names = (f"*_{module.rpartition('_')[2]}" for module in repeated)  # under any prefix
    lines = (f'no_inline -module "{name}"' for name in names)
    return "\n".join(
        ["`verilator_config", *lines, *(_ports(files) if _size(files) >= LARGE else ())]
    )


def bring_configuration(files: VerilogFiles, place: Path) -> str:
    """Write it into a folder; its name."""
    (place / CONFIGURATION).write_text(configuration(files) + "\n")
    return CONFIGURATION


def _size(files: VerilogFiles) -> int:
    return files.paths[0].stat().st_size


def _ports(files: VerilogFiles) -> list[str]:
    """Inputs of a PE as variables of its own."""
    found = []
    for path in (path for path in files.paths if path.stem.endswith("_pe")):
        names = re.findall(r"^  input (?:\[\d+:0\] )?(\w+);", path.read_text(), re.MULTILINE)
        ports = [name for name in names if name not in ("clk", "rst")]
        found += [f'public_flat_rw -module "{path.stem}" -var "{name}"' for name in ports]
    return found


def bring_library(build: Path, place: Path, timeout: float, *, vpi: bool) -> None:
    """Put Verilator's own library into a folder; it is compiled where no build has brought it yet.

    It takes longer than a small model itself.

    Parameters
    ----------
    build : Path
        What needs it; the library lies with the user's builds, or beside it where there are none.
    place : Path
        Folder that gets :data:`LIBRARY`.
    timeout : float
        Seconds after which the compiler is killed.
    vpi : bool
        With the part through which cocotb sees signals, the larger one.

    Raises
    ------
    SimulationError
        If it cannot be compiled, or takes too long.
    """
    flags = (*FLAGS, *(("--vpi",) if vpi else ()))
    made = {name: what for name, what in tools("verilator").items() if name != "ours"}
    text = json.dumps([made, flags, VERILATOR_MAKE], sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    kept = _home(build) / f"verilator-library{'-vpi' if vpi else ''}-{digest[:16]}"
    with in_use(kept):
        built(kept, lambda folder: _compile(folder, flags, timeout))
        shutil.copyfile(kept / LIBRARY, place / LIBRARY)


def compile_program(
    files: VerilogFiles,
    kept: Path,
    build: Path,
    timeout: float,
    source: tuple[str, str],
    link: list[str] | None = None,
) -> None:
    """Compile the model, of prefix ``Vmodel``, with a program around it.

    Parameters
    ----------
    files : VerilogFiles
    kept : Path
        Folder that is to hold it.
    build : Path
        Folder to compile in, the same or another; gets :data:`PROGRAM` and the log.
    timeout : float
        Seconds after which the compiler is killed.
    source : tuple of str
        Name and text of the program in C++.
    link : list of str, optional
        What is linked otherwise than with Verilator's library.

    Raises
    ------
    SimulationError
        If it cannot be compiled, or takes too long.
    """
    if link is None:
        bring_library(kept, build, timeout, vpi=False)
        link = [word for variable in make_variables(files) for word in ("-MAKEFLAGS", variable)]
        link += ["-LDFLAGS", f"../{LIBRARY}"]
    name, text = source
    (build / name).write_text(text)
    command = [
        "verilator",
        *PROGRAM_FLAGS,
        *link,
        *options_of(files),
        bring_configuration(files, build),
        *("--top-module", files.top, "--prefix", "Vmodel"),
        *("--Mdir", "objects", "-o", PROGRAM),
        *plain_sources([path.resolve() for path in files.paths], build),
        f"../{name}",
    ]
    with scratch(build / "build.log") as extra:
        watched("build", command, build / "build.log", timeout, folder=build, extra=extra)
    (build / "objects" / PROGRAM).rename(build / PROGRAM)
    only(build, {PROGRAM, "build.log"})


def _home(build: Path) -> Path:
    """Where all builds of a user find one library."""
    with suppress(PlaceError):  # something of others is there
        return builds_of_user() or build.parent
    return build.parent


def _compile(folder: Path, flags: tuple[str, ...], timeout: float) -> None:
    """Verilator has its own makefile compile it, with a model of nothing."""
    (folder / "empty.v").write_text(EMPTY)
    log = folder / "build.log"
    with scratch(log) as extra:
        extra |= {"MAKEFLAGS": VERILATOR_MAKE}  # whatever models are compiled with now
        watched("build", ["verilator", *flags, "empty.v"], log, timeout, folder=folder, extra=extra)
    (folder / "objects" / LIBRARY).rename(folder / LIBRARY)
    only(folder, {LIBRARY, log.name})


def only(folder: Path, names: Collection[str]) -> None:
    """Remove what a build has left beside what is needed of it."""
    for path in folder.iterdir():
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
