"""A block design of a Zynq UltraScale+: its processor, an accelerator, a DMA engine, as Tcl."""

from __future__ import annotations

__all__ = ["block_design"]

TEXT = """# vivado -mode batch -source {script}
# The accelerator behind AXI: registers on the processor's master, frames and states by DMA{said}.
set here [file dirname [file normalize [info script]]]
create_project -force sparseflow project -part {part}
set_property ip_repo_paths {repository} [current_project]
update_ip_catalog
# a memory image that is not found is an error, not an empty memory
set_msg_config -id {{Synth 8-4445}} -new_severity ERROR
create_bd_design system
create_bd_cell -type ip -vlnv xilinx.com:ip:zynq_ultra_ps_e ps
set_property -dict [list CONFIG.PSU__USE__M_AXI_GP0 1 CONFIG.PSU__USE__S_AXI_GP2 1 \\
{port}  CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ {megahertz:g}] [get_bd_cells ps]
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
foreach {{master slave}} {{{masters}}} {{
  apply_bd_automation -rule xilinx.com:bd_rule:axi4 \\
    -config "Master /$master Slave /ps/$slave Clk_xbar Auto" [get_bd_intf_pins ps/$slave]
}}
connect_bd_net [get_bd_pins accelerator/irq] [get_bd_pins ps/pl_ps_irq0]
validate_bd_design
make_wrapper -files [get_files system.bd] -top -import
set_property top system_wrapper [current_fileset]
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
"""
STREAMS = ("dma/M_AXI_MM2S S_AXI_HP0_FPD", "dma/M_AXI_S2MM S_AXI_HP0_FPD")
# A port of its own: the model comes while packets go.
MODELS = "accelerator/m_axi S_AXI_HP1_FPD"
MODELS_PORT = "  CONFIG.PSU__USE__S_AXI_GP3 1 \\\n"


def block_design(
    script: str,
    module: str,
    bits: int,
    part: str,
    megahertz: float,
    repository: str,
    *,
    memory: bool = False,
) -> str:
    """The Tcl script, from a new project to a bitstream.

    Parameters
    ----------
    script : str
        Name of its file.
    module : str
        The accelerator's, as the IP catalogue has it.
    bits : int
        Of both streams.
    part : str
        As Vivado writes it, or Tcl that yields it.
    megahertz : float
        Of the clock that the processor gives.
    repository : str
        Folder of ``component.xml``, as Tcl; ``$here`` is that of the script.
    memory : bool
        Whether the accelerator has a port to memory.
    """
    masters = (*STREAMS, MODELS) if memory else STREAMS
    return TEXT.format(
        script=script,
        module=module,
        bits=bits,
        part=part,
        megahertz=megahertz,
        repository=repository,
        said=", models over a port of its own" if memory else "",
        port=MODELS_PORT if memory else "",
        masters="\n  " + "\n  ".join(masters) + "\n",
    )
