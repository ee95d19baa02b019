# What every step of the HLS compiler begins with.
source [file join [file dirname [file normalize [info script]]] step.tcl]

# Opens the design; with "-reset" everything that was made of it before is thrown away.
proc open_design {args} {
    global top part clock_ns uncertainty compiler
    open_project {*}$args hls
    set_top $top
    add_files firmware/$top.cpp -cflags "-std=c++0x"
    add_files -tb jetgate_test.cpp -cflags "-std=c++0x"
    add_files -tb tb_data
    open_solution solution1
    set_part $part
    create_clock -period $clock_ns -name default
    set_clock_uncertainty $uncertainty default
    config_compile -name_max_length 80
    if {$compiler eq "vivado"} {
        where_known {config_array_partition -maximum_size 4096}
    }
    where_known {config_schedule -enable_dsp_full_reg=false}
}

# Options that not every release has; without them the result is as good, only larger.
proc where_known {command} {
    if {[catch $command message]} {
        puts "WARNING: jetgate: this release does not know '$command': $message"
    }
}
