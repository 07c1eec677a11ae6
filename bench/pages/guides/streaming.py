"""What the guide on streaming says of measurements."""

from __future__ import annotations

from hdl.dram.reader import ReadBus

from ...array.dram import TIMIT, Shape
from ..page import Page
from ..results import ROOT, case, record, table

__all__ = ["STREAMING"]


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


STREAMING = _streaming()
