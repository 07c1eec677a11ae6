"""The accelerator: M PEs, E element-wise lanes, their memories and the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from csb_format.design import GATES, Design

from .controller import Controller
from .elementwise import ElementwiseLane
from .frames import FrameLoader
from .hierarchy import Hierarchy, Ram
from .latency import Latencies
from .layouts import (
    frame_layout,
    instruction_layout,
    output_layout,
    vector_write_layout,
)
from .loader import WORD, Loader, Space
from .pe import ProcessingElement
from .pipeline import delayed
from .sequencer import UnitSequencer

if TYPE_CHECKING:
    from .compiler import Image

__all__ = ["Core"]

PE_MODULE = "sparseflow_pe"
LANE_MODULE = "sparseflow_lane"


class Core(wiring.Component):
    """The whole accelerator behind three streams.

    Parameters
    ----------
    design : Design
    image : Image, optional
        Contents of the memories at start; without it they are loaded through ``load``.
    hierarchy : Hierarchy, optional
        How blocks and memories are placed; by default for Amaranth's simulator.

    Members
    -------
    frames : In, stream
        Input frames, :func:`~hdl.layouts.frame_layout`; two are buffered.
    states : Out, stream
        Hidden and cell states in processing order, :func:`~hdl.layouts.output_layout`. A
        step starts only when there is room for all of its output.
    load : In, stream of 32 bits
        Packets of :mod:`hdl.loader`, while no frame is under way.
    halted, fault : Out
        The program is at ``HALT``; an instruction (sticky until the next start) or a packet
        (sticky until reset) could not be understood.
    """

    frames: stream.Interface
    states: stream.Interface
    load: stream.Interface
    halted: Signal
    fault: Signal

    def __init__(
        self,
        design: Design,
        image: Image | None = None,
        hierarchy: Hierarchy | None = None,
    ):
        self.design, self.image = design, image
        self.hierarchy = hierarchy or Hierarchy()
        super().__init__(
            {
                "frames": In(stream.Signature(frame_layout(design))),
                "states": Out(stream.Signature(output_layout(design))),
                "load": In(stream.Signature(WORD)),
                "halted": Out(1),
                "fault": Out(1),
            }
        )

    @property
    def latencies(self) -> Latencies:
        """Cycles between its events."""
        return Latencies(self.design)

    def elaborate(self, platform: object) -> Module:
        """Wires between the blocks; the control is delayed to meet the data."""
        m = Module()
        m.submodules.loader = loader = Loader(self.design)
        m.submodules.controller = controller = Controller(self.design)
        m.submodules.frame_loader = frames = FrameLoader(self.design)
        m.submodules.sequencer = sequencer = UnitSequencer(self.design)
        wiring.connect(m, wiring.flipped(self.load), loader.words)
        wiring.connect(m, wiring.flipped(self.frames), frames.frames)
        m.d.comb += [
            self.halted.eq(controller.halted),
            self.fault.eq(controller.fault | loader.fault),
        ]
        self._control(m, loader, controller, frames, sequencer)
        write = Signal(vector_write_layout(self.design))
        results = self._elements(m, loader, controller, write)
        lanes = self._lanes(m, loader, sequencer, results)
        self._write_back(m, frames, sequencer, lanes, write)
        self._output(m, controller, sequencer, lanes)
        return m

    def _control(
        self,
        m: Module,
        loader: Loader,
        controller: Controller,
        frames: FrameLoader,
        sequencer: UnitSequencer,
    ) -> None:
        """Program memory, frame buffers, and the event that a slot is done."""
        program = self._ram(
            m, "program", Space.PROGRAM, 0, instruction_layout(self.design).size, loader
        )
        m.submodules.program = program
        m.d.comb += [
            program.read_addr.eq(controller.pc),
            controller.instruction.eq(program.read_data),
            controller.restart.eq(loader.start),
            controller.restart_pc.eq(loader.start_addr),
            frames.restart.eq(loader.start),
            frames.beats.eq(controller.frame_beats),
            frames.bases.eq(controller.frame_bases),
            frames.take.eq(controller.frame_take),
            controller.frame_ready.eq(frames.ready),
            controller.frame_first.eq(frames.first),
            # the last group reads its vector as late as its word leaves the memory
            frames.release.eq(delayed(m, controller.frame_release, Ram.latency, reset=True)),
        ]
        group = controller.group
        done = group.valid & group.last & ~group.park
        events = Cat(done, done & controller.slot_first, done & controller.slot_last)
        m.d.comb += [
            Cat(sequencer.slot_done, sequencer.first_slot, sequencer.last_slot).eq(
                delayed(m, events, self.latencies.row, reset=True)
            ),
            sequencer.update.eq(controller.update),
            controller.finishing.eq(sequencer.finishing),
        ]

    def _elements(
        self, m: Module, loader: Loader, controller: Controller, write: data.View
    ) -> list[Signal]:
        """M PEs with their matrix memories; their results."""
        group = delayed(m, controller.group, Ram.latency, reset=True)
        aligns = delayed(m, controller.aligns, Ram.latency)
        results = []
        for i in range(self.design.pes):
            matrix = self._ram(m, "matrix", Space.MATRIX, i, self.design.word_bits, loader)
            pe = self.hierarchy.place(PE_MODULE, lambda: ProcessingElement(self.design))
            m.submodules[f"matrix{i}"], m.submodules[f"pe{i}"] = matrix, pe
            m.d.comb += [
                matrix.read_addr.eq(controller.address),
                pe.word.eq(matrix.read_data),
                pe.group.eq(group),
                pe.group.align.eq(aligns[i % GATES]),
                pe.write.eq(write),
            ]
            results.append(pe.result)
        return results

    def _lanes(
        self,
        m: Module,
        loader: Loader,
        sequencer: UnitSequencer,
        results: list[Signal],
    ) -> list[wiring.Component]:
        """E element-wise lanes; lane e serves units e, e + E, ... of a slot."""
        lanes = []
        for e in range(self.design.units):
            bias = self._ram(m, "bias", Space.BIAS, e, self.design.bias_bits, loader)
            lane = self.hierarchy.place(LANE_MODULE, lambda: ElementwiseLane(self.design))
            m.submodules[f"bias{e}"], m.submodules[f"lane{e}"] = bias, lane
            m.d.comb += [
                bias.read_addr.eq(sequencer.unit.addr),
                lane.bias.eq(bias.read_data),
                lane.unit.eq(sequencer.unit),
            ]
            for i in range(self.design.units_per_slot):
                unit = GATES * (i * self.design.units + e)
                for gate in range(GATES):
                    m.d.comb += lane.sums[i][gate].eq(results[unit + gate])
            lanes.append(lane)
        return lanes

    def _write_back(
        self,
        m: Module,
        frames: FrameLoader,
        sequencer: UnitSequencer,
        lanes: list[wiring.Component],
        write: data.View,
    ) -> None:
        """The vectors' one write port: hidden state first, input frames in between."""
        design, home = self.design, sequencer.writeback
        m.d.comb += frames.blocked.eq(home.valid)
        m.d.sync += write.en.eq(0)
        with m.If(home.valid):
            m.d.sync += write.addr.eq(home.addr)
            for bank in range(design.lanes):
                turn, lane = divmod(bank, design.units)
                m.d.sync += [
                    write.en[bank].eq(home.turn == turn),
                    write.data[bank].eq(lanes[lane].hidden),
                ]
        with m.Elif(frames.write_en):
            m.d.sync += [
                write.en.eq(~0),
                write.addr.eq(frames.write_addr),
                write.data.eq(frames.write_data),
            ]

    def _output(
        self,
        m: Module,
        controller: Controller,
        sequencer: UnitSequencer,
        lanes: list[wiring.Component],
    ) -> None:
        """A buffer for the output, and the count of its places not yet promised."""
        layout, depth = output_layout(self.design), self.design.output_depth
        m.submodules.output = buffer = fifo.SyncFIFOBuffered(width=layout.size, depth=depth)
        beat = Signal(layout)
        for e, lane in enumerate(lanes):
            m.d.comb += [beat.hidden[e].eq(lane.hidden), beat.cell[e].eq(lane.cell)]
        m.d.comb += [
            beat.last.eq(sequencer.writeback.last),
            buffer.w_data.eq(beat),
            buffer.w_en.eq(sequencer.writeback.valid),
            self.states.payload.eq(buffer.r_data),
            self.states.valid.eq(buffer.r_rdy),
            buffer.r_en.eq(self.states.ready),
        ]
        room = Signal(range(depth + 1), init=depth)
        m.d.comb += controller.room.eq(room)
        taken = self.states.valid & self.states.ready
        m.d.sync += room.eq(room - controller.promise + taken)

    def _ram(
        self, m: Module, kind: str, space: Space, target: int, width: int, loader: Loader
    ) -> Ram:
        """A memory that the loader writes, with its image."""
        name = f"{kind}_{target:03d}" if space is not Space.PROGRAM else kind
        depths = {
            Space.MATRIX: self.design.matrix_depth,
            Space.BIAS: self.design.cells,
            Space.PROGRAM: self.design.program_depth,
        }
        init = self.image.memories[name] if self.image else ()
        ram = Ram(width, depths[space], hierarchy=self.hierarchy, image=f"{name}.mem", init=init)
        chosen = (loader.space == space) & (loader.target == target)
        m.d.comb += [
            ram.write_en.eq(loader.write_en & chosen),
            ram.write_addr.eq(loader.write_addr),
            ram.write_data.eq(loader.write_data),
        ]
        return ram
