"""Rates of a detector on 10,000,000 minimum-bias crossings that stream from ROOT files: events/s, and memory.

5,000 crossings are simulated, and each is turned by random counts of phi and mirrored in eta at random, so that the network sees
other numbers each time; a rate from them is worth no more than 5,000 crossings.
"""

from __future__ import annotations

import json
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np

from tests.conftest import jetgate
from trigger.data.event_rootfile import write_root_events
from trigger.data.events import MET, OBJECTS, read_events

EVENTS, FILES = 10_000_000, 20
RECIPE = """
name: streamed
data: {kind: events, signals: [ttbar], crossings: 5000, events_per_signal: 200, pileup: 50, pool: 2000}
inputs: {kind: event_objects, format: "ap_fixed<12,8>"}
network: {kind: variational, hidden: [24], latent: 6}
quantization: {weight: "ap_fixed<8,2>", activation: "ap_ufixed<9,5>", linear: "ap_fixed<10,4>"}
training: {epochs: 3, batch_size: 512, validation: 0.1, test: 0.5, classes: [background]}
requirements: {auc_loss: null, mutants: 0}
target: vu9p_240
"""
ZERO_BIAS = """
files: ["crossings*.root"]
tree: events
mapping:
  units: hardware
  egammas: {pt: egammas_pt, eta: egammas_eta, phi: egammas_phi}
  muons: {pt: muons_pt, eta: muons_eta, phi: muons_phi}
  jets: {pt: jets_pt, eta: jets_eta, phi: jets_phi}
  sums: {kind: separate, met_pt: met_pt, met_phi: met_phi, total_et: total_et, total_ht: total_ht}
"""
MENU = """
name: streamed
rates_khz: [1, 10, 100]
limits: {rate_excess: null, efficiency_loss: null, rate_change: null, efficiency_change: null}
seeds: [{name: jet, score: jet_pt, rate_khz: 4}, {name: ht, score: ht, rate_khz: 4}]
"""


def write(path, events, seed):
    """Some crossings many times, each time turned and mirrored."""
    generator = np.random.default_rng(seed)
    chosen = events.take(generator.integers(0, len(events), EVENTS // FILES))
    turn, mirrored = generator.integers(0, MET.phi_steps, len(chosen)), generator.random(len(chosen)) < 0.5
    columns = {"met": np.stack([chosen.met[:, 0], (chosen.met[:, 1] + turn) % MET.phi_steps], axis=1)}
    for name, (scale, _) in OBJECTS.items():
        pt, eta, phi = np.moveaxis(getattr(chosen, name), -1, 0)
        steps = scale.phi_steps // MET.phi_steps
        phi = np.where(pt > 0, (phi + steps * turn[:, None]) % scale.phi_steps, 0)
        columns[name] = np.stack([pt, np.where(mirrored[:, None], -eta, eta), phi], axis=-1)
    write_root_events(path, replace(chosen, **columns))


def test_ten_million_crossings(tmp_path):
    (tmp_path / "streamed.yaml").write_text(RECIPE)
    run = jetgate("run", "streamed.yaml", "--json", folder=tmp_path, timeout=1800)
    folder = json.loads(run.stdout)["folder"]
    (path,) = (tmp_path / "runs" / "data").glob("events-*/events.npz")
    events = read_events(path)
    rows = events.labels == 0
    bare = replace(
        events.take(rows), labels=np.zeros(int(rows.sum()), np.int64), class_names=("background",), regions=None, pool=None,
        collisions=None, source=None, slices=None, offline_gev=None, showers=None,
    )  # fmt: skip
    start = time.monotonic()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(write, tmp_path / f"crossings{number:02}.root", bare, number) for number in range(FILES)]
        for one in jobs:
            one.result()
    written = time.monotonic() - start
    (tmp_path / "zero_bias.yaml").write_text(ZERO_BIAS)
    (tmp_path / "menu.yaml").write_text(MENU)
    start = time.monotonic()
    result = jetgate(
        "rates", folder, "--menu", "menu.yaml", "--zero-bias", "zero_bias.yaml", "--json", folder=tmp_path, timeout=3600
    )
    seconds = time.monotonic() - start
    assert result.returncode in (0, 3), result.stderr  # nothing is required but the accept bits
    found = json.loads(result.stdout)
    assert found["sample"]["crossings"] == EVENTS
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(
        f"\n{EVENTS:,} crossings written in {written:.0f} s; judged in {seconds:.0f} s, {EVENTS / seconds:,.0f} events/s, "
    )
    print(f"at most {memory:.1f} GiB in one process ({memory * 2**30 / EVENTS:.0f} bytes an event)")
    for point in found["scores"]["network"]["thresholds"]:
        rate = point["rate"]
        print(
            f"{point['target_hz'] / 1e3:6g} kHz: code {point['code']}, {rate['hz'] / 1e3:.3f} kHz, {rate['sources']:,} events"
        )
