"""How well a second head corrects a jet's pT.

The *response* of a jet is its pT over the true one; a correction multiplies the measured pT. What a head learns is the
factor `true pT / measured pT`, so the response is `1 / target` before and `predicted / target` after.

Bias and resolution are of the core, not of the tails: the median, and half of the width of the central 68.27 %, over the
median, for a factor that is common to all jets changes no resolution. Bins are of the true pT: in bins of the measured one
even a perfect detector would look biased, as a falling spectrum fills them from below.

References:
    Response and resolution of jets: CMS, arXiv:1607.03663.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.decision.efficiency import REPLICAS, Array, Estimate, bootstrap, estimate, replica_quantiles
from trigger.errors import InputError

FEWEST = 20
"""Jets in a bin; with fewer than three in each of the tails left out, a width says little."""
_CORE = (0.158655, 0.5, 0.841345)  # one standard deviation either side of a Gaussian's median


@dataclass(frozen=True)
class Response:
    """The core of a distribution of responses.

    Attributes:
        bias: Median minus one.
        resolution: Half of the width of the central 68.27 % over the median.
    """

    bias: Estimate
    resolution: Estimate

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it."""
        return {"bias": self.bias.summary(), "resolution": self.resolution.summary()}


@dataclass(frozen=True)
class ResponseBin:
    """Jets of one range of true pT, before and after corrections.

    Attributes:
        pt_gev: The range, lower edge included; `None` for all jets.
        jets: How many there are.
        before: Response as measured; `None` where there are fewer than `FEWEST` jets.
        after: Response after each correction; empty there.
        gain: For each correction the resolution before minus the one after, paired.
    """

    pt_gev: tuple[float, float] | None
    jets: int
    before: Response | None
    after: dict[str, Response]
    gain: dict[str, Estimate]

    def summary(self) -> dict[str, Any]:
        """As JSON would hold it; numbers that are infinite or not known become `None`."""
        return {
            "pt_gev": None if self.pt_gev is None else list(self.pt_gev),
            "jets": self.jets,
            "before": None if self.before is None else self.before.summary(),
            "after": {name: one.summary() for name, one in self.after.items()},
            "resolution_gain": {name: one.summary() for name, one in self.gain.items()},
        }


def correction_summary(
    target: Array, predicted: Mapping[str, Array], weights: Array, events: NDArray[np.int64], seed: int,
    measured_gev: Array | None = None, edges_gev: Sequence[float] = (), replicas: int = REPLICAS,
) -> tuple[ResponseBin, ...]:  # fmt: skip
    """Bias and resolution before and after corrections, with uncertainties of a bootstrap over events.

    Args:
        target: True over measured pT of each jet, shape `(jets,)`, positive.
        predicted: For each set (float, quantised, firmware) what the head says of it, shape `(jets,)`.
        weights: Weight of each jet, not negative.
        events: Event number of each jet.
        seed: Seed of the bootstrap.
        measured_gev: Measured pT of each jet; needed for bins.
        edges_gev: Rising edges of bins of true pT; none for all jets in one.
        replicas: Number of bootstrap replicas.

    Returns:
        All jets first, then each bin.

    Raises:
        InputError: Shapes differ, a number is NaN or infinite, a target or pT is not positive, edges do not rise.
    """
    given = {"target": target, "weights": weights, **{f"predicted {name}": one for name, one in predicted.items()}}
    if measured_gev is not None:
        given["measured pT"] = measured_gev
    for name, one in given.items():
        if one.shape != target.shape or one.ndim != 1 or not np.isfinite(one).all():
            raise InputError(f"{name} of shape {one.shape} does not fit {len(target)} jets or is not finite")
        if name in ("target", "measured pT") and (one <= 0).any():
            raise InputError(f"{name} has {one.min():g}; it is positive (the target is true over measured pT)")
    if (weights < 0).any() or not weights.sum() > 0:
        raise InputError("weights are not negative, and one at least is positive")
    if len(edges_gev) == 1 or (np.diff(edges_gev) <= 0).any() or (len(edges_gev) and measured_gev is None):
        raise InputError(f"bins {list(edges_gev)} need two rising edges or more, and the measured pT")
    sampled = bootstrap(events, weights, seed, replicas)
    responses = {"": 1 / target, **{name: one / target for name, one in predicted.items()}}
    there = weights > 0
    true_gev = target if measured_gev is None else target * measured_gev
    return (
        _bin(None, responses, sampled, np.flatnonzero(there)),
        *(
            _bin((low, high), responses, sampled, np.flatnonzero(there & (low <= true_gev) & (true_gev < high)))
            for low, high in pairwise(edges_gev)
        ),
    )


def _bin(
    pt_gev: tuple[float, float] | None, responses: Mapping[str, Array], sampled: Array, rows: NDArray[np.intp]
) -> ResponseBin:
    if len(rows) < FEWEST:
        return ResponseBin(pt_gev, len(rows), None, {}, {})
    cores = {name: _core(one[rows], sampled[:, rows]) for name, one in responses.items()}
    found = {name: Response(estimate(median - 1), estimate(width)) for name, (median, width) in cores.items()}
    gain = {name: estimate(cores[""][1] - width) for name, (_, width) in cores.items() if name}
    return ResponseBin(pt_gev, len(rows), found.pop(""), found, gain)


def _core(response: Array, sampled: Array) -> tuple[Array, Array]:
    """Median and relative half-width of every replica."""
    low, median, high = replica_quantiles(response, sampled, _CORE)
    median = np.where(sampled.any(axis=1), median, np.nan)  # a replica may have no jet of the bin
    with np.errstate(divide="ignore", invalid="ignore"):  # a head that says nothing but zero
        return median, (high - low) / 2 / np.abs(median)
