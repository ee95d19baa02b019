"""Accept bits beside a network's outputs, as C++ for high-level synthesis and as Verilog: integer comparisons, no more.

Both are written by one rule, from the same cuts: every code is taken into as many bits as hold the difference of any two, so
that nothing overflows and every comparison is one of signed integers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from firmware.project import Manifest, Rtl, Wire
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint

if TYPE_CHECKING:
    from firmware.decision import Cut

FOLDER, HEADER = "decision", "jetgate_decision.h"
ACCEPT = "accept"
"""Port of the accept bits, in C++ and in Verilog."""
_END_OF_PORTS = "// hls-fpga-machine-learning insert load weights"
"""What hls4ml writes behind the pragmas of the ports and of the pipeline."""


def write(manifest: Manifest, cuts: Sequence[Cut], source: Path, folder: Path) -> None:
    """Write the sources of the accept bits.

    Args:
        manifest: Of the project.
        cuts: Bit `i` is that of cut `i`.
        source: The network's top function, whose pragmas its new top function takes over.
        folder: Where to.

    Raises:
        InputError: The top function is not as hls4ml writes it.
    """
    top = manifest.top
    files = {HEADER: _header(manifest, cuts), f"{top}_decision.cpp": _function(manifest, cuts, source)}
    if manifest.rtl is not None:
        files[f"{top}_decision.v"] = _verilog(manifest.rtl, manifest, cuts)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _condition(cut: Cut) -> str:
    return f"  // {cut.condition}" if cut.condition else ""


def _header(manifest: Manifest, cuts: Sequence[Cut]) -> str:
    """The comparison as one inline function over the outputs, and the thresholds by name."""
    top, port = manifest.top, manifest.outputs
    form, size = port.fixed_point, len(port.elements)
    thresholds = "\n".join(
        f"constexpr long long threshold_{cut.name} = {cut.threshold};{_condition(cut)}" for cut in cuts
    )
    codes = "\n".join(
        f"    const score_t code_{index} = code(outputs[{index}]);  // {json.dumps(port.elements[index])}"
        for index in _read(manifest, cuts)
    )
    bits = "\n".join(
        f"    const score_t score_{cut.name} = {_score(manifest, cut)};\n"
        f"    accept[{bit}] = score_{cut.name} >= score_t(threshold_{cut.name});"
        for bit, cut in enumerate(cuts)
    )
    guard, raw = f"{top.upper()}_DECISION_H_", "ap_int" if form.signed else "ap_uint"
    return f"""// Written by jetgate: accept bits of the outputs of {top}, by thresholds in codes of {form}.
#ifndef {guard}
#define {guard}

#include "../firmware/{top}.h"

namespace {top}_cuts {{

const unsigned n_cuts = {len(cuts)};
{thresholds}

typedef ap_int<{_bits(form)}> score_t;  // holds the difference of any two codes

inline score_t code(const {port.cpp_type} &output) {{
    #pragma HLS INLINE
    const {raw}<{form.width}> raw = output.range({form.width - 1}, 0);
    return raw;
}}

inline score_t larger(const score_t &one, const score_t &other) {{
    #pragma HLS INLINE
    return one > other ? one : other;
}}

// Bit i is that of cut i.
inline ap_uint<n_cuts> decide(const {port.cpp_type} outputs[{size}]) {{
    #pragma HLS INLINE
    ap_uint<n_cuts> accept = 0;
{codes}
{bits}
    return accept;
}}

}}  // namespace {top}_cuts

void {top}_decision({_ports(manifest)}, ap_uint<{top}_cuts::n_cuts> &{ACCEPT});

#endif
"""


def _function(manifest: Manifest, cuts: Sequence[Cut], source: Path) -> str:
    """The top function: the network's ports and the accept bits."""
    top, port = manifest.top, manifest.outputs
    size = len(port.elements)
    written = source.read_text(encoding="utf-8")
    pragmas = [line.rstrip() for line in written.split(_END_OF_PORTS)[0].splitlines() if "#pragma HLS" in line]
    if _END_OF_PORTS not in written or not pragmas:
        raise InputError(
            f"{source}: the pragmas of the ports are not where hls4ml writes them, before {_END_OF_PORTS!r}"
        )
    taken = "\n".join(pragmas)
    bits = f"ap_uint<{top}_cuts::n_cuts> &{ACCEPT}"
    return f"""// Written by jetgate: {top} with accept bits beside its outputs.
#include "{HEADER}"

// The outputs are copied because a port that is read as well would be no output.
static void {top}_judged(const {port.cpp_type} found[{size}], {port.cpp_type} outputs[{size}], {bits}) {{
    for (unsigned i = 0; i < {size}; i++) {{
        #pragma HLS UNROLL
        outputs[i] = found[i];
    }}
    {ACCEPT} = {top}_cuts::decide(found);
}}

void {top}_decision({_ports(manifest)}, {bits}) {{
{taken}
    #pragma HLS INTERFACE ap_vld port={ACCEPT}
    {port.cpp_type} jetgate_found[{size}];
    #pragma HLS ARRAY_PARTITION variable=jetgate_found complete dim=0
    {top}({manifest.inputs.name}, jetgate_found);
    {top}_judged(jetgate_found, {port.name}, {ACCEPT});
}}
"""


