# What every script begins with. The folder may lie anywhere: paths follow from where this file is.
set home [file dirname [file dirname [file normalize [info script]]]]
cd $home
source [file join $home tcl settings.tcl]

# Runs a step and ends the program with a status that says how it went: left alone it may end with 0 after an error.
proc step {title body} {
    puts "jetgate: $title"
    if {[catch {uplevel #0 $body} message]} {
        puts "ERROR: jetgate: $title: $message"
        exit 1
    }
    puts "jetgate: $title is done"
    exit 0
}
