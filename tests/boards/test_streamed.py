"""Streamed designs that `fit` proposes: cycles, bytes, cells against what is run and counted."""

from __future__ import annotations

import pytest

from boards.board import board
from boards.cells.structure import estimate
from boards.streamed.cells import port
from boards.streamed.choices import outside
from compiler.array.needs import design_for
from csb_format.shape import ModelShape, uniform_shape
from hdl.dram.reader import ReadBus
from sim.dram.pace import pace_of

BOARD = board("kv260")
SMALL = uniform_shape(64, 256, (4, 4), (4, 16))
TIMIT = uniform_shape(153, 1024, (16,) * 3, (1, 4, 8), projection=512)


@pytest.mark.parametrize(
    ("shape", "streams"), [(SMALL, 4), pytest.param(TIMIT, 8, marks=pytest.mark.slow)]
)
def test_streams_share_the_bytes_and_the_floor_is_theirs(shape: ModelShape, streams: int) -> None:
    found = outside(shape, BOARD, streams)
    assert not found.notes
    assert [one.streams for one in found.choices] == [1, streams]
    for one in found.choices:
        assert one.fits
        assert one.bytes == one.floor * 128 // 8
        groups = len(pace_of(one.plan).holds)
        assert one.floor == -(-groups * one.design.pes * one.design.word_bits // 128)
        assert one.bound <= one.cycles <= 1.05 * one.floor
        assert one.frames_a_second == one.streams * 1e8 / one.cycles
        options = {n: v for n, v in one.options.items() if n not in ("top", "bus_bits")}
        assert design_for(shape, **options) == one.design
    if shape is TIMIT:  # what Verilator takes on 64 x 16: bench/results/batched.json
        assert (found.choices[1].design.lanes, found.choices[1].cycles) == (16, 67584)


def test_what_is_not_offered_is_said() -> None:
    none = outside(SMALL, board("ulx3s"))
    assert not none.choices
    assert "ULX3S-85F: its design has none of the ports to memory outside" in none.notes[0]
    many = outside(SMALL, BOARD, 65)
    assert [one.streams for one in many.choices] == [1]
    assert many.notes == ("--contexts 65: at most 64 streams share a word.",)
    gru = outside(uniform_shape(64, 64, (4, 4), (4, 4), cell="gru"), BOARD, 2)
    assert [one.streams for one in gru.choices] == [1]
    assert "not for " in gru.notes[0]


# M, N, bits of weights and activations, streams, whether it is the port alone; bits of the bus;
# look-up tables, registers, block RAMs of 18 kbit: Yosys 0.70 for xcup, 32 -> 128 in 8 banks
COUNTED = [
    (4, 2, 16, 1, True, 128, 1301, 1034, 4),
    (8, 4, 16, 1, True, 128, 1818, 1035, 4),
    (16, 8, 16, 1, True, 128, 2117, 1033, 4),
    (4, 2, 16, 1, True, 64, 933, 721, 2),
    (8, 4, 8, 1, True, 64, 985, 720, 2),
    (4, 2, 16, 1, False, 128, 6301, 6943, 7),
    (4, 2, 16, 4, False, 128, 7607, 7061, 17),
    (8, 4, 8, 4, False, 64, 7620, 7006, 12),
]


@pytest.mark.parametrize("row", COUNTED, ids=str)
def test_cells_are_near_what_synthesis_has_counted(row: tuple[int, ...]) -> None:
    pes, lanes, bits, streams, alone, width, luts, registers, blocks = row
    network = uniform_shape(32, 128, (8, 8), (1, 4), value_bits=bits, act_bits=bits)
    design = design_for(
        network, pes, lanes, streamed=True, contexts=streams, batched=streams > 1, deep=True,
        parts=True,
    )  # fmt: skip
    use = port(design, BOARD, ReadBus(width))
    if alone:
        assert use.luts == pytest.approx(luts, rel=0.1)
        assert use.registers == pytest.approx(registers, rel=0.1)
        assert use.block_rams == blocks
        return
    core = estimate(design, BOARD, link=False)
    assert core.luts + use.luts == pytest.approx(luts, rel=0.2)
    assert core.block_rams + use.block_rams >= blocks  # small ones that Yosys makes of logic
