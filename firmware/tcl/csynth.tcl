# C synthesis: Verilog and an estimate of latency and resources.
source [file join [file dirname [file normalize [info script]]] hls.tcl]
step "C synthesis" {
    open_design
    csynth_design
}
