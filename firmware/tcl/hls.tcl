# What every step of the HLS compiler begins with. The folder may lie anywhere: paths follow from where this file is.
set home [file dirname [file dirname [file normalize [info script]]]]
cd $home
source [file join $home tcl settings.tcl]

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

# Runs a step and ends the compiler with a status that says how it went: left alone it may end with 0 after an error.
proc step {title body} {
    puts "jetgate: $title"
    if {[catch {uplevel #0 $body} message]} {
        puts "ERROR: jetgate: $title: $message"
        exit 1
    }
    puts "jetgate: $title is done"
    exit 0
}
