"""Networks with random declared types, many of them compiled into one library."""

from __future__ import annotations

import contextlib
import ctypes
import random
import re

import numpy as np

from firmware import divergence, tools, vectors
from firmware.backends import keras_layers
from firmware.emulation import taps_of
from firmware.engines import cpp
from firmware.project import convert
from firmware.target import DeclaredTypes, load_target
from trigger.errors import UnsupportedError
from trigger.fixed_point import FixedPoint
from trigger.inputs.contract import Input, InputSpec

# Overflowing accumulators, truncation and wrapping at every node are common in these, everything else is there too.
ROUNDINGS = [*["TRN", "RND", "RND_CONV"] * 3, "RND_ZERO", "RND_INF", "RND_MIN_INF", "TRN_ZERO"]
OVERFLOWS = [*["WRAP", "SAT"] * 4, "SAT_SYM", "SAT_ZERO"]
BRIDGE = ("jetgate_inputs", "jetgate_outputs", "jetgate_run", "jetgate_trace")


def any_type(draw, widths=(4, 12), integers=None, unsigned=0.15):
    """A random C++ type."""
    width = draw.randint(*widths)
    low, high = integers or (0 if draw.random() < 0.2 else 2, min(width, 4) if draw.random() < 0.8 else min(width, 7))
    integer = draw.randint(min(low, high), high)
    if draw.random() < 0.08:  # the point outside the number
        integer = draw.choice([-2, -1, width + 1, width + 2])
    kind = "ap_ufixed" if draw.random() < unsigned else "ap_fixed"
    return f"{kind}<{width},{integer},AP_{draw.choice(ROUNDINGS)},AP_{draw.choice(OVERFLOWS)}>"


def target_with(types):
    target = load_target("vu13p")
    declared = DeclaredTypes.model_validate(types)
    return target.model_copy(update={"backend": target.backend.model_copy(update={"types": declared})})


def legacy_network(seed):
    """A network, its contract and a target that declares its types."""
    import keras

    draw, generator = random.Random(seed), np.random.default_rng(seed)
    inputs = draw.randint(2, 6)
    start = x = keras.Input((inputs,), name="inp")
    types = {}
    middle = ["dense", "norm", "relu_layer", "leaky", "relu", "sigmoid", "tanh", "softplus", "softsign"]
    kinds = [
        "dense",
        *(draw.choice(middle) for _ in range(draw.randint(2, 5))),
        draw.choice(["softmax", "dense", "sigmoid"]),
    ]
    for number, kind in enumerate(kinds):
        name, declared = f"l{number}", {"result": any_type(draw)}
        table = {"table": any_type(draw, (6, 18)), "table_size": draw.choice([1024, 64, 100, 512])}
        match kind:
            case "dense":
                activation = draw.choice([None, None, "relu", "tanh", "sigmoid"])
                x = keras.layers.Dense(draw.randint(1, 5), activation, use_bias=draw.random() > 0.2, name=name)(x)
                declared |= {"weight": any_type(draw, (2, 10)), "bias": any_type(draw, (2, 10)),
                             "accum": any_type(draw, (8, 18), (3, 7), 0.05)}  # fmt: skip
                if activation is not None:
                    types[f"{name}_{activation}"] = {"result": any_type(draw)} | (table if activation != "relu" else {})
            case "norm":
                x = keras.layers.BatchNormalization(name=name)(x)
                declared |= {"scale": any_type(draw, (3, 12)), "bias": any_type(draw, (3, 12))}
            case "relu_layer":
                x = keras.layers.ReLU(name=name)(x)
            case "leaky":
                x = keras.layers.LeakyReLU(negative_slope=draw.choice([0.1, 0.3, 0.25]), name=name)(x)
                declared["slope"] = any_type(draw, (3, 12), (0, 2))
            case "softmax":
                x = keras.layers.Softmax(name=name)(x)
                declared |= {"accum": any_type(draw, (8, 18), (3, 7), 0.05), "table_size": draw.choice([64, 1024]),
                             "implementation": draw.choice(["stable", "latency"])}  # fmt: skip
            case _:
                x = keras.layers.Activation(kind, name=name)(x)
                declared |= table if kind != "relu" else {}
        types[name] = declared
    model = keras.Model(start, x)
    positive = [one.path.rsplit("/", 1)[-1] in ("gamma", "moving_variance") for one in model.weights]
    model.set_weights([
        generator.uniform(0.3, 2, one.shape) if is_positive else generator.normal(0, 1.2, one.shape)
        for one, is_positive in zip(model.weights, positive, strict=True)
    ])  # fmt: skip
    wire = FixedPoint.parse(any_type(draw, (5, 12), (1, 4)))
    spec = InputSpec(
        inputs=tuple(Input(name=f"x{k}", format=wire) for k in range(inputs)),
        outputs=tuple(f"y{k}" for k in range(model.output.shape[-1])),
    )
    return model, spec, target_with({"default": "ap_fixed<16,6>", "layers": types})


