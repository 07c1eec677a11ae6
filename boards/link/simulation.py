"""A board's top in a Verilog simulator, as a line: every bit of the UART is simulated."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from compiler.array.design import Design
from csb_format.files.folders import temporary_folder
from csb_format.scales import DesignError
from hdl.verilog import VerilogFiles, emit_verilog
from sim.run.errors import SimulationError
from sim.run.processes import TIMEOUT
from sim.run.verilog import SIMULATOR, run_bench

from .gateware import LINK_MODULE, LinkTop

__all__ = ["CLOCKS", "CLOCK_HZ", "SimulatedLine", "emit_link"]

CLOCK_HZ = 100e6
CLOCKS = 4  # a bit: as few as the receiver can do with
# Bit times without a sign of the board after which a read gives nothing: longer than a
# request of 128 words that each wait as long as they may.
QUIET = 10_000
BENCH = "boards.link.link_bench"


def emit_link(design: Design, folder: Path) -> VerilogFiles:
    """Write a board's top for a simulation, with a fast line and empty memories.

    Parameters
    ----------
    design : Design
    folder : Path
        As for :func:`hdl.verilog.emit_verilog`.

    Raises
    ------
    DesignError
        For a streamed design, and one with planes outside: behind this link nothing gives them.
    """
    if design.streamed:
        raise DesignError(
            "a streamed design takes its matrices from DRAM, which no link carries: compile "
            "without streamed=True, or run it with sf.verify or sf.simulate"
        )
    if design.plane_bits:
        raise DesignError(
            "its screen unit takes planes from a memory outside, which no link carries: compile "
            "without planes, or run it with sf.verify or sf.simulate"
        )
    return emit_verilog(
        design,
        folder,
        top=lambda d, i, h: LinkTop(d, i, CLOCK_HZ, int(CLOCK_HZ) // CLOCKS, h),
        name=LINK_MODULE,
    )


class SimulatedLine:
    """The UART of a simulated board; its clock runs only while a read waits.

    Parameters
    ----------
    files : VerilogFiles
        Of :func:`emit_link`.
    work : Path
        Folder for builds and runs, as for :func:`sim.run.verilog.run_bench`; one line at a time.
    simulator : {"verilator", "icarus"}
    timeout : float
        Seconds for the build, and after which the simulator is killed.

    Raises
    ------
    SimulationError
        If the simulator cannot be built or started.
    """

    def __init__(
        self,
        files: VerilogFiles,
        work: Path,
        *,
        simulator: str = SIMULATOR,
        timeout: float = TIMEOUT,
    ):
        self._error: Exception | None = None
        self._pending = bytearray()
        # a short path: those of sockets are limited
        self.kept = ExitStack()  # what goes with the line
        self._folder = self.kept.enter_context(temporary_folder("line"))
        address = str(self._folder / "line")
        self._listener = Listener(address, "AF_UNIX")
        self._connection: Connection | None = None
        self._started = False

        def prepare(run: Path) -> None:
            spec = {"address": address, "clocks": CLOCKS, "quiet": QUIET}
            (run / "link.json").write_text(json.dumps(spec, allow_nan=False))

        def simulate() -> None:
            try:
                run_bench(files, work, BENCH, prepare, str, simulator=simulator, timeout=timeout)
            except Exception as error:
                self._error = error
            finally:
                self._wake(address)

        self._thread = threading.Thread(target=simulate, daemon=True)
        self._thread.start()
        self._accept()

    def _accept(self) -> None:
        """Wait for the simulator, or for its end."""
        connection = self._listener.accept()
        self._started = True
        if connection.recv_bytes() != b"board":
            connection.close()
            self.close()
            raise SimulationError(f"the simulator did not start: {self._error}")
        self._connection = connection

    def _wake(self, address: str) -> None:
        """End the wait of :meth:`_accept`, if it still waits."""
        if not self._started:
            with Client(address) as client:
                client.send_bytes(b"ended")

    def write(self, data: bytes) -> None:
        """Keep bytes for the next read, in which time passes."""
        self._pending += data

    def read(self, timeout: float) -> bytes:
        """Send what was written, and run until a frame came back or nothing stirs.

        Parameters
        ----------
        timeout : float
            Not used: the simulated time without a sign of the board is limited instead.

        Raises
        ------
        SimulationError
            If the simulator has ended.
        """
        if self._connection is None:
            raise SimulationError("the simulation is closed: open it again")
        try:
            self._connection.send_bytes(bytes(self._pending))
            self._pending.clear()
            return self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            self.close()
            raise SimulationError(f"the simulator has ended: {self._error or error}") from error

    def close(self) -> None:
        """End the simulator."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._folder.exists():
            self._listener.close()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self.kept.close()
