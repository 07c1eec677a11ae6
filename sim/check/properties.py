"""Property sets in Verilog, of others or ours, proved about a top in every cycle.

A set is a module of assertions and assumptions that listens on a bus, as those of public
collections are. Yosys reads the top's Verilog and the set, and what comes out of the array is
left free: so what is proved holds for any array whatever. ABC's property directed reachability
(Bradley, VMCAI 2011) then proves all assertions in every cycle that can be reached, and finds the
inductive invariants by itself.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources, util
from pathlib import Path

from csb_format.extras import install
from csb_format.files.folders import temporary_folder
from hdl.verilog import VerilogFiles

from ..run.errors import SimulationError
from .proof import ProofError, run_yosys

__all__ = ["OURS", "Listener", "Proved", "Undecided", "prove_set"]

OURS = Path(str(resources.files(__package__).joinpath("axi_read_master.v")))
TIMEOUT = 600.0  # seconds given to one proof
PREPARE = (
    "hierarchy -check -top spec",
    "proc",
    "{free}",
    "flatten -noscopeinfo",
    "opt_clean",
    "memory -nomap",
    "memory_map",
    "opt -fast",
    "async2sync",
    "chformal -cover -remove",
    "chformal -lower",
    "delete t:$cover t:$scopeinfo",
    "dffunmap",
    "setundef -anyseq -undriven",
    "opt_clean",
    "techmap",
    "opt -fast",
    "dffunmap",
    "simplemap",
    "setundef -anyseq",  # what is x may be anything
    "aigmap",
    "opt_clean",
    "tee -o counts.txt stat",
    "write_aiger -I -B -zinit -no-startoffset spec.aig",
)
PROVE = "read_aiger spec.aig; fold; strash; scorr"


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


class Undecided(ProofError):
    """No proof and no counterexample within the time."""


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
        commands += [command.format(free=cut) for command in PREPARE]
        _yosys(commands, folder, timeout)
        _prove(folder, timeout)
        counts = dict.fromkeys(("assert", "assume"), 0)
        for number, kind in re.findall(
            r"^\s*(\d+)\s+\$(assert|assume)\s*$", (folder / "counts.txt").read_text(), re.MULTILINE
        ):
            counts[kind] = int(number)
    seconds = time.perf_counter() - started
    return Proved(counts["assert"], counts["assume"], seconds)


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


def _yosys(commands: Sequence[str], folder: Path, timeout: float) -> None:
    if util.find_spec("pyosys") is None:
        raise SimulationError(install("pyosys", "bitstream"))
    done = run_yosys(commands, folder, timeout)
    if done.returncode:
        said = re.findall(r"^.*ERROR.*$", done.stdout + done.stderr, re.MULTILINE)
        raise ProofError(f"Yosys does not read it: {' '.join(said) or done.stderr[-1000:]}")


def _prove(folder: Path, timeout: float) -> None:
    """Let ABC decide every assertion for itself; where one fails, find the first cycle."""
    said = _abc("pdr -a", folder, timeout)
    result = re.search(r"All = (\d+)\. Proved = (\d+)\. Disproved = (\d+)", said)
    count, proved, failed = map(int, result.groups()) if result else (1, 0, 0)
    if failed:
        first = re.search(r"was asserted in frame +(\d+)", _abc("orpos; pdr", folder, timeout))
        when = f", the first {first[1]} cycles after the start" if first else ""
        raise ProofError(f"not proved: {failed} of {count} assertions fail{when}")
    if proved < count:
        raise Undecided(f"{count - proved} of {count} not decided in {timeout:g} s: {said[-1000:]}")


def _abc(how: str, folder: Path, timeout: float) -> str:
    found = util.find_spec("pyosys")
    assert found is not None
    assert found.origin is not None
    command = f"{PROVE}; {how} -T {int(timeout)}"
    return subprocess.run(
        [str(Path(found.origin).with_name("yosys-abc")), "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=2 * timeout,
    ).stdout
