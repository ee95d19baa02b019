"""Distance correlation as a part of a loss: 0 exactly where two numbers are independent, whatever form a dependence has.

With a_jk = |x_j - x_k|, b_jk = |y_j - y_k| and weights w that sum to 1, every row and column is freed of its mean,

    A_jk = a_jk - sum_l w_l a_jl - sum_l w_l a_lk + sum_lm w_l w_m a_lm,    B likewise of b,
    dCov^2(x, y) = sum_jk w_j w_k A_jk B_jk,    dCorr^2 = dCov^2(x, y) / sqrt(dCov^2(x, x) dCov^2(y, y)).

References:
    Definition: Szekely, Rizzo, Bakirov, doi:10.1214/009053607000000505. With weights, as a part of a tagger's loss over the
    background of a batch: arXiv:2001.05310.
"""

from __future__ import annotations

import math
from typing import Any

from models.offline.decorrelated import PROTECTED, SIGNAL, WEIGHT, entropy
from models.offline.fitting import Loss

LARGEST = 4096
"""Rows of a batch beyond which only so many are compared with each other: the work grows with their square."""
_TINY = 1e-12


def squared_distance_correlation(x: Any, y: Any, weights: Any) -> Any:
    """dCorr^2 of two numbers over rows, a tensor of one number between 0 and 1; 0 where one of them is constant.

    Args:
        x: Shape `(rows,)`.
        y: Shape `(rows,)`.
        weights: Not negative, shape `(rows,)`; rows with weight 0 do not count.
    """
    from keras import ops

    share = weights / ops.maximum(ops.sum(weights), _TINY)
    pairs = share[:, None] * share[None, :]
    first, second = _centred(x, share), _centred(y, share)
    covariance = ops.sum(pairs * first * second)
    variances = ops.sum(pairs * ops.square(first)) * ops.sum(pairs * ops.square(second))
    return covariance / ops.sqrt(ops.maximum(variances, _TINY**2))


def disco_loss(strength: float, odds: float = 1.0) -> Loss:
    """Cross-entropy of the logit, plus `strength` times dCorr^2 of probability and what is protected over the background.

    Args:
        strength: lambda in the reference.
        odds: Background jets for each signal jet, for which the probability is meant. With 1, as in the reference, nearly all
            background has a probability of about 0 or all in between; the larger, the more only what is hard to tell from
            signal has one at all, and counts.
    """

    def loss(answers: Any, outputs: Any) -> Any:
        from keras import ops

        some = answers[:LARGEST]
        background = (1 - some[:, SIGNAL]) * some[:, WEIGHT]
        probability = ops.sigmoid(outputs[:LARGEST, 0] - math.log(odds))
        penalty = squared_distance_correlation(probability, some[:, PROTECTED], background)
        return entropy(answers, outputs) + strength * penalty

    return loss


def _centred(values: Any, share: Any) -> Any:
    from keras import ops

    distance = ops.abs(values[:, None] - values[None, :])
    mean = ops.sum(distance * share[None, :], axis=1)
    return distance - mean[:, None] - mean[None, :] + ops.sum(mean * share)
