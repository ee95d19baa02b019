"""The sixteen jet features of the hls4ml jet set, from jets with constituents.

`zlogz` and `multiplicity` are of the ungroomed jet, everything else of the jet groomed with the modified mass-drop tagger
(soft drop with beta 0, z_cut 0.1). The z of `zlogz` is the fraction of the jet's energy; in the correlation functions it is
that of the transverse momentum, and angles are distances in rapidity and azimuth. A ratio whose denominator is 0 (a groomed
jet of one particle) is 0.

| feature | formula | reference |
| --- | --- | --- |
| zlogz | sum z ln z | arXiv:1804.06913 |
| c1_b0, c1_b1, c1_b2 | C_1 = e2(beta) | arXiv:1305.0007 |
| c2_b1, c2_b2 | C_2 = 3_e3(beta) / e2(beta)^2 | arXiv:1305.0007 |
| d2_b1, d2_b2 | D_2 = 3_e3(beta) / e2(beta)^3 | arXiv:1409.6298 |
| d2_a1_b1, d2_a1_b2 | D_2 with alpha 1 = 3_e3(1) / e2(beta)^(3 / beta) | arXiv:1507.03018 |
| m2_b1, m2_b2 | M_2 = 1_e3(beta) / e2(beta) | arXiv:1609.07483 |
| n2_b1, n2_b2 | N_2 = 2_e3(beta) / e2(beta)^2 | arXiv:1609.07483 |
| mass_gev | groomed mass | arXiv:1307.0007 |
| multiplicity | number of constituents | |

`d2_a1_b1` equals `d2_b1` by definition; the public set has this duplicate too, and a network trained on one can be used
on the other only if it is kept.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from trigger.config import Format, Settings
from trigger.data.jets import FeatureDataset, JetDataset
from trigger.errors import InputError, nearest
from trigger.inputs.contract import InputSpec, standardised
from trigger.kinematics import invariant_mass

JET_FEATURES: dict[str, str] = {
    "zlogz": "1",
    "c1_b0": "1",
    "c1_b1": "1",
    "c1_b2": "1",
    "c2_b1": "1",
    "c2_b2": "1",
    "d2_b1": "1",
    "d2_b2": "1",
    "d2_a1_b1": "1",
    "d2_a1_b2": "1",
    "m2_b1": "1",
    "m2_b2": "1",
    "n2_b1": "1",
    "n2_b2": "1",
    "mass_gev": "GeV",
    "multiplicity": "1",
}
"""Name and unit of each feature, in the order of the network's inputs."""

_BLOCK = 2000


class JetFeatureInputs(Settings):
    """The network sees high-level features of jets.

    Attributes:
        features: Which, in order: names of `JET_FEATURES`, or of the table's `features`; all by default.
        format: Fixed-point format of every input, after standardisation.
    """

    kind: Literal["jet_features"]
    features: tuple[str, ...] | None = Field(default=None, min_length=1)
    format: Format

    @field_validator("features")
    @classmethod
    def _distinct(cls, features: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if features is not None and len(set(features)) != len(features):
            raise ValueError(f"a feature is named twice in {list(features)}")
        return features

    def table(self, sample: JetDataset, workers: int = 1) -> FeatureDataset:
        """One row a jet, one column a feature."""
        return jet_features(sample, self.features or tuple(JET_FEATURES), workers)

    def contract(self, learn: FeatureDataset) -> InputSpec:
        """Every feature brought to mean 0 and standard deviation 1 on the training jets."""
        units = JET_FEATURES | learn.origin.details.get("settings", {}).get("units", {})
        return standardised(
            learn.values, learn.names, tuple(units.get(name, "1") for name in learn.names), learn.weights, self.format,
            learn.class_names,
        )  # fmt: skip


def jet_features(jets: JetDataset, names: tuple[str, ...] = tuple(JET_FEATURES), workers: int = 1) -> FeatureDataset:
    """The features of every jet.

    Args:
        jets: Jets with constituents.
        names: Which features, in this order.
        workers: Threads; the result does not depend on it.

    Raises:
        InputError: There is no feature of that name.
    """
    for name in names:
        if name not in JET_FEATURES:
            raise InputError(f"there is no jet feature {name!r}; nearest: {nearest(name, JET_FEATURES)}")
    blocks = [jets.constituents[start : start + _BLOCK] for start in range(0, len(jets), _BLOCK)]
    with ThreadPoolExecutor(workers) as pool:
        tables = list(pool.map(_all_features, blocks))
    values = np.stack([np.concatenate([table[name] for table in tables]) for name in names], axis=1)
    return FeatureDataset(
        values, tuple(names), jets.labels, jets.class_names, jets.weights, jets.events, jets.origin, jets.target
    )


def _all_features(constituents: Any) -> dict[str, NDArray[np.float64]]:
    from trigger.inputs.correlators import correlators
    from trigger.inputs.grooming import mmdt
    from trigger.inputs.trees import flat_momenta, rapidity_azimuth

    momentum, offsets = flat_momenta(constituents)
    counts = np.diff(offsets)
    energy = momentum[:, 3]
    z = energy / np.repeat(np.add.reduceat(energy, offsets[:-1]), counts)
    zlogz = np.add.reduceat(z * np.log(np.where(z > 0, z, 1.0)), offsets[:-1])

    kept = mmdt(momentum, offsets)
    groomed_offsets = np.concatenate([[0], np.cumsum(np.add.reduceat(kept.astype(np.int64), offsets[:-1]))])
    groomed = momentum[kept]
    total = np.add.reduceat(groomed, groomed_offsets[:-1], axis=0)
    px, py = groomed.T[:2]
    e = correlators(np.hypot(px, py), *rapidity_azimuth(groomed), groomed_offsets)
    return {
        "zlogz": zlogz,
        "c1_b0": e["e2_b0"],
        "c1_b1": e["e2_b1"],
        "c1_b2": e["e2_b2"],
        "c2_b1": _ratio(e["3e3_b1"], e["e2_b1"] ** 2),
        "c2_b2": _ratio(e["3e3_b2"], e["e2_b2"] ** 2),
        "d2_b1": _ratio(e["3e3_b1"], e["e2_b1"] ** 3),
        "d2_b2": _ratio(e["3e3_b2"], e["e2_b2"] ** 3),
        "d2_a1_b1": _ratio(e["3e3_b1"], e["e2_b1"] ** 3),
        "d2_a1_b2": _ratio(e["3e3_b1"], e["e2_b2"] ** 1.5),
        "m2_b1": _ratio(e["1e3_b1"], e["e2_b1"]),
        "m2_b2": _ratio(e["1e3_b2"], e["e2_b2"]),
        "n2_b1": _ratio(e["2e3_b1"], e["e2_b1"] ** 2),
        "n2_b2": _ratio(e["2e3_b2"], e["e2_b2"] ** 2),
        "mass_gev": invariant_mass(*total.T),
        "multiplicity": counts.astype(np.float64),
    }


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
