from __future__ import annotations

import numpy as np
import pytest

from trigger.data.generate import seeded
from trigger.data.particle_codes import MASSES_GEV, charges, masses
from trigger.errors import InputError


@pytest.fixture(scope="module")
def table():
    """Pythia's own table of particles."""
    return seeded(("HardQCD:all = on", "PhaseSpace:pTHatMin = 100"), 1).particleData


def test_charges_are_those_of_pythia(table):
    known = [code for code in (11, 13, 15, 22, *range(100, 100_000)) if table.isParticle(code)]
    hadrons = [code for code in known if code < 100 or (code // 10) % 10]  # no diquarks, which have no third quark
    hadrons = [code for code in hadrons if code != 990]  # the pomeron
    found = charges(np.array(hadrons))
    assert len(hadrons) > 150
    assert found.tolist() == [round(table.charge(code)) for code in hadrons]
    with_antiparticle = [code for code in hadrons if table.hasAnti(code)]
    assert charges(-np.array(with_antiparticle)).tolist() == [round(table.charge(-code)) for code in with_antiparticle]


def test_nuclei_and_neutrinos():
    codes = np.array([[1000010020, 1000020040], [-1000020030, 12]])
    assert charges(codes).tolist() == [[1, 2], [-2, 0]]


def test_masses_are_those_of_pythia(table):
    codes = np.array(list(MASSES_GEV))
    assert masses(-codes) == pytest.approx([table.m0(int(code)) for code in codes], abs=2e-4)


@pytest.mark.parametrize("code", [0, 1, 6, 21, 24, 25, 81, 91, 990, 2101, 3303, 1000022, 1000021, 1009213, 10**10])
def test_codes_of_nothing_that_is_seen(code):
    with pytest.raises(InputError, match=f"PDG code {code}, which is of no lepton, photon, hadron or nucleus"):
        charges(np.array([22, code]))
    with pytest.raises(InputError, match=rf"PDG code {code}, of which the mass is not known \(known: 11, 13, 22"):
        masses(np.array([22, code]))
