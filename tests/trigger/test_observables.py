from __future__ import annotations

import numpy as np
import pytest

from trigger.inputs.observables import mass_peak


def test_the_peak_is_found_beside_a_tail():
    generator = np.random.default_rng(1)
    mass = np.concatenate(
        [generator.normal(80.4, 6, 4000), generator.exponential(20, 800), generator.uniform(60, 200, 400)]
    )
    peak = mass_peak(mass)
    assert peak.position_gev == pytest.approx(80.4, abs=4 * peak.uncertainty_gev)
    assert 0.05 < peak.uncertainty_gev < 0.8
    assert peak.below == pytest.approx((mass <= 60).mean())


def test_too_few_jets_have_no_peak():
    assert np.isnan(mass_peak(np.array([80.0] * 5)).position_gev)
