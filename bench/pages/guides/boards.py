"""What the guide on boards says of measurements, and of estimates."""

from __future__ import annotations

from boards.board import board, board_names
from boards.memories import Memory
from boards.resources import choices, estimate

from ...boards.bitstreams import CASES as PLACED
from ...boards.fit import CASES as PACKED
from ...boards.fit import NAMES
from ..page import Page
from ..results import ROOT, bitstreams, case, record, table

__all__ = ["BOARDS"]


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
            "through a gate to the writing of a frame, 11.4 ns",
            "87.7 MHz",  # routed by hand, as are these
            "125 MHz asked for",
            "110.8 MHz",
            "93.5 MHz",
            "107.1 MHz",
            "118.3 MHz",
            "106.2 MHz",
            "97.1 MHz",
            "112.7 MHz",
            "103.8, 120.8 and 107.9 MHz, seeds 1 to 3",
            "one wire of 4.6 ns",
            "8.3 ns, 5.8 of them",
            "5.6 ns to answer, to the queue behind it: 8.9 ns",
            "103 take more than 7.7 ns",
            "(32, up to 8.9 ns)",
            "(60, up to 8.4)",
            "125 MHz take 8.0",
            "9.3 ns, 7.7 of them wire",
            "nextpnr 0.11.1 does not",
            "apycula is 0.32",
            "0.35 does not install",
        ),
    )


BOARDS = _boards()
