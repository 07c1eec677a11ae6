# What of Vivado a block design's script calls, as far as its names can be held against something:
# cells, their buses and pins, and that every bus of the accelerator is connected. Nothing is built.
# argv: the script, the accelerator's IP, then its buses and pins as name=kind.
set script [lindex $argv 0]
set module [lindex $argv 1]
set buses(accelerator) [lrange $argv 2 end]
# by the vendor's guides: PG021 of the engine, PG201 of the processor; those of ports in use
set buses(dma) {M_AXIS_MM2S S_AXIS_S2MM S_AXI_LITE M_AXI_MM2S M_AXI_S2MM}
set buses(ps) {pl_ps_irq0}
array set ports {M_AXI_GP0 M_AXI_HPM0_FPD S_AXI_GP2 S_AXI_HP0_FPD S_AXI_GP3 S_AXI_HP1_FPD}
set ips [list xilinx.com:ip:zynq_ultra_ps_e xilinx.com:ip:axi_dma sparseflow:user:$module]
set cells {}
set connected {}
set done {}

proc create_project {args} { global part; set part [lindex $args end] }
proc current_project {} { return project }
proc current_fileset {} { return sources_1 }
proc update_ip_catalog {} {}
proc set_msg_config {args} {}
proc create_bd_design {name} { global design; set design $name }
proc get_files {name} {
  global design
  if {$name ne "$design.bd"} { error "no file $name" }
  return $name
}
proc set_property {args} {
  global buses ports repository
  if {[lindex $args 0] eq "ip_repo_paths"} { set repository [lindex $args 1] }
  if {[lindex $args 0] ne "-dict"} return
  foreach {name value} [lindex $args 1] {
    if {![string match CONFIG.* $name]} { error "no property $name" }
    if {[regexp {^CONFIG\.PSU__USE__(\w+)$} $name _ port] && $value} {
      lappend buses(ps) $ports($port)
    }
  }
}
proc create_bd_cell {args} {
  global cells ips
  array set given [lrange $args 0 3]
  if {$given(-vlnv) ni $ips} { error "no IP $given(-vlnv)" }
  lappend cells [lindex $args 4]
}
proc get_bd_cells {name} {
  global cells
  if {$name ni $cells} { error "no cell $name" }
  return $name
}
proc get_bd_intf_pins {path} {
  global buses
  lassign [split $path /] cell pin
  get_bd_cells $cell
  if {$pin ni $buses($cell)} { error "$cell has no $pin" }
  return $path
}
proc get_bd_pins {path} { return [get_bd_intf_pins $path] }
proc connect_bd_intf_net {a b} { global connected; lappend connected $a $b }
proc connect_bd_net {a b} { connect_bd_intf_net $a $b }
proc apply_bd_automation {args} {
  global connected
  array set given [lrange $args 0 3]
  array set config $given(-config)
  foreach end {Master Slave} {
    if {[info exists config($end)]} {
      lappend connected [get_bd_intf_pins [string range $config($end) 1 end]]
    }
  }
  lappend connected [lindex $args 4]
}
proc validate_bd_design {} {
  global connected buses
  foreach pin $buses(accelerator) {
    if {"accelerator/$pin" ni $connected} { error "accelerator/$pin is not connected" }
  }
}
proc make_wrapper {args} {}
proc launch_runs {args} {}
proc wait_on_run {run} { global done; set done $run }

set argv {}
set argc 0
source $script
if {$done ne "impl_1"} { error "no run" }
if {![file exists [file join $repository component.xml]]} { error "no IP in $repository" }
puts "PASS $part"
