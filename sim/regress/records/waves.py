"""Which signals to look at: save files for GTKWave and Surfer, from the emitted Verilog."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hdl.verilog import VerilogFiles

__all__ = ["Group", "groups", "write_gtkwave", "write_surfer"]

HEX, PLAIN = "@22", "@28"
OPEN, CLOSE = "@800200", "@1000200"
_MODULE = re.compile(r"^module (\S+?) ?\(.*?^endmodule", re.MULTILINE | re.DOTALL)
_SIGNAL = re.compile(
    r"^  (?:input|output|inout)?\s*(?:wire|reg)\s+(?:signed )?(?:\[(\d+):0\] )?(\S+?)(?: = .*)?;",
    re.MULTILINE,
)
_PORT = re.compile(r"^  (?:input|output) (?:\[(\d+):0\] )?(\S+?);", re.MULTILINE)
_INSTANCE = re.compile(r"^  (\\\S+ |\w+) (?:#\(.*?\) )?(\w+) \($", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"\b(pe\d+|lane\d+|projector\d+)\.(\w+)")
STREAMS = ("clk", "rst", "halted", "fault", *(
    f"{port}__{part}" for port in ("load", "frames", "states")
    for part in ("valid", "ready", "payload")
))  # fmt: skip
BUSES = re.compile(r"aclk|aresetn|irq|[sm]_axis?_\w+")


@dataclass(frozen=True)
class Group:
    """Signals that belong together.

    Parameters
    ----------
    name : str
    signals : list of str
        Full names, with the range of those wider than a bit.
    """

    name: str
    signals: list[str]


@dataclass
class _Module:
    signals: dict[str, int] = field(default_factory=dict)
    instances: dict[str, str] = field(default_factory=dict)


def groups(files: VerilogFiles, story: str = "") -> list[Group]:
    """Streams, the controller, and the blocks that a story names, or the first of each.

    Parameters
    ----------
    files : VerilogFiles
        Of a :class:`~hdl.core.core.Core`, or of an accelerator with one.
    story : str
        Why the case is red, such as ``pe3.product5 is 7, should be 8``.
    """
    modules = _modules(files)
    path, top = _core(files.top, modules)
    found = [Group("streams", list(_full(path, top, STREAMS)))]
    outer = modules[files.top]
    if buses := [name for name in outer.signals if BUSES.fullmatch(name)]:
        found.insert(0, Group("buses", list(_full(files.top, outer, buses))))
    blocks = ["controller", *dict.fromkeys(match[0] for match in _NAMED.findall(story))]
    if len(blocks) == 1:
        blocks += [name for name in ("pe0", "lane0", "projector0") if name in top.instances]
    for block in blocks:
        if block in top.instances:
            module = modules[top.instances[block]]
            names = [name for name in module.signals if not name.startswith(("_", "\\"))]
            found.append(Group(block, list(_full(f"{path}.{block}", module, names))))
    return found


def _core(path: str, modules: dict[str, _Module], name: str = "") -> tuple[str, _Module]:
    """The module with the controller, and its path; the first one if there is none."""
    module = modules[name or path]
    if "controller" in module.instances or "core" not in module.instances:
        return path, module
    return _core(f"{path}.core", modules, module.instances["core"])


def _full(path: str, module: _Module, names: tuple[str, ...] | list[str]) -> Iterator[str]:
    for name in names:
        if name in module.signals:
            top = module.signals[name]
            yield f"{path}.{name}" + (f"[{top}:0]" if top else "")


def _modules(files: VerilogFiles) -> dict[str, _Module]:
    """Signals and instances of every module."""
    found: dict[str, _Module] = {}
    for path in files.paths:
        for match in _MODULE.finditer(path.read_text()):
            module = found.setdefault(match[1].lstrip("\\"), _Module())
            for pattern in (_PORT, _SIGNAL):
                for top, name in pattern.findall(match[0]):
                    module.signals[name] = max(int(top or 0), module.signals.get(name, 0))
            for kind, name in _INSTANCE.findall(match[0]):
                module.instances[name] = kind.strip().lstrip("\\")
    return found


def write_gtkwave(path: Path, waves: Path, given: list[Group], marker: int = 0) -> None:
    """A save file for GTKWave.

    Parameters
    ----------
    path, waves : Path
        The save file, and the waveforms, beside it.
    given : list of Group
    marker : int
        Time of the marker, in picoseconds; 0 for none.
    """
    lines = [f'[dumpfile] "{waves.name}"', "[timestart] 0", "[size] 1600 900"]
    lines.append(f"*-18.0 {marker or -1}" + " -1" * 26)
    for group in given:
        lines += [OPEN, f"-{group.name}"]
        for name in group.signals:
            lines += [HEX if name.endswith("]") else PLAIN, name]
        lines += [CLOSE, f"-{group.name}"]
    path.write_text("\n".join(lines) + "\n")


def write_surfer(path: Path, given: list[Group], marker: int = 0) -> None:
    """A command file for Surfer: ``surfer --command-file FILE waves.fst``.

    Parameters
    ----------
    path : Path
    given : list of Group
    marker : int
        Time of the cursor, in picoseconds; 0 for none.
    """
    lines = []
    for group in given:
        lines.append(f"divider_add {group.name}")
        lines += [f"variable_add {name.partition('[')[0]}" for name in group.signals]
    lines += [f"cursor_set {marker}"] * bool(marker)
    path.write_text("\n".join([*lines, "zoom_fit"]) + "\n")
