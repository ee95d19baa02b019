"""Single numbers that describe jets and that a physicist checks a sample by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MassPeak:
    """Where the groomed mass of a class peaks.

    Attributes:
        position_gev: Median of the shortest interval with 40 % of the jets above the threshold.
        uncertainty_gev: Its standard deviation, by bootstrap.
        below: Share of all jets of the class that lie below the threshold: prongs lost to grooming or to matching.
        threshold_gev: The threshold.
    """

    position_gev: float
    uncertainty_gev: float
    below: float
    threshold_gev: float


def mass_peak(
    mass_gev: NDArray[np.float64], threshold_gev: float = 60.0, seed: int = 1, replicas: int = 100
) -> MassPeak:
    """The peak of a mass spectrum above a threshold.

    A mean or median would be pulled by the tail of jets with a lost prong; the shortest interval is not.
    """
    above = np.sort(mass_gev[mass_gev > threshold_gev])
    below = 1.0 - len(above) / len(mass_gev)
    if len(above) < 10:
        return MassPeak(float("nan"), float("nan"), below, threshold_gev)
    generator = np.random.default_rng(seed)
    spread = [_mode(np.sort(generator.choice(above, len(above)))) for _ in range(replicas)]
    return MassPeak(_mode(above), float(np.std(spread, ddof=1)), below, threshold_gev)


def _mode(ordered: NDArray[np.float64], share: float = 0.4) -> float:
    size = max(3, int(share * len(ordered)))
    start = int(np.argmin(ordered[size - 1 :] - ordered[: len(ordered) - size + 1]))
    return float(np.median(ordered[start : start + size]))
