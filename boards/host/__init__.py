"""The driver: one face over emulator, simulation, serial port and PYNQ."""

from sparseflow_rooms import check

check("engine")
