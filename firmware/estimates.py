"""What a design will need, before any tool is run, in a second: alkaid's cost, and effective bit operations.

References:
    Cost of additions in look-up tables, as alkaid's predecessor da4ml has it: arXiv:2507.04535. Effective bit operations:
    arXiv:2405.00645, section III.B.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from firmware.engines import cpp
from firmware.precision import typedefs
from firmware.project import FirmwareProject
from firmware.reports.report import Resources, Stage, SynthesisReport
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint

COST_ERROR = 0.053
"""Mean error of alkaid's cost against Vivado's look-up tables after routing, on twenty published designs."""


@dataclass(frozen=True)
class Multiplications:
    """What a layer multiplies, from its sources as they are now.

    Attributes:
        layer: Its name.
        weights: How many weights there are.
        nonzero: How many are not 0.
        positions: To how many pixels or particles each is applied.
        bit_operations: Sum over the weights of their bits between the first and the last that is set, times the input's bits,
            times the positions.
        weight: Format of the weights.
        source: Format of the inputs.
    """

    layer: str
    weights: int
    nonzero: int
    positions: int
    bit_operations: int
    weight: FixedPoint
    source: FixedPoint


def multiplications(project: FirmwareProject) -> tuple[Multiplications, ...]:
    """Every layer with weights, read from the C++.

    Raises:
        InputError: The sources are not as hls4ml writes them.
    """
    firmware = project.folder / "firmware"
    types = typedefs((firmware / "defines.h").read_text(encoding="utf-8"))
    found = []
    for layer in cpp.layers(project)[0]:
        name = next((one for one in layer.arguments if re.fullmatch(r"w\d+", one)), None)
        if name is not None:
            codes, form = _weights((firmware / "weights" / f"{name}.h").read_text(encoding="utf-8"), types, name)
            bias = f"b{name[1:]}"
            neurons = len(_weights((firmware / "weights" / f"{bias}.h").read_text(encoding="utf-8"), types, bias)[0])
            positions, nonzero = layer.size // neurons, sum(code != 0 for code in codes)
            bits = sum(_enclosed(code) for code in codes) * layer.source.width * positions
            found.append(Multiplications(layer.name, len(codes), nonzero, positions, bits, form, layer.source))
    return tuple(found)


def _weights(text: str, types: dict[str, FixedPoint], name: str) -> tuple[list[int], FixedPoint]:
    match = re.search(rf"(\w+) {name}\[\d+\] = \{{([^}}]*)\}}", text)
    try:
        form = types[match[1] if match else ""]
        return [round(float(word) * 2**form.fraction) for word in (match[2] if match else "").split(",")], form
    except (KeyError, ValueError) as error:
        raise InputError(f"firmware/weights/{name}.h: the weights are not declared as hls4ml does") from error


def _enclosed(code: int) -> int:
    """Bits of a weight between the first and the last that is set, both included."""
    size = abs(code)
    return size.bit_length() - ((size & -size).bit_length() - 1) if size else 0


def streaming(project: FirmwareProject) -> str:
    """Least interval of a streamed design: a word enters every clock, and no layer takes two events at once."""
    words = project.manifest.inputs.words
    least = f"at least {words:,} clocks ({words * project.target.clock_ns:g} ns) apart"
    return f"an event comes in {words:,} words, one a clock: {least}"


def estimate(project: FirmwareProject) -> SynthesisReport:
    """Look-up tables and registers of the Verilog as alkaid counts them; bit operations in the notes."""
    rtl, streamed = project.manifest.rtl, project.target.backend.io == "stream"
    # A streamed layer has one circuit for each weight, which the pixels go through one after the other.
    bits = sum(layer.bit_operations // (layer.positions if streamed else 1) for layer in multiplications(project))
    what = "of its multipliers, lines and FIFOs aside" if streamed else "of an unrolled design by HLS"
    notes = [f"{bits:,} effective bit operations: about LUT + 55 DSP {what}; its error is not published"]
    if streamed:
        notes.append(f"{streaming(project)}; the latency is not known before C synthesis")
    if rtl is not None:
        notes.insert(0, f"look-up tables by alkaid's cost, mean error {100 * COST_ERROR:g} % on twenty routed designs")
    used = Resources() if rtl is None else Resources(lut=round(rtl.cost), ff=rtl.registers)
    return SynthesisReport(
        kind="estimate", stage=Stage.ESTIMATE, design=project.manifest.top, part=project.target.part,
        clock_ns=project.target.clock_ns, used=used, notes=tuple(notes),
    )  # fmt: skip
