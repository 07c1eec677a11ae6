"""From a model to the folder of its accelerator, alone or as a block for larger systems."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.abi.packing import check_bus_bits
from compiler.array.design import check_pes
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import Model, load_model
from csb_format.cells import LSTM
from csb_format.files.folders import private_folder, put, replaced_folder
from csb_format.files.images import write_image
from csb_format.files.ownership import check_replaceable
from csb_format.scales import DesignError

from ..options import IpOptions, VerilogOptions
from .tops import check_of_top, read_bus

if TYPE_CHECKING:
    from hdl.verilog import VerilogFiles

__all__ = [
    "LIVING",
    "SIMULATED",
    "SUFFIXES",
    "Block",
    "check_array",
    "check_head",
    "compile_array",
    "emit",
    "emitted",
    "package",
]

SIMULATED = ("verilog", "build", "run")  # folders of a simulation
LIVING = SIMULATED[1:]  # those in which tools go on writing

SUFFIXES = {"mem": "mem", "coe": "coe", "mif": "mif", "ihex": "hex"}
"""Formats of memory images and how their file names end."""


def check_array(pes: int, lanes: int, banks: int | None = None, cell: str = LSTM) -> None:
    """Refuse an array that cannot exist, or that a model of ``banks`` banks does not fit.

    Raises
    ------
    DesignError
        Naming the value.
    """
    check_pes(pes, cell)
    if lanes < 1 or (banks is not None and banks % lanes):
        allowed = "at least 1" if banks is None else f"a divisor of {banks}, the model's banks"
        raise DesignError(f"lanes = {lanes}: must be {allowed}")


def check_head(model: Model, *, head: bool, dense: bool, batched: bool) -> dict[str, bool]:
    """What runs of a head, as :func:`compile_array` takes it.

    Raises
    ------
    DesignError
        For what no array does, in the words of options; what else cannot be is told by the array.
    """
    if dense and not head:
        raise DesignError("--dense-head is how --head stores its weights: give --head too")
    several = head and model.head is not None and bool(model.head.shape.hidden)
    if batched and (dense or several):
        what = "--dense-head" if dense else "--head with hidden linear layers"
        raise DesignError(f"{what} does not run with --batched yet: leave one of the two out")
    return {"head": head, "dense": dense}


def compile_array(
    model: Model,
    pes: int,
    lanes: int,
    *,
    head: bool = False,
    largest: int | None = None,
    **options: int | bool,
) -> Image:
    """Memory contents and program of the smallest array of this size for a model.

    Parameters
    ----------
    model : Model
    pes, lanes : int
    head : bool
        Whether its linear output layer runs on the array too.
    largest : int, optional
        Logits that a screen unit finds; :func:`compiler.array.screen.behind.screen_behind`.
    **options
        As :func:`compiler.array.needs.design_for` takes them.

    Raises
    ------
    DesignError
        If there is none.
    """
    check_array(pes, lanes, cell=model.cell)
    design = design_for(model, pes, lanes, head=head, largest=largest, **options)
    return compile_model(model, design, head=head)


def emit(
    image: Image,
    out: Path,
    images: str = VerilogOptions.images,
    prefix: str = VerilogOptions.prefix,
) -> VerilogFiles:
    """Write Verilog and images to a folder, which is replaced as a whole or not at all.

    Parameters
    ----------
    image : Image
    out : Path
    images : str
        A key of :data:`SUFFIXES`; another format than ``mem`` is written beside it.
    prefix : str
        What all names begin with; see :mod:`hdl.prefix`.
    """
    from hdl.prefix import image_name
    from hdl.verilog import KIND, emit_verilog

    with replaced_folder(out, KIND) as folder:
        files = emit_verilog(image.design, folder, image, prefix=prefix)
        if images != "mem":
            for name, words in image.memories.items():
                file = f"{image_name(prefix, name)}.{SUFFIXES[images]}"
                write_image(folder / file, words, image.width(name))
    return dataclasses.replace(files, folder=out)


@dataclasses.dataclass(frozen=True)
class Block:
    """A packaged accelerator.

    Parameters
    ----------
    module : str
        Its top module.
    core : str
        Its vendor, library, name and version, as FuseSoC writes them.
    files : VerilogFiles
    """

    module: str
    core: str
    files: VerilogFiles


def package(
    model: Path,
    out: Path,
    pes: int = IpOptions.pes,
    lanes: int = IpOptions.lanes,
    bits: int = IpOptions.bits,
    prefix: str | None = IpOptions.prefix,
    top: str = "axi",
    contexts: int = IpOptions.contexts,
    largest: int | None = IpOptions.largest,
    bus_bits: int | None = IpOptions.bus_bits,
) -> Block:
    """Package the accelerator with AXI buses for FuseSoC and for tools that read IP-XACT.

    Parameters
    ----------
    model : Path
    out : Path
        Folder; replaced as a whole, and only where all in it is from an earlier run.
    pes, lanes : int
        M and N.
    bits : int
        Of ``tdata`` of both streams: 32, 64, ... 1024.
    prefix : str, optional
        What all names begin with; by default that of :func:`hdl.prefix.prefix_of`.
    top : {"axi", "dram"}
        The second has a port to memory too.
    contexts : int
        Streams whose states are kept.
    largest : int, optional
        Logits that a screen unit finds.
    bus_bits : int, optional
        Of ``dram``, of the port to memory: 64 to 512.
    """
    from hdl.prefix import check_prefix, prefix_of

    prefix = prefix_of(model) if prefix is None else check_prefix(prefix)
    check_bus_bits("bits", bits)
    from boards.build.ip import KIND, vlnv, write_ip
    from boards.build.tops.tops import Top

    if top not in ("axi", "dram"):
        raise DesignError(f"top {top!r}: choose axi or dram")
    check_of_top("bus_bits", bus_bits, top)
    bus = read_bus(bus_bits)
    check_replaceable(out, KIND)
    image = compile_array(load_model(model), pes, lanes, contexts=contexts, largest=largest)
    files = write_ip(image.design, image, out, bits, prefix, Top(top, bits, bus))
    return Block(files.top, vlnv(files.top), files)


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
