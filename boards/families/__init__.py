"""Families of devices, one object each: parts, clock, constraints, costs, tools."""

from __future__ import annotations

from .ecp5 import ECP5
from .family import Family
from .gowin import GOWIN
from .ice40 import ICE40
from .quartus import QUARTUS
from .vivado import VIVADO, VIVADO_ZYNQ

__all__ = ["FAMILIES"]

#: By the name that board files give as ``flow``.
FAMILIES: dict[str, Family] = {
    family.name: family for family in (ECP5, ICE40, GOWIN, VIVADO, VIVADO_ZYNQ, QUARTUS)
}
