"""The accelerator's Verilog as a program that is asked for accesses to its buses, with pauses.

What a serial line does bit by bit takes a cycle a word here, so that whole trainings run in
Verilog.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

import numpy as np

from compiler.abi.identity import AXI_MODULE
from compiler.array.design import Design
from csb_format.files.folders import temporary_folder
from hdl.bus.accelerator import Accelerator
from hdl.verilog import VerilogFiles, emit_verilog

from ..run.builds import build_name, built, workplace
from ..run.errors import SimulationError
from ..run.processes import TIMEOUT, environment
from ..run.streams import Pauses
from ..run.verilated import PROGRAM, compile_program
from ..run.verilog import require_simulator

__all__ = ["CompiledBuses"]

SOURCE = "compiled.cpp"
READ, WRITE, SEND, RECEIVE, CYCLES = range(5)
BITS = 32


class CompiledBuses:
    """Registers and streams of an accelerator whose Verilog runs as fast as it compiles to.

    Time passes only while something is asked. A stream that does not move for 256 cycles ends
    what was asked of it.

    Parameters
    ----------
    design : Design
    work : Path, optional
        Folder for builds and runs, as for :func:`sim.run.verilog.simulate_verilog`; a temporary
        one by default.
    pauses : Pauses
        Of every channel of the buses, each with a sequence of its own: a master that offers
        nothing, or takes nothing, in a cycle.
    timeout : float
        Seconds for the build.

    Raises
    ------
    SimulationError
        If a tool is missing or the build fails.
    """

    def __init__(
        self,
        design: Design,
        work: Path | None = None,
        pauses: Pauses | None = None,
        timeout: float = TIMEOUT,
    ):
        require_simulator("verilator")
        pauses = pauses or Pauses()
        self._process: subprocess.Popen[bytes] | None = None
        with ExitStack() as stack:
            folder = stack.enter_context(temporary_folder("buses"))
            files = emit_verilog(design, folder / "verilog", top=_top, name=AXI_MODULE)
            source = resources.files(__package__).joinpath(SOURCE).read_text()
            name = build_name(files, "verilator", f"-buses-{_digest(source)}")
            places = stack.enter_context(workplace(work or folder, name))
            built(places.build, lambda place: _compile(files, places.build, place, timeout, source))
            self._log = places.run / "simulation.log"
            command = [str(places.build / PROGRAM), str(pauses.share), str(pauses.seed)]
            log = stack.enter_context(self._log.open("wb"))
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env=environment(),
            )  # fmt: skip
            self._kept = stack.pop_all()

    def read(self, address: int, count: int = 1) -> list[tuple[int, int]]:
        """Response codes and words of registers at addresses that follow each other."""
        found = self._ask([READ, address, count], 2 * count)
        return list(zip(found[::2], found[1::2], strict=True))

    def write(self, address: int, words: Sequence[int]) -> list[int]:
        """Response codes of writes, one after the other, to the same address."""
        return self._ask([WRITE, address, len(words), *words], len(words))

    def send(self, words: Sequence[int], last: bool) -> int:
        """Give words to ``s_axis``; how many were taken. With ``last`` they end a packet."""
        return self._ask([SEND, int(last), len(words), *words], 1)[0]

    def receive(self, count: int) -> tuple[list[int], bool]:
        """Words from ``m_axis``, at most ``count``; whether the last of them ends a packet."""
        size, last = self._ask([RECEIVE, 0, count], 2)
        return self._take(size), bool(last)

    def cycles(self) -> int:
        """Clock edges so far, those of the reset too."""
        low, high = self._ask([CYCLES, 0, 0], 2)
        return low | high << BITS

    def _ask(self, words: Sequence[int], answers: int) -> list[int]:
        process = self._process
        if process is None or process.stdin is None:
            raise SimulationError("the simulation is closed: open it again")
        try:
            process.stdin.write(np.array(words, "<u4").tobytes())
            process.stdin.flush()
        except BrokenPipeError:
            self._ended()
        return self._take(answers)

    def _take(self, count: int) -> list[int]:
        assert self._process is not None
        assert self._process.stdout is not None
        data = self._process.stdout.read(4 * count)
        if len(data) != 4 * count:
            self._ended()
        return list(map(int, np.frombuffer(data, "<u4")))

    def _ended(self) -> None:
        said = self._log.read_text().strip()
        self.close()
        raise SimulationError(f"the simulator has ended: {said or 'it said nothing'}")

    def close(self) -> None:
        """End the program; closing twice is fine."""
        if self._process is None:
            return
        with self._process as process:
            process.kill()
        self._process = None
        self._kept.close()


def _top(design: Design, image: object, hierarchy: object) -> Accelerator:
    return Accelerator(design, None, hierarchy, in_bits=BITS, out_bits=BITS)  # type: ignore[arg-type]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _compile(files: VerilogFiles, kept: Path, build: Path, timeout: float, source: str) -> None:
    compile_program(files, kept, build, timeout, (SOURCE, source))
