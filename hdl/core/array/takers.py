"""Who takes the sums of the PEs: element-wise lanes and projectors, each with a sequencer."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, ResetInserter, Signal, Value
from amaranth.lib import wiring

from compiler.array.latency import Latencies
from compiler.array.program import Sink
from compiler.lower.load import Space

from ..controller import Controller
from ..lanes import lane_for
from ..lanes.projector import Projector
from ..layouts import reach_fields, states_layout, turn_fields
from ..pipeline import carried, delayed
from ..sequencer import Sequencer
from .memories import Memories

__all__ = ["LANE_MODULE", "PROJECTOR_MODULE", "lanes", "projectors", "sequencer", "states_beat"]

LANE_MODULE = "sparseflow_lane"
PROJECTOR_MODULE = "sparseflow_projector"


def sequencer(m: Module, memories: Memories, controller: Controller, sink: Sink) -> Sequencer:
    """The sequencer of the lanes or of the projectors, told when a slot is done."""
    design, clear = memories.design, memories.clear
    latencies = Latencies(design)
    count = {Sink.UNITS: design.units, Sink.PROJECT: design.projectors}[sink]
    collects = design.collects and sink == Sink.UNITS
    beats, lane = latencies.beats(sink), latencies.lane(sink)
    plain = Sequencer(design, count, beats, lane, collects=collects)
    sequencer: Sequencer = ResetInserter(clear)(plain)
    m.submodules[f"{sink.name.lower()}_sequencer"] = sequencer
    group = controller.group
    done = group.valid & group.last & (controller.sink == sink)
    if collects:
        done &= group.ready
    cycles, period = latencies.row - 1, design.lane_period
    slot_done = delayed(m, done, cycles, reset=True, clear=clear)
    if period == 1:
        first, update = (delayed(m, v, cycles) for v in (controller.slot_first, controller.update))
    else:  # slots are so far apart that one register is enough
        first, update = (
            carried(m, done, v, cycles, max(cycles, period))
            for v in (controller.slot_first, controller.update)
        )
    m.d.comb += [
        sequencer.slot_done.eq(slot_done),
        sequencer.first_slot.eq(first),
        sequencer.update.eq(update),
    ]
    return sequencer


def lanes(
    m: Module,
    memories: Memories,
    sequencer: Sequencer,
    results: list[Signal],
    beside: list[Signal],
) -> list[wiring.Component]:
    """E element-wise lanes; lane e serves units e, e + E, ... of a slot."""
    design, loader = memories.design, memories.loader
    made, words = [], list[Value]()
    now, compact = sequencer.now, design.compact
    for e in range(design.units):
        bias = memories.ram("bias", Space.BIAS, e)
        lane = memories.hierarchy.place(LANE_MODULE, lambda: lane_for(design), memories.clear)
        m.submodules[f"bias{e}"], m.submodules[f"lane{e}"] = bias, lane
        if compact:
            m.d.comb += lane.place.eq(sequencer.bias)
        if design.checked:
            memories.used(bias.read_data, memories.dealt(sequencer))
        words.append(bias.read_data)
        place = memories.shared(lane.bias_addr if compact else sequencer.bias, Space.BIAS)
        m.d.comb += [
            bias.read_addr.eq(place),
            lane.bias.eq(memories.bare(bias.read_data)),
            lane.unit.valid.eq(sequencer.deal),
            lane.unit.zero.eq(now.zero),
            lane.unit.select.eq(sequencer.select),
            lane.unit.cell.eq(sequencer.cell),
            lane.unit.shift.eq(now.shift),
            lane.load.en.eq(loader.write_en & (loader.space == Space.CELL) & (loader.target == e)),
            lane.load.addr.eq(loader.write_addr),
            lane.load.data.eq(loader.write_data),
        ]
        abreast = design.abreast
        for i in range(design.units_per_slot):
            unit = abreast * (i * design.units + e)
            taken = lane.sums if compact else lane.sums[i]
            found = results[unit : unit + abreast] + beside[unit : unit + abreast]
            m.d.comb += [one.eq(result) for one, result in zip(taken, found, strict=True)]
        for name in turn_fields(design) | reach_fields(design):
            m.d.comb += lane.unit[name].eq(now[name])
        if design.collects:
            m.d.comb += lane.unit.places.eq(sequencer.places)
        made.append(lane)
    memories.walks_with(Space.BIAS, ~sequencer.deal, Cat(words))
    return made


def projectors(
    m: Module, memories: Memories, sequencer: Sequencer, results: list[Signal]
) -> list[wiring.Component]:
    """Q projectors; projector q serves results q, q + Q, ... of a slot."""
    design, made, words = memories.design, [], list[Value]()
    for q in range(design.projectors):
        lane = memories.hierarchy.place(PROJECTOR_MODULE, lambda: Projector(design))
        m.submodules[f"projector{q}"] = lane
        m.d.comb += [
            lane.select.eq(sequencer.select),
            lane.shift.eq(sequencer.now.shift[0]),
            lane.linear.eq(~sequencer.now.write),
        ]
        biased: Value = lane.linear
        if design.rectified:
            m.d.comb += lane.rectify.eq(sequencer.now.rectify)
            biased = lane.linear | lane.rectify
        if design.linear:
            m.submodules[f"linear{q}"] = bias = memories.ram("linear", Space.LINEAR, q)
            words.append(bias.read_data)
            m.d.comb += [
                bias.read_addr.eq(memories.shared(sequencer.bias, Space.LINEAR)),
                lane.bias.eq(memories.bare(bias.read_data)),
            ]
            if design.row_shift:
                m.d.comb += lane.places.eq(bias.read_data[design.acc_bits :])
            if design.checked:
                memories.used(bias.read_data, memories.dealt(sequencer) & biased)
        for i in range(design.results_per_slot):
            pe = i * design.projectors + q
            # a row without gates is where that of its PE would be
            own = pe % design.abreast
            m.d.comb += lane.sums[i].eq(results[pe][own] if design.collects else results[pe])
        made.append(lane)
    if design.linear:
        memories.walks_with(Space.LINEAR, ~sequencer.deal, Cat(words))
    return made


def states_beat(m: Module, memories: Memories, lanes: list[wiring.Component]) -> Value:
    """What the lanes emit in a cycle, :func:`~hdl.core.layouts.states_layout`."""
    beat = Signal(states_layout(memories.design))
    for e, lane in enumerate(lanes):
        m.d.comb += [beat.hidden[e].eq(lane.hidden), beat.cell[e].eq(lane.cell)]
        if memories.design.backward:
            names = memories.design.arithmetic.taped
            m.d.comb += [beat[name][e].eq(lane.taped[name]) for name in names]
    return beat.as_value()
