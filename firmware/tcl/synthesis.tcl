# Synthesis out of context: without pins, with the real clock.
source [file join [file dirname [file normalize [info script]]] vivado.tcl]
step "synthesis" {
    read_design
    read_xdc -mode out_of_context tcl/$design.xdc
    synth_design -mode out_of_context -top $top -part $part -flatten_hierarchy rebuilt
    opt_design
    write_checkpoint -force $results/synthesis.dcp
    write_reports synth
}
