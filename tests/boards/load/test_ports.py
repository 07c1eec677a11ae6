"""Which port of this machine is the board's: by its adapter, and the adapter's interface."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from boards.board import board
from boards.load.ports import ports_of, told

Plug = Callable[..., Path]


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plug:
    """Plugs ports in: name of the link, USB, location; /dev is a folder of the test's."""
    by_id, found = tmp_path / "by-id", list[ListPortInfo]()
    by_id.mkdir()
    monkeypatch.setattr(list_ports, "comports", lambda: found)

    def plug(link: str, usb: str, location: str | None, mode: int = 0o600) -> Path:
        device = tmp_path / f"ttyUSB{len(found)}"
        device.touch(mode)
        port = ListPortInfo(str(device))
        port.vid, port.pid = (int(part, 16) for part in usb.split(":"))
        port.location = location
        found.append(port)
        if link:
            (by_id / link).symlink_to(f"../{device.name}")
        return by_id

    return plug


def test_the_second_port_of_an_adapter_of_two(plug: Plug) -> None:
    adapter = board("ecpix5").adapter
    assert adapter
    plug("usb-FTDI_Dual_RS232-HS-if00-port0", "0403:6010", "1-2:1.0")
    by_id = plug("usb-FTDI_Dual_RS232-HS-if01-port0", "0403:6010", "1-2:1.1")
    plug("usb-Prolific_USB-Serial-if00-port0", "067b:2303", "1-3:1.0")
    ports = ports_of(adapter, by_id)
    assert [(port.interface, Path(port.device).name) for port in ports] == [
        (0, "ttyUSB0"),
        (1, "ttyUSB1"),
    ]
    first, more, last = told(adapter, ports, Path("build/ecpix5"))
    name = f"{by_id}/usb-FTDI_Dual_RS232-HS-if01-port0"
    assert first == f"port: {name} ({ports[1].device})"
    assert more == (
        "the adapter has more ports: interface 1 (if01 in the name) is the serial line, "
        f"{ports[0].device} programs the board"
    )
    assert last == f'next: sf.open("serial:{name}", "build/ecpix5") in Python'


def test_one_port_for_both(plug: Plug) -> None:
    adapter = board("ulx3s").adapter
    assert adapter
    by_id = plug("usb-FTDI_ULX3S_FPGA_85K_v3.0.8_D00123-if00-port0", "0403:6015", "1-4:1.0")
    lines = told(adapter, ports_of(adapter, by_id), Path("b"))
    assert [line.split(":")[0] for line in lines] == ["port", "next"]
    assert "ULX3S_FPGA_85K" in lines[0]


def test_two_boards_of_a_kind(plug: Plug) -> None:
    adapter = board("ulx3s").adapter
    assert adapter
    plug("usb-FTDI_ULX3S_A-if00-port0", "0403:6015", "1-4:1.0")
    by_id = plug("usb-FTDI_ULX3S_B-if00-port0", "0403:6015", "1-5:1.0")
    lines = told(adapter, ports_of(adapter, by_id), Path("b"))
    assert sum(line.startswith("port: ") for line in lines) == 2
    assert "2 boards of this kind: the number in the name is the adapter's" in lines


def test_no_port_says_where_to_look(plug: Plug) -> None:
    adapter = board("ecpix5").adapter
    assert adapter
    by_id = plug("usb-x-if00-port0", "067b:2303", "1-2:1.0")
    (line,) = told(adapter, ports_of(adapter, by_id), Path("b"))
    assert line.startswith("port: none of an adapter 0403:6010 or 0403:6011 is there: unplug the")


def test_a_system_without_interfaces_lists_all(plug: Plug) -> None:
    """As Windows, and without links."""
    adapter = board("icebreaker").adapter
    assert adapter
    plug("", "0403:6010", None)
    by_id = plug("", "0403:6010", None)
    lines = told(adapter, ports_of(adapter, by_id), Path("b"))
    assert sum(line.startswith("port: ") for line in lines) == 2
    assert "interface 1 of the adapter, counted from 0, is the serial line" in lines


def test_a_port_of_others_names_the_group(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = board("ulx3s").adapter
    assert adapter
    by_id = plug("usb-U-if00-port0", "0403:6015", "1-4:1.0")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may use everything
    ports = ports_of(adapter, by_id)
    assert (
        f"no right to use {ports[0].device}: sudo usermod -aG dialout $USER, then log in again"
        in told(adapter, ports, Path("b"))
    )
