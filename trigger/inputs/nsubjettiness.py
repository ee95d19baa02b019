"""N-subjettiness of jets, compiled: how well N axes describe where a jet's momentum goes.

    tau_N(beta) = (1 / d0) sum_k pT_k min(R_1k, ..., R_Nk)^beta,    d0 = sum_k pT_k R0^beta

with R_ak the distance of constituent k and axis a in rapidity and azimuth. A jet of N constituents or fewer has tau_N 0.

References:
    Definition: arXiv:1011.2268. Minimisation over the axes: arXiv:1108.2701; with a
    constituent on its axis (beta 1): doi:10.1073/pnas.97.4.1423. Winner-take-all axes:
    arXiv:1401.2158. The set that resolves M-body phase space: arXiv:1704.08249.
"""

from __future__ import annotations

from typing import Any, Literal

import numba
import numpy as np

from trigger.errors import InputError
from trigger.inputs.trees import KT, Floats, Indices, checked, distance2, merge, place_of

Axes = Literal["kt", "winner_take_all_kt"]
"""Where the axes are: the N exclusive kt subjets, merged by adding four-momenta or by winner-take-all."""

MULTI_BODY_BETAS = (0.5, 1.0, 2.0)

_STEPS, _ACCURACY = 100, 1e-4  # of the minimisation
_ON_THE_AXIS = 1e-12  # squared distance


def nsubjettiness(
    momentum: Floats, offsets: Indices, n_max: int = 3, betas: tuple[float, ...] = (1.0,),
    axes: Axes = "winner_take_all_kt", radius: float = 0.8, minimise: bool = False,
) -> dict[str, Floats]:  # fmt: skip
    """tau_1 to tau_n_max of every jet, dimensionless.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        n_max: The largest N.
        betas: Exponents of the distance.
        axes: Where the axes are, or where they start.
        minimise: Whether they are moved to a minimum of tau_N nearby, one start only ("one-pass"). Each step assigns the
            constituents to their nearest axes and moves an axis to the mean of its own, weighted with pT R^(beta - 2), for
            beta 2 as Lloyd did; a step that does not lower tau_N is halved. Done when no axis has 0.0001 to go, or after
            100 steps.
        radius: R0, the jets' radius.

    Returns:
        By name, `tau1_b1` or `tau2_b0.5`, an array of shape `(jets,)`.

    Raises:
        InputError: A jet is empty or has no transverse momentum, a number is NaN or infinite, a setting is out of range.
    """
    if n_max < 1:
        raise InputError(f"N-subjettiness needs at least one axis, not {n_max}")
    if not betas or not min(betas) > 0 or len(set(betas)) != len(betas):
        raise InputError(f"the betas of N-subjettiness are positive and different, not {list(betas)}")
    if not radius > 0:
        raise InputError(f"a jet radius is positive, not {radius}")
    if axes not in ("kt", "winner_take_all_kt"):
        raise InputError(f"axes are 'kt' or 'winner_take_all_kt', not {axes!r}")
    momentum, offsets = checked(momentum, offsets)
    pt = np.add.reduceat(np.hypot(momentum[:, 0], momentum[:, 1]), offsets[:-1])
    if not pt.all():
        raise InputError(f"{np.count_nonzero(pt == 0)} of {len(pt)} jets have no transverse momentum")
    table = _all_taus(
        momentum, offsets, n_max, np.array(betas, dtype=np.float64), axes == "winner_take_all_kt", minimise
    )
    return {
        _name(n, beta): table[:, n - 1, k] / (pt * radius**beta)
        for n in range(1, n_max + 1)
        for k, beta in enumerate(betas)
    }


def tau_ratio(taus: dict[str, Floats], upper: int, lower: int, beta: float = 1.0) -> Floats:
    """tau_upper / tau_lower, as tau_21 is tau_2 / tau_1; 0 where tau_lower is.

    Raises:
        InputError: One of the two is not among the given.
    """
    for n in (upper, lower):
        if _name(n, beta) not in taus:
            raise InputError(f"there is no {_name(n, beta)} among {', '.join(taus)}")
    numerator, denominator = taus[_name(upper, beta)], taus[_name(lower, beta)]
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def multi_body_names(bodies: int) -> tuple[str, ...]:
    """The 3 M - 4 variables that resolve M-body phase space: names in what `nsubjettiness` returns for
    `n_max = M - 1` and `MULTI_BODY_BETAS`.

    Raises:
        InputError: Fewer than two bodies.

    References:
        arXiv:1704.08249.
    """
    if bodies < 2:
        raise InputError(f"a jet has at least two bodies to resolve, not {bodies}")
    names = [_name(n, beta) for n in range(1, bodies - 1) for beta in MULTI_BODY_BETAS]
    return (*names, _name(bodies - 1, 1.0), _name(bodies - 1, 2.0))


def _name(n: int, beta: float) -> str:
    return f"tau{n}_b{beta:g}"


