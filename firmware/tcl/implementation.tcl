# Placement and routing of what synthesis left.
source [file join [file dirname [file normalize [info script]]] vivado.tcl]
step "placement and routing" {
    open_checkpoint $results/synthesis.dcp
    place_design
    phys_opt_design
    route_design
    write_checkpoint -force $results/implementation.dcp
    write_reports routed
}
