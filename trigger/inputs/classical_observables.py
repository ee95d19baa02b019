"""The observables that jets were told apart by before networks learnt from their constituents, a family a method.

| family | observables |
| --- | --- |
| masses | ungroomed; modified mass drop (z_cut 0.1); soft drop (z_cut 0.1, beta 1); pruning (Cambridge/Aachen, z_cut 0.1, \
D_cut = m / pT); trimming (kt subjets of radius 0.2, fraction 0.05) |
| N-subjettiness | tau_21, tau_32, tau_43 of the ungroomed jet, beta 1, axes of the exclusive winner-take-all kt subjets moved \
to the minimum nearby ("one-pass") |
| energy correlations | C_1, C_2, D_2, M_2, N_2 of `trigger.inputs.features`, of the jet after the modified mass drop |
| particles | number of constituents, sum z ln z |
| top finder | the candidate of `trigger.inputs.top_finder`: its mass, pairwise masses, whether it is a top |
| b tags | of the three exclusive kt subjets, by falling pT, and how many of them are tagged |

A subjet is of the heaviest flavour whose ghosts it holds (`trigger.data.offline_jets`), and is tagged at random with the chance
that `trigger.inputs.subjet_btag` gives that flavour at its pT. Each subjet is drawn once, so that a b hadron has one chance
alone. All other observables are of the jet without ghosts.

References:
    Modified mass drop: arXiv:1307.0007. Soft drop: arXiv:1402.2657. Pruning: arXiv:0912.0033. Trimming: arXiv:0912.1342.
    N-subjettiness: arXiv:1011.2268, arXiv:1108.2701. Energy correlations: arXiv:1305.0007, arXiv:1409.6298,
    arXiv:1609.07483. Top finder: arXiv:1006.2833. Ghosts: arXiv:0707.1378.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.data.jets import FeatureDataset, JetDataset
from trigger.data.offline_jets import GHOST_KINDS, without_ghosts
from trigger.errors import InputError
from trigger.inputs.features import jet_features
from trigger.inputs.subjet_btag import btag_probability
from trigger.kinematics import transverse_momentum

Floats = NDArray[np.float64]
SUBJETS = 3
"""Exclusive subjets that are tagged: as many as a top has quarks."""
MASSES, B_TAGS = "masses", "b tags"
FAMILIES: dict[str, tuple[str, ...]] = {
    MASSES: ("mass_gev", "mmdt_mass_gev", "soft_drop_mass_gev", "pruned_mass_gev", "trimmed_mass_gev"),
    "N-subjettiness": ("tau21", "tau32", "tau43"),
    "energy correlations": (
        "c1_b0", "c1_b1", "c1_b2", "c2_b1", "c2_b2", "d2_b1", "d2_b2", "d2_a1_b2", "m2_b1", "m2_b2", "n2_b1", "n2_b2",
    ),
    "particles": ("multiplicity", "zlogz"),
    "top finder": ("top_mass_gev", "top_f_w", "top_m23_ratio", "top_arctan", "hard_subjets", "top_found"),
    B_TAGS: ("btags", *(f"btag_{rank + 1}" for rank in range(SUBJETS))),
}  # fmt: skip
"""Names of the observables of each family, in the order of the table's columns."""

_FEATURES = (*FAMILIES["energy correlations"], *FAMILIES["particles"])
_SOFT_DROP = {"z_cut": 0.1, "beta": 1.0}
_TRIMMING = {"subjet_radius": 0.2, "fraction": 0.05}
_BLOCK = 2000


