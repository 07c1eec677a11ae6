"""What fits: estimates against counts of synthesis, order and limits."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.boards.bitstreams import CASES as BITSTREAMS
from bench.boards.fit import CASES, count
from bench.boards.gates import CASES as GATES
from bench.boards.reaches import REACHES, SEED, SIZES
from boards import resources as fit
from boards.board import BoardError, board, board_names
from boards.build.open_tools import tools_of
from boards.resources import LINK_BLOCKS, Usage, choice, choices, estimate, fastest
from boards.tools.synth import reading, run_yosys, synthesise_ecp5
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format import Model
from csb_format.random_models import random_model, random_network
from hdl.verilog import emit_verilog

# 153 -> 1024 on 64 x 16
LARGE = Design(64, 16, 2, 10, 640, 160, 64, 512, 1024, 6)


def model(hidden: int, value_bits: int = 16, act_bits: int = 16) -> Model:
    rng = np.random.default_rng(0)
    return random_model(rng, 12, hidden, 8, 1, 2, value_bits=value_bits, act_bits=act_bits)


@pytest.mark.synth
@pytest.mark.slow
@pytest.mark.parametrize(
    ("hidden", "pes", "lanes", "bits", "deep"),
    [(32, 4, 2, 16, False), (64, 8, 4, 16, True), (128, 16, 8, 16, True), (64, 8, 8, 8, False)],
)
def test_estimate_is_near_synthesis(
    tmp_path: Path, hidden: int, pes: int, lanes: int, bits: int, deep: bool
) -> None:
    given = model(hidden, bits, bits)
    design = design_for(given, pes, lanes, deep=deep)
    files = emit_verilog(design, tmp_path / "verilog", compile_model(given, design))
    found = synthesise_ecp5(files, flatten=False, timeout=600).usage
    use = estimate(design, board("ulx3s"), link=False)
    assert use.multipliers == pytest.approx(found["multipliers"], rel=0.1)
    assert use.block_rams == pytest.approx(found["block RAMs"], rel=0.1)
    assert use.luts == pytest.approx(found["LUT4 sites"], rel=0.2)


# hidden units, M, N, bits, deep, with the link; multipliers, block RAMs, LUT4 sites that
# Yosys 0.70 counted, each block synthesised once
COUNTED = [
    (32, 4, 2, 16, False, False, 16, 14, 7379),
    (64, 8, 4, 16, True, False, 40, 32, 12660),
    (64, 8, 8, 8, False, False, 67, 30, 10558),
    (128, 16, 8, 16, True, True, 144, 98, 38866),
]


@pytest.mark.parametrize("row", COUNTED, ids=str)
def test_estimate_is_near_what_synthesis_has_counted(row: tuple[int, ...]) -> None:
    hidden, pes, lanes, bits, deep, link, multipliers, blocks, luts = row
    design = design_for(model(hidden, bits, bits), pes, lanes, deep=bool(deep))
    use = estimate(design, board("ulx3s"), link=bool(link))
    assert use.multipliers == pytest.approx(multipliers, rel=0.1)
    assert use.block_rams == pytest.approx(blocks, rel=0.1)
    assert use.luts == pytest.approx(luts, rel=0.2)


RESULTS = Path(__file__).parents[2] / "bench" / "results"


def rows(name: str) -> list[Any]:
    """Of a file that a benchmark has written."""
    found: list[Any] = json.loads((RESULTS / name).read_text("utf-8"))["rows"]
    return [pytest.param(row, id=row["case"]) for row in found]


def hold(case: Any, counted: Usage) -> None:
    """The bounds that docs/boards.md promises, link included."""
    b = board(case.board)
    use = estimate(design_for(case.model(), case.pes, case.lanes, **b.options), b)
    assert use.multipliers == pytest.approx(counted.multipliers, rel=0.1)
    assert use.block_rams == pytest.approx(counted.block_rams, rel=0.1)
    assert use.luts == pytest.approx(counted.luts, rel=0.2)
    assert use.large_rams == counted.large_rams
    assert use.registers == pytest.approx(counted.registers, rel=0.1)
    if counted.distributed:  # those of ECP5 are not counted by themselves
        assert use.distributed == pytest.approx(counted.distributed, rel=0.1)


@pytest.mark.parametrize("row", rows("fit.json"))
def test_estimate_is_near_what_was_packed(row: dict[str, Any]) -> None:
    hold(CASES[row["case"]], Usage(**row["counted"]))


@pytest.mark.parametrize("row", rows("boards.json"))
def test_estimate_is_near_what_was_placed(row: dict[str, Any]) -> None:
    hold(
        BITSTREAMS[row["case"]],
        Usage(
            row["dsp"], row["ram"], row["lut"], row["spram"], row.get("distributed", 0), row["ff"]
        ),
    )


@pytest.mark.synth
@pytest.mark.slow
def test_compact_array_is_packed_as_was_counted(tmp_path: Path) -> None:
    name = "icebreaker 4x1 12-64 8/12 bits"
    (row,) = (p.values[0] for p in rows("fit.json") if p.id == name)
    found = count(CASES[name], tmp_path)
    hold(CASES[name], found)
    assert found.luts == pytest.approx(row["counted"]["luts"], rel=0.05)


def test_estimate_is_near_the_smallest_bitstream() -> None:
    small = random_model(np.random.default_rng(0), 4, 8, 1, 1, 1, value_bits=8, act_bits=8)
    use = estimate(design_for(small, 4, 1, deep=True), board("ecpix5"))
    # after place and route; interpolation between two points takes no multiplier
    assert (use.multipliers, use.block_rams) == (7, 7)
    assert use.luts == pytest.approx(7292, rel=0.2)


def test_choices_are_in_order_and_name_their_limit() -> None:
    given = model(32)
    found = choices(given, board("ecpix5"))
    fitting = [c for c in found if c.fits]
    assert fitting == found[: len(fitting)]
    assert [c.microseconds for c in fitting] == sorted(c.microseconds for c in fitting)
    for c in found:
        name, share = c.limit.rsplit(", ", 1)
        shares = c.usage.limits(board("ecpix5").has)
        assert max(shares, key=lambda n: shares[n]) == name
        assert (float(share.rstrip("%")) <= 100.5) == (c.fits or max(shares.values()) < 1.005)
    assert fastest(given, board("ecpix5")) == found[0]


@pytest.mark.parametrize("name", GATES)
def test_slots_of_one_gate_take_what_synthesis_has_counted(name: str) -> None:
    """Beside the padded array; flip-flops of the sums that PEs keep, choices of the lanes."""
    rows = json.loads((Path(__file__).parents[2] / "bench/results/gates.json").read_text("utf-8"))[
        "rows"
    ]
    padded, own = (row for row in rows if row["case"] == name)
    given = GATES[name].model(np.random.default_rng(0))
    arrays = (design_for(given, r["M"], r["N"], by_gate=r["by_gate"]) for r in (padded, own))
    before, after = (estimate(design, board("ecpix5")) for design in arrays)
    more = {n: own["all"][n] - padded["all"][n] for n in ("lut", "ff")}
    lane = abs(own["E"] - padded["E"]) * own["lane"]["lut"]  # whose estimate is another's
    assert after.luts - before.luts == pytest.approx(more["lut"], rel=0.2, abs=0.6 * lane)
    assert before.registers is not None
    assert after.registers is not None
    assert after.registers - before.registers == pytest.approx(more["ff"], rel=0.3)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_ranges_of_layers_take_what_synthesis_has_counted(cell: str) -> None:
    """Beside an array whose layers have one; and in the same cycles, as the record says."""
    path = Path(__file__).parents[2] / "bench/results/reaches.json"
    rows = [row for row in json.loads(path.read_text("utf-8"))["rows"] if row["cell"] == cell]
    one, two = (next(r for r in rows if r["reaches"] == n) for n in ("16", "16, 64"))
    rng, designs = np.random.default_rng(SEED), []
    for row in (one, two):
        given = random_network(rng, **SIZES, cell=cell, reach=REACHES[row["reaches"]])
        designs.append(design_for(given, row["M"], row["N"], units=1))
    before, after = (estimate(design, board("ecpix5")).luts for design in designs)
    more = two["lane"]["ecp5"]["lut"] - one["lane"]["ecp5"]["lut"]
    assert after - before == pytest.approx(more, rel=0.1)
    assert one["cycles"] == two["cycles"]


def test_slots_of_one_gate_where_a_model_asks_and_a_board_has_room() -> None:
    k = (4, 2, 13, 5), (2, 1, 5, 3)
    given = random_network(np.random.default_rng(0), 200, 200, 8, (*k, 1))
    found = choices(given, board("ulx3s"))
    assert found[0].design.by_gate
    assert found[0].fits
    arrays = {(c.design.pes, c.design.lanes, c.design.by_gate): c for c in found}
    for (pes, lanes, by_gate), c in arrays.items():
        if by_gate:
            assert c.fits != ((pes, lanes, False) in arrays)
        else:
            own = arrays[pes, lanes, True]
            assert c.cycles > own.cycles
            fewer, more = c.usage.registers, own.usage.registers
            assert fewer is not None
            assert more is not None
            assert fewer < more
    assert not any(c.design.by_gate for c in choices(given, board("icebreaker")))
    assert not any(c.design.by_gate for c in choices(model(32), board("ulx3s")))


def test_link_has_blocks_of_its_own() -> None:
    design = design_for(model(32), 4, 2)
    alone, linked = (estimate(design, board("ulx3s"), link=link) for link in (False, True))
    assert linked.block_rams - alone.block_rams == LINK_BLOCKS
    assert linked.luts > alone.luts


def test_model_that_no_array_of_a_board_holds() -> None:
    with pytest.raises(
        BoardError, match=r"the smallest, 4 x 1, takes \d{3}% of its block RAM; prune"
    ):
        fastest(model(128), board("icebreaker"))


def test_kind_of_model_that_no_array_of_a_board_runs() -> None:
    projected = random_network(np.random.default_rng(3), 6, 6, 2, (1, 1, 1), projection=4)
    for find in (lambda b: fastest(projected, b), lambda b: choice(projected, b, 4, 2)):
        with pytest.raises(
            BoardError, match=r"iCEBreaker are compact and run no projections: take"
        ):
            find(board("icebreaker"))
    assert fastest(projected, board("ulx3s")).fits
    assert choices(projected, board("icebreaker")) == []


def test_matrices_too_large_for_the_memories_of_a_single_port() -> None:
    rng, part = np.random.default_rng(0), board("icebreaker").has
    for k_hh, fits in ((8, True), (16, False)):
        dense = random_model(rng, 12, 128, 8, 1, k_hh, value_bits=8, act_bits=12)
        found = choice(dense, board("icebreaker"), 4, 2)
        usage = estimate(found.design, board("icebreaker"))
        assert (usage.large_rams, usage.limit(part)[1] <= 1) == (4 if fits else 8, fits)
        assert found.usage.large_rams == usage.large_rams
        assert fits or not found.fits  # learned look-up tables are near the device's either way
        assert found.usage.limits(part).get("large RAM", 1.0) == (1.0 if fits else 2.0)
    assert found.limit == "large RAM, 200%"


def test_small_memories_limit_a_device_whose_tiles_hold_few() -> None:
    tang = board("tang_primer_20k")
    for lanes, fits in ((4, True), (8, False)):
        found = choice(model(128), tang, 4, lanes)
        assert found.fits == fits
        assert found.limit.startswith("distributed RAM, ")
    assert fastest(model(128), tang).usage.distributed == 406  # as nextpnr counts


def test_narrow_products_share_a_multiplier() -> None:
    tang, ulx3s = board("tang_primer_20k"), board("ulx3s")
    narrow = design_for(model(32, 8, 8), 4, 4)
    wide = design_for(model(32, 8, 12), 4, 4)
    assert estimate(narrow, tang).multipliers == estimate(narrow, ulx3s).multipliers - 9
    # the five lines of the tables, 9 by 5 bits, are three
    assert estimate(wide, tang).multipliers == estimate(wide, ulx3s).multipliers - 2


# a lane alone, as the families' tools are told; multiplication in blocks, small ones of Gowin two
LANES = {
    "ulx3s": "synth_ecp5 -top sparseflow_lane -noflatten",
    "tang_primer_20k": "synth_gowin -top sparseflow_lane -family gw2a",
    "icebreaker": "synth_ice40 -device u -dsp -spram -top sparseflow_lane",
}


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize("act_bits", [6, 9, 10, 12])
@pytest.mark.parametrize("name", LANES)
def test_multipliers_of_a_lane_are_those_of_synthesis(
    name: str, act_bits: int, tmp_path: Path
) -> None:
    one = board(name)
    given = random_model(np.random.default_rng(0), 4, 8, 2, 1, 1, value_bits=4, act_bits=act_bits)
    design = design_for(given, 4, 1, **one.options)
    files = emit_verilog(design, tmp_path / "verilog", compile_model(given, design))
    for path in (tmp_path / "verilog").iterdir():
        path.rename(tmp_path / path.name)
    lane = "sparseflow_lane"
    done = [LANES[name], "flatten", "tee -q -o cells.txt stat -json"]
    run_yosys(tmp_path, [*reading(files.sources, lane), *done], 300)
    text = (tmp_path / "cells.txt").read_text("utf-8")
    cells = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
    kinds = tools_of(one).cells["dsp"] if one.family.name != "ice40" else {"SB_MAC16": 1}
    made = sum(cells.get(kind, 0) / share for kind, share in kinds.items())
    hard = [p for p in fit.products(design) if p.lane and p.hard(one.family.costs)]
    halves = sum(p.number for p in hard if one.has.halves and max(p.a, p.b) <= fit.NARROW)
    assert made == sum(p.number for p in hard) - halves / 2


@pytest.mark.parametrize(
    ("name", "act_bits", "taken"),
    [  # what Yosys 0.70 makes of the lane alone: lines of the tables are of few bits
        ("ulx3s", 8, 3), ("ulx3s", 9, 8), ("ulx3s", 12, 8),
        ("tang_primer_20k", 6, 2), ("tang_primer_20k", 9, 2), ("tang_primer_20k", 10, 3),
        ("tang_primer_20k", 12, 6),
        ("icebreaker", 8, 0), ("icebreaker", 9, 0), ("icebreaker", 10, 0), ("icebreaker", 12, 1),
    ],
)  # fmt: skip
def test_products_of_few_bits_take_no_multiplier(name: str, act_bits: int, taken: int) -> None:
    one = board(name)
    given = random_model(np.random.default_rng(0), 4, 8, 2, 1, 1, value_bits=8, act_bits=act_bits)
    array = 4 if one.has.halves is False or act_bits > 9 else 2
    assert estimate(design_for(given, 4, 1, **one.options), one).multipliers == array + taken


def test_boards_of_the_shipped_network_are_as_the_page_says() -> None:
    page = (RESULTS.parents[1] / "docs" / "boards.md").read_text("utf-8")
    (said,) = re.findall(r"`fit` says yes for ([^.]*), no for ([^.]*)\.", page)
    yes, no = (set(re.findall(r"`(\w+)`", names)) for names in said)
    shipped = BITSTREAMS["shakespeare_ecpix5"].model()
    made = [board(name) for name in board_names() if board(name).family.tools]
    fits = {b.name for b in made if any(c.fits for c in choices(shipped, b))}
    assert (yes, no) == (fits, {b.name for b in made} - fits)
    assert {"ecpix5", "ulx3s"} <= yes


def test_matrices_that_find_no_block_are_look_up_tables_of_an_amd_device() -> None:
    """KV260: an array of twice the multipliers, at half the cycles, from the same device."""
    kv260 = board("kv260")
    rng = np.random.default_rng(0)
    given = random_network(rng, 153, 512, 16, (2, 4, 1), value_bits=8, act_bits=8)
    first, *_ = choices(given, kv260)
    assert (first.design.multipliers, first.fits, first.design.parts) == (1024, True, True)
    assert first.design.spread == 22
    without = replace(first.design, spread=0)
    short = estimate(without, kv260).block_rams - kv260.has.block_rams
    assert 0 < short <= 6 * first.design.spread
    assert first.usage.block_rams <= kv260.has.block_rams
    at_512 = choice(given, kv260, 32, 16)
    assert (at_512.design.spread, at_512.fits) == (0, True)
    assert first.cycles < 0.55 * at_512.cycles
    # elsewhere nobody knows what such a memory costs
    assert choice(given, board("ulx3s"), 64, 16).design.spread == 0


# look-up tables of memories as Yosys 0.70 makes them for UltraScale+, of widths and depths
LUT_RAMS = [(16, 64, 24), (14, 64, 16), (7, 64, 8), (1, 64, 8), (16, 32, 16), (8, 64, 16)]


def test_look_up_tables_as_memories_are_counted_as_yosys_does() -> None:
    newer, older = board("kv260").family.costs.lut_ram, board("arty_a7").family.costs.lut_ram
    assert newer
    assert older
    for width, depth, luts in LUT_RAMS:
        assert newer.count(width, depth) == luts
    parts = replace(LARGE, parts=True)
    assert sum(newer.count(16, n) for n in parts.bank_parts) == newer.count(16, 160) == 64
    assert [newer.choice(16, depth) for depth in (64, 65, 160, 256, 257)] == [0, 16, 16, 16, 32]
    assert older.count(16, 160) == 4 * (6 + 6 + 3)


def test_an_unguarded_bank_takes_less_of_a_block_family() -> None:
    ulx3s = board("ulx3s")
    design = replace(LARGE, pes=16, lanes=8)
    guarded, bare = (estimate(replace(design, unguarded=on), ulx3s) for on in (False, True))
    assert bare.block_rams == guarded.block_rams
    assert guarded.luts - bare.luts == 2 * 16 * design.multipliers
    assert guarded.registers
    assert bare.registers
    assert bare.registers < guarded.registers


@pytest.mark.parametrize("name", ["ulx3s", "kv260"])
def test_banks_in_blocks_take_one_each_and_no_tables(name: str) -> None:
    """Where synthesis alone would make them of tables: 160 places of 8 bits."""
    narrow = replace(LARGE, value_bits=8, act_bits=8)
    tables, blocks = (
        estimate(replace(narrow, block_banks=on), board(name), link=False) for on in (False, True)
    )
    assert blocks.block_rams - tables.block_rams == narrow.multipliers
    assert blocks.luts < tables.luts - 16 * narrow.multipliers
