"""Property sets in Verilog, of others or ours, proved about a top in every cycle.

A set is a module of assertions and assumptions that listens on a bus, as those of public
collections are. Yosys reads the top's Verilog and the set, and what comes out of the array is
left free: so what is proved holds for any array whatever. ABC's property directed reachability
(Bradley, VMCAI 2011) then proves all assertions in every cycle that can be reached, and finds the
inductive invariants by itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from csb_format.files.folders import temporary_folder
from hdl.verilog import VerilogFiles

from .proof import ProofError
from .reachable import decide

__all__ = ["OURS", "Listener", "Proved", "prove_set"]

OURS = Path(str(resources.files(__package__).joinpath("axi_read_master.v")))
TIMEOUT = 600.0  # seconds given to one proof


@dataclass(frozen=True)
class Listener:
    """A property set on a bus.

    Parameters
    ----------
    module : str
        Of the set.
    path : Path
        Its file.
    bus : str
        What names of the bus' ports begin with, as ``s_axi``.
    prefix : str
        What names of the set's ports begin with before the standard names.
    parameters : mapping
        Of the set; those that it has not are left out, as releases differ.
    """

    module: str
    path: Path
    bus: str
    prefix: str = "i_axi_"
    parameters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Proved:
    """A proof.

    Parameters
    ----------
    assertions, assumptions : int
        Of the sets; an assertion of several bits counts once.
    seconds : float
    """

    assertions: int
    assumptions: int
    seconds: float


def prove_set(
    files: VerilogFiles,
    ports: Mapping[str, tuple[str, int]],
    listeners: Sequence[Listener],
    *,
    free: Sequence[str] = (),
    hold: int = 1,
    timeout: float = TIMEOUT,
) -> Proved:
    """Prove all assertions of the sets about a top in every cycle.

    Parameters
    ----------
    files : VerilogFiles
        Of the top; clock ``aclk``, reset ``aresetn``.
    ports : mapping
        Its ports: direction, ``in`` or ``out``, and width.
    listeners : sequence of Listener
        What their assumptions leave of the inputs is tried.
    free : sequence of str
        Modules whose outputs may be anything in every cycle.
    hold : int
        Cycles of reset in the beginning; later it may come at any time, unless ``hold`` is more
        than 1: some sets ask for long ones.
    timeout : float
        Seconds for each of the two tools.

    Returns
    -------
    Proved

    Raises
    ------
    ProofError
        If an assertion can fail (the message says in which cycle), or a set is no Verilog.
    Undecided
        If neither was shown in time.
    """
    started = time.perf_counter()
    with temporary_folder("properties") as folder:
        texts = {each.path: _ends(each.path.read_text("utf-8")) for each in listeners}
        names = [f"set{n}.sv" for n in range(len(texts))]
        for name, text in zip(names, texts.values(), strict=True):
            (folder / name).write_text(text)
        headers = {each.module: _header(texts[each.path], each) for each in listeners}
        (folder / "spec.sv").write_text(_harness(files.top, ports, listeners, headers, hold))
        sources = " ".join(str(path.resolve()) for path in files.paths)
        cut = f"cutpoint {' '.join(f't:{module}' for module in free)}" if free else "check"
        commands = [f"read_verilog {sources}"]
        commands += [f"read_verilog -sv -formal {name}" for name in (*names, "spec.sv")]
        counts = decide(commands, folder, timeout, cut=cut)
    return Proved(**counts, seconds=time.perf_counter() - started)


def _ends(text: str) -> str:
    """A set whose last ``endif`` has nothing to end is read without it: old releases have one."""
    bare = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    opened = len(re.findall(r"`if(?:n?def)\b", bare))
    if len(re.findall(r"`endif\b", bare)) <= opened:
        return text
    head, _, tail = text.rpartition("`endif")
    return head + tail


def _header(text: str, each: Listener) -> str:
    """Parameters and ports of a set, without comments."""
    bare = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    found = re.search(rf"\bmodule\s+{each.module}\b(.*?)\)\s*;", bare, re.DOTALL)
    if not found:
        raise ProofError(f"{each.path}: no module {each.module}")
    return found[1]


def _harness(
    top: str,
    ports: Mapping[str, tuple[str, int]],
    listeners: Sequence[Listener],
    headers: Mapping[str, str],
    hold: int,
) -> str:
    """The top with free inputs, and the sets on its buses."""
    wires = [(f"[{width - 1}:0] {name}", flow) for name, (flow, width) in ports.items()]
    inputs = ",\n".join(f"    input wire {text}" for text, flow in wires if flow == "in")
    outputs = "\n".join(f"    wire {text};" for text, flow in wires if flow == "out")
    joined = ", ".join(f".{name}({name})" for name in ports)
    sets = [_instance(n, each, headers[each.module], ports) for n, each in enumerate(listeners)]
    held = f"""    reg [7:0] age = 0;
    always @(posedge aclk) if (age != {hold}) age <= age + 1;
    always @* if (age < {hold}) assume (!aresetn);{_steady(hold)}"""
    body = "\n".join([outputs, held, f"    {top} dut ({joined});", *sets])
    return f"module spec (\n{inputs}\n);\n{body}\nendmodule\n"


def _steady(hold: int) -> str:
    return "" if hold == 1 else f"\n    always @* if (age == {hold}) assume (aresetn);"


def _instance(
    number: int, each: Listener, header: str, ports: Mapping[str, tuple[str, int]]
) -> str:
    """A set: what the bus has is joined, the other inputs are 0."""
    given = {name: value for name, value in each.parameters.items() if _has(header, name)}
    joined = []
    for name in sorted(set(re.findall(r"\bi_\w+", header))):
        wire = {"i_clk": "aclk", "i_aclk": "aclk", "i_aresetn": "aresetn"}.get(name, "")
        wire = "aresetn" if name == "i_axi_reset_n" else wire
        wire = wire or f"{each.bus}_{name.removeprefix(each.prefix)}"
        ones = name.endswith(("tkeep", "tstrb"))  # all bytes count where a bus has none
        there = wire in ports
        joined.append(f".{name}({wire if there else '-1' if ones else '0'})")
    numbers = ", ".join(f".{name}({value})" for name, value in given.items())
    return f"    {each.module} #({numbers}) set{number} ({', '.join(joined)});"


def _has(header: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", header) is not None
