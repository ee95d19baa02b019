"""Jets turned into one direction: by rotations and a boost of their four-momenta, or as pixels of an image.

In both the leading subjet is brought to the middle, the second to one side of it, and the jet is mirrored so that it has more on
one side of the line through the two.

References:
    The steps with four-momenta are those of the code that the authors of arXiv:1702.00748 published. Those of images:
    arXiv:1511.05190.
"""

from __future__ import annotations

import numpy as np

from trigger.data.jets import JetDataset
from trigger.inputs.deposits import (
    Floats,
    Indices,
    angle_of_principal_axis,
    angle_of_second_subjet,
    centred,
    deposits_of,
    flipped,
    refuse_jets,
    rotated,
    subjets,
)
from trigger.inputs.images import pixelated
from trigger.kinematics import from_pt_eta_phi_mass


def aligned(momentum: Floats, offsets: Indices, radius: float = 0.3) -> Floats:
    """Constituents with the leading kt subjet at azimuth and rapidity 0, the second at azimuths below in the plane across the
    beam, and the third at positive pz.

    Masses of jets stay; pT changes with the rotation of the second subjet into the plane.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        radius: Of the subjets, which are ordered by pT.

    Returns:
        Shape `(constituents, 4)`, in the same order.

    Raises:
        InputError: A jet is empty, or a number is NaN or infinite.
    """
    from trigger.inputs.subjets import inclusive_subjets  # compiled

    found = inclusive_subjets(momentum, offsets, radius)
    first, counts, owner = found.offsets[:-1], np.diff(found.offsets), found.jet
    second, third = first + (counts > 1), first + np.where(counts > 2, 2, 0)
    jet = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    parts, whole = momentum.astype(np.float64), found.momentum

    phi = -np.arctan2(whole[first, 1], whole[first, 0])
    parts, whole = _turned(parts, 0, 1, phi[jet]), _turned(whole, 0, 1, phi[owner])
    beta = whole[first, 2] / np.maximum(whole[first, 3], np.finfo(float).tiny)
    beta = np.where(np.abs(beta) < 1, beta, 0.0)  # without pT or mass there is no frame without pz
    parts, whole = _boosted(parts, beta[jet]), _boosted(whole, beta[owner])
    apart = whole[first] - whole[second]
    angle = -np.arctan2(apart[:, 2], apart[:, 1])
    parts, whole = _turned(parts, 1, 2, angle[jet]), _turned(whole, 1, 2, angle[owner])
    parts[:, 2] *= np.where((counts > 2) & (whole[third, 2] < 0), -1.0, 1.0)[jet]
    return parts


def aligned_pixels(
    jets: JetDataset, pixels: int = 25, width: float = 0.1, radius: float = 0.3
) -> tuple[Floats, Indices]:
    """Pixels of the image of each jet as massless particles, those without energy left out.

    The image is centred on the leading kt subjet, turned so that the second is below it, and mirrored; it is not normalised.

    Args:
        jets: The jets.
        pixels: Rows, and columns.
        width: Of a pixel, in pseudorapidity and azimuth.
        radius: Of the subjets.

    Returns:
        `px, py, pz, E` in GeV, and offsets, as `aligned` takes them.

    Raises:
        InputError: Nothing of a jet is in its image.
    """
    deposits = deposits_of(jets)
    parts, _ = subjets(deposits, radius)
    leading = np.searchsorted(parts.jet, np.arange(parts.jets))
    deposits = centred(deposits, parts.eta[leading], parts.phi[leading])
    second = angle_of_second_subjet(parts)
    deposits = flipped(rotated(deposits, np.where(np.isnan(second), angle_of_principal_axis(deposits), second)))
    images = pixelated(deposits, pixels, pixels, width)
    if images.empty.any():
        refuse_jets(images.empty, jets.events, f"leaves nothing in an image of {pixels} x {pixels} pixels of {width:g}")
    row, column = np.divmod(images.pixel, pixels)
    middle = (pixels - 1) / 2
    momentum = from_pt_eta_phi_mass(images.value, (column - middle) * width, (row - middle) * width, 0.0)
    counts = np.bincount(images.jet, minlength=len(jets))
    return np.stack(momentum, axis=1), np.concatenate([[0], np.cumsum(counts)])


def _turned(momentum: Floats, x: int, y: int, angle: Floats) -> Floats:
    turned = momentum.copy()
    cosine, sine = np.cos(angle), np.sin(angle)
    turned[:, x] = cosine * momentum[:, x] - sine * momentum[:, y]
    turned[:, y] = sine * momentum[:, x] + cosine * momentum[:, y]
    return turned


def _boosted(momentum: Floats, beta: Floats) -> Floats:
    """As seen from a frame that moves along the beam."""
    moved = momentum.copy()
    gamma = 1 / np.sqrt(1 - beta**2)
    moved[:, 2] = gamma * (momentum[:, 2] - beta * momentum[:, 3])
    moved[:, 3] = gamma * (momentum[:, 3] - beta * momentum[:, 2])
    return moved
