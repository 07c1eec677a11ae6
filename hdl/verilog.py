"""Verilog and memory images of an accelerator, written to a folder."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from amaranth.back import rtlil, verilog
from amaranth.lib import wiring

from compiler.array.design import Design
from compiler.lower.image import Image
from csb_format.files.folders import replaced_folder
from csb_format.files.images import write_mem

from .core.core import Core
from .core.hierarchy import RAM_MODULE, SINGLE_MODULE, Hierarchy

__all__ = ["KIND", "LINT_WAIVERS", "TOP_MODULE", "Top", "VerilogFiles", "emit_verilog"]

KIND = "verilog"  # of the folder, for its marker
TOP_MODULE = "sparseflow"
LINT_WAIVERS = "sparseflow.vlt"  # for Verilator's --lint-only -Wall; lies beside the Verilog
Top = Callable[[Design, Image | None, Hierarchy], wiring.Component]


@dataclass(frozen=True)
class VerilogFiles:
    """What was written.

    Parameters
    ----------
    folder : Path
    sources : tuple of str
        Names of the Verilog files, top module first.
    images : tuple of str
        Names of the ``.mem`` files; the simulator or synthesiser must run where it finds
        them by these names.
    """

    folder: Path
    sources: tuple[str, ...]
    images: tuple[str, ...]

    @property
    def paths(self) -> list[Path]:
        """The Verilog files."""
        return [self.folder / name for name in self.sources]

    @property
    def top(self) -> str:
        """Name of the top module."""
        return Path(self.sources[0]).stem

    @property
    def sha256(self) -> str:
        """Digest of all Verilog text (not of the images), in order."""
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(path.read_bytes())
        return digest.hexdigest()


def emit_verilog(
    design: Design,
    folder: Path,
    image: Image | None = None,
    *,
    top: Top = Core,
    name: str = TOP_MODULE,
) -> VerilogFiles:
    """Write the accelerator, one module a file, lint waivers and its memory images.

    The same design gives the same bytes. A folder that exists is replaced as a
    whole, and only where it is ours: see :mod:`csb_format.files.ownership`.

    Parameters
    ----------
    design : Design
    folder : Path
    image : Image, optional
        With it, memories start from ``.mem`` files (``$readmemh``); without it they start
        at zero and are loaded through the ``load`` stream.
    top : callable
        Makes the top component of design, image and hierarchy: :class:`~hdl.core.core.Core` or
        something around it. What its ``companions`` return, if it has them, lies beside.
    name : str
        Of the top module.

    Returns
    -------
    VerilogFiles
    """
    # the system's Yosys may be older than Amaranth accepts; the one from PyPI is pinned
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    hierarchy = Hierarchy(instances=True, images=image is not None)
    component = top(design, image, hierarchy)
    texts = {name: _convert(name, component)}
    while missing := [block for block in hierarchy.modules if block not in texts]:
        texts |= {block: _convert(block, hierarchy.modules[block]) for block in missing}
    for ram in (RAM_MODULE, SINGLE_MODULE)[: 1 + design.compact]:
        texts[ram] = _ours(f"{ram}.v")
    companions = {LINT_WAIVERS: _ours(LINT_WAIVERS)} | getattr(component, "companions", dict)()
    return _write(Path(folder), texts, image, companions)


def _ours(name: str) -> str:
    """A file of this package."""
    return resources.files(__package__).joinpath(name).read_text()


def _convert(name: str, block: wiring.Component) -> str:
    """Verilog of one block, without paths of the machine that made it.

    ``-sv`` makes combinational blocks ``always_comb``: with ``always @*`` Icarus leaves
    those at X whose inputs never change after time 0. Amaranth's public function does not
    pass the option on; its version is pinned.
    """
    text: str = verilog._convert_rtlil_text(
        rtlil.convert(block, name=name, emit_src=False),
        strip_internal_attrs=True,
        write_verilog_opts=("-sv",),
    )
    return text


def _write(
    folder: Path, texts: dict[str, str], image: Image | None, companions: dict[str, str]
) -> VerilogFiles:
    memories = image.memories if image else {}
    with replaced_folder(folder, KIND) as beside:
        beside.mkdir()
        for name, text in texts.items():
            (beside / f"{name}.v").write_text(text)
        for name, text in companions.items():
            (beside / name).write_text(text)
        for name, words in memories.items():
            write_mem(beside / f"{name}.mem", words, image.width(name))  # type: ignore[union-attr]
    return VerilogFiles(
        folder, tuple(f"{name}.v" for name in texts), tuple(f"{name}.mem" for name in memories)
    )
