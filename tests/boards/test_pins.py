"""Pins: those of amaranth-boards, as the tools are told them, and as the page shows them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from boards.board import Board, board, board_names
from boards.build.top_verilog import board_verilog
from boards.families.family import Files
from boards.pin_table import markdown
from tests.test_rooms import ROOT

# a board, the class that amaranth-boards has for it, its clock and its light
KNOWN = {
    "ulx3s": ("ulx3s:ULX3S_85F_Platform", "clk25", "led", 0),
    "ulx3s_12f": ("ulx3s:ULX3S_12F_Platform", "clk25", "led", 0),
    "ulx3s_25f": ("ulx3s:ULX3S_25F_Platform", "clk25", "led", 0),
    "ulx3s_45f": ("ulx3s:ULX3S_45F_Platform", "clk25", "led", 0),
    "ecpix5": ("ecpix5:ECPIX545Platform", "clk100", "rgb_led", 0),
    "ecpix5_85f": ("ecpix5:ECPIX585Platform", "clk100", "rgb_led", 0),
    "icebreaker": ("icebreaker:ICEBreakerPlatform", "clk12", "led", 0),
    "tang_primer_20k": ("tang_primer_20k:TangPrimer20kDockPlatform", "clk27", "led", 5),
    "arty_a7": ("arty_a7:ArtyA7_100Platform", "clk100", "led", 0),
    "arty_a7_35t": ("arty_a7:ArtyA7_35Platform", "clk100", "led", 0),
    "de10_nano": ("de10_nano:DE10NanoPlatform", "clk50", "led", 0),
}
NAMES = {"part": ("device", "part"), "standard": ("IO_TYPE", "IOSTANDARD", "io_standard")}


def platform(name: str) -> Any:
    module, _, kind = KNOWN[name][0].partition(":")
    return getattr(importlib.import_module(f"amaranth_boards.{module}"), kind)


def first(given: dict[str, Any], names: tuple[str, ...]) -> str:
    return str(next((given[name] for name in names if name in given), ""))


def theirs(name: str) -> dict[str, tuple[str, str, bool, bool]]:
    """Ball, standard, whether it is pulled up and whether it is active low, of each signal."""
    _, clock, light, number = KNOWN[name]
    found = {}
    for resource in platform(name).resources:
        ours = {(clock, 0): "clk", ("uart", 0): "", (light, number): "led"}
        if (resource.name, resource.number) not in ours:
            continue
        signal = ours[resource.name, resource.number]
        for part in resource.ios:
            pins = part.ios[0] if hasattr(part, "ios") else part
            key = signal or part.name
            if getattr(part, "name", "r") not in ("rx", "tx", "r"):
                continue
            given = {**resource.attrs, **getattr(part, "attrs", {})}
            up = first(given, ("PULLMODE", "PULL_MODE", "PULLUP")) in ("UP", "1")
            standard = first(given, NAMES["standard"])
            found[key] = (pins.names[0], standard, up, bool(pins.invert))
    return found


@pytest.mark.parametrize("name", KNOWN)
def test_pins_are_those_of_amaranth_boards(name: str) -> None:
    one, others = board(name), theirs(name)
    assert set(others) == {"clk", "rx", "tx", "led"}
    for signal, (ball, standard, up, low) in others.items():
        pin = one.pins[signal]
        assert (pin.pin, pin.active_low) == (ball, low), signal
        assert pin.standard == (standard if one.family.standards else ""), signal
        assert not up or pin.pull == "up", signal
    clocks = {r.name: r.clock for r in platform(name).resources if r.clock}
    assert clocks[KNOWN[name][1]].frequency == one.oscillator_hz
    told = next(
        getattr(platform(name), key) for key in NAMES["part"] if hasattr(platform(name), key)
    )
    assert one.part.startswith(told.removesuffix("i"))  # Digilent's have the industrial grade


def test_all_boards_with_pins_are_held_against_another_source() -> None:
    assert {name for name in board_names() if len(board(name).pins) > 1} == set(KNOWN)


def constraints(name: str) -> str:
    one = board(name)
    if one.family.tools:
        return "\n".join(one.family.tools.constraints(one).lines)
    assert one.family.project
    texts = one.family.project.texts(one, Files((), ()))
    return "\n".join(line for lines in texts.values() for line in lines)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("ecpix5", ['IOBUF PORT "rx" IO_TYPE=LVCMOS33 PULLMODE=UP;']),
        ("ulx3s_12f", ['LOCATE COMP "wifi_gpio0" SITE "L2";',
                       'IOBUF PORT "led" IO_TYPE=LVCMOS33 PULLMODE=NONE DRIVE=4;']),
        ("icebreaker", ["set_io -pullup yes rx 6", "set_io led 11"]),
        ("tang_primer_20k", ['IO_PORT "rx" IO_TYPE=LVCMOS33 PULL_MODE=UP;',
                             'IO_PORT "led" IO_TYPE=LVCMOS33;']),
        ("arty_a7_35t", ["set_property CFGBVS VCCO [current_design]",
                         "set_property CONFIG_VOLTAGE 3.3 [current_design]",
                         "set_property -dict {PACKAGE_PIN A9 IOSTANDARD LVCMOS33} [get_ports rx]"]),
        ("de10_nano", ['set_instance_assignment -name IO_STANDARD "3.3-V LVTTL" -to rx']),
    ],
)  # fmt: skip
def test_tools_are_told_all_of_a_pin(name: str, lines: list[str]) -> None:
    assert set(lines) <= set(constraints(name).splitlines())


def lit(one: Board) -> str:
    return board_verilog(one).partition("link (")[2]


def test_a_light_that_0_lights_is_turned_round() -> None:
    for name in ("ecpix5", "icebreaker", "tang_primer_20k"):
        assert ".led(lit));\n    assign led = !lit;\n" in lit(board(name))
    assert ".led(led));\nendmodule" in lit(board("arty_a7"))


def test_outputs_that_are_held_and_lights_that_are_not_there(tmp_path: Path) -> None:
    assert "    assign wifi_gpio0 = 1'b1;\n" in lit(board("ulx3s"))
    file = tmp_path / "dark.toml"
    text = (ROOT / "boards/data/ulx3s.toml").read_text("utf-8")
    file.write_text(re.sub(r"led = .*\n", "", text))
    dark = board_verilog(board(file))
    assert ".led());" in dark
    assert "wire led" not in dark


def test_the_page_is_that_of_the_files() -> None:
    """If not: ``python -m boards.pin_table > docs/pins.md``."""
    assert (ROOT / "docs" / "pins.md").read_text("utf-8") == markdown()
