"""One driver for every target: integer model, simulation with its UART, serial port, PYNQ."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from compiler.abi.dma import PAGE
from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.identity import counters_of, identity
from compiler.abi.registers import (
    LOAD_MAGIC,
    MAGIC,
    PACKET,
    REGISTERS,
    SCREEN_COUNTERS,
    VERSION,
    design_hash,
)
from compiler.abi.states import Emitted, cut_packets, frame_words, outcome_of
from compiler.abi.wire import sum_fields, sum_packing
from compiler.array.design import Design
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import IntArray, Model
from csb_format.arguments import shown
from csb_format.extras import needs
from csb_format.scales import DesignError
from csb_format.words import split_fields

from ..link.protocol import BAUD, BUS_BITS, DRAIN_WORDS, SETTLE_READS
from .bus import RETRIES, TIMEOUT, Bus, Keeps, LinkBus, Told, exchange, patience
from .counted import check_counter, read_counters
from .emulator import EmulatedLine
from .errors import (
    AcceleratorError,
    EndlessOutputError,
    LinkError,
    StuckError,
    UnsettledError,
    WrongModelError,
)
from .inputs import Given, integers_of
from .lines import SerialLine, port_and_baud
from .states import States, joined
from .stream import Stream

__all__ = ["Accelerator", "AcceleratorError", "States", "WrongModelError"]

FORMS = "model, sim, serial:PORT, serial:PORT?baud=RATE or pynq:FILE.bit"


class Accelerator:
    """A Sparseflow accelerator, wherever it is.

    Parameters
    ----------
    bus : Bus
    design : Design
        That of the bitstream.
    known : Told, optional
        Told of each image before it is loaded.

    Raises
    ------
    WrongModelError
        If the bitstream is of another design.
    AcceleratorError
        If there is no accelerator, or one of another register map.
    LinkError
        If the board cannot be reached.
    """

    def __init__(self, bus: Bus, design: Design, known: Told | None = None):
        self._bus, self.design, self._known = bus, design, known
        self.timeout = 10.0
        self._image: Image | None = None
        self._started: int | None = None
        self._kept: set[int] = set()
        self._torn = False
        self._commanded = False  # a command that nobody has waited for
        self._check()

    @classmethod
    def open(
        cls,
        target: str,
        design: Design,
        *,
        work: Path | None = None,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
    ) -> Accelerator:
        """Connect to a target.

        Parameters
        ----------
        target : str
            ``model``: integer model behind the link's protocol. ``sim``: Verilog of the
            board's top in Verilator, every bit of the UART. ``serial:PORT``, with
            ``?baud=RATE`` if it is not 1000000. ``pynq:FILE.bit``, on the Zynq itself.
        design : Design
            That of the bitstream.
        work : Path, optional
            For ``sim``: folder for the build, which is kept; a temporary one by default.
        timeout, retries
            As for :class:`~boards.host.bus.LinkBus`.

        Raises
        ------
        TypeError
            For an argument of another kind.
        ValueError
            For a target of another form, or a number out of range.
        """
        if not isinstance(target, str):
            raise TypeError(f"target = {shown(target)}: give {FORMS}, as text")
        patience(timeout, retries)  # before anything is built
        kind, _, rest = target.partition(":")
        if kind == "pynq" and rest:
            from .pynq import PynqBus

            return cls(PynqBus(rest), design)
        line: Any
        if target == "model":
            line = EmulatedLine(design)
        elif target == "sim":
            with needs("simulate"):
                from csb_format.files.folders import temporary_folder

                from ..link.simulation import SimulatedLine, emit_link

            with ExitStack() as stack:
                folder = stack.enter_context(temporary_folder("sim"))
                line = SimulatedLine(emit_link(design, folder / "verilog"), work or folder)
                line.kept.push(stack.pop_all())
        elif kind == "serial" and rest:
            line = SerialLine(*port_and_baud(rest, BAUD))
        else:
            raise ValueError(f"target {target!r}: give {FORMS}")
        return cls.on(line, design, timeout=timeout, retries=retries)

    @classmethod
    def on(
        cls, line: Any, design: Design, *, timeout: float = TIMEOUT, retries: int = RETRIES
    ) -> Accelerator:
        """Connect over a :class:`~boards.host.lines.Line`; it is closed if that fails."""
        try:
            bus = LinkBus(line, timeout=timeout, retries=retries)
            return cls(bus, design, line if isinstance(line, EmulatedLine) else None)
        except BaseException:
            line.close()
            raise

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the target back."""
        self._bus.close()

    def _check(self) -> None:
        """Whether it is the accelerator that was asked for."""
        if self.register("magic")["magic"] != MAGIC:
            raise AcceleratorError("no Sparseflow at the other end: check port and bitstream")
        found = self.register("version")
        if found["major"] != VERSION[0]:
            raise AcceleratorError(
                f"its registers are of version {found['major']}.{found['minor']}, this driver's "
                f"{VERSION[0]}.{VERSION[1]}: take both from the same release"
            )
        buses = self.register("buses")
        if set(buses.values()) != {BUS_BITS}:
            raise AcceleratorError(
                f"its streams have {buses['input_bits']} and {buses['output_bits']} bits, this "
                f"driver's {BUS_BITS}: build it with streams of {BUS_BITS} bits"
            )
        self._check_hash(self.design)

    def _check_hash(self, design: Design) -> None:
        """Whether a design is that of the bitstream."""
        found = self.register("design_hash")["hash"]
        if found != design_hash(design):
            array = self.register("array")
            expected = identity(design, BUS_BITS, BUS_BITS)["array"]
            raise WrongModelError(
                f"the bitstream has geometry hash 0x{found:08X} ({array['pes']} x "
                f"{array['lanes']}), wanted is 0x{design_hash(design):08X} "
                f"({expected['pes']} x {expected['lanes']}): compile the model for the design "
                "of this bitstream, or build one for the model"
            )

    def register(self, name: str) -> dict[str, int]:
        """Fields of a register.

        Raises
        ------
        AcceleratorError
            For a counter that the target has not: its register would read 0.
        """
        check_counter(name, self._counted)
        declared = REGISTERS[name]
        return declared.decode(self._bus.read(declared.address)[0])

    def write(self, name: str, **fields: int) -> None:
        """Write a register; fields not given are 0."""
        declared = REGISTERS[name]
        self._bus.write(declared.address, [declared.encode(**fields)])

    @property
    def _counted(self) -> tuple[str, ...]:
        """Counters that are there: the integer model has those of frames, if the design has."""
        return self._known.counted if self._known else counters_of(self.design)

    def counters(self) -> dict[str, int]:
        """All counters that the target has; asked for another, the result raises an error.

        The integer model counts frames only, a compact design not all.
        """
        return read_counters(self._bus, self._counted)

    def screened(self) -> dict[str, int]:
        """What the screen unit has read since the counters were cleared, for all results so far.

        Returns
        -------
        dict
            ``blocks`` of rows, rows with ``first`` planes, with ``second``, and ``exact`` ones;
            32 bits each, which go on from 0.

        Raises
        ------
        AcceleratorError
            Without such a unit, or for the integer model, which has none.
        """
        if self.design.screen is None or self._known is not None:
            what = "the integer model" if self._known else "this bitstream"
            raise AcceleratorError(f"{what} has no screen unit that counts: open one that has")
        return {n: self.register(f"screen_{n}")["count"] for n in SCREEN_COUNTERS}

    def clear_counters(self) -> None:
        """Set all counters to 0."""
        self.write("control", clear_counters=1)

    def load(
        self, model: Model | Image, *, head: bool = False, fill: Callable[[], None] | None = None
    ) -> None:
        """Load a model; what ran before is forgotten.

        Parameters
        ----------
        model : Model or Image
            Any that fits the bitstream's design.
        head : bool
            Whether its linear output layer runs on the array too.
        fill : callable, optional
            Fills the memories, where another than the register ``load`` does:
            :class:`boards.host.pynq.PlacedModels`.

        Raises
        ------
        WrongModelError
            If it does not fit, or the image is of another design.
        AcceleratorError
            If the accelerator does not take it.
        """
        image = model if isinstance(model, Image) else self._compiled(model, head)
        self._check_hash(image.design)
        if self._known is not None:
            self._known.know(image)
        self._image = None
        self.reset()
        if fill is None:
            self._bus.write(REGISTERS["load"].address, image.load_words())
            self._keep_planes(image)
        else:
            fill()
        self._image, self._started = image, None
        self._start(0)

    def _keep_planes(self, image: Image) -> None:
        """Planes that lie outside go into memory, and the accelerator is told where they are."""
        if not image.planes or self._known is not None:  # the integer model has none
            return
        if not isinstance(self._bus, Keeps):
            raise AcceleratorError(
                "its screen unit takes planes from a memory that this bus does not reach: open the "
                "accelerator where its memory is, or build it with planes on the chip"
            )
        self.point(self._bus.keep(image.planes))

    def point(self, planes: int) -> None:
        """Tell the screen unit where its planes lie in memory, between frames.

        Parameters
        ----------
        planes : int
            Address, a multiple of 4,096.

        Raises
        ------
        ValueError
            For another.
        """
        if planes % PAGE or planes < 0:
            raise ValueError(f"planes = {planes:#x}: must be a multiple of {PAGE}")
        self.write("planes_base", page=(planes & 0xFFFFFFFF) // PAGE)
        self.write("planes_base_high", high=planes >> 32)

    def _compiled(self, model: Model, head: bool) -> Image:
        try:
            return compile_model(model, self.design, head=head)
        except DesignError as error:
            raise WrongModelError(f"the model does not fit this bitstream: {error}") from error

    def command(self, words: Sequence[int], *, wait: bool = True) -> None:
        """Send load packets to a design that trains, and wait until they are carried out.

        They go to ``s_axis``, a word a cycle.

        Parameters
        ----------
        words : sequence of int
        wait : bool
            Without it, whatever comes next waits: the host works while the array does.

        Raises
        ------
        AcceleratorError
            If it reports an error, or is busy for longer than ``timeout`` seconds.
        """
        if not self.design.train:
            raise AcceleratorError("this bitstream does not train: build one that does")
        self._carried_out()
        if words:
            self._send_loads([PACKET.encode(magic=LOAD_MAGIC), *words])
            self._commanded = True
        if wait:
            self._carried_out()

    def _send_loads(self, packet: Sequence[int]) -> None:
        """A packet of load packets' words."""
        sent, deadline = 0, time.monotonic() + self.timeout
        while sent < len(packet):
            if taken := self._bus.send(packet[sent:], True):
                sent += taken
                deadline = time.monotonic() + self.timeout
            elif time.monotonic() > deadline:
                self._torn = True
                self._report()
                raise StuckError(f"no word was taken for {self.timeout:g} s: call reset()")

    def _carried_out(self) -> None:
        """Wait until the last command is."""
        if not self._commanded:
            return
        deadline = time.monotonic() + self.timeout
        while (status := self.register("status"))["settling"]:
            if time.monotonic() > deadline:
                raise StuckError(f"the learner is busy for {self.timeout:g} s: call reset()")
        self._commanded = False
        if status["error"]:
            self._report()

    def columns(self, words: Sequence[int], beats: int) -> IntArray:
        """Send load packets that start a product W^T d, and take what leaves.

        Returns
        -------
        int64 array (beats, sums of a beat)
            Exact sums, as many side by side as leave in a beat.

        Raises
        ------
        AcceleratorError
            If it reports an error, or gives nothing for ``timeout`` seconds.
        """
        if not self.design.backward:
            raise AcceleratorError("this bitstream does not train recurrent layers: build one")
        packing = sum_packing(self.design, BUS_BITS)
        size, got = packing.beats, list[int]()
        self.command(words, wait=False)
        deadline = time.monotonic() + self.timeout
        while len(got) < beats * size:
            if received := self._bus.receive(beats * size - len(got)).words:
                got += received
                deadline = time.monotonic() + self.timeout
            elif time.monotonic() > deadline:
                self._report()
                raise StuckError(f"no sum came for {self.timeout:g} s: call reset()")
        payloads = [packing.unpack(got[n : n + size]) for n in range(0, len(got), size)]
        (sums,) = sum_fields(self.design)
        return split_fields(payloads, [sums.width] * sums.count)

    def emitted(self, frames: IntArray) -> list[Emitted]:
        """All that leaves for a sequence (T, X) of integers, from a zero state, pass by pass.

        Of a design that trains recurrent layers that is what a step back needs.
        """
        image, found = self._loaded(), list[Emitted]()
        for part in range(len(image.parts)):
            now = self._run_part(part, frames, False, 0)
            if part + 1 < len(image.parts):
                frames = joined(now, image.model.directions).output
            found += now
        return found

    def reset(self) -> None:
        """Forget all frames under way; the loaded model stays, its states do not."""
        self._started, self._torn, self._commanded = None, False, False
        self.write("control", soft_reset=1, new_source=1)
        self._settle()
        self._drain()
        self._bus.write(REGISTERS["errors"].address, [0xFFFFFFFF])

    def _drain(self) -> None:
        """Throw away what ``m_axis`` still has."""
        words = 0
        while got := self._bus.receive(DRAIN_WORDS).words:
            words += len(got)
            if words >= DRAIN_WORDS:
                raise EndlessOutputError(
                    f"{words} words came after a reset and more follow: load another bitstream"
                )

    def _start(self, part: int) -> None:
        """Start one of the image's programs unless it runs."""
        image = self._loaded()
        if self._torn:
            self.reset()
        if self._started == part:
            return
        self._kept.clear()
        self.write("frame", beats=image.parts[part].frame_beats)
        self._bus.write(REGISTERS["load"].address, image.start_words(part))
        status = self._settle()
        if status["halted"] or status["fault"]:
            self._report()
            raise StuckError("the program does not run: load the model again")
        self._started = part

    def _settle(self) -> dict[str, int]:
        """Status once it tells of what was written."""
        for _ in range(SETTLE_READS):
            if not (status := self.register("status"))["settling"]:
                return status
        raise UnsettledError("status.settling does not clear: reset the board")

    def _report(self) -> None:
        """Raise what the accelerator reports, if anything."""
        found = [name for name, flag in self.register("errors").items() if flag]
        if found:
            texts = (f"{name}: {REGISTERS['errors'].field(name).text}" for name in found)
            raise AcceleratorError(f"{' '.join(texts)} Call reset() and run again")

    def run(
        self,
        frames: npt.ArrayLike,
        *,
        keep: bool = False,
        context: int = 0,
        given: Given | None = None,
    ) -> States:
        """Run a sequence through the loaded model.

        Parameters
        ----------
        frames : array (T, X)
            Integers in the first layer's input format, or floats: raw features, which the
            model's scale makes frames of, if it has one. ``States.given`` says which it was.
        keep : bool
            Go on from the state after the last call of this context, instead of zero.
        context : int
            Stream whose state is kept.
        given : {"integers", "raw", "scaled"}, optional
            What the frames are, where their type does not tell: raw features that are whole
            numbers, or floats that are scaled already, which are not scaled again.

        Returns
        -------
        States

        Raises
        ------
        ValueError
            For frames of another shape or outside the format, floats that the model has no
            scale for, or a state that is not kept.
        AcceleratorError
            If the accelerator reports an error, or gives nothing for ``timeout`` seconds.
        LinkError
            If the board cannot be reached. The state is unknown then: start a sequence
            afresh.
        """
        image = self._loaded()
        model = image.model
        inputs, kind = integers_of(model, frames, given)
        self._check_context(context)
        if keep and (model.directions == 2 or context not in self._kept):
            raise ValueError(
                "keep=True needs a state: run a sequence of this context before, with a "
                "model of one direction"
            )
        for part in range(len(image.parts)):
            emitted = self._run_part(part, inputs, keep, context)
            states = joined(emitted, model.directions)
            inputs = states.output
        return replace(states, given=kind)

    def run_together(
        self, sequences: Sequence[npt.ArrayLike], *, given: Given | None = None
    ) -> list[States]:
        """Run sequences side by side, a frame of each in turn: as many as there are contexts.

        The frames of one fill the cycles in which another waits for its state. In a batched
        design they share the words that are fetched: so many times the frames a second. A
        context that becomes free takes the next sequence. States that :meth:`run` has kept are
        gone.

        Parameters
        ----------
        sequences : sequence of arrays (T_i, X)
            Each from a zero state; as :meth:`run` takes them.
        given : {"integers", "raw", "scaled"}, optional
            What the frames are, as in :meth:`run`.

        Returns
        -------
        list of States
            Of each sequence; the bits that :meth:`run` gives for it alone.

        Raises
        ------
        ValueError, AcceleratorError, LinkError
            As :meth:`run`; without any sequence.
        """
        image = self._loaded()
        if not len(sequences):
            raise ValueError("no sequences: give at least one")
        model = image.model
        taken = [integers_of(model, one, given) for one in sequences]
        inputs = [frames for frames, _ in taken]
        contexts = min(len(inputs), self.design.contexts)
        for part in range(len(image.parts)):
            made = Stimulus.of(image, inputs, part, contexts=contexts)
            emitted = self._carry(made)
            found = [
                joined([one.only(made.sequence == n) for one in emitted], model.directions)
                for n in range(len(inputs))
            ]
            inputs = [states.output for states in found]
        self._kept.clear()  # they belong to sequences that have ended
        return [replace(s, given=kind) for s, (_, kind) in zip(found, taken, strict=True)]

    def stream(self, context: int = 0) -> Stream:
        """A sequence whose frames are not all there yet: a frame in, a result out.

        Parameters
        ----------
        context : int
            Whose state is kept: streams of different contexts go on side by side.

        Returns
        -------
        Stream

        Raises
        ------
        AcceleratorError
            If no model is loaded.
        ValueError
            For a model of two directions, or a context that the bitstream has not.
        """
        image = self._loaded()
        self._check_context(context)
        return Stream(partial(self.run, context=context), image.model)

    def _loaded(self) -> Image:
        if self._image is None:
            raise AcceleratorError("no model is loaded: call load() first")
        return self._image

    def _check_context(self, context: int) -> None:
        if not 0 <= context < self.design.contexts:
            raise ValueError(f"context {context}: the bitstream keeps {self.design.contexts}")

    def _run_part(self, part: int, frames: IntArray, keep: bool, context: int) -> list[Emitted]:
        """One program on all frames."""
        made = Stimulus.of(self._loaded(), [frames], part)
        step, whose = made.step + keep, np.full_like(made.context, context)
        self._kept.discard(context)
        emitted = self._carry(replace(made, step=step, context=whose))
        self._kept.add(context)
        return emitted

    def _carry(self, stimulus: Stimulus) -> list[Emitted]:
        """Send all frames, and what left for them."""
        image, part = stimulus.image, stimulus.part
        self._carried_out()
        self._start(part)
        size = frame_words(self.design, image.parts[part], BUS_BITS)
        packets = frame_packets(stimulus, BUS_BITS)
        try:
            expected = size * len(stimulus.frames)
            words = exchange(self._bus, packets, expected, self.timeout, self._report)
        except (AcceleratorError, LinkError):
            self._torn = True  # what is left under way belongs to nobody
            raise
        outcome = outcome_of(image, cut_packets(image, words, BUS_BITS, part), BUS_BITS, part)
        return outcome.emitted(image, part)
