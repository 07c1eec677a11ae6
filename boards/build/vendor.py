"""Projects of vendor tools: sources, images, constraints and a script, in a folder of its own.

The tools themselves are not needed here. What they make of the projects is not checked by our
tests; the sources are those that the open flow and the simulators read.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from compiler.array.design import Design
from compiler.lower.image import Image
from hdl.bus.accelerator import AXI_MODULE
from hdl.verilog import VerilogFiles

from ..board import BOARD_MODULE, Board, BoardError
from ..link.protocol import BUS_BITS
from .ip import write_ip
from .top_verilog import emit_board

__all__ = ["write_project"]

VIVADO = """# vivado -mode batch -source build.tcl
create_project -force sparseflow project -part {part}
add_files {{{sources}}}
set_property file_type SystemVerilog [get_files *.v]
{images}add_files -fileset constrs_1 board.xdc
set_property top {top} [current_fileset]
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
open_run impl_1
report_timing_summary -file timing.txt
report_utilization -file utilization.txt
"""
ZYNQ = """# vivado -mode batch -source build.tcl
# The accelerator behind AXI: registers on the processor's master, frames and states by DMA.
create_project -force sparseflow project -part {part}
set_property ip_repo_paths ip [current_project]
update_ip_catalog
create_bd_design system
create_bd_cell -type ip -vlnv xilinx.com:ip:zynq_ultra_ps_e ps
set_property -dict [list CONFIG.PSU__USE__M_AXI_GP0 1 CONFIG.PSU__USE__S_AXI_GP2 1 \\
  CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ {megahertz:g}] [get_bd_cells ps]
create_bd_cell -type ip -vlnv sparseflow:user:{module} accelerator
create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma dma
set_property -dict [list CONFIG.c_include_sg 0 CONFIG.c_sg_length_width 26 \\
  CONFIG.c_m_axis_mm2s_tdata_width {bits} CONFIG.c_s_axis_s2mm_tdata_width {bits}] \\
  [get_bd_cells dma]
connect_bd_intf_net [get_bd_intf_pins dma/M_AXIS_MM2S] [get_bd_intf_pins accelerator/s_axis]
connect_bd_intf_net [get_bd_intf_pins accelerator/m_axis] [get_bd_intf_pins dma/S_AXIS_S2MM]
foreach slave {{accelerator/s_axi dma/S_AXI_LITE}} {{
  apply_bd_automation -rule xilinx.com:bd_rule:axi4 \\
    -config {{Master /ps/M_AXI_HPM0_FPD Clk_xbar Auto}} [get_bd_intf_pins $slave]
}}
foreach master {{dma/M_AXI_MM2S dma/M_AXI_S2MM}} {{
  apply_bd_automation -rule xilinx.com:bd_rule:axi4 \\
    -config "Master /$master Slave /ps/S_AXI_HP0_FPD Clk_xbar Auto" \\
    [get_bd_intf_pins ps/S_AXI_HP0_FPD]
}}
connect_bd_net [get_bd_pins accelerator/irq] [get_bd_pins ps/pl_ps_irq0]
validate_bd_design
make_wrapper -files [get_files system.bd] -top -import
set_property top system_wrapper [current_fileset]
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
"""
QSF = """set_global_assignment -name FAMILY "{family}"
set_global_assignment -name DEVICE {part}
set_global_assignment -name TOP_LEVEL_ENTITY {top}
set_global_assignment -name PROJECT_OUTPUT_DIRECTORY output
set_global_assignment -name SDC_FILE sparseflow.sdc
"""
FAMILIES = {"5C": "Cyclone V", "10A": "Arria 10"}


def write_project(board: Board, design: Design, image: Image, out: Path) -> tuple[str, ...]:
    """Write the project of a board's vendor tool.

    Parameters
    ----------
    board : Board
        Of flow ``vivado``, ``vivado-zynq`` or ``quartus``.
    design : Design
    image : Image
    out : Path
        Folder, replaced as a whole; it needs nothing outside.

    Returns
    -------
    tuple of str
        Names of the files, the one to start with first.
    """
    writers = {"vivado": _vivado, "vivado-zynq": _zynq, "quartus": _quartus}
    if board.flow not in writers:
        raise BoardError(f"board {board.name}: no vendor project; its bitstream has open tools")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent)) / "project"
    try:
        first = writers[board.flow](board, design, image, work)
        work.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        work.rename(out)
    finally:
        shutil.rmtree(work.parent, ignore_errors=True)
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    return (first, *(name for name in names if name != first))


def _vivado(board: Board, design: Design, image: Image, work: Path) -> str:
    files = emit_board(board, design, image, work)
    pins = board.located()
    lines = [
        f"set_property -dict {{PACKAGE_PIN {pin.name} IOSTANDARD {pin.standard}}} [get_ports {s}]"
        for s, pin in pins.items()
    ]
    lines.append(f"create_clock -name clk -period {1e9 / board.oscillator_hz:g} [get_ports clk]")
    _write(work / "board.xdc", lines)
    images = f"add_files {{{' '.join(files.images)}}}\n" if files.images else ""
    part = f"{board.part}{board.package}-{board.speed}"
    sources = " ".join(files.sources)
    text = VIVADO.format(part=part, sources=sources, images=images, top=BOARD_MODULE)
    _write(work / "build.tcl", text.splitlines())
    return "build.tcl"


def _zynq(board: Board, design: Design, image: Image, work: Path) -> str:
    work.mkdir()
    write_ip(design, image, work / "ip", BUS_BITS)
    part = f"{board.part}-{board.package}-{board.speed}LV-c"
    megahertz = board.clock_hz / 1e6
    text = ZYNQ.format(part=part, megahertz=megahertz, module=AXI_MODULE, bits=BUS_BITS)
    _write(work / "build.tcl", text.splitlines())
    return "build.tcl"


def _quartus(board: Board, design: Design, image: Image, work: Path) -> str:
    files: VerilogFiles = emit_board(board, design, image, work)
    pins = board.located()
    family = next(name for start, name in FAMILIES.items() if board.part.startswith(start))
    lines = QSF.format(family=family, part=board.part, top=BOARD_MODULE).splitlines()
    lines += [f"set_global_assignment -name SYSTEMVERILOG_FILE {name}" for name in files.sources]
    for signal in ("clk", "rx", "tx", "led"):
        if signal not in pins:  # a kit without a serial line: choose pins before you load it
            lines.append(f"set_instance_assignment -name VIRTUAL_PIN ON -to {signal}")
            continue
        lines.append(f"set_location_assignment PIN_{pins[signal].name} -to {signal}")
        standard = pins[signal].standard
        lines.append(f'set_instance_assignment -name IO_STANDARD "{standard}" -to {signal}')
    _write(work / "sparseflow.qsf", lines)
    _write(work / "sparseflow.qpf", ['PROJECT_REVISION = "sparseflow"'])
    period = 1e9 / board.oscillator_hz
    _write(
        work / "sparseflow.sdc",
        [f"create_clock -name clk -period {period:g} [get_ports clk]", "derive_clock_uncertainty"],
    )
    _write(work / "build.sh", ["#!/bin/sh", "quartus_sh --flow compile sparseflow"])
    return "sparseflow.qpf"


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
