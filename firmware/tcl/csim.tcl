# C simulation of the sources with the test bench, which compares every output.
source [file join [file dirname [file normalize [info script]]] hls.tcl]
step "C simulation" {
    open_design -reset
    csim_design
}
