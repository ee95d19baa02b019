"""Multi-body N-subjettiness against a loop."""

from __future__ import annotations

import math

import awkward as ak
import numpy as np

from models.offline.dense import MultiBody


def test_observables(toy):
    """Of two bodies: tau_1 about the jet's winner-take-all axis with exponents 1 and 2, mass and pT."""
    jets = toy.take(np.arange(0, 600, 60))
    found = MultiBody(kind="multi_body", bodies=2, radius=0.8, scale_gev=100.0).seen(jets)["observables"]
    assert found.shape == (len(jets), 4)
    for row, constituents in zip(found, ak.to_list(jets.constituents), strict=True):
        places = [
            (
                math.hypot(p["px"], p["py"]),
                math.asinh(p["pz"] / math.hypot(p["px"], p["py"])),
                math.atan2(p["py"], p["px"]),
            )
            for p in constituents
        ]

        def tau(axis, beta, places=places):
            distance = [math.hypot(eta - axis[1], math.remainder(phi - axis[2], 2 * math.pi)) for _, eta, phi in places]
            return sum(p[0] * r**beta for p, r in zip(places, distance, strict=True)) / sum(
                p[0] * 0.8**beta for p in places
            )

        # A winner-take-all axis lies on a constituent, and the same one for both exponents.
        assert any(np.allclose(row[:2], [tau(axis, 1.0), tau(axis, 2.0)], rtol=1e-4) for axis in places)
    np.testing.assert_allclose(found[:, 2] * 100, jets.kinematics()["mass_gev"], rtol=1e-5)
    np.testing.assert_allclose(found[:, 3] * 100, jets.kinematics()["pt_gev"], rtol=1e-5)


def test_as_many_observables_as_dimensions(toy):
    jets = toy.take(np.arange(8))
    for bodies in (3, 4, 6):
        found = MultiBody(kind="multi_body", bodies=bodies).seen(jets)["observables"]
        assert found.shape == (8, 3 * bodies - 4 + 2)


def test_workers_change_nothing(toy):
    network = MultiBody(kind="multi_body", bodies=4)
    np.testing.assert_array_equal(
        network.seen(toy, workers=1)["observables"], network.seen(toy, workers=3)["observables"]
    )
