# What every step of Vivado begins with. Its argument is the design: "cpp", what HLS made of the C++, or "rtl", our own Verilog.
source [file join [file dirname [file normalize [info script]]] step.tcl]
set design [lindex $argv 0]
if {$design ne "cpp" && $design ne "rtl"} {
    puts "ERROR: jetgate: the design is '$design'; cpp or rtl is right"
    exit 1
}
set results [file join vivado $design]
file mkdir $results

proc read_design {} {
    global design part
    create_project -in_memory -part $part
    # A table whose file is not found would be left out, and the design come out too small.
    set_msg_config -id {Synth 8-4445} -new_severity ERROR
    if {$design eq "rtl"} {
        read_verilog [glob rtl/src/*.v rtl/src/static/*.v]
    } else {
        # The compilers differ in the name of the folder. Some cores come as Tcl that makes them.
        foreach solution {hls/solution1 hls/hls} {
            if {[llength [glob -nocomplain $solution/syn/verilog/*.v]]} {
                read_verilog [glob $solution/syn/verilog/*.v]
                foreach table [glob -nocomplain $solution/syn/verilog/*.dat] {
                    add_files $table
                }
                foreach core [glob -nocomplain $solution/syn/verilog/*.tcl] {
                    source $core
                }
                return
            }
        }
        error "there is no Verilog of the HLS compiler: run C synthesis first"
    }
}

proc write_reports {state} {
    global results
    report_utilization -file $results/utilization_$state.rpt
    report_utilization -hierarchical -file $results/hierarchy_$state.rpt
    report_timing_summary -file $results/timing_$state.rpt
    report_power -file $results/power_$state.rpt
}
