"""Board files: complete, and clear about what is wrong in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import boards
from boards.board import Board, BoardError, board, board_names, clock_verilog, parse
from boards.families import FAMILIES

OPEN = ("ecpix5", "icebreaker", "tang_primer_20k", "ulx3s")


def test_all_boards_are_described() -> None:
    names = board_names()
    assert {*OPEN, "arty_a7", "kv260", "de10_nano", "arria10_gx"} <= set(names)
    for name in names:
        found = board(name)
        assert found.has.multipliers > 0
        assert {"pes", "lanes", "deep"} <= set(found.array) <= {"pes", "lanes", "deep", "compact"}


@pytest.mark.parametrize("name", [*OPEN, "arty_a7", "de10_nano"])
def test_pins_are_those_of_amaranth_boards(name: str) -> None:
    pins = board(name).located()
    assert set(pins) == {"clk", "rx", "tx", "led"}
    assert len({pin.name for pin in pins.values()}) == 4
    assert all(pin.standard for pin in pins.values())


def test_pins_of_the_ulx3s() -> None:
    pins = board("ulx3s").located()
    assert {s: pin.name for s, pin in pins.items()} == {
        "clk": "G2",
        "rx": "M1",
        "tx": "L4",
        "led": "B2",
    }


def test_unknown_board() -> None:
    with pytest.raises(BoardError, match=r"board 'spartan' is not known: choose one of arria10_gx"):
        board("spartan")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", r"board file x\.toml: Invalid value"),
        (
            'flow = "ecp5"\ncolour = "red"',
            r"board file x\.toml: .*unexpected keyword argument 'colour'",
        ),
        ('title = "X"', r"board file x\.toml: flow is missing: choose one of ecp5, ice40"),
        ('title = "X"\nflow = "ecp5"', r"board file x\.toml: .*missing"),
        ('flow = "magic"', r"board file x\.toml: flow 'magic' is not known: choose one of ecp5"),
    ],
)
def test_bad_files(text: str, message: str) -> None:
    with pytest.raises(BoardError, match=message):
        parse("x", text)


def test_a_part_that_the_family_does_not_know_is_refused_as_the_file_is_read() -> None:
    text = (Path(boards.__file__).parent / "data" / "ulx3s.toml").read_text("utf-8")
    with pytest.raises(BoardError, match=r"part 'xck26' is not one that ecp5 knows \(LFE5U-25F, "):
        parse("x", text.replace("LFE5U-85F", "xck26"))


def test_every_family_is_whole() -> None:
    for name, family in FAMILIES.items():
        assert family.name == name
        assert (family.tools is None) != (family.project is None)
        assert bool(family.start) == (family.project is not None)
        assert family.parts


def changed(**fields: object) -> Board:
    return replace(board("ulx3s"), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(("clock", "divide", "multiply"), [(100, 1, 4), (125, 1, 5), (80, 5, 16)])
def test_loop_of_ecp5(clock: int, divide: int, multiply: int) -> None:
    text = clock_verilog(changed(clock_hz=clock * 1_000_000))
    assert f".CLKI_DIV({divide}), .CLKFB_DIV({multiply})" in text


def test_loop_of_ice40() -> None:
    text = clock_verilog(board("icebreaker"))  # 12 MHz * 64 / 32 = 24 MHz
    assert ".DIVR(0), .DIVF(63), .DIVQ(5)" in text


@pytest.mark.parametrize(
    ("clock", "divide", "multiply", "after"),
    [(81, 0, 2, 8), (108, 0, 3, 8), (54, 0, 1, 16), (60, 8, 19, 16), (13.5, 1, 0, 48)],
)
def test_loop_of_gowin(clock: float, divide: int, multiply: int, after: int) -> None:
    tang = replace(board("tang_primer_20k"), clock_hz=round(clock * 1e6))
    assert 500 <= clock * after <= 1250
    assert clock == 27 * (multiply + 1) / (divide + 1)
    text = f".IDIV_SEL({divide}), .FBDIV_SEL({multiply}), .ODIV_SEL({after})"
    assert text in clock_verilog(tang)


def test_clock_that_no_loop_makes() -> None:
    with pytest.raises(BoardError, match=r"no setting of its loop makes 99\.999999 MHz"):
        clock_verilog(changed(clock_hz=99_999_999))
    with pytest.raises(BoardError, match=r"no setting of its loop makes 80 MHz of 27 MHz"):
        clock_verilog(replace(board("tang_primer_20k"), clock_hz=80_000_000))


def test_oscillators_are_used_as_they_are() -> None:
    assert "wire clock = clk" in clock_verilog(board("arty_a7"))


@pytest.mark.parametrize("value", ["{a = " * 2000, "[" * 5000, "9" * 5000])
def test_a_text_beyond_the_reader_of_toml(value: str) -> None:
    with pytest.raises(BoardError, match=r"^board file x\.toml: it "):
        parse("x", f"speed = {value}")
