"""From a model to the folder of its accelerator."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import Model
from csb_format.files.folders import private_folder, put, replaced_folder
from csb_format.files.images import write_image
from csb_format.scales import GATES, DesignError

from .options import VerilogOptions

if TYPE_CHECKING:
    from hdl.verilog import VerilogFiles

__all__ = ["LIVING", "SIMULATED", "SUFFIXES", "check_array", "compile_array", "emit", "emitted"]

SIMULATED = ("verilog", "build", "run")  # folders of a simulation
LIVING = SIMULATED[1:]  # those in which tools go on writing

SUFFIXES = {"mem": "mem", "coe": "coe", "mif": "mif", "ihex": "hex"}
"""Formats of memory images and how their file names end."""


def check_array(pes: int, lanes: int, banks: int | None = None) -> None:
    """Refuse an array that cannot exist, or that a model of ``banks`` banks does not fit.

    Raises
    ------
    DesignError
        Naming the value.
    """
    if pes < GATES or pes % GATES:
        raise DesignError(f"pes = {pes}: must be a multiple of {GATES}, one PE a gate")
    if lanes < 1 or (banks is not None and banks % lanes):
        allowed = "at least 1" if banks is None else f"a divisor of {banks}, the model's banks"
        raise DesignError(f"lanes = {lanes}: must be {allowed}")


def compile_array(model: Model, pes: int, lanes: int) -> Image:
    """Memory contents and program of the smallest array of this size for a model.

    Raises
    ------
    DesignError
        If there is none.
    """
    check_array(pes, lanes)
    return compile_model(model, design_for(model, pes, lanes))


def emit(image: Image, out: Path, images: str = VerilogOptions.images) -> VerilogFiles:
    """Write Verilog and images to a folder, which is replaced as a whole or not at all.

    Parameters
    ----------
    image : Image
    out : Path
    images : str
        A key of :data:`SUFFIXES`; another format than ``mem`` is written beside it.
    """
    from hdl.verilog import KIND, emit_verilog

    with replaced_folder(out, KIND) as folder:
        files = emit_verilog(image.design, folder, image)
        if images != "mem":
            for name, words in image.memories.items():
                write_image(folder / f"{name}.{SUFFIXES[images]}", words, image.width(name))
    return dataclasses.replace(files, folder=out)


@contextmanager
def emitted(
    image: Image, build: Path, write: Callable[[Image, Path], VerilogFiles] = emit
) -> Iterator[tuple[VerilogFiles, float]]:
    """Write Verilog for a run that shares its folder with others.

    Parameters
    ----------
    image : Image
    build : Path
        Existing; the Verilog is left in ``verilog`` at the end.
    write : callable
        Writes it.

    Yields
    ------
    files : VerilogFiles
        Which no other run touches.
    seconds : float
        That it took.
    """
    started = time.perf_counter()
    with private_folder(build, "verilog") as private:
        files = write(image, private / "verilog")
        try:
            yield files, time.perf_counter() - started
        finally:
            put(private / "verilog", build / "verilog")
