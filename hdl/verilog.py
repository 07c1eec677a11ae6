"""Verilog and memory images of an accelerator, written to a folder."""

import gc
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.lib import wiring

from compiler.array.design import Design
from compiler.lower.image import Image
from csb_format.files.folders import replaced_folder
from csb_format.files.images import write_mem

from .core.core import Core
from .core.hierarchy import LOGIC_MODULE, RAM_MODULE, SINGLE_MODULE, Hierarchy
from .keywords import spelled
from .prefix import OURS, check_prefix, planes_file, waivers_file
from .yosys import run_yosys

__all__ = [
    "KIND",
    "LINT_WAIVERS",
    "TOP_MODULE",
    "Top",
    "VerilogFiles",
    "emit_block",
    "emit_verilog",
]

KIND = "verilog"  # of the folder, for its marker
TOP_MODULE = OURS
LINT_WAIVERS = waivers_file(OURS)
WAIVED = f'"*{OURS}*.v"'  # the files that our waivers hold for
INTERNAL = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")
NAME = re.compile(r"\\(\w+)(?=[\s\"])")
Top = Callable[[Design, Any, Hierarchy], wiring.Component]


@dataclass(frozen=True)
class VerilogFiles:
    """What was written.

    Parameters
    ----------
    folder : Path
    sources : tuple of str
        Names of the Verilog files, top module first.
    images : tuple of str
        Names of the ``.mem`` files. A simulator must run where they lie, or with the macro
        ``SPARSEFLOW_IMAGES`` set to their folder; else it stops.
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
    prefix: str = OURS,
) -> VerilogFiles:
    """Write the accelerator as Verilog-2005, one module a file, lint waivers, memory images.

    The same design gives the same bytes. A folder that exists is replaced as a
    whole, and only where it is ours: see :mod:`csb_format.files.ownership`.

    Parameters
    ----------
    design : Design
    folder : Path
    image : Image, optional
        With it, memories start from ``.mem`` files (``$readmemh``); without it they start
        at zero and are loaded through the ``load`` stream. Planes that lie outside go into a file
        beside them, as they lie in memory.
    top : callable
        Makes the top component of design, image and hierarchy: :class:`~hdl.core.core.Core` or
        something around it. What its ``companions`` return, if it has them, lies beside.
    name : str
        Of the top module.
    prefix : str
        What names of modules, files and images begin with, instead of ``sparseflow``; see
        :func:`hdl.prefix.check_prefix`. The macro ``SPARSEFLOW_IMAGES`` then has another name
        too: the prefix in capitals, and ``_IMAGES``.

    Returns
    -------
    VerilogFiles
    """
    check_prefix(prefix)
    hierarchy = Hierarchy(instances=True, images=image is not None, prefix=prefix)
    component, texts = _modules(lambda: top(design, image, hierarchy), hierarchy, name)
    for ram in (RAM_MODULE, SINGLE_MODULE)[: 1 + design.compact]:
        texts[hierarchy.named(ram)] = _under(prefix, _ours(f"{ram}.v"))
    if design.spread:
        texts[hierarchy.named(LOGIC_MODULE)] = _under(prefix, _logic_ram())
    companions: dict[str, str | bytes] = {waivers_file(prefix): _waivers(prefix, texts)}
    if image is not None and image.planes:
        companions[planes_file(prefix)] = image.planes
    companions |= getattr(component, "companions", dict)()
    images = {
        hierarchy.image_file(memory): (words, of.width(memory))
        for of in ([image] if image else [])
        for memory, words in of.memories.items()
    }
    return _write(Path(folder), texts, images, companions)


def emit_block(
    make: Callable[[Hierarchy], wiring.Component], folder: Path, name: str
) -> VerilogFiles:
    """Write one block alone as :func:`emit_verilog` writes an accelerator, without images.

    Parameters
    ----------
    make : callable
        Makes the block in a hierarchy.
    folder : Path
    name : str
        Of its module, one of ours.

    Returns
    -------
    VerilogFiles
    """
    hierarchy = Hierarchy(instances=True)
    _, texts = _modules(lambda: make(hierarchy), hierarchy, name)
    texts[RAM_MODULE] = _ours(f"{RAM_MODULE}.v")
    return _write(Path(folder), texts, {}, {waivers_file(OURS): _waivers(OURS, texts)})


def _modules(
    make: Callable[[], wiring.Component], hierarchy: Hierarchy, name: str
) -> tuple[wiring.Component, dict[str, str]]:
    """A block, and the text of its module and of all that it places."""
    name = hierarchy.named(name)
    with _seldom_collected():
        component = make()
        texts = {name: _convert(name, component)}
        while missing := [block for block in hierarchy.modules if block not in texts]:
            texts |= {block: _convert(block, hierarchy.modules[block]) for block in missing}
    return component, texts


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Let Python look for garbage seldom: Amaranth makes many small objects that live on.

    With the defaults nearly half of the time would go there.
    """
    before = gc.get_threshold()
    gc.set_threshold(200_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _ours(name: str) -> str:
    """A file of this package."""
    return resources.files(__package__).joinpath(name).read_text()


def _logic_ram() -> str:
    """The hand-written memory under another name, for synthesis to make of look-up tables."""
    text = _ours(f"{RAM_MODULE}.v").replace(f"module {RAM_MODULE} ", f"module {LOGIC_MODULE} ")
    return text.replace("(* no_rw_check *)", '(* no_rw_check, ram_style = "distributed" *)')


def _under(prefix: str, text: str) -> str:
    """A hand-written file with its module and its macro under a prefix."""
    text = re.sub(rf"\b{OURS}(?=_)", prefix, text)
    return re.sub(rf"\b{OURS.upper()}(?=_IMAGES)", prefix.upper(), text)


def _waivers(prefix: str, modules: Iterable[str]) -> str:
    """Lint waivers; under a prefix they name each file, as a user's may begin with it too."""
    text = _ours(LINT_WAIVERS)
    if prefix == OURS:
        return text
    lines = [
        line.replace(WAIVED, f'"*{module}.v"')
        for line in text.splitlines()
        for module in (modules if WAIVED in line else ("",))
    ]
    return "\n".join(lines) + "\n"


def _convert(name: str, block: wiring.Component) -> str:
    """Verilog-2005 of one block, without paths of the machine that made it.

    Combinational logic becomes ``assign``: ``always @*`` does not run at time 0 where its inputs
    never change, and Icarus 11 evaluates many ``always_comb`` for ever. Amaranth's public function
    keeps processes and names that begin with ``$``, which Icarus takes for system functions; its
    version is pinned.
    """
    remove = " ".join(f"-remove {attribute}" for attribute in INTERNAL)
    script = [
        f"read_rtlil <<rtlil\n{_renamed(rtlil.convert(block, name=name, emit_src=False))}\nrtlil",
        "proc -norom",
        "memory_collect",
        "opt_expr",
        "opt_clean",
        f"attrmap {remove}",
        f"attrmap -modattr {remove}",
        "write_verilog",
    ]
    return run_yosys("\n".join(script))


def _renamed(text: str) -> str:
    """RTLIL in which no name is a keyword of a language that Verilog may be read as."""
    return NAME.sub(lambda found: f"\\{spelled(found[1])}", text)


def _write(
    folder: Path,
    texts: dict[str, str],
    images: dict[str, tuple[list[int], int]],
    companions: dict[str, Any],
) -> VerilogFiles:
    with replaced_folder(folder, KIND) as beside:
        beside.mkdir()
        for name, text in texts.items():
            (beside / f"{name}.v").write_text(text)
        for name, held in companions.items():
            data = held if isinstance(held, bytes) else held.encode()
            (beside / name).write_bytes(data)
        for name, (words, width) in images.items():
            write_mem(beside / name, words, width)
    return VerilogFiles(folder, tuple(f"{name}.v" for name in texts), tuple(images))
