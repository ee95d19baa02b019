"""Images a second against EnergyFlow's `pixelate` on the same jets, which both fill with the same pixels."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from trigger.data.generate import PythiaData, generate, read_generated
from trigger.fixed_point import FixedPoint
from trigger.inputs.deposits import centred, centroid, deposits_of
from trigger.inputs.images import JetGridInputs, JetImageInputs

FOLDER = Path("runs/data")
WIRE = FixedPoint.parse("ap_ufixed<10,0>")
PIXELS, WIDTH = 25, 0.064
REPEATS = 5
PLAIN = JetImageInputs(
    kind="jet_images", format=WIRE, rows=PIXELS, columns=PIXELS, pixel_width=WIDTH, trim_subjets=0.0, centre="centroid",
    rotate="none", flip=False, norm="none",
)  # fmt: skip
VIEWS = {
    "centre on the centroid": PLAIN,
    "and turn, flip, normalise": PLAIN.model_copy(update={"rotate": "principal_axis", "flip": True, "norm": "sum"}),
    "all steps, kt subjets": JetImageInputs(kind="jet_images", format=WIRE),
    "towers of the trigger": JetGridInputs(kind="jet_grid", format=WIRE),
}


def test_images_against_energyflow():
    # Its dependency wasserstein asks for numpy below 2, but works with it.
    how = "pip install --no-deps energyflow==1.4.0 wasserstein==1.1.0 wurlitzer==3.1.1"
    energyflow = pytest.importorskip("energyflow", reason=f"EnergyFlow is not installed: {how}", exc_type=ImportError)
    from energyflow.utils import pixelate

    (jets,) = read_generated(generate(PythiaData(kind="pythia", jets_per_class=500), 1, FOLDER, workers=2))
    deposits = deposits_of(jets)
    near = centred(deposits, *centroid(deposits))
    table = np.stack([near.et_gev, near.eta, near.phi], axis=1)
    separate = np.split(table, np.cumsum(near.counts)[:-1])  # what it is given is not in its time

    def theirs():
        return np.stack([pixelate(one, npix=PIXELS, img_width=PIXELS * WIDTH, norm=False)[..., 0] for one in separate])

    works = {"EnergyFlow's pixelate": theirs}
    works |= {name: lambda view=view: view.images(jets).dense() for name, view in VIEWS.items()}
    seconds = {name: [] for name in works}
    for _ in range(REPEATS):  # alternating, so that a slow moment of the machine hits all
        for name, work in works.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)

    expected, found = theirs(), PLAIN.images(jets).dense()
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)
    print(f"\n{len(jets):,} jets with {len(table) / len(jets):.0f} constituents, one core, images of {PIXELS} x {PIXELS}; "
          f"energyflow {energyflow.__version__}")  # fmt: skip
    best = {name: len(jets) / min(one) for name, one in seconds.items()}
    for name, speed in best.items():
        print(f"  {name:26} {speed:10,.0f} images/s {speed / best[next(iter(best))]:8.2f}")
    print(f"  {np.count_nonzero(expected):,} filled pixels of both agree; the largest difference is "
          f"{np.abs(found - expected).max():.1g} GeV")  # fmt: skip
    assert best["centre on the centroid"] > best["EnergyFlow's pixelate"]
