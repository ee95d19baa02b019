# Simulation of the synthesised Verilog with the same test bench; C synthesis comes before it.
source [file join [file dirname [file normalize [info script]]] hls.tcl]
step "co-simulation" {
    open_design
    cosim_design -rtl verilog
}
