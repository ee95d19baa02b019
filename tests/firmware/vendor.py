"""Fake tools of the vendors for tests: programs that say their release and write reports in the vendors' layouts, or do worse."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

# What each program says of itself, as the real ones spell it.
BANNERS = {
    "vivado_hls": "Vivado(TM) HLS - High-Level Synthesis from C, C++ and SystemC v{} (64-bit)",
    "vitis_hls": "Vitis HLS - High-Level Synthesis from C, C++ and OpenCL v{} (64-bit)",
    "vitis-run": "****** vitis-run v{} (64-bit)",
    "v++": "****** v++ v{} (64-bit)",
    "vivado": "vivado v{} (64-bit)\nTool Version Limit: 2029.04",
}


def install(folder, release, *programs):
    """Put fake programs into a folder for the PATH; `FAKE` in the environment says how they behave."""
    folder.mkdir(exist_ok=True)
    for program in programs:
        path = folder / program
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__)} {program} {release} "$@"\n')
        path.chmod(0o755)


def csynth_xml(top, part, release="2023.2", latency=7, lut=1234):
    return f"""<profile>
<ReportVersion><Version>{release}</Version></ReportVersion>
<UserAssignments><unit>ns</unit><Part>{part}</Part><TopModelName>{top}</TopModelName>
<TargetClockPeriod>2.78</TargetClockPeriod><ClockUncertainty>0.75</ClockUncertainty></UserAssignments>
<PerformanceEstimates><PipelineType>yes</PipelineType>
<SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>1.9</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency><unit>clock cycles</unit><Best-caseLatency>{latency}</Best-caseLatency>
<Worst-caseLatency>{latency}</Worst-caseLatency><Interval-min>1</Interval-min><Interval-max>1</Interval-max>
</SummaryOfOverallLatency></PerformanceEstimates>
<AreaEstimates><Resources><BRAM_18K>3</BRAM_18K><DSP>4</DSP><FF>567</FF><LUT>{lut}</LUT><URAM>0</URAM></Resources>
<AvailableResources><BRAM_18K>5376</BRAM_18K><DSP>12288</DSP><FF>3456000</FF><LUT>1728000</LUT><URAM>1280</URAM>
</AvailableResources></AreaEstimates>
</profile>
"""


def cosim_rpt(status="Pass", latency="8"):
    def cells(*values):
        return "|".join(f"{value:>15}" for value in values)

    rule = f"+{'-' * 10}+{'-' * 10}+{'-' * 47}+{'-' * 47}+"
    na = cells(*["NA"] * 6)
    numbers = cells(latency, latency, latency, "1", "1", "1") if status == "Pass" else na
    return f"""Report time       : {time.strftime("%a %b %d %H:%M:%S %Z %Y")}.
Solution          : solution1.
Simulation tool   : xsim.

{rule}
|          |          |                    Latency                    |                    Interval                   |
+   RTL    +  Status  +-----------------------------------------------+-----------------------------------------------+
|          |          |      min      |      avg      |      max      |      min      |      avg      |      max      |
{rule}
|      VHDL|        NA|{na}|
|   Verilog|      {status}|{numbers}|
{rule}
"""


def table(header, *rows):
    widths = [max(len(str(line[k])) for line in (header, *rows)) + 2 for k in range(len(header))]
    rule = "+" + "+".join("-" * width for width in widths) + "+"
    lines = ["|" + "|".join(f" {cell!s:<{width - 1}}" for cell, width in zip(line, widths, strict=True)) + "|"
             for line in (header, *rows)]  # fmt: skip
    return "\n".join([rule, lines[0], rule, *lines[1:], rule]) + "\n"


def head(command, top, part, state, release, date):
    date = date or time.strftime("%a %b %d %H:%M:%S %Y")
    rule = "-" * 90
    return f"""Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.
{rule}
| Tool Version : Vivado v.{release} (lin64) Build 1 Wed May 22 18:36:09 MDT 2024
| Date         : {date}
| Command      : {command}
| Design       : {top}
| Device       : {part}
| Design State : {state}
{rule}
"""


def section(number, title, body):
    return f"\n{number}. {title}\n{'-' * (len(title) + 3)}\n\n{body}\n"


def vivado_rpt(kind, top, part, state, release="2023.2", date=None, slack="0.123", lut=1111):
    columns = ("Site Type", "Used", "Fixed", "Prohibited", "Available", "Util%")
    if kind == "utilization":
        return (
            head("report_utilization -file x", top, part, state, release, date)
            + section(1, "CLB Logic", table(columns, ("CLB LUTs*", lut, 0, 0, 1728000, 0.06),
                                            ("CLB Registers", 2222, 0, 0, 3456000, 0.06)))
            + section(2, "BLOCKRAM", table(columns, ("Block RAM Tile", 1.5, 0, 0, 2688, 0.06), ("URAM", 0, 0, 0, 1280, 0)))
            + section(3, "ARITHMETIC", table(columns, ("DSPs", 5, 0, 0, 12288, 0.04)))
        )  # fmt: skip
    if kind == "hierarchy":
        names = ("Instance", "Module", "Total LUTs", "Logic LUTs", "FFs", "RAMB36", "RAMB18", "URAM", "DSP Blocks")
        return head("report_utilization -hierarchical -file x", top, part, state, release, date) + (
            "\nTable of Contents\n-----------------\n1. Utilization by Hierarchy\n"
            + section(1, "Utilization by Hierarchy", table(names, (top, "(top)", lut, lut, 2222, 1, 1, 0, 5),
                                                           ("  inner", "logic0", 900, 900, 1000, 0, 1, 0, 5)))
        )  # fmt: skip
    if kind == "power":
        body = table(("", ""), ("Total On-Chip Power (W)", "2.500"), ("Confidence Level", "Low")).split("\n", 2)[2]
        return head("report_power -file x", top, part, state, release, date) + section(1, "Summary", body)
    met = "All user specified timing constraints are met." if float(slack) >= 0 else "Timing constraints are not met."
    return (
        head("report_timing_summary -file x", top, part, state, release, date)
        + f"""
