"""A bitstream goes into its own board only, and what the loader says is told in our words.

`openFPGALoader` beside this file takes the place of the real one.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from boards.board import BoardError, board, board_names, parse
from boards.link.protocol import BAUD
from boards.load import loader
from boards.load.loader import LoadError, load_bitstream
from boards.load.made import baud_of, read_made
from csb_format.files.folders import replaced_folder

HERE = Path(__file__).parent
BITS = b"\xff\x00 a bitstream"
OPEN = [name for name in board_names() if board(name).family.tools]
VENDORS = [name for name in board_names() if not board(name).family.tools]
# openFPGALoader --list-boards of 1.0, as far as these boards go, with the device of doc/boards.yml
LISTED = {
    "ulx3s": "ECP5 LFE5U",
    "ecpix5": "ECP5 LFE5UM5G",
    "ecpix5_r03": "ECP5 LFE5UM5G",
    "ice40_generic": "iCE40UltraPlus UP5K",
    "tangprimer20k": "Gowin GW2A",
    "arty_a7_100t": "Artix xc7a100tcsg324",
    "arty_a7_35t": "Artix xc7a35tcsg324",
}


def built(folder: Path, name: str, **other: Any) -> Path:
    """What a build for a board leaves, in short."""
    tools = board(name).family.tools
    assert tools
    bitstream = tools.bitstream
    told = {
        "board": name,
        "bitstream": bitstream,
        "bitstream_sha256": hashlib.sha256(BITS).hexdigest(),
        "fmax_mhz": 101.5,
        "clock_mhz": 100.0,
        "baud": 921_600,
    }
    with replaced_folder(folder, "build") as new:
        new.mkdir()
        (new / bitstream).write_bytes(BITS)
        (new / "summary.json").write_text(json.dumps(told | other))
    return folder


@pytest.fixture
def stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Callable[[], list[str]]]:
    """Puts the stand-in on PATH; what it returns reads what that was called with."""

    def stand_in(does: str) -> Callable[[], list[str]]:
        argv = tmp_path / "argv"
        monkeypatch.setenv("PATH", f"{HERE}:/usr/bin:/bin")
        monkeypatch.setenv("STAND_IN_ARGV", str(argv))
        monkeypatch.setenv("STAND_IN_DOES", does)
        return lambda: argv.read_text().splitlines() if argv.exists() else []

    return stand_in


StandIn = Callable[[str], Callable[[], list[str]]]


@pytest.mark.parametrize("name", OPEN)
def test_each_board_is_loaded_as_its_line_says(
    name: str, tmp_path: Path, stand_in: StandIn
) -> None:
    called, folder = stand_in("works"), built(tmp_path / "b", name)
    made = load_bitstream(board(name), folder)
    assert made.path.read_bytes() == BITS
    program, *words = shlex.split(board(name).load_line)
    assert program == "openFPGALoader"
    assert called() == [*words[:-1], str((folder / words[-1]).resolve())]


@pytest.mark.parametrize("name", board_names())
def test_names_are_those_of_the_loader(name: str) -> None:
    found = board(name)
    for loaded in found.adapter.loader if found.adapter else ():
        family = {"ecp5": "ECP5", "ice40": "iCE40", "gowin": "Gowin", "vivado": "Artix"}
        assert LISTED[loaded].startswith(family[found.family.name])
    assert found.load_line or found.adapter is None


RIGHTS = r"copy 99-openfpgaloader\.rules .* usermod -aG plugdev,dialout \$USER, log in again, plug"
WRONG = [
    (
        "absent",
        "ecpix5",
        r"plug it in .*; another revision of the board: --loader ecpix5_r03 \(open",
    ),
    ("absent", "ulx3s", r"with a cable that carries data \(openFPGALoader: unable to open .* -3 "),
    ("forbidden", "ulx3s", RIGHTS),
    ("unclaimed", "icebreaker", RIGHTS),
    ("busy", "ulx3s", r"another program uses the adapter: close it"),
    ("unpowered", "ulx3s", r"no FPGA answers behind it: switch the board's power on.*TDO is stuck"),
    ("nochain", "ulx3s", r"no FPGA answers behind it.*\(openFPGALoader: Error: no device found\)$"),
    ("mismatch", "ulx3s", r"the device on the adapter is not that of ULX3S-85F, LFE5U-85F: is an"),
    ("unknown", "ecpix5", r"this release of openFPGALoader does not know the board; another rev"),
    ("quiet", "icebreaker", r"did not load it: erase sram FAIL: plug the board in again"),
    (
        "crash",
        "ulx3s",
        r"did not load it, ended with s[a-z]+ \d+: it said nothing: plug the board in again",
    ),
]


@pytest.mark.parametrize(("does", "name", "told"), WRONG)
def test_what_goes_wrong_is_told_with_its_mend(
    does: str, name: str, told: str, tmp_path: Path, stand_in: StandIn
) -> None:
    called, folder = stand_in(does), built(tmp_path / "b", name)
    with pytest.raises(LoadError, match=told) as caught:
        load_bitstream(board(name), folder)
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert called()


def test_a_loader_that_does_not_end_is_killed(
    tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in("slow")
    monkeypatch.setattr(loader, "TIMEOUT", 0.2)
    with pytest.raises(LoadError, match=r"killed after 0\.2 s: plug the board in again"):
        load_bitstream(board("ulx3s"), built(tmp_path / "b", "ulx3s"))


def test_without_the_loader_the_line_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = built(tmp_path / "b", "ulx3s")
    monkeypatch.setenv("PATH", str(tmp_path))
    told = (
        r"openFPGALoader is not installed: sudo apt-get install -y openfpgaloader .*, or: "
        rf"openFPGALoader --board ulx3s {re.escape(str(folder))}/sparseflow\.bit$"
    )
    with pytest.raises(LoadError, match=told):
        load_bitstream(board("ulx3s"), folder)


def test_another_revision_is_named(tmp_path: Path, stand_in: StandIn) -> None:
    called, folder = stand_in("works"), built(tmp_path / "b", "ecpix5")
    load_bitstream(board("ecpix5"), folder, "ecpix5_r03")
    assert called()[:2] == ["--board", "ecpix5_r03"]
    with pytest.raises(
        BoardError, match=r"loader 'ulx3s': openFPGALoader calls ECPIX-5 45F ecpix5 "
    ):
        load_bitstream(board("ecpix5"), folder, "ulx3s")


def test_only_what_was_built_for_the_board(tmp_path: Path, stand_in: StandIn) -> None:
    called, ulx3s = stand_in("works"), board("ulx3s")
    folder = built(tmp_path / "b", "ecpix5")
    with pytest.raises(
        BoardError, match=r"b was built for 'ecpix5', not for 'ulx3s': sparseflow b"
    ):
        load_bitstream(ulx3s, folder)
    with pytest.raises(
        BoardError, match=r"there is no such folder: sparseflow build MODEL --board"
    ):
        load_bitstream(ulx3s, tmp_path / "none")
    with pytest.raises(BoardError, match=r"sparseflow\.bit: is a file, not a folder: sparseflow"):
        load_bitstream(ulx3s, folder / "sparseflow.bit")
    changed = replace(ulx3s, part="LFE5U-45F")  # of one's own, after the build
    with pytest.raises(BoardError, match=r"was built for 'LFE5U-85F', 'ulx3s' has 'LFE5U-45F': sp"):
        load_bitstream(changed, built(tmp_path / "d", "ulx3s", part="LFE5U-85F"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sparseflow.bit").write_bytes(BITS)
    with pytest.raises(BoardError, match=r"own is no folder of a build: sparseflow build MODEL"):
        load_bitstream(ulx3s, tmp_path / "own")
    for strange in ("../b/sparseflow.bit", "/etc/hostname", "", "other.bit", 7, None):
        folder = built(tmp_path / "c", "ulx3s", bitstream=strange)
        with pytest.raises(BoardError, match="holds no bitstream that a build has made"):
            load_bitstream(ulx3s, folder)
    (folder / "summary.json").write_text("[" * 100_000)
    with pytest.raises(BoardError, match=r"summary\.json is no summary of a build: build again"):
        load_bitstream(ulx3s, folder)
    folder = built(tmp_path / "d", "ulx3s")
    (folder / "sparseflow.bit").write_bytes(b"another")
    with pytest.raises(BoardError, match=r"sparseflow\.bit is not the bitstream that was built"):
        load_bitstream(ulx3s, folder)
    assert called() == []


@pytest.mark.parametrize("name", VENDORS)
def test_vendors_boards_say_what_to_type(name: str, tmp_path: Path, stand_in: StandIn) -> None:
    called, found = stand_in("works"), board(name)
    with pytest.raises(BoardError, match=f"{name} is not loaded by this command") as caught:
        load_bitstream(found, tmp_path)
    assert found.load
    assert f"type in {tmp_path} `{found.family.start}`, then `{found.load}`" in str(caught.value)
    assert called() == []


def test_a_board_of_ones_own_says_what_is_missing(tmp_path: Path) -> None:
    own = replace(board("ulx3s"), adapter=None)
    with pytest.raises(
        BoardError, match=r'add adapter = \{ loader = \["NAME"\] \}, a name of open'
    ):
        load_bitstream(own, tmp_path)
    assert own.load_line == ""


ADAPTERS = [
    ("7", r'adapter: give \{ loader = \["NAME"\], usb, uart \}'),
    ("{ usb = [] }", r'adapter: give \{ loader = \["NAME"\], usb, uart \}'),
    ("{ loader = [], uart = 0 }", "give a name of the loader, and uart 0 to 9"),
    ('{ loader = ["a b"] }', r"loader = \['a b'\]: give a list such as"),
    ('{ loader = ["--help"] }', r"loader = \['--help'\]: give a list such as"),
    ('{ loader = "ulx3s" }', "loader = 'ulx3s': give a list such as"),
    ('{ loader = ["x"], usb = ["0403"] }', r"usb = \['0403'\]: give a list such as"),
    ('{ loader = ["x"], uart = -1 }', "uart 0 to 9"),
    ('{ loader = ["x"], uart = true }', "uart 0 to 9"),
]


@pytest.mark.parametrize(("adapter", "told"), ADAPTERS)
def test_adapters_of_board_files_are_checked(adapter: str, told: str) -> None:
    fields = {"title": '"x"', "flow": '"ecp5"', "part": '"LFE5U-85F"', "package": '"CABGA381"'}
    fields |= {"speed": "6", "oscillator_hz": "25_000_000", "clock_hz": "25_000_000"}
    fields |= {"baud": "1_000_000", "array": "{ pes = 4, lanes = 2 }", "adapter": adapter}
    text = "\n".join(f"{name} = {value}" for name, value in fields.items())
    with pytest.raises(BoardError, match=rf"board file own\.toml: adapter: .*{told}|{told}"):
        parse("own", text)


def test_a_build_tells_the_rate_of_its_line(tmp_path: Path) -> None:
    folder = built(tmp_path / "b", "ulx3s")
    assert baud_of(folder) == baud_of(folder / "design.json") == 921_600
    assert baud_of(built(tmp_path / "c", "ulx3s", baud="fast")) == BAUD
    assert baud_of(tmp_path / "design.json") == BAUD
    assert not read_made(board("ulx3s"), folder).late


def test_the_stand_in_is_a_program() -> None:
    """Where git keeps no modes it would not run, and every test here fail for that reason."""
    done = subprocess.run(
        [str(HERE / "openFPGALoader")],
        env={"STAND_IN_ARGV": "/dev/null", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout[:10]) == (0, "Open file:")