def library(projects, folder, name):
    """One library of many projects; each has its types and weights in a namespace of its own."""
    headers = sorted(path.name for path in (projects[0].folder / "firmware" / "nnet_utils").glob("nnet_*.h"))
    used = {one for project in projects for one in re.findall(
        r'#include "nnet_utils/(\w+\.h)"', (project.folder / "firmware" / "parameters.h").read_text())}  # fmt: skip
    lines = ["#include <array>\n#include <cstddef>\n#include <cstdint>\n#include <cstdio>\n#include <iostream>\n#include <thread>",
             "#include <tuple>\n#include <vector>\n#include \"ap_fixed.h\"\n#include \"ap_int.h\"\n#include \"hls_stream.h\"",
             "thread_local std::string jetgate_fault;",
             *(f'#include "nnet_utils/{one}"' for one in ["nnet_types.h", *headers] if one in used | {"nnet_types.h"})]  # fmt: skip
    for number, project in enumerate(projects):
        home = project.folder.absolute()
        (home / "firmware" / "traced.cpp").write_text(cpp.layers(project)[1])
        weights = [path.stem.upper() for path in (home / "firmware" / "weights").glob("*.h")]
        own = ("DEFINES_H_", "PARAMETERS_H_", "JETGATE_TAP_H_", "JETGATE_PORTS_H_", "NNET_INSTR_GEN_H_")
        guards = (*own, *(f"{one}_H_" for one in weights))
        lines += [f"#undef {guard}" for guard in guards]
        lines += [f"#define {one} {name}_{one}_{number}" for one in BRIDGE]
        # Patches of convolutions are written for each network, into hls4ml's namespace: here into one within the network's.
        lines.append(f"namespace net{number} {{\nnamespace nnet {{ using namespace ::nnet; }}")
        lines.append(f'#include "{home}/firmware/traced.cpp"')
        lines.append(f'#include "{home}/jetgate_bridge.cpp"\n}}')
        lines += [f"#undef {one}" for one in BRIDGE]
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.cpp").write_text("\n".join(lines))
    include = projects[0].folder.absolute() / "firmware"
    command = ["g++", "-O0", "-w", "-DJETGATE_TRACE", f"-I{projects[0].folder.absolute()}", *(flag for flag in cpp.FLAGS if flag.startswith(("-std", "-f", "-shared", "-pthread"))),
               *cpp.QUICK, "-include", "jetgate_stream.h", f"-I{include}", f"-I{include}/ap_types", f"{name}.cpp", "-o", f"{name}.so"]  # fmt: skip
    tools.run(command, folder, folder / f"{name}.log", 1800)
    return ctypes.CDLL(str(folder / f"{name}.so"))


def differing(first, count, folder, name, events=1500):
    """For each of `count` networks from seed `first` on, over all layers: codes that differ between the circuit and the
    compiled C++, and layers that vary. Networks that are refused, because the C++ does not define a cast, are passed over.
    """
    made, seed = {}, first
    while len(made) < count:
        model, spec, target = legacy_network(seed)
        with contextlib.suppress(UnsupportedError):
            made[seed] = (model, spec, target, convert(model, spec, target, f"net{seed}", folder))
        seed += 1
    loaded = library([project for *_, project in made.values()], folder, name)
    counts = {}
    for number, (seed, (model, spec, target, project)) in enumerate(made.items()):
        circuit = keras_layers.circuit(model, spec.common_format, target.backend.types)
        codes = np.concatenate([vectors.random(spec, events, seed).codes, vectors.boundary(spec, seed).codes])
        function = getattr(loaded, f"{name}_jetgate_trace_{number}")
        taps = taps_of(circuit, cpp.trace_library(function, cpp.layers(project)[0], codes))
        expected = divergence.expected_codes(circuit, codes, taps)
        wrong = sum(int((tap.codes != own).sum()) for tap, own in zip(taps, expected, strict=True))
        counts[seed] = (wrong, sum(len(np.unique(own, axis=0)) > 10 for own in expected))
    return counts
