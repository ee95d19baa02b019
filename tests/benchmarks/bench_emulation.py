"""Compiled firmware in jets a second against hls4ml's own single-threaded predict, on the same network and inputs."""

from __future__ import annotations

import contextlib
import io
import time

import numpy as np

from firmware.backends import hls
from firmware.engines import cpp, integer
from firmware.project import convert
from firmware.target import load_target
from models.recipe import load_recipe
from trigger.inputs.contract import Input, InputSpec

JETS = 40_000


def test_emulation_speed(tmp_path):
    recipe = load_recipe("jet_tagger")
    spec = InputSpec(
        inputs=tuple(Input(name=f"x{k}", format=recipe.inputs.format) for k in range(16)), outputs=tuple("abcde")
    )
    model = recipe.network.build(spec, 5, recipe.quantization)
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(0, 0.4, weight.shape) for weight in model.get_weights()])
    project = convert(model, spec, load_target("vu13p"), "bench", tmp_path)
    start = time.perf_counter()
    cpp.build(project)
    print(f"\nbuild: jetgate {time.perf_counter() - start:.1f} s", end="")
    codes = generator.integers(-2000, 2000, (JETS, 16))
    values = np.ascontiguousarray(spec.values(codes), dtype=np.float32)

    with contextlib.redirect_stdout(io.StringIO()):
        import hls4ml

        hls._register_handlers()
        theirs = hls4ml.converters.convert_from_keras_model(
            model,
            output_dir=str(tmp_path / "theirs"),
            backend="Vitis",
            bit_exact=True,
            write_weights_txt=False,
            io_type="io_parallel",
        )
        start = time.perf_counter()
        theirs.compile()
        compile_s = time.perf_counter() - start
    print(f", hls4ml {compile_s:.1f} s")
    theirs.predict(values[:100])
    speeds = {}
    start = time.perf_counter()
    expected = theirs.predict(values)
    speeds["hls4ml predict"] = JETS / (time.perf_counter() - start)
    for threads in (1, 2):
        start = time.perf_counter()
        found = cpp.run(project, codes, threads)
        speeds[f"jetgate cpp, {threads} threads"] = JETS / (time.perf_counter() - start)
    steps = integer.plan(model, recipe.inputs.format)
    integer.run(project, steps, codes[:100])
    start = time.perf_counter()
    walked = integer.run(project, steps, codes)
    speeds["jetgate integer, numpy"] = JETS / (time.perf_counter() - start)
    np.testing.assert_array_equal(walked, found)
    np.testing.assert_array_equal(project.manifest.outputs.fixed_point.values(found), expected)
    for name, speed in speeds.items():
        print(f"  {name:22} {speed:10,.0f} jets/s  {speed / speeds['hls4ml predict']:6.2f}")
