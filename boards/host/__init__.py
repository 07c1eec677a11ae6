"""The driver: one face over emulator, simulation, serial port and PYNQ."""
