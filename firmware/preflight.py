"""What would go wrong in a run of hours, said before it begins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import Literal

from firmware.device import Device, find_device
from firmware.estimates import Multiplications, estimate, multiplications, streaming
from firmware.project import FirmwareProject
from trigger.lhc import CROSSING_NS

UNROLLED = 4096
"""Elements of an array that is split completely: more is refused by Vivado HLS and slow in Vitis HLS (UG902, UG1399)."""


@dataclass(frozen=True)
class Finding:
    """Something that will not work, or may not.

    Attributes:
        fatal: Whether a run would be in vain.
        subject: Layer, port or part.
        sentence: What was found and what would be right.
    """

    fatal: bool
    subject: str
    sentence: str


def preflight(project: FirmwareProject, design: Literal["cpp", "rtl"] = "cpp") -> tuple[Finding, ...]:
    """Look at unrolling, reuse factors, widths, pins and size, from the sources as they are now.

    Args:
        project: The firmware.
        design: What will be synthesised: the C++, to which the first three belong, or our own Verilog, whose size it is.
    """
    device = find_device(project.target.part)
    layers = multiplications(project)
    of_hls = (*_unrolling(project, layers), *_reuse(project, layers), *_widths(project, device, layers))
    of_both = (*_interval(project), *_pins(project, device), *_size(project, device, design == "rtl"))
    return (*(of_hls if design == "cpp" else ()), *of_both)


def _unrolling(project: FirmwareProject, layers: tuple[Multiplications, ...]) -> list[Finding]:
    backend = project.target.backend
    return [
        Finding(
            backend.tool == "vivado", layer.layer,
            f"{layer.weights:,} weights are unrolled by the latency strategy, more than {UNROLLED:,}: "
            + ("Vivado HLS refuses that" if backend.tool == "vivado" else "Vitis HLS takes hours over that")
            + "; the resource strategy with a reuse factor would be right",
        )
        for layer in layers
        if backend.strategy_of(layer.layer) == "latency" and layer.weights > UNROLLED
    ]  # fmt: skip


def _reuse(project: FirmwareProject, layers: tuple[Multiplications, ...]) -> list[Finding]:
    """The factors as the sources have them now; the conversion refuses those that a layer cannot have."""
    text = (project.folder / "firmware" / "parameters.h").read_text(encoding="utf-8")
    factors = re.findall(
        r"^// (\w+)\nstruct \w+ : nnet::\w+ \{.*?reuse_factor = (\d+);", text, re.MULTILINE | re.DOTALL
    )
    weights = {layer.layer: layer.weights for layer in layers}
    return [
        Finding(True, name, f"a reuse factor of {factor} does not divide its {weights[name]:,} multiplications")
        for name, factor in factors
        if name in weights and project.target.backend.strategy_of(name) == "resource" and weights[name] % int(factor)
    ]


def _widths(project: FirmwareProject, device: Device, layers: tuple[Multiplications, ...]) -> list[Finding]:
    found = []
    declared = (project.folder / "firmware" / "defines.h").read_text(encoding="utf-8")
    for width, name in re.findall(r"^typedef ap_u?(?:fixed|int)<(\d+)[^>]*> (\w+)_accum_t;", declared, re.MULTILINE):
        if int(width) > device.accumulator:
            found.append(Finding(
                False, name, f"its accumulator has {width} bits, a DSP slice of the {device.family} {device.accumulator}: "
                "additions go into look-up tables",
            ))  # fmt: skip
    wide, narrow = device.multiplier
    for layer in layers:
        widths = sorted(
            (layer.weight.width + (not layer.weight.signed), layer.source.width + (not layer.source.signed))
        )
        if widths[1] > wide or widths[0] > narrow:
            found.append(Finding(
                False, layer.layer, f"{widths[0]} x {widths[1]} bits do not fit the {narrow} x {wide} multiplier of a DSP slice: "
                "each multiplication takes two or more",
            ))  # fmt: skip
    return found


def _interval(project: FirmwareProject) -> list[Finding]:
    """Whether a stream can take an event from every bunch crossing."""
    words, clock_ns = project.manifest.inputs.words, project.target.clock_ns
    if project.manifest.inputs.word is None or words * clock_ns <= CROSSING_NS:
        return []
    copies = ceil(words * clock_ns / CROSSING_NS)
    return [Finding(
        False, "interval", f"{streaming(project)}, more than a bunch crossing of {CROSSING_NS:.3f} ns: events of every crossing "
        f"take {copies:,} copies of the design or more, in turn",
    )]  # fmt: skip


def _pins(project: FirmwareProject, device: Device) -> list[Finding]:
    ports = (project.manifest.inputs, project.manifest.outputs)
    pins = sum((port.word or len(port.elements)) * port.fixed_point.width for port in ports)
    if device.pins is None or pins <= device.pins:
        return []
    return [Finding(
        False, "ports", f"{pins:,} bits of inputs and outputs, {device.pins:,} pins: fine out of context, as it is synthesised "
        "here, but not as a design of its own",
    )]  # fmt: skip


def _size(project: FirmwareProject, device: Device, fatal: bool) -> list[Finding]:
    """Of the Verilog; the C++ may share multipliers or take DSP slices, so that for it this is no more than a hint."""
    lut = estimate(project).used.lut
    if lut is None or lut <= device.lut // device.slr:
        return []
    if lut > device.lut:
        unrolled = "" if fatal else ", if all is unrolled"
        return [Finding(
            fatal, "size", f"about {lut:,} look-up tables are expected{unrolled}, the {device.name} has {device.lut:,}"
        )]  # fmt: skip
    return [Finding(
        False, "size", f"about {lut:,} look-up tables are expected, one of the {device.slr} dies has {device.lut // device.slr:,}"
    )]  # fmt: skip