def classical_observables(
    jets: JetDataset, radius: float, tags: np.random.Generator | None = None, workers: int = 1
) -> FeatureDataset:
    """All observables of every jet.

    Args:
        jets: Jets with constituents, and with ghosts of heavy hadrons where subjets are to be tagged.
        radius: The jets' radius.
        tags: Where the random numbers of the tags come from; without it there are no b tags.
        workers: Threads; the result does not depend on it.

    Returns:
        A table with the columns of `FAMILIES`, in their order.

    Raises:
        InputError: A jet holds nothing but ghosts, or has no transverse momentum.
    """
    bare = without_ghosts(jets)
    if len(bare) != len(jets):
        raise InputError(f"{len(jets) - len(bare)} of {len(jets)} jets hold nothing but ghosts of heavy hadrons")
    features = jet_features(bare, (*_FEATURES, "mass_gev"), workers)
    starts = range(0, len(jets), _BLOCK)
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(lambda start: _shapes(bare.constituents[start : start + _BLOCK], radius), starts))
        columns = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        if tags is not None:
            chances = list(pool.map(lambda start: _tag_chances(jets.constituents[start : start + _BLOCK]), starts))
            columns |= _drawn(np.concatenate(chances), tags)
    columns |= {name: features.column(name) for name in _FEATURES} | {"mmdt_mass_gev": features.column("mass_gev")}
    names = [name for family in FAMILIES.values() for name in family if name in columns]
    values = np.stack([columns[name] for name in names], axis=1)
    return FeatureDataset(
        values, tuple(names), jets.labels, jets.class_names, jets.weights, jets.events, jets.origin, jets.target
    )


def subjet_flavours(constituents: Any) -> tuple[NDArray[np.int64], Floats]:
    """Flavour and pT of the `SUBJETS` exclusive kt subjets of each jet, by falling pT.

    Args:
        constituents: Of jets with ghosts, awkward, as in `JetDataset`.

    Returns:
        Flavours, 5, 4 or 0, shape `(jets, SUBJETS)`; and transverse momenta in GeV, the same shape, 0 where a jet has fewer
        subjets.
    """
    import awkward as ak

    from trigger.inputs.subjets import exclusive_subjets
    from trigger.inputs.trees import flat_momenta

    momentum, offsets = flat_momenta(constituents)
    found = exclusive_subjets(momentum, offsets, SUBJETS)
    code = ak.to_numpy(ak.flatten(constituents["pdg_id"])).astype(np.int64)
    heaviest = np.zeros(len(found.momentum), dtype=np.int64)
    np.maximum.at(heaviest, found.member, np.where(np.isin(code, GHOST_KINDS), code, 0))
    flavour = np.zeros((len(offsets) - 1, SUBJETS), dtype=np.int64)
    pt = np.zeros(flavour.shape)
    flavour[found.jet, found.rank] = heaviest
    pt[found.jet, found.rank] = transverse_momentum(found.momentum[:, 0], found.momentum[:, 1])
    return flavour, pt


def _tag_chances(constituents: Any) -> Floats:
    """Chance of a tag of each subjet, 0 where there is none."""
    flavour, pt = subjet_flavours(constituents)
    return np.where(pt > 0, btag_probability(flavour, pt), 0.0)


def _drawn(chances: Floats, tags: np.random.Generator) -> dict[str, Floats]:
    tagged = (tags.random(chances.shape) < chances).astype(np.float64)
    return dict(zip(FAMILIES[B_TAGS], (tagged.sum(axis=1), *tagged.T), strict=True))


def _shapes(constituents: Any, radius: float) -> dict[str, Floats]:
    from trigger.inputs.groomers import groomed_jets, prune, trim
    from trigger.inputs.grooming import soft_drop
    from trigger.inputs.nsubjettiness import nsubjettiness, tau_ratio
    from trigger.inputs.top_finder import find_tops
    from trigger.inputs.trees import flat_momenta

    momentum, offsets = flat_momenta(constituents)
    kept = {
        "mass_gev": np.ones(len(momentum), dtype=bool),
        "soft_drop_mass_gev": soft_drop(momentum, offsets, **_SOFT_DROP, radius=radius),
        "pruned_mass_gev": prune(momentum, offsets),
        "trimmed_mass_gev": trim(momentum, offsets, **_TRIMMING),
    }
    taus = nsubjettiness(momentum, offsets, 4, radius=radius, minimise=True)
    top = find_tops(momentum, offsets)
    return {
        **{name: groomed_jets(momentum, offsets, mask).mass_gev for name, mask in kept.items()},
        **{f"tau{n + 1}{n}": tau_ratio(taus, n + 1, n) for n in (1, 2, 3)},
        "top_mass_gev": top.mass_gev,
        "top_f_w": top.f_w,
        "top_m23_ratio": top.m23_ratio,
        "top_arctan": top.arctan,
        "hard_subjets": top.hard_subjets.astype(np.float64),
        "top_found": top.found.astype(np.float64),
    }