@numba.njit(cache=True, nogil=True)
def _all_taus(
    momentum: Any, offsets: Any, n_max: int, betas: Any, winner: bool, minimise: bool
) -> Any:  # pragma: no cover, compiled
    table = np.zeros((len(offsets) - 1, n_max, len(betas)))
    for jet in range(len(offsets) - 1):
        particles = momentum[offsets[jet] : offsets[jet + 1]]
        size = len(particles)
        pt, place = np.empty(size), np.empty((size, 2))
        for k in range(size):
            pt[k] = np.hypot(particles[k, 0], particles[k, 1])
            place[k] = place_of(particles[k])
        first, second, nodes, _, _ = merge(particles, KT, np.inf, winner, 0.0, np.inf)
        for n in range(1, min(n_max, size - 1) + 1):
            axes = _exclusive_axes(first, second, nodes, size, n)
            for b in range(len(betas)):
                if minimise:
                    table[jet, n - 1, b] = _minimised(pt, place, axes.copy(), betas[b])
                else:
                    table[jet, n - 1, b] = _tau(pt, place, axes, betas[b])
    return table


@numba.njit(cache=True, nogil=True)
def _exclusive_axes(first: Any, second: Any, nodes: Any, size: int, n: int) -> Any:  # pragma: no cover, compiled
    """Places of the n pseudojets that are left before the last n - 1 mergings."""
    made = 2 * size - n
    axes = np.empty((n, 2))
    found = 0
    for node in range(made, 2 * size - 1):
        for child in (first[node], second[node]):
            if child < made:
                axes[found] = place_of(nodes[child])
                found += 1
    if n == 1:
        axes[0] = place_of(nodes[made - 1])
    return axes


@numba.njit(cache=True, nogil=True)
def _tau(pt: Any, place: Any, axes: Any, beta: float) -> float:  # pragma: no cover, compiled
    total = 0.0
    for k in range(len(pt)):
        nearest = distance2(place[k], axes[0])
        for a in range(1, len(axes)):
            nearest = min(nearest, distance2(place[k], axes[a]))
        total += pt[k] * _power(nearest, beta)
    return total


@numba.njit(cache=True, nogil=True)
def _power(r2: float, beta: float) -> float:  # pragma: no cover, compiled
    """R^beta of R^2; a root is several times faster than a power."""
    if beta == 2.0:
        return r2
    if beta == 1.0:
        return np.sqrt(r2)  # type: ignore[no-any-return]
    if beta == 0.5:
        return np.sqrt(np.sqrt(r2))  # type: ignore[no-any-return]
    return r2 ** (0.5 * beta)  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def _minimised(pt: Any, place: Any, axes: Any, beta: float) -> float:  # pragma: no cover, compiled
    best = _tau(pt, place, axes, beta)
    for _ in range(_STEPS):
        way = _lloyd_step(pt, place, axes, beta)
        furthest, lowered = (way**2).sum(axis=1).max(), False
        while not lowered and furthest > _ACCURACY**2:
            moved = axes + way
            tau = _tau(pt, place, moved, beta)
            lowered = tau < best
            if lowered:
                axes, best = moved, tau
            else:
                way, furthest = way / 2, furthest / 4
        if not lowered:
            break
    return best  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def _lloyd_step(pt: Any, place: Any, axes: Any, beta: float) -> Any:  # pragma: no cover, compiled
    """How far each axis is from the weighted mean of its constituents.

    A constituent on the axis has no weight to move it, but for beta 1 it holds the axis with its pT against the others, and
    below 1 nothing moves the axis away.
    """
    total = np.zeros((len(axes), 3))  # weight, and its first moments from the axis
    holding = np.zeros(len(axes))
    for k in range(len(pt)):
        nearest, r2 = 0, distance2(place[k], axes[0])
        for a in range(1, len(axes)):
            d = distance2(place[k], axes[a])
            if d < r2:
                nearest, r2 = a, d
        if r2 < _ON_THE_AXIS and beta < 2.0:
            holding[nearest] += pt[k]
            continue
        weight = pt[k] * (1.0 if beta == 2.0 else r2 ** (0.5 * beta - 1.0))
        turn = place[k, 1] - axes[nearest, 1]
        turn -= 2 * np.pi * np.round(turn / (2 * np.pi))
        total[nearest, 0] += weight
        total[nearest, 1] += weight * (place[k, 0] - axes[nearest, 0])
        total[nearest, 2] += weight * turn
    way = np.zeros((len(axes), 2))
    for a in range(len(axes)):
        pull = np.hypot(total[a, 1], total[a, 2])
        if pull == 0.0 or (holding[a] > 0.0 and beta < 1.0):
            continue
        free = max(0.0, 1.0 - holding[a] / pull) if beta == 1.0 else 1.0
        way[a] = total[a, 1:] * (free / total[a, 0])
    return way
