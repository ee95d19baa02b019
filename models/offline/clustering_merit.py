"""How well the energy of calorimeter hits was shared out between two showers.

References:
    arXiv:1902.07987: the response, its truncated mean, and the clustering accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trigger.decision.efficiency import replica_quantiles
from trigger.errors import InputError

Floats = NDArray[np.floating[Any]]
TRUNCATED = (0.2, 2.8)
"""Responses that the truncated mean is of."""
ACCURATE = (0.7, 1.3)
"""Responses that count as right."""


@dataclass(frozen=True)
class ResponseSummary:
    """Of the responses of all showers.

    Attributes:
        showers: How many.
        truncated_mean: Mean of those within `TRUNCATED`.
        accuracy: Share of showers within `ACCURATE`.
    """

    showers: int
    truncated_mean: float
    accuracy: float


def best_order(energy: Floats, predicted: Floats, truth: Floats) -> Floats:
    """Predicted shares with the two showers of an event exchanged where that fits better.

    What fits better is the smaller loss of the paper (`models.offline.gravnet.fraction_loss`).

    Args:
        energy: Energy of each hit, 0 for padding, shape `(events, hits)`.
        predicted: Shares, shape `(events, hits, 2)`.
        truth: Shares, likewise.
    """
    losses = np.stack([fraction_errors(energy, shares, truth) for shares in (predicted, predicted[..., ::-1])])
    return np.where((losses[1] < losses[0])[:, None, None], predicted[..., ::-1], predicted)


def fraction_errors(energy: Floats, predicted: Floats, truth: Floats) -> Floats:
    """The loss of the paper for each event in the order that is given, shape `(events,)`; arguments as of `best_order`."""
    _check(energy, predicted, truth)
    weight = np.sqrt(energy[..., None] * truth)
    norm = weight.sum(axis=1)
    squared = (weight * (predicted - truth) ** 2).sum(axis=1)
    errors: Floats = (squared / np.where(norm > 0, norm, 1.0)).sum(axis=1)
    return errors


def responses(energy: Floats, predicted: Floats, truth: Floats) -> Floats:
    """Energy that a shower was given, over the energy of it that is in the hits.

    `R_k = sum_i E_i p_ik / sum_i E_i t_ik`.

    Args:
        energy: Energy of each hit, 0 for padding, shape `(events, hits)`.
        predicted: Shares, shape `(events, hits, 2)`, in the best order.
        truth: Shares, likewise.

    Returns:
        Shape `(events, 2)`; NaN for a shower without energy in the hits.

    References:
        arXiv:1902.07987.
    """
    _check(energy, predicted, truth)
    true = (energy[..., None] * truth).sum(axis=1)
    given = (energy[..., None] * predicted).sum(axis=1)
    found: Floats = given / np.where(true > 0, true, np.nan)
    return found


def summarise(found: Floats) -> ResponseSummary:
    """The summary of responses; those that are NaN are left out.

    Raises:
        InputError: There is none within the truncation.
    """
    flat = np.asarray(found, dtype=np.float64).ravel()
    flat = flat[~np.isnan(flat)]
    inside = flat[(flat > TRUNCATED[0]) & (flat < TRUNCATED[1])]
    if len(inside) == 0:
        raise InputError(f"of {len(flat)} responses none is between {TRUNCATED[0]} and {TRUNCATED[1]}")
    return ResponseSummary(
        showers=len(flat), truncated_mean=float(inside.mean()),
        accuracy=float(((flat > ACCURATE[0]) & (flat < ACCURATE[1])).mean()),
    )  # fmt: skip


def central_width(response: Floats, sampled: Floats) -> NDArray[np.float64]:
    """Half of the range of the central 68.3 % of the responses, for each replica of the events.

    Unlike a truncated standard deviation it counts the showers that went wholly wrong.

    Args:
        response: Shape `(events, 2)`; NaN for showers without energy.
        sampled: Weights of the events, shape `(replicas, events)`.

    Returns:
        Shape `(replicas,)`.
    """
    flat = response.ravel().astype(np.float64)
    there = np.isfinite(flat)
    weights = np.repeat(sampled, 2, axis=1)[:, there].astype(np.float64)
    low, high = replica_quantiles(flat[there], weights, (0.1585, 0.8415))
    width: NDArray[np.float64] = (high - low) / 2
    return width


def nearest_axis(x: Floats, y: Floats, axes: Floats) -> Floats:
    """Shares of a simple clustering: each hit belongs wholly to the shower whose axis is nearest in x and y.

    It is told the true axes, which no reconstruction knows.

    Args:
        x: Of each hit, shape `(events, hits)`.
        y: Likewise.
        axes: Where the particles struck, shape `(events, 2, 2)`: shower, then x and y.

    Returns:
        Shape `(events, hits, 2)`, 0 and 1.
    """
    squared = (x[..., None] - axes[:, None, :, 0]) ** 2 + (y[..., None] - axes[:, None, :, 1]) ** 2
    second = squared[..., 1] < squared[..., 0]
    return np.stack([~second, second], axis=-1).astype(np.float64)


def two_means(energy: Floats, x: Floats, y: Floats, rounds: int = 20) -> Floats:
    """Shares of a simple clustering that is told nothing: the two means of the hits in x and y, weighed by energy.

    It begins with the most energetic hit, and with the hit of the greatest energy times squared distance from it. Then each
    hit belongs to the nearest centre, and a centre moves to the mean of its hits, in turns.

    Args:
        energy: Energy of each hit, 0 for padding, shape `(events, hits)`.
        x: Of each hit, likewise.
        y: Likewise.
        rounds: How many turns.

    Returns:
        Shape `(events, hits, 2)`, 0 and 1.

    References:
        Lloyd's algorithm, doi:10.1109/TIT.1982.1056489.
    """
    place = np.stack([x, y], axis=-1).astype(np.float64)
    row = np.arange(len(energy))
    first = place[row, energy.argmax(axis=1)]
    distance = ((place - first[:, None]) ** 2).sum(axis=2)
    centres = np.stack([first, place[row, (energy * distance).argmax(axis=1)]], axis=1)
    shares = nearest_axis(x, y, centres)
    for _ in range(rounds):
        weight = energy[..., None] * shares
        total = weight.sum(axis=1)[..., None]
        means = np.einsum("ehk,ehc->ekc", weight, place) / np.where(total > 0, total, 1.0)
        centres = np.where(total > 0, means, centres)
        shares = nearest_axis(x, y, centres)
    return shares


def _check(energy: Floats, predicted: Floats, truth: Floats) -> None:
    if predicted.shape != truth.shape or truth.shape != (*energy.shape, 2):
        raise InputError(
            f"shares of the shapes {list(predicted.shape)} and {list(truth.shape)} with energies of {list(energy.shape)}; "
            "right would be (events, hits, 2) twice and (events, hits)"
        )
    if len(energy) == 0:
        raise InputError("there is no event; one at least is needed")
    for name, column in (("energies", energy), ("predicted shares", predicted), ("true shares", truth)):
        if not np.isfinite(column).all():
            raise InputError(f"{name} have numbers that are NaN or infinite")
