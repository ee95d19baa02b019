"""Random small convolution networks: paddings, strides, kernels, poolings, depthwise, every way to quantise."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from firmware import divergence, vectors
from firmware.backends import qkeras_layers, rtl
from firmware.emulation import taps_of
from firmware.engines import cpp, integer
from firmware.engines import keras as reference
from firmware.project import convert
from firmware.target import load_target
from tests.firmware.legacy import library
from trigger.errors import UnsupportedError
from trigger.inputs.contract import Input, InputSpec

REASONS = ("hls4ml would saturate elsewhere", "has no strategy 'resource' in hls4ml", "which hls4ml cannot stream")
"""What networks among them are refused for."""


@dataclass
class Count:
    """What the comparison of networks gave.

    Attributes:
        seeds: Of the networks that were compared.
        refused: Of those that are refused, and why.
        layers: Kinds of layers in them, how often.
        codes: Codes compared, by engine.
        wrong: Codes that differ, by engine and seed.
        varying: Layers with more than four different outputs.
    """

    seeds: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    wrong: dict[tuple[str, int], int] = field(default_factory=dict)
    varying: int = 0

    def compare(self, engine, seed, found, expected):
        self.codes[engine] = self.codes.get(engine, 0) + expected.size
        if found.shape != expected.shape or (found != expected).any():
            self.wrong[engine, seed] = self.wrong.get((engine, seed), 0) + int(np.sum(found != expected))


def convolution_network(seed):
    """A network, its contract and a target."""
    import keras
    import qkeras

    draw, generator = random.Random(seed), np.random.default_rng(seed)
    rank = draw.choice([1, 2, 2])
    sizes = [draw.randint(7, 12)] if rank == 1 else [draw.randint(4, 7), draw.randint(4, 7)]
    shape = (*sizes, draw.randint(1, 4 - rank))
    bits = draw.randint(4, 8)
    modes = {"keep_negative": draw.random() < 0.8, "symmetric": draw.random() < 0.2}
    cast = qkeras.quantized_bits(bits, draw.randint(0, 3), alpha=1.0, **modes)
    start = keras.Input(shape, name="image")
    x = qkeras.QActivation(cast, name="cast")(start)

    def weights(what="kernel"):
        kernel = draw.choice([
            qkeras.quantized_bits(draw.randint(2, 5), draw.randint(0, 1), alpha=1.0), qkeras.ternary(alpha=1.0),
            qkeras.quantized_bits(draw.randint(3, 5), 0, alpha=1.0), qkeras.binary(alpha=1.0),
        ])  # fmt: skip
        bias = qkeras.quantized_bits(draw.randint(3, 6), draw.randint(0, 1), alpha=1.0)
        used = draw.random() < 0.8
        return {f"{what}_quantizer": kernel, "use_bias": used, "bias_quantizer": bias if used else None}

    def activation():
        return draw.choice([
            qkeras.quantized_relu(draw.randint(3, 6), draw.randint(1, 3)), qkeras.quantized_relu(draw.randint(3, 6), 2),
            qkeras.quantized_bits(draw.randint(3, 6), draw.randint(0, 2), alpha=1.0), qkeras.quantized_tanh(draw.randint(3, 6)),
        ])  # fmt: skip

    def several(low, high):
        return tuple(draw.randint(low, min(high, size)) for size in x.shape[1 : 1 + rank])

    def convolved(number):
        kernel = several(1, 3)
        strides = several(1, 3) if draw.random() < 0.4 else (1,) * rank
        given = {
            "padding": draw.choice(["valid", "same"]),
            **({"activation": activation()} if draw.random() < 0.5 else {}),
        }
        if rank == 2 and draw.random() < 0.3:
            layer = qkeras.QDepthwiseConv2D(
                kernel, strides[:1] * 2, name=f"depth{number}", **given, **weights("depthwise")
            )
        else:
            kind = getattr(qkeras, f"QConv{rank}D")
            layer = kind(draw.randint(1, 4), kernel, strides, name=f"conv{number}", **given, **weights())
        y = layer(x)
        done = "activation" in given or draw.random() < 0.2
        return y if done else qkeras.QActivation(activation(), name=f"act{number}")(y)

    def pooled(number):
        kind = draw.choice(["Max", "Average"])
        size = several(1, 3)
        if kind == "Average":
            size = tuple(2 if one == 3 else one for one in size)
        strides = draw.choice([None, several(1, 3)])
        whole = all(n % s == 0 and k <= s for n, k, s in zip(x.shape[1:], size, strides or size, strict=False))
        padding = "same" if whole and draw.random() < 0.5 else "valid"
        return getattr(keras.layers, f"{kind}Pooling{rank}D")(size, strides, padding, name=f"pool{number}")(x)

    for number in range(draw.randint(1, 2)):
        x = convolved(number)
        if draw.random() < 0.6:
            x = pooled(number)
    entries = int(np.prod(x.shape[1 : 1 + rank]))
    ends = ["GlobalMax", "Flatten", "Flatten", *(["GlobalAverage"] if entries & (entries - 1) == 0 else [])]
    end = draw.choice(ends)
    last = keras.layers.Flatten if end == "Flatten" else getattr(keras.layers, f"{end}Pooling{rank}D")
    x = last(name="whole")(x)
    model = keras.Model(start, qkeras.QDense(3, name="logits", **weights())(x))
    model.set_weights([generator.normal(0, 0.7, one.shape) for one in model.get_weights()])
    wire = qkeras_layers.quantizer_format(cast, "cast")
    names = tuple(f"x{k}" for k in range(int(np.prod(shape))))
    spec = InputSpec(inputs=tuple(Input(name=one, format=wire) for one in names), outputs=("a", "b", "c"), shape=shape)
    io, strategy = draw.choice(["parallel"] * 4 + ["stream"]), draw.choice(["latency", "latency", "resource"])
    return model, spec, load_target("vu13p", (f"backend.io={io}", f"backend.strategy={strategy}"))


def compared(first, count, folder, name, events=300):
    """Compare `count` networks from seed `first` on in all engines, those that are refused passed over.

    The circuit is held to the network in float64, and integers, the C++ (layer by layer) and the Verilog's program to the
    circuit.
    """
    made, found, seed = [], Count(), first
    while len(made) < count:
        model, spec, target = convolution_network(seed)
        try:
            made.append((seed, model, spec, convert(model, spec, target, f"net{seed}", folder)))
            found.seeds.append(seed)
        except UnsupportedError as error:
            found.refused[seed] = str(error)
        seed += 1
    loaded = library([project for *_, project in made], folder, name)
    for number, (seed, model, spec, project) in enumerate(made):
        for layer in model.layers:
            kind = type(layer).__name__
            found.layers[kind] = found.layers.get(kind, 0) + 1
        circuit = qkeras_layers.circuit(model, spec.common_format)
        ends = vectors.boundary(spec, seed).codes[: 2 * events]
        codes = np.concatenate([vectors.random(spec, events, seed).codes, ends])
        port = project.manifest.outputs.fixed_point
        expected = circuit.to_port(circuit(codes), port)
        found.compare("keras", seed, reference.run(project, model, spec.values(codes)), expected)
        found.compare("integer", seed, integer.run(project, integer.build(circuit), codes), expected)
        function = getattr(loaded, f"{name}_jetgate_trace_{number}")
        taps = taps_of(circuit, cpp.trace_library(function, cpp.layers(project)[0], codes))
        for tap, own in zip(taps, divergence.expected_codes(circuit, codes, taps), strict=True):
            found.compare("cpp", seed, tap.codes, own)
            found.varying += len(np.unique(own, axis=0)) > 4
        if project.manifest.rtl is None:
            continue
        logic = rtl.interpreter(project.folder / "rtl").predict(spec.values(codes))
        found.compare("rtl", seed, np.ldexp(logic, port.fraction).reshape(expected.shape), expected)
    return found