Timing Summary Report

| Design Timing Summary
| ---------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)     WPWS(ns)
    -------      -------  ---------------------  -------------------      -------     --------
      {slack}        0.000                      0                 3833        0.011        0.500


{met}


| Clock Summary
| -------------

Clock  Waveform(ns)         Period(ns)      Frequency(MHz)
-----  ------------         ----------      --------------
clk    {{0.000 1.389}}        2.778           360.000


| Intra Clock Table
| -----------------
"""
    )


def _settings():
    words = [
        line.split(None, 2) for line in Path("tcl/settings.tcl").read_text().splitlines() if line.startswith("set ")
    ]
    return {name: value.strip("{}") for _, name, value in words}


def _step(arguments):
    for step in ("csim", "cosim", "csynth", "synthesis", "implementation"):
        if any(step in word for word in arguments):
            return step
    return "csynth"  # v++ -c


def _write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def main(program, release, arguments):
    """Behave as `FAKE` says: well, or as tools do."""
    if "ersion" in " ".join(arguments):
        print(BANNERS[program].format(release))
        return 0
    how, step = os.environ.get("FAKE", ""), _step(arguments)
    with Path(os.environ["FAKE_CALLS"]).open("a") as calls:
        print(step, file=calls)
    if step != os.environ.get("FAKE_STEP", step):
        how = ""
    settings = _settings()
    top, part = settings["top"], settings["part"]
    errors = {
        "fail": "INFO: [HLS 200-10] begins\nERROR: [HLS 200-70] the first error\nERROR: [HLS 200-71] the second",
        "licence": f"ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis' and/or device '{part}'.",
        "part": f"ERROR: [HLS 200-1023] Part '{part}' is not installed.",
    }
    if how in errors:
        print(errors[how])
        return 1
    if how == "hang":
        if os.fork() == 0:  # the real program behind the vendor's script
            Path("child").write_text(str(os.getpid()))
        time.sleep(60)
    if how != "nothing":
        write(step, how, release, arguments, top, part)
    return 0


def write(step, how, release, arguments, top, part):
    """The reports of a step, or what is wrong with them."""
    date = "Tue Dec 19 09:29:25 2017" if how == "old" else None
    part = "xcku115-flvb2104-2-i" if how == "other part" else part
    folder = "hls/hls" if "--work_dir" in arguments else "hls/solution1"
    if step == "csynth":
        text = csynth_xml(top, part, release)
        _write(f"{folder}/syn/report/csynth.xml", text[: len(text) // 2] if how == "cut" else text)
        _write(f"{folder}/syn/verilog/{top}.v", "module x; endmodule\n")
        if how == "old":
            os.utime(f"{folder}/syn/report/csynth.xml", (1e9, 1e9))
    if step == "csim":
        print(f"jetgate: {3 if how == 'differ' else 0} of 3555 outputs of 1185 events differ")
        if how == "differ":
            print("ERROR: [SIM 211-100] 'csim_design' failed: nonzero return value.")
            sys.exit(1)
    if step == "cosim":
        _write(f"{folder}/sim/report/{top}_cosim.rpt", cosim_rpt("Fail" if how == "cosim" else "Pass"))
    if step in ("synthesis", "implementation"):
        where, state = {"synthesis": ("synth", "Synthesized"), "implementation": ("routed", "Routed")}[step]
        for kind in ("utilization", "hierarchy", "timing", "power"):
            text = vivado_rpt(kind, top, part, state, release, date, "-0.100" if how == "slow" else "0.123")
            _write(f"vivado/{arguments[-1]}/{kind}_{where}.rpt", text[: len(text) // 2] if how == "cut" else text)
        _write(f"vivado/{arguments[-1]}/{step}.dcp", "a checkpoint")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
