"""What the guides on schedule, streaming, boards and quantisation say of measurements."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from boards.board import board, board_names
from boards.memories import Memory
from boards.resources import choices, estimate
from compiler.array.latency import Latencies
from compiler.array.needs import design_for
from compiler.array.program import Sink
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from csb_format.cells.piecewise import Piecewise
from csb_format.fixed import Fixed
from hdl.dram.reader import ReadBus

from ..array.dram import TIMIT, Shape
from ..array.lone import ARRAYS, lone_table
from ..array.shapes import SHAPES, cliffs_table
from ..array.utilisation import PTB_GATES, SEED, WORKLOADS
from ..boards.bitstreams import CASES as PLACED
from ..boards.fit import CASES as PACKED
from ..boards.fit import NAMES
from .page import Page
from .results import ROOT, bitstreams, case, record, table

__all__ = ["GUIDES"]


def _streams() -> str:
    heads = "array|bits a weight|bytes a frame|bus|floor, bus|floor, groups|cycles|bus busy"
    heads += "|MACs a cycle|dense-equivalent|multipliers busy"
    lines = [heads.split("|")]
    for row in record("dram")["rows"]:
        lines.append([
            f"{row['M']} x {row['N']}",
            str(row["bits_per_weight"]),
            f"{row['bytes']:,}",
            str(row["bus_bits"]),
            *(f"{row[name]:,}" for name in ("floor_bus", "floor_groups", "rtl_cycles")),
            f"{100 * row['bus_utilisation']:.2f} %",
            f"{row['macs_per_cycle']:.2f}",
            f"{row['dense_macs_per_cycle']:.1f}",
            f"{100 * row['utilisation']:.2f} %",
        ])  # fmt: skip
    return table(lines)


def _batched() -> str:
    heads = "streams|bus|floor, bus|array|cycles a batch|frames a second|MACs a cycle"
    lines = [f"{heads}|multipliers busy".split("|")]
    for row in record("batched")["rows"]:
        lines.append([
            str(row["streams"]),
            str(row["bus_bits"]),
            *(f"{row[name]:,}" for name in ("floor_bus", "array_cycles", "rtl_cycles")),
            f"{row['frames_a_second']:,.0f}",
            f"{row['macs_per_cycle']:.2f}",
            f"{100 * row['utilisation']:.2f} %",
        ])  # fmt: skip
    return table(lines)


def _batched_area() -> str:
    lines = [["", "places of a bank", "LUT", "FF", "block RAM of 18 kbit, all"]]
    for streams, case_name in (("1 stream", "streamed"), ("8 streams", "8 streams")):
        for family, title in (("ecp5", "ECP5"), ("xcup", "UltraScale+")):
            row = case("area", case=f"64x16 16 bits, {case_name} {family}")
            each = (f"{row[f'{kind}_per_multiplier']:.1f}" for kind in ("lut", "ff"))
            places = f"{row['vector_depth']:,}"
            lines.append([f"{streams}, {title}", places, *each, f"{row['block_ram']:,}"])
    return table(lines)


def _streaming() -> Page:
    widest, second = (case("dram", M=4, bus_bits=bits) for bits in (512, 256))
    bus, low = ReadBus(), record("dram")["latency"]
    fed = 512 // case("dram", M=64, bus_bits=512)["bits_per_weight"]
    one, wide = (case("batched", streams=1, bus_bits=bits) for bits in (128, 512))
    eight = case("batched", streams=8, bus_bits=512)
    groups = case("dram", M=64, bus_bits=512)["floor_groups"]
    pause, next_pause = (row["rtl_cycles"] // groups for row in (one, wide))
    array = one["M"] * one["N"]
    deep = case("area", case="64x16 16 bits, 8 streams xcup")["block_ram"]
    return Page(
        ROOT / "docs/streaming.md",
        (_streams(), _batched(), _batched_area()),
        (
            f"({bus.data_bits} bits, {bus.burst_beats} beats, {bus.outstanding} bursts, "
            f"{bus.fifo_beats} beats) covers {bus.covered_latency} cycles",
            f"{Shape('', 64, 16, TIMIT).nonzeros:,} nonzeros, memory latency random in {low[0]} to "
            f"{low[1]} cycles, {widest['bus']['fifo_beats']} beats of prefetch, the array pausing "
            f"{record('dram')['pause']} cycles before each",
            f"at 512 bits {fed} of them",
            f"({widest['floor_groups']:,} groups and "
            f"{widest['array_cycles'] - widest['floor_groups']} cycles of pauses)",
            f"The {second['rtl_cycles'] - second['floor_bus']} cycles lost at 256 bits",
            f"Of {array:,} multipliers at 128 bits",
            f"wait for words {pause - 1} of {pause} cycles would wait as long with {8 * array:,} "
            "multipliers",
            f"a word every {pause} cycles at 64 x 16 and 128 bits, {next_pause} at 512",
            f"up to B of about {8 * wide['rtl_cycles'] // eight['array_cycles']} even at 512 bits",
            f"and {deep:,} block RAMs of 18 kbit",
        ),
        (
            "16 groups of 1.5 beats",
            "16.8 bits a weight",
            "10.5",
            "153 -> 1,024",
        ),
    )


def _quantised() -> str:
    ways = "more float epochs, then quantised|fine-tuned in these bits"
    lines = [["network", "bits w/a", "float", "after training", *ways.split("|")]]
    for row in record("quantisation")["summary"]:
        bits = f"{row['value_bits']}/{row['act_bits']}" + ", per gate" * row["per_gate"]
        cells = (f"{row[n]:.2%} ({row[f'{n}_loss']:.3f})" for n in ("after", "float", "aware"))
        lines.append([row["network"], bits, f"{row['pruned']:.2%}", *cells])
    return table(lines)


def _reaches() -> str:
    heads = "lanes of|ranges of its layers|LUT of a lane|more|LUT, Xilinx 7|LUT of the core|more"
    lines, one = [heads.split("|")], dict[str, tuple[int, int]]()
    for row in record("reaches")["rows"]:
        lane, core = row["lane"]["ecp5"]["lut"], row["core"]["ecp5"]["lut"]
        least = one.setdefault(row["cell"], (lane, core))
        more = (f"{found / of - 1:.1%}" for found, of in zip((lane, core), least, strict=True))
        of_lane, of_core = more
        counts = [f"{lane:,}", of_lane, f"{row['lane']['xc7']['lut']:,}", f"{core:,}", of_core]
        lines.append([row["cell"].upper(), row["reaches"], *counts])
    return table(lines)


def _quantisation() -> Page:
    found, utterances = record("quantisation"), record("icarus")["rows"][0]["utterances"]
    differ = sum(row["different_bits"] for row in found["rows"])
    demo, small = (
        next(row for row in found["summary"] if row["network"] == name and row["value_bits"] == 4)
        for name in ("demo, 128 units", "small, 16 units")
    )
    loses, less = (100 * (small["further"] - small[way]) for way in ("float", "aware"))
    one = 100 / utterances
    return Page(
        ROOT / "docs/quantisation.md",
        (_quantised(), _reaches()),
        (
            f"on the {utterances} test utterances of JapaneseVowels, means of three seeds, "
            f"{found['epochs']} epochs of further fine-tuning",
            f"One utterance is {one:.2f} %, {one / len(found['seed']):.2f} % of a mean",
            f"fine-tuning in them gains nothing: {100 * demo['aware']:.2f} % against "
            f"{100 * demo['after']:.2f} %",
            f"in float, loses {loses:.1f} % when it is quantised to 4 bits; fine-tuned in 4 bits "
            f"it loses {less:.1f} %",
            "no output of the integer model differs from the fine-tuning forward in any row"
            if differ == 0
            else f"{differ} outputs of the integer model differ",
        ),
    )


def _off() -> dict[str, float]:
    """By how much estimates miss what was counted, at most, by kind of cell."""
    rows = [(PACKED[row["case"]], row["counted"]) for row in record("fit")["rows"]]
    for row in record("boards")["rows"]:
        rows.append((PLACED[row["case"]], {name: row.get(ours, 0) for name, ours in NAMES.items()}))
    off = dict.fromkeys(NAMES, 0.0)
    for built, counted in rows:
        use = estimate(built.design(built.model()), board(built.board))
        for name in (name for name in NAMES if counted.get(name)):
            off[name] = max(off[name], abs(getattr(use, name) / counted[name] - 1))
    return off


def _shipped() -> str:
    """Bitstreams of the network in ``examples``."""
    heads = "board|M x N|LUT|registers|block RAM|multipliers|seed, placer|reaches|a step"
    lines = [[*heads.split("|"), "CPU, wall time"]]
    for row in bitstreams("shakespeare"):
        about, guess = board(row["board"]), row["estimated"]
        lines.append([
            about.title,
            f"{row['M']} x {row['N']}",
            *(f"{guess[kind]:,} / {row[kind]:,}" for kind in ("lut", "ff", "ram", "dsp")),
            f"{row['seed']}, {row['placer']}",
            f"{row['fmax_mhz']:.1f} of {row['clock_mhz']:g} MHz",
            f"{row['step_us']:.1f} us",
            f"{row['cpu_seconds'] / 60:.0f}, {row['seconds'] / 60:.0f} min",
        ])  # fmt: skip
    return table(lines)


def _where_it_fits() -> str:
    """Boards with open tools, by whether ``fit`` has an array of them for the shipped network."""
    model, fits = PLACED["shakespeare_ecpix5"].model(), dict[bool, list[str]]({True: [], False: []})
    for name in board_names():
        if board(name).family.tools:
            fits[any(c.fits for c in choices(model, board(name)))].append(f"`{name}`")
    yes, no = (", ".join(names[:-1]) + f" and {names[-1]}" for names in (fits[True], fits[False]))
    return f"`fit` says yes for {yes}, no for {no}"


# look-up tables, multipliers and blocks of 18 kbit of a VU9P: the vendor's product table
VU9P = {"look-up tables": 1_182_240, "multipliers": 6840, "blocks": 4320}


def _costs() -> str:
    heads = "array|bits|family|banks|places|LUT|LUT with lanes|FF|blocks|DSP"
    lines = [heads.split("|")]
    for row in (row for row in record("area")["rows"] if "stream" not in row["case"]):
        lines.append([
            f"{row['M']} x {row['N']}",
            str(row["value_bits"]),
            {"xcup": "UltraScale+", "ecp5": "ECP5"}[row["family"]],
            row["banks"].replace("block_banks", "blocks").replace(" ", ", "),
            str(row["vector_depth"]),
            *(f"{row[name]:.1f}" for name in ("lut_per_multiplier", "with_lanes")),
            f"{row['ff_per_multiplier']:.1f}",
            *(f"{row[name]:,}" for name in ("block_ram", "dsp")),
        ])  # fmt: skip
    return table(lines)


def _large() -> str:
    """256 x 16, a lane for as many PEs as 64 x 16 has, on a device that is large enough."""
    row = case("area", M=64, value_bits=16, banks="parts", vector_depth=160)
    matrix = Memory(row["N"] * (16 + 6), 640 // 4)
    taken = {
        "look-up tables": row["with_lanes"] * 4 * row["M"] * row["N"],
        "multipliers": 4 * row["dsp"],
        "blocks": 4 * row["M"] * matrix.blocks(board("kv260").has),
    }
    luts, dsp, blocks = (100 * taken[name] / VU9P[name] for name in VU9P)
    return (
        f"256 x 16 in parts take {luts:.0f} % of the look-up tables of a VU9P by these counts, "
        f"{dsp:.0f} % of its multipliers, and matrices {blocks:.0f} % of its blocks"
    )


def _boards() -> Page:
    off, reached = _off(), {row["case"]: row["fmax_mhz"] for row in record("boards")["rows"]}
    count = len(record("fit")["rows"]) + len(record("boards")["rows"])
    die = board("ulx3s_12f").has
    exact = f"{100 * off['multipliers']:.0f} %" if off["multipliers"] else "exact"
    return Page(
        ROOT / "docs/boards.md",
        (_shipped(), _costs()),
        (
            f"On the {count} bitstreams and tops of `bench/results` block RAM is at most "
            f"{100 * off['block_rams']:.0f} % off, LUT {100 * off['luts']:.0f} %, "
            f"registers {100 * off['registers']:.0f} %, multipliers {exact}",
            f"The ULX3S reaches {reached['shakespeare_ulx3s']:.1f} MHz with the shipped network",
            f"of its {die.luts:,} look-up tables and 32 of its {die.block_rams} block RAMs",
            _where_it_fits(),
            _large(),
        ),
        (
            "more than 16,384 words a PE",
            "64 x 16, 67,584",  # held by tests/boards/test_streamed.py, as are these
            "within 6 % of each",
            "10 % fewer than Yosys counts, with four 3 % fewer",
            "at 8 bits with four 1 % more",
            "62 to 81 % too many, block RAMs 21, 22 and 19 instead of 7, 17 and 12",
            "within 10 %, LUT within 20 %",
            "Yosys 0.70",
            "vouches for 12,000",
            "62 MHz by the estimate behind placement",  # routed by hand, as are these
            "125 MHz asked for",
            "110.8 MHz",
            "93.5 MHz",
            "107.1 MHz",
            "9.3 ns, 7.7 of them wire",
            "nextpnr 0.11.1 does not",
            "apycula is 0.32",
            "0.35 does not install",
        ),
    )


@lru_cache
def _image(name: str) -> Image:
    (row,) = (row for row in WORKLOADS if row.name == name)
    model = row.model(np.random.default_rng(SEED))
    return compile_model(model, design_for(model, row.pes, row.lanes, **row.options))


def _passes(name: str) -> list[tuple[int, int]]:
    """Slots and cycles of products of all passes of a frame, in their order."""
    passes = (found.instruction for found in _image(name).parts[0].passes)
    return [(one.slots, one.slots * one.groups) for one in passes]


def _schedule() -> Page:
    finish, first, project, second = _passes("timit-64x16")
    wide, next_input, last = _passes("timit-256x16")
    layers = _passes("ptb-small-32x16")
    rows = {row["workload"]: row for row in record("utilisation")["rows"]}
    slow = rows["timit-256x16"]
    waits = slow["rtl_cycles"] - slow["floor"]
    late = Latencies(_image("timit-64x16").design)
    lone = [row["simulated"] for row in record("lone")["rows"]]
    shapes = (row for row in record("utilisation")["shapes"] if row["M"] == 256)
    faster = sum(row["shallow"]["cycles"] < row["cycles"]["1"] for row in shapes)
    pairs = record("utilisation")["pairs"]
    return Page(
        ROOT / "docs/schedule.md",
        (cliffs_table(record("utilisation")["shapes"]), _lone()),
        (
            f"Of {pairs['count']:,} pairs of arrays side by side ({len(SHAPES)} shapes,",
            f"the larger is slower in {len(pairs['slower'])}, by",
            f"h (and c), E of a beat | row + {late.lane(Sink.UNITS)} |",
            f"exact logits, Q of a beat | row + {late.lane(Sink.PROJECT)} |",
            f"multiplier, tree and accumulator: {late.row} cycles at 16 lanes",
            f"finish ({finish[1]} cycles), {first[0]} slots of the next input, project "
            f"({project[1]}), {second[0]} slots of the next input: "
            f"{rows['timit-64x16']['rtl_cycles']} cycles, no gap",
            f"finish 0 ({layers[0][1]}), park 1 ({layers[1][1] + layers[2][1]}), finish 1 "
            f"({layers[3][1]})",
            f"{rows['ptb-small-32x16']['rtl_cycles']} cycles, no gap",
            f"finish ({wide[1]}), all {next_input[0]} slots of the next input, project",
            f"({last[1]}): {slow['floor']} cycles of products",
            f"cycles of products, and {waits} of waits that nothing is left to fill",
            f"none is slower, and on 256 x 16 {faster} are faster",
            f"was simulated: {lone[0]}, {lone[1]}, {lone[2]} and {lone[3]} cycles",
        ),
    )


def _lone() -> str:
    return lone_table([(array.name, array.plan()) for array in ARRAYS])


def _architecture() -> Page:
    found = Piecewise(Fixed(18, 13), Fixed(16, 15))
    return Page(
        ROOT / "docs/architecture.md",
        (),
        (
            f"At 16 bits tanh is within {_up(found.tanh_bound)} and sigmoid within "
            f"{_up(found.sigmoid_bound)} of the true function",
        ),
    )


def _up(bound: float) -> str:
    """Two digits of a bound of 1e-5 and more, rounded up so that it stays one."""
    return f"{math.ceil(bound * 1e6) / 10:g}e-5"


def _loads() -> str:
    lines = [
        [
            "top",
            "model",
            "array",
            "bus",
            "latency",
            "weights",
            "cycles",
            "floor",
            "of the bus",
            "all of it",
            "cycles",
            "of the bus",
        ]
    ]
    for row in record("load")["rows"]:
        lines.append([
            f"`{row['top']}`",
            row["model"],
            f"{row['M']} x {row['N']}",
            str(row["bus_bits"]),
            " to ".join(map(str, row["latency"] or ())),
            *(f"{row[f'weight_{name}']:,}" for name in ("bytes", "cycles", "floor")),
            f"{100 * row['weight_share']:.1f} %",
            *(f"{row[name]:,}" for name in ("bytes", "cycles")),
            f"{100 * row['share']:.1f} %",
        ])  # fmt: skip
    return table(lines)


def _flips() -> str:
    heads = "network|option|memories|frames, marks, packets|two bits of a word|words not used"
    lines = [heads.split("|")]
    for row in record("faults")["rows"]:
        option = " ".join(f"--{name}" for name in ("checked", "walk") if row[name])
        shares = [row["seen"][name] for name in ("memories", "frames, marks and packets")]
        shares += [row["told"][name] for name in ("two bits", "unread")]
        percent = (f"{100 * share:.1f} %" for share in shares)
        lines.append([row["network"], f"`{option}`" if option else "", *percent])
    return table(lines)


def _protection() -> str:
    heads = "option|cells of|LUT|carry|flip-flops|block RAM|LUT RAM"
    lines = [heads.split("|")]
    names = ("lut", "carry", "ff", "block_ram", "lut_ram")
    for row in record("protection")["rows"]:
        option = f"`{row['option']}`" if row["option"] else ""
        for family in [name for name in ("ecp5", "xc7") if name in row]:
            counts = (f"{row[family][name]:,}" for name in names)
            lines.append([option, {"ecp5": "ECP5", "xc7": "Xilinx 7"}[family], *counts])
    return table(lines)


def _placed_protection() -> str:
    lines = [["option", "LUT", "flip-flops", "block RAM", "MHz"]]
    for row in record("protection")["rows"]:
        if "board" not in row:
            continue
        counts = (f"{row[name]:,}" for name in ("lut", "ff", "ram"))
        option = f"`{row['option']}`" if row["option"] else ""
        lines.append([option, *counts, f"{row['fmax_mhz']:.1f}"])
    return table(lines)


def _integration() -> Page:
    low, high = record("load")["latency"]
    late, at_once = (
        next(row for row in record("load")["rows"] if row["case"] == name)
        for name in ("dram demo 512", "dram demo 512 at once")
    )
    (enables, *_) = record("enables")["rows"]
    plain, enabled = enables["plain"], enables["enabled"]
    return Page(
        ROOT / "docs/integration.md",
        (_loads(), _flips(), _protection(), _placed_protection()),
        (
            f"a memory latency random in {low} to {high} cycles",
            "at least 18 times the memory's latency in beats: "
            f"{18 * high:,} beats at {high} cycles",
            f"The demo has {late['floor']} beats of {late['bus_bits']} bits",
            f"{100 * late['share']:.1f} % where memory takes {low} to {high} cycles",
            f"{100 * at_once['share']:.1f} % where it answers at once",
            f"{100 * late['floor'] / (late['floor'] + high):.0f} % of the bus for the demo",
            f"{plain['changes']:,} changes of bits without, of them {plain['lanes']:,} in lanes, "
            f"and {enabled['changes']:,} with, {-100 * enables['saved']:.2f} % more",
        ),
        ("reaches 90 % of the bus", "LiteX 2024.12"),
    )


def _by_gate() -> str:
    heads = "M x N|E|ideal|by gate|of ideal|padded|of ideal"
    lines = [heads.split("|")]
    for row in record("utilisation")["rows"]:
        if not row["workload"].startswith("ptb-gates"):
            continue
        (given,) = (workload for workload in WORKLOADS if workload.name == row["workload"])
        shape = given.model(np.random.default_rng(SEED)).shape
        padded = step_cycles(schedule(shape, design_for(shape, row["M"], row["N"], by_gate=False)))
        cycles = ((n, n / row["floor"]) for n in (row["rtl_cycles"], padded))
        measured = [text for n, share in cycles for text in (f"{n:,}", f"{share:.3f}")]
        lines.append([f"{row['M']} x {row['N']}", str(row["E"]), f"{row['floor']:,}", *measured])
    return table(lines)


def _cells() -> str:
    heads = "M x N|slots of|E|LUT of a PE|flip-flops|LUT of a lane|LUT of all|flip-flops of all"
    lines = [heads.split("|")]
    for row in record("gates")["rows"]:
        counts = (
            f"{row[part][n]:,}"
            for part, n in (
                ("pe", "lut"),
                ("pe", "ff"),
                ("lane", "lut"),
                ("all", "lut"),
                ("all", "ff"),
            )
        )
        slots = "one gate" if row["by_gate"] else "all gates"
        lines.append([f"{row['M']} x {row['N']}", slots, str(row["E"]), *counts])
    return table(lines)


# Of a spike, of what is asked for, and of examples
_BUDGET = (
    "vocabulary cut to 2,000 words",
    "perplexity above unstructured pruning, banks of 25 | 60 % | 80 % |",
    "the same k everywhere | 0.26 % | 0.89 % and 0.83 % |",
    "k per matrix | 0.02 % | 0.35 % and 0.25 % |",
    "k per gate of a matrix | | 0.28 % | 1.6",
    "k per 32 units of a gate | 0.03 % | 0.18 % and 0.05 % |",
    "90 % is 2.5 of 25, and equal k keeps 3, 88 %; four matrices share 10 and keep 90 %",
    "within 0.25 perplexity of unstructured pruning at 80 %",
    "k by `prune --budget gate` at 80 %",
    "Treebank's 2,000 most common",
    "keep 95 % (`--keep-energy`)",
    "at most 5 % more weights",
    "at 60 % within 0.2 perplexity",
    "at 80 % within 0.45",
    "columns within 0.2 of each other",
)


def _budget() -> Page:
    (first, then), (second, last) = PTB_GATES
    kept = (f"{i}, {f}, {g} and {o}" for i, f, g, o in (first, then, second, last))
    matrices = (first, then, second, last)
    padded, own = sum(map(max, matrices)), sum(map(sum, matrices)) // 4
    return Page(
        ROOT / "docs/budget.md",
        (_by_gate(), _cells()),
        (f"keep {', then '.join(kept)} in a bank: {padded} cycles for {own} of products",),
        _BUDGET,
    )


GUIDES = (
    *(_schedule(), _streaming(), _integration(), _boards(), _quantisation(), _architecture()),
    _budget(),
)
