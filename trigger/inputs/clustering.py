"""Jets from particles: the door to fastjet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trigger.data.jets import MOMENTUM
from trigger.errors import InputError

Algorithm = Literal["antikt", "cambridge", "kt"]


@dataclass(frozen=True)
class Clustered:
    """Jets of many events.

    Attributes:
        momentum: `px`, `py`, `pz`, `E` in GeV, flat over all jets, shape `(jets,)` each.
        event: Index of each jet's event, shape `(jets,)`.
        constituents: For each jet the indices of its particles within its event: an awkward array, `jets * var * int`.
    """

    momentum: dict[str, NDArray[np.float64]]
    event: NDArray[np.int64]
    constituents: Any


def cluster(particles: Any, radius: float, min_pt_gev: float, algorithm: Algorithm = "antikt") -> Clustered:
    """Cluster the particles of each event into jets.

    Args:
        particles: Awkward array, `events * var * {px, py, pz, E}` in GeV.
        radius: The jet radius parameter R.
        min_pt_gev: Jets below it are dropped.
        algorithm: Anti-kt (arXiv:0802.1189), Cambridge/Aachen (hep-ph/9707323) or kt (hep-ph/9305266).

    References:
        FastJet user manual, arXiv:1111.6097.
    """
    import awkward as ak

    sequence = _sequence(particles, radius, algorithm)
    jets = sequence.inclusive_jets(min_pt=min_pt_gev)
    counts = ak.to_numpy(ak.num(jets))
    return Clustered(
        momentum={name: ak.to_numpy(ak.flatten(jets[name])) for name in MOMENTUM},
        event=np.repeat(np.arange(len(counts)), counts),
        constituents=ak.flatten(sequence.constituent_index(min_pt=min_pt_gev), axis=1),
    )


def _sequence(particles: Any, radius: float, algorithm: Algorithm) -> Any:
    import awkward as ak
    import fastjet
    from fastjet import _swig

    if radius <= 0:
        raise InputError(f"a jet radius is positive, not {radius}")
    _swig.ClusterSequence.set_fastjet_banner_stream(None)  # it would go to standard output, which belongs to --json
    definition = fastjet.JetDefinition(getattr(fastjet, f"{algorithm}_algorithm"), radius)
    return fastjet.ClusterSequence(
        ak.zip({name: particles[name] for name in MOMENTUM}, with_name="Momentum4D"), definition
    )
