"""Every engine in events a second against hls4ml's own single-threaded predict, on the demo's network and the same inputs."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from firmware.backends import hls, qkeras_layers
from firmware.backends import rtl as rtl_backend
from firmware.circuit import Dense
from firmware.emulation import emulate
from firmware.engines import cpp, integer, rtl
from trigger.data.rootfile import write_columns

EVENTS = 1_000_000
SLOW_EVENTS = 100_000
"""Events for what would take minutes on all."""
STREAMED = 10_000_000
THREADS = 2


@pytest.fixture(scope="module")
def made(make_demo):
    """The demo's network, its contract, its project."""
    return make_demo(seed=1, width=0.4)


def speed(run, events, repeats=3):
    """Events a second, the best of a few runs: the machine's noise only ever slows down."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return events / min(seconds)


def test_emulation_speed(made, tmp_path):
    model, spec, project = made
    for name, build in (("cpp", cpp.build), ("rtl", rtl.build)):
        start = time.perf_counter()
        build(project)
        print(f"\nbuild {name}: {time.perf_counter() - start:.1f} s", end="")
    codes = np.random.default_rng(1).integers(-2000, 2000, (EVENTS, 16))
    few = codes[:SLOW_EVENTS]
    values = np.ascontiguousarray(spec.values(few), dtype=np.float32)
    with contextlib.redirect_stdout(io.StringIO()):
        import hls4ml

        hls._register_handlers()
        theirs = hls4ml.converters.convert_from_keras_model(
            model, output_dir=str(tmp_path / "theirs"), backend="Vitis", bit_exact=True, write_weights_txt=False,
            io_type="io_parallel",
        )  # fmt: skip
        start = time.perf_counter()
        theirs.compile()
        compile_s = time.perf_counter() - start
    print(f", hls4ml {compile_s:.1f} s")
    circuit = qkeras_layers.circuit(model, spec.common_format)
    engine = integer.build(circuit)
    theirs.predict(values[:100])
    engine(codes[: 1 << 15])
    speeds = {
        "hls4ml predict": speed(lambda: theirs.predict(values), len(few), 1),
        "cpp, 1 thread": speed(lambda: cpp.run(project, few, 1), len(few), 1),
        "cpp, 2 threads": speed(lambda: cpp.run(project, few, THREADS), len(few), 2),
        "integer, numpy": speed(lambda: circuit(few), len(few), 1),
        "integer, xla": speed(lambda: engine(codes, THREADS), EVENTS),
        "rtl, 2 simulations": speed(lambda: rtl.run(project, few, THREADS), len(few), 2),
    }
    logic = rtl_backend.interpreter(project.folder / "rtl")
    real = np.ascontiguousarray(spec.values(few))
    speeds["alkaid's interpreter"] = speed(lambda: logic.predict(real), len(few), 2)
    expected = engine(codes, THREADS)
    port = project.manifest.outputs.fixed_point
    np.testing.assert_array_equal(port.values(circuit.to_port(expected[: len(few)], port)), theirs.predict(values))
    np.testing.assert_array_equal(circuit.to_port(expected[: len(few)], port), cpp.run(project, few, THREADS))
    np.testing.assert_array_equal(circuit.to_port(expected[: len(few)], port), rtl.run(project, few, THREADS))
    operations = 2 * sum(step.kernel.size for step in circuit.steps if isinstance(step, Dense))
    for name, found in speeds.items():
        print(
            f"  {name:22} {found:12,.0f} events/s  {found / speeds['hls4ml predict']:8.2f}  {found * operations / 1e9:7.2f} GOP/s"
        )
    assert speeds["integer, xla"] > 1e6


def test_a_million_vectors(made):
    """All engines on a million random vectors and every boundary."""
    _, _, project = made
    start = time.perf_counter()
    result = emulate(project, random_vectors=EVENTS, threads=THREADS)
    print(f"\n{time.perf_counter() - start:.0f} s")
    for one in result.requirements():
        print(f"  {one.name:22} {one.status:5} {one.note}")
    assert result.agrees
    assert result.verdict().overall == "PASS"


def test_streaming_ten_million_events(made, tmp_path):
    _, spec, project = made
    generator = np.random.default_rng(3)
    blocks = (
        {name: generator.normal(0, 2, 1_000_000).astype(np.float32) for name in spec.names}
        for _ in range(STREAMED // 1_000_000)
    )
    write_columns(tmp_path / "events.root", "Events", blocks)
    command = [sys.executable, "-m", "trigger.app.cli", "emulate", str(project.folder), "--events", str(tmp_path / "events.root"),
               "--workers", "1", "--json"]  # fmt: skip
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        most = _peak_memory_gb(process)
        answer = json.loads(process.stdout.read())
    seconds = time.perf_counter() - start
    print(f"\n{answer['events']:,} events in {seconds:.0f} s, {answer['events'] / seconds:,.0f} events/s, start and compilation "
          f"included; both processes together held {most:.2f} GB at the most")  # fmt: skip
    assert process.returncode == 0
    assert answer["events"] == STREAMED
    assert most < 2.0


def _peak_memory_gb(process):
    """What a command and its workers hold together, watched until it ends."""
    import psutil

    peak = 0
    while process.poll() is None:
        held = 0
        with contextlib.suppress(psutil.Error):
            whole = psutil.Process(process.pid)
            for one in [whole, *whole.children(recursive=True)]:
                held += one.memory_info().rss
        peak = max(peak, held)
        time.sleep(0.2)
    return peak / 2**30
