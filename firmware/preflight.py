"""What would go wrong in a run of hours, said before it begins."""

from __future__ import annotations

import re
from dataclasses import dataclass

from firmware.device import Device, find_device
from firmware.estimates import Multiplications, estimate, multiplications
from firmware.project import FirmwareProject

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


def preflight(project: FirmwareProject) -> tuple[Finding, ...]:
    """Look at unrolling, reuse factors, widths, pins and size, from the sources as they are now."""
    device = find_device(project.target.part)
    layers = multiplications(project)
    return (*_unrolling(project, layers), *_reuse(project, layers), *_widths(project, device, layers), *_pins(project, device),
            *_size(project, device))  # fmt: skip


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
    for name, form in project.accumulators().items():
        if form.width > device.accumulator:
            found.append(Finding(
                False, name, f"its accumulator has {form.width} bits, a DSP slice of the {device.family} {device.accumulator}: "
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


def _pins(project: FirmwareProject, device: Device) -> list[Finding]:
    ports = (project.manifest.inputs, project.manifest.outputs)
    pins = sum(len(port.elements) * port.fixed_point.width for port in ports)
    if device.pins is None or pins <= device.pins:
        return []
    return [Finding(
        False, "ports", f"{pins:,} bits of inputs and outputs, {device.pins:,} pins: fine out of context, as it is synthesised "
        "here, but not as a design of its own",
    )]  # fmt: skip


def _size(project: FirmwareProject, device: Device) -> list[Finding]:
    lut = estimate(project).used.lut
    if lut is None or lut <= device.lut // device.slr:
        return []
    if lut > device.lut:
        return [
            Finding(True, "size", f"about {lut:,} look-up tables are expected, the {device.name} has {device.lut:,}")
        ]
    return [
        Finding(False, "size", f"about {lut:,} look-up tables are expected, more than one of the {device.slr} dies has")
    ]
