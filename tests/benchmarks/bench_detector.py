"""Jet resolution of the detector presets, and the groomed masses at particle level."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from trigger.data.detector import PRESETS, detect
from trigger.data.generate import PROCESSES, PythiaData, generate, read_generated, record_of, seeded, visible
from trigger.inputs.clustering import cluster
from trigger.inputs.features import jet_features
from trigger.inputs.observables import mass_peak
from trigger.kinematics import delta_phi, pseudorapidity, transverse_momentum

CLASSES = ("W", "Z", "top")
MASSES = {"W": (80.4, 3.0), "Z": (91.2, 3.0), "top": (172.5, 6.0)}


def jets_of(particles, events):
    columns = {"px": particles.px, "py": particles.py, "pz": particles.pz, "E": particles.energy}
    found = cluster(ak.unflatten(ak.zip(columns), np.bincount(particles.event, minlength=events)), 0.8, 300.0)
    p = found.momentum
    return (
        found.event,
        transverse_momentum(p["px"], p["py"]),
        pseudorapidity(p["px"], p["py"], p["pz"]),
        np.arctan2(p["py"], p["px"]),
    )


def test_jet_resolution_of_the_presets():
    data, events = PythiaData(kind="pythia"), 600
    truth = []
    for process in ("qcd", "wz", "top"):
        pythia = seeded(PROCESSES[process].settings(data), 5)
        truth.append(visible(pythia, record_of(pythia.nextBatch(events)), 5.0, 0))
    print("\njet pT response, 800 to 1200 GeV:  median   width of the central 68 % / median")
    measured = {}
    for name, preset in PRESETS.items():
        ratios = []
        for particles in truth:
            t_event, t_pt, t_eta, t_phi = jets_of(particles, events)
            d_event, d_pt, d_eta, d_phi = jets_of(detect(particles, preset, np.random.default_rng(1)), events)
            for k in np.flatnonzero((t_pt > 800) & (t_pt < 1200) & (np.abs(t_eta) < 2)):
                same = np.flatnonzero(d_event == t_event[k])
                distance = np.hypot(d_eta[same] - t_eta[k], delta_phi(d_phi[same], t_phi[k]))
                if len(same) and distance.min() < 0.3:
                    ratios.append(d_pt[same[distance.argmin()]] / t_pt[k])
        low, median, high = np.quantile(ratios, [0.16, 0.5, 0.84])
        print(f"  {name:16} {median:22.4f} {(high - low) / 2 / median:14.4f}   ({len(ratios):,} jets)")
        measured[name] = (median, (high - low) / 2 / median)
    for name, preset in PRESETS.items():
        if preset.jet_response is not None:  # stated where offline jets are made with it
            assert measured[name] == pytest.approx((preset.jet_response, preset.jet_resolution), abs=0.005), name


def test_groomed_masses_at_particle_level():
    data = PythiaData(kind="pythia", classes=CLASSES, jets_per_class=2000, detector="perfect")
    path = generate(data, 1, Path("runs/data"), workers=2)
    mass, labels = [], []
    for jets in read_generated(path):
        mass.append(jet_features(jets, ("mass_gev",)).values[:, 0])
        labels.append(jets.labels)
    mass, labels = np.concatenate(mass), np.concatenate(labels)
    print("\ngroomed mass, perfect detector, matched: peak above 60 GeV, and share below")
    for label, name in enumerate(CLASSES):
        peak = mass_peak(mass[labels == label])
        expected, tolerance = MASSES[name]
        print(
            f"  {name:4} {peak.position_gev:7.2f} ± {peak.uncertainty_gev:.2f} GeV ({expected} ± {tolerance}), {peak.below:.1%} below"
        )
        assert peak.position_gev == pytest.approx(expected, abs=tolerance)
