"""What lies between the accelerator and a board: its ports, and what it takes of an FPGA."""
