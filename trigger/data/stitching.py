"""Samples of crossings, some with a hard collision put into them, as one sample of crossings as they come.

References:
    Stitching of samples with pileup: Veelken, arXiv:2106.04360.
    Weights of a mixture of samples: Veach, Guibas, doi:10.1145/218380.218498 (balance heuristic).
    Mecke's formula: Last, Penrose, Lectures on the Poisson Process, doi:10.1017/9781316104477, theorem 4.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError

Array = NDArray[np.float64]


def stitched_rates(
    sample: NDArray[np.int64], counts: NDArray[np.int64], made: NDArray[np.int64], mean_pileup: float, share: Array,
    total_hz: float, scarce: NDArray[np.bool_] | None = None,
) -> Array:  # fmt: skip
    """Rate that each crossing of a stitched set of samples stands for.

    Sample 0 is inclusive: a crossing has Poisson(`mean_pileup`) inelastic collisions. A crossing of sample j = 1..J has as
    many, and one collision of slice j (a range of pTHat, say) put in by force. By Mecke's formula putting in a collision of
    slice j is the same as choosing inclusive crossings with the weight `n_j / E[n_j]`, where `n_j` is the number of
    collisions of slice j in the crossing, the forced one included, and `E[n_j] = mean_pileup * share_j`. So all samples
    together are `sum_k made_k * density_k` crossings, and each of them stands for

        total_hz / (made_0 + sum_j made_j * n_j / (mean_pileup * share_j)),

    whichever sample it comes from. The expected sum of any function of crossings times these weights is then its rate in
    inclusive crossings, exactly: there is no double counting, no bias, and slices may even overlap.

    That is best where crossings are independent. Where inclusive ones draw from a pool that has hardly any collision of a slice,
    they are not: one collision comes again and again. Crossings with a collision of such a slice are left to the samples with
    a forced one, and inclusive ones get no rate: samples may be chosen by what is in a crossing, and all stays exact.

    Args:
        sample: Sample of each crossing, 0 for the inclusive one, shape `(n,)`.
        counts: Collisions of each slice in each crossing, the forced one included, shape `(n, J)`.
        made: Crossings made of each sample, shape `(1 + J,)`, those that were not kept included.
        mean_pileup: Mean number of inelastic collisions in an inclusive crossing.
        share: Cross-section of each slice over the inelastic one, shape `(J,)`.
        total_hz: Rate of filled crossings, in Hz.
        scarce: Slices of which inclusive crossings do not have enough different collisions, shape `(J,)`; none by default.

    Returns:
        Rates in Hz, shape `(n,)`.

    Raises:
        InputError: Shapes differ, a number is not positive where it has to be, more crossings are here than were made, or a
            crossing is without the collision that was put into it.
    """
    crossings, slices = len(sample), len(share)
    if counts.shape != (crossings, slices) or made.shape != (1 + slices,) or sample.ndim != 1:
        raise InputError(
            f"{crossings} crossings, counts of shape {counts.shape}, {made.shape} made and {slices} shares do not fit; "
            f"right would be counts ({crossings}, {slices}) and ({1 + slices},) made"
        )
    if not (mean_pileup > 0 and total_hz > 0 and (share > 0).all() and (counts >= 0).all()):
        raise InputError(
            f"mean pileup {mean_pileup:g}, total rate {total_hz:g} Hz and shares {share.tolist()} have to be positive, and "
            f"counts not negative"
        )
    if crossings and not (sample.min() >= 0 and sample.max() <= slices):
        raise InputError(f"samples from {sample.min()} to {sample.max()}; with {slices} slices they are 0 to {slices}")
    here = np.bincount(sample, minlength=1 + slices)
    if made[0] < 1 or (here > made).any():
        raise InputError(
            f"{made.tolist()} crossings were made and {here.tolist()} are here; no more can be here, and some have to be "
            f"inclusive, for a crossing without a collision of any slice has no other sample"
        )
    forced = np.flatnonzero(sample > 0)
    if bare := int((counts[forced, sample[forced] - 1] < 1).sum()):
        raise InputError(f"{bare} crossings count no collision of the slice that was put into them; count it too")
    forced_alone = (counts[:, np.zeros(slices, bool) if scarce is None else scarce] > 0).any(axis=1)
    inclusive = np.where(forced_alone, 0, made[0])
    weight = inclusive + counts @ (made[1:] / (mean_pileup * share))
    rates: Array = np.where(forced_alone & (sample == 0), 0.0, total_hz / weight)
    return rates
