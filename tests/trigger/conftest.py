"""What tests against fastjet share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def quiet_fastjet():
    """fastjet does not print its banner."""
    from fastjet import _swig

    _swig.ClusterSequence.set_fastjet_banner_stream(None)


@pytest.fixture(scope="session")
def fastjet_sequence(quiet_fastjet):
    """One jet clustered by fastjet with a radius so wide that nothing is merged with the beam: a function of its momenta.

    The user index of each constituent is its number.
    """
    import fastjet

    def clustered(momentum, algorithm="cambridge", scheme="E_scheme"):
        particles = []
        for number, p in enumerate(momentum):
            particle = fastjet.PseudoJet(*map(float, p))
            particle.set_user_index(number)
            particles.append(particle)
        # Five arguments, for with fewer the binding takes the scheme for a strategy.
        definition = fastjet.JetDefinition(
            getattr(fastjet, f"{algorithm}_algorithm"), 1000.0, getattr(fastjet, scheme), fastjet.Best, 1
        )
        return fastjet.ClusterSequence(particles, definition)

    return clustered
