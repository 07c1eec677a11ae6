"""Board files: complete, and clear about what is wrong in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import boards
from boards.board import Board, BoardError, Pin, board, board_names, clock_verilog, parse
from boards.families import FAMILIES
from boards.families.family import OPTIONS
from boards.tools.run import too_large

OPEN = ("ecpix5", "icebreaker", "tang_primer_20k", "ulx3s")


def test_all_boards_are_described() -> None:
    names = board_names()
    assert {*OPEN, "arty_a7", "kv260", "de10_nano", "arria10_gx"} <= set(names)
    for name in names:
        found = board(name)
        assert found.has.multipliers > 0
        assert {"pes", "lanes", "deep"} <= set(found.array) <= {"pes", "lanes", *OPTIONS}


def test_unknown_board() -> None:
    with pytest.raises(BoardError, match=r"board 'spartan' is not known: choose one of arria10_gx"):
        board("spartan")


def text_of(name: str) -> str:
    return (Path(boards.__file__).parent / "data" / f"{name}.toml").read_text("utf-8")


def test_texts_that_are_no_board() -> None:
    for text, message in (
        ("title = ", r"board file x\.toml: Invalid value"),
        ('title = "X"', r"board file x\.toml: flow is missing: choose one of ecp5, ice40"),
        ('title = "X"\nflow = "ecp5"', r"board file x\.toml: part is missing"),
        ('flow = "magic"', r"board file x\.toml: flow 'magic' is not known: choose one of ecp5"),
        ("flow = 5", r"board file x\.toml: flow 5 is not known"),
    ):
        with pytest.raises(BoardError, match=message):
            parse("x", text)


FAULTS = [
    # a line of the ULX3S's file, what is there instead, what is said
    ("speed = 6", 'speed = 6\ncolour = "red"', r"'colour' is not known: the keys are flow, varia"),
    ("speed = 6", "", r"speed is missing"),
    ("speed = 6", "speed = true", r"speed = True: must be a whole number, 0 to"),
    ("oscillator_hz = 25_000_000", "oscillator_hz = 0", r"oscillator_hz = 0: must be 1 to 2"),
    ("clock_hz = 100_000_000", "clock_hz = 99_999_999", r"no setting of its loop makes 99\.9999"),
    (
        "clock_hz = 100_000_000",
        "clock_hz = 1e8",
        r"clock_hz = 1e\+08|clock_hz = 100000000\.0: must",
    ),
    ("baud = 1_000_000", "baud = 90_000_000", r"baud = 90000000: at 1e\+08 Hz at most 25000000"),
    ('title = "ULX3S-85F"', 'title = "a\\nendmodule"', r"title = .*: give a text of one line"),
    ('package = "CABGA381"', 'package = "a b"', r"package = 'a b': give it as the vendor writes"),
    ('"LFE5U-85F"', '"xck26"', r"part 'xck26' is not one that ecp5 knows \(LFE5U-12F, LFE5U-25F, "),
    ('"LFE5U-85F"', "85", r"part = 85: give a text of one line"),
    ("pes = 8,", "pes = 0,", r"array: pes = 0: must be 1 to"),
    (
        "pes = 8,",
        "pes = 8, fast = 1,",
        r"array: 'fast' is not known: the keys are pes, lanes, deep",
    ),
    ("pes = 8,", "", r"array: pes is missing"),
    ("deep = true", "deep = 1", r"array: deep = 1: give true or false"),
    ('"M1"', '"L4"', r"pins rx and tx are both at L4: change one"),
    ('"M1"', '"M 1"', r"pins\.rx: pin = 'M 1': give a ball such as"),
    ('pin = "M1", ', "", r"pins\.rx: pin is missing: give the ball"),
    ('pin = "M1"', 'pin = "M1", pul = "up"', r"pins\.rx: 'pul' is not known: choose from pin, "),
    (
        'rx = { pin = "M1", standard = "LVCMOS33", pull = "up" }',
        'rx = "M1"',
        r"pins\.rx = 'M1': gi",
    ),
    ('rx = { pin = "M1", standard = "LVCMOS33", pull = "up" }', "", r"pins\.rx is missing: its to"),
    ("rx = {", "data = {", r"pins\.data is none of clk, rx, tx, led: give it a level"),
    ("wifi_gpio0 = {", "clock = {", r"pins\.clock cannot be held at a level: take a name"),
    ("level = 1", "level = 1.0", r"pins\.wifi_gpio0: level = 1\.0: give 0 or 1"),
    ("level = 1", "level = 2", r"pins\.wifi_gpio0: level = 2: give 0 or 1"),
    (
        '"M1", standard = "LVCMOS33"',
        '"M1", standard = "LVTTL"',
        r"pins\.rx: standard = 'LVTTL': ecp5 has LV",
    ),
    ('"M1", standard = "LVCMOS33", ', '"M1", ', r"pins\.rx: standard = '': ecp5 has LVTTL33, LV"),
    ('pull = "up" }', 'pull = "high" }', r"pins\.rx: pull = 'high': choose one of up, down, none"),
    ('pull = "up" }', "active_low = true }", r"pins\.rx: only the led can be active_low"),
    ("drive = 4 }", "drive = 400 }", r"pins\.tx: drive = 400: must be 0 to 24 mA"),
    ("drive = 4 }", "drive = 5 }", r"pins\.tx: drive = 5: ecp5 has 4, 8, 12, 16 mA"),
    ("wifi_gpio0 = {", "module = {", r"pins\.module is a keyword of Verilog: choose module_pin"),
    ("wifi_gpio0 = {", "logic = {", r"pins\.logic is a keyword of Verilog"),
    ("wifi_gpio0 = {", "lit = {", r"pins\.lit cannot be held at a level: take a name"),
    ("deep = true", "deep = true, compact = true", r"array: deep and compact do not go together"),
    ("baud = 1_000_000", "baud = 0", r"baud = 0: the link is a serial line: give its rate"),
    (
        'loader = ["ulx3s"]',
        "loader = [3]",
        r"adapter: loader = \[3\]: give a list such as \[.ulx3s",
    ),
    ('"0403:6015"', '"0403:60AB"', r"adapter: usb = .*: give a list such as .*, in lower case"),
    ("[variants.12f]", "[variants.12F]", r"variants\.12F: give a table, its name of lower-case"),
    ("[variants.12f]", '[variants.12f]\nflow = "ice40"', r"variants\.12f: flow cannot differ"),
    ("[pins]", "[nails]", r"'nails' is not known"),
]


@pytest.mark.parametrize(("there", "instead", "message"), FAULTS, ids=lambda text: text[:24])
def test_a_fault_of_a_file_is_named_with_its_mend(there: str, instead: str, message: str) -> None:
    text = text_of("ulx3s")
    parse("x", text)
    assert there in text
    with pytest.raises(BoardError, match=rf"^board file x\.toml: ({message})") as caught:
        parse("x", text.replace(there, instead, 1))
    assert "\n" not in str(caught.value)


def test_what_a_family_cannot_do_with_a_pin() -> None:
    text = text_of("icebreaker")
    for there, instead, message in (
        ('pull = "up"', 'pull = "down"', r"pins\.rx: pull = 'down': ice40 has up, none"),
        ('pull = "up"', "drive = 4", r"pins\.rx: ice40 takes no drive: leave it out"),
        (
            'pull = "up"',
            'standard = "LVCMOS33"',
            r"pins\.rx: ice40 takes no standard: leave it out",
        ),
    ):
        with pytest.raises(BoardError, match=message):
            parse("x", text.replace(there, instead, 1))


def test_a_line_where_a_processor_is_between() -> None:
    text = text_of("kv260").replace("baud = 0", "baud = 9600")
    with pytest.raises(BoardError, match=r"baud = 9600: vivado-zynq has no serial line: give 0"):
        parse("x", text)


def test_variants_differ_in_what_they_say_alone() -> None:
    text = text_of("ulx3s")
    small, large = parse("ulx3s", text, "12f"), parse("ulx3s", text)
    assert small == board("ulx3s_12f")
    assert (small.name, small.part, small.has.device) == ("ulx3s_12f", "LFE5U-12F", "12k")
    assert (small.pins, small.source, small.baud) == (large.pins, large.source, large.baud)
    moved = text + '\n[variants.12f.pins]\nled = { pin = "C2", standard = "LVCMOS33" }\n'
    assert parse("x", moved, "12f").pins == large.pins | {"led": Pin("C2", "LVCMOS33")}
    with pytest.raises(
        BoardError, match=r"variant 13f: it is not in the file: choose one of 12f, "
    ):
        parse("ulx3s", text, "13f")
    with pytest.raises(
        BoardError, match=r"x\.toml, variant 12f: no setting of its loop makes 1 MHz"
    ):
        parse("x", text.replace("clock_hz = 75_000_000", "clock_hz = 1_000_000"), "12f")
    with pytest.raises(BoardError, match=r"variant 1: it is not in the file: it has none"):
        parse("kv260", text_of("kv260"), "1")


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text_of("ulx3s").replace("ULX3S-85F", "Mine"))
    assert (board(file).name, board(str(file)).title) == ("mine", "Mine")
    assert board(f"{file}:45f").name == "mine_45f"
    assert board(f"{file}:45f").option == f"{file}:45f"
    assert board("ulx3s_45f").option == "ulx3s_45f"
    assert f"`sparseflow fit MODEL --board {file}`" in too_large(board(file), "it is large.")
    for name, message in (
        (f"{file}:46f", r"board file mine\.toml, variant 46f: it is not in the file: choose"),
        (tmp_path / "no.toml", r"board file .*no\.toml: No such file or directory: give a file"),
        (tmp_path, r"board '.*' is not known: choose one of .*, or give a file of your own"),
    ):
        with pytest.raises(BoardError, match=message):
            board(name)
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(BoardError, match=r"folder\.toml: Is a directory: give a file to read"):
        board(tmp_path / "folder.toml")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(BoardError, match=r"mine\.toml is no text: write it as UTF-8"):
        board(file)
    file.write_bytes(b"#" * (1 << 17))
    with pytest.raises(BoardError, match=r"mine\.toml is larger than 65536 bytes"):
        board(file)


def test_every_board_that_is_shipped_has_a_sentence_about_its_line() -> None:
    for name in board_names():
        assert board(name).note
        assert board(name).source or name == "arria10_gx"


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
