"""b tags of subjets by a parametrisation: the chance of a tag from the true flavour and the transverse momentum.

Nothing of the jet's tracks is looked at. The curves are those of the CMS card of Delphes 3 (`delphes_card_CMS.tcl`), which follow
the combined secondary vertex tagger of arXiv:1211.4462 on whole jets of radius 0.5 in collisions of 7 TeV; subjets close to each
other are tagged less well than that. With pT in GeV:

    b quark      0.85 tanh(0.0025 pT) 25 / (1 + 0.063 pT)
    c quark      0.25 tanh(0.018 pT) / (1 + 0.0013 pT)
    all others   0.01 + 0.000038 pT

References:
    Delphes 3: arXiv:1307.6346. The tagger: arXiv:1211.4462.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError

BOTTOM, CHARM = 5, 4
"""Flavours, as absolute PDG codes of quarks; every other code (1, 2, 3, 21, 0 for unknown) counts as light."""


def btag_probability(flavour: NDArray[Any], pt_gev: NDArray[Any]) -> NDArray[np.float64]:
    """Chance that a subjet is tagged.

    Args:
        flavour: Absolute PDG code of the parton it comes from, or 0, any shape.
        pt_gev: Its transverse momentum, the same shape.

    Returns:
        Numbers from 0 to 1, the same shape.

    Raises:
        InputError: Shapes differ, a flavour is negative, a pT is negative, NaN or infinite.
    """
    flavour, pt = np.asarray(flavour), np.asarray(pt_gev, dtype=np.float64)
    if flavour.shape != pt.shape:
        raise InputError(f"flavours of shape {flavour.shape} have transverse momenta of shape {pt.shape}")
    if (flavour < 0).any():
        raise InputError(f"a flavour is an absolute PDG code, found {flavour.min()}")
    wrong = ~(np.isfinite(pt) & (pt >= 0))
    if wrong.any():
        raise InputError(f"{np.count_nonzero(wrong)} of {wrong.size} transverse momenta are negative, NaN or infinite")
    bottom = 0.85 * np.tanh(0.0025 * pt) * 25.0 / (1 + 0.063 * pt)
    charm = 0.25 * np.tanh(0.018 * pt) / (1 + 0.0013 * pt)
    light = np.minimum(0.01 + 0.000038 * pt, 1.0)
    return np.where(flavour == BOTTOM, bottom, np.where(flavour == CHARM, charm, light))