def _verilog(rtl: Rtl, manifest: Manifest, cuts: Sequence[Cut]) -> str:
    """The comparison as a module of its own, and the module that holds it beside the network."""
    top, form, read = rtl.top, manifest.outputs.fixed_point, _read(manifest, cuts)
    bits = max(_bits(form), *(_aligned_bits(rtl.outputs[index], form) + 1 for index in read))
    word = f"signed [{bits - 1}:0]"
    thresholds = "\n".join(
        f"    localparam {word} threshold_{cut.name} = {'-' * (cut.threshold < 0)}{bits}'sd{abs(cut.threshold)};{_condition(cut)}"
        for cut in cuts
    )
    codes = "\n".join(
        f"    wire {word} code_{index} = {_code(rtl.outputs, index, form, bits)};"
        f"  // {json.dumps(manifest.outputs.elements[index])}"
        for index in read
    )
    scores = "\n".join(
        f"    wire {word} score_{cut.name} = {_score(manifest, cut)};\n"
        f"    assign {ACCEPT}[{bit}] = score_{cut.name} >= threshold_{cut.name};"
        for bit, cut in enumerate(cuts)
    )
    given, found = (sum(one.width for one in port) for port in (rtl.inputs, rtl.outputs))
    return f"""// Written by jetgate: accept bits of the outputs of {top}, by thresholds in codes of {form}.
`timescale 1 ns / 1 ps

// Without a clock; bit i is that of cut i.
module {top}_decide (
    input wire [{found - 1}:0] model_out,
    output wire [{len(cuts) - 1}:0] {ACCEPT}
);

{thresholds}

    function {word} larger(input {word} one, input {word} other);
        larger = one > other ? one : other;
    endfunction

    // Elements of the port without any bit that cannot differ: behind them go zeros, before them their sign.
{codes}

{scores}

endmodule

// The outputs and the accept bits of an event are there at once, {rtl.latency_cycles} clocks after it.
module {top}_decision (
    input wire clk,
    input wire [{given - 1}:0] model_inp,
    output wire [{found - 1}:0] model_out,
    output wire [{len(cuts) - 1}:0] {ACCEPT}
);

    {top} network (.clk(clk), .model_inp(model_inp), .model_out(model_out));
    {top}_decide decide (.model_out(model_out), .{ACCEPT}({ACCEPT}));

endmodule
"""


def check_module(rtl: Rtl, cuts: int) -> tuple[str, str]:
    """Name and text of a module that simulation drives as it drives the network: the network with its accept bits, and beside it
    the comparison alone, whose outputs to judge come behind the network's inputs and whose bits go behind everything else.
    """
    top, name = rtl.top, f"{rtl.top}_check"
    given, found = (sum(one.width for one in port) for port in (rtl.inputs, rtl.outputs))
    last = found + cuts
    return (
        name,
        f"""// Written by jetgate, for simulation alone.
module {name} (
    input wire clk,
    input wire [{given + found - 1}:0] model_inp,
    output wire [{last + cuts - 1}:0] model_out
);

    {top}_decision whole (
        .clk(clk), .model_inp(model_inp[{given - 1}:0]), .model_out(model_out[{found - 1}:0]),
        .{ACCEPT}(model_out[{last - 1}:{found}])
    );
    {top}_decide alone (
        .model_out(model_inp[{given + found - 1}:{given}]), .{ACCEPT}(model_out[{last + cuts - 1}:{last}])
    );

endmodule
""",
    )


def _ports(manifest: Manifest) -> str:
    return ", ".join(f"{one.cpp_type} {one.name}[{len(one.elements)}]" for one in (manifest.inputs, manifest.outputs))


def _read(manifest: Manifest, cuts: Sequence[Cut]) -> list[int]:
    """The outputs that any cut reads."""
    names = {name for cut in cuts for name in (cut.output, *cut.against)}
    return [index for index, name in enumerate(manifest.outputs.elements) if name in names]


def _bits(form: FixedPoint) -> int:
    """Bits that hold the difference of any two codes, and its sign."""
    return form.width + (not form.signed) + 1


def _aligned_bits(wire: Wire, form: FixedPoint) -> int:
    """Bits of an element of the Verilog's port in codes of the firmware's, with a sign."""
    return max(0, wire.width + form.fraction - wire.fraction) + (not wire.signed) if wire.width else 0


def _score(manifest: Manifest, cut: Cut) -> str:
    """What a cut holds to its threshold; the same words in both languages."""
    code = {name: f"code_{index}" for index, name in enumerate(manifest.outputs.elements)}
    if not cut.against:
        return code[cut.output]
    return f"{code[cut.output]} - {_largest([code[name] for name in cut.against])}"


def _largest(codes: list[str]) -> str:
    """The largest of some numbers, in as few steps one after the other as can be."""
    if len(codes) == 1:
        return codes[0]
    middle = len(codes) // 2
    return f"larger({_largest(codes[:middle])}, {_largest(codes[middle:])})"


def _code(wires: tuple[Wire, ...], index: int, form: FixedPoint, bits: int) -> str:
    """An element of the Verilog's port as a code of the firmware's port in `bits` bits."""
    wire = wires[index]
    begin = sum(one.width for one in wires[:index])
    behind = form.fraction - wire.fraction
    low, high = begin + max(0, -behind), begin + wire.width - 1  # bits of numbers finer than a code are 0 always
    if low > high:
        return f"{bits}'sd0"
    zeros = max(0, behind)
    sign = f"model_out[{high}]" if wire.signed else "1'b0"
    before = f"{{{bits - zeros - (high - low + 1)}{{{sign}}}}}"
    after = f", {zeros}'b0" if zeros else ""
    return f"{{{before}, model_out[{high}:{low}]{after}}}"
