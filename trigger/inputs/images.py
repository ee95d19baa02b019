"""Jets as images: transverse energy in pixels of pseudorapidity and azimuth.

Two views. `JetImageInputs` prepares each jet as the papers do, in steps that can each be switched: trim the subjets, centre,
rotate, flip, fill pixels, trim pixels, normalise. `JetGridInputs` is what a calorimeter trigger has in its hands: the towers
around the jet's own, in whole numbers, with nothing done to them that needs a multiplier or a divider.

Rows of an image are azimuth and columns pseudorapidity, both rising with the index, so that the second subjet, which is turned
downwards, is in the rows before the middle. Steps before the pixels move the deposits themselves and not the filled pixels:
nothing is interpolated (1511.05190 turns the pixels with a cubic spline).

References:
    Jet images, centring, rotation, flip: arXiv:1407.5675. Subjets, trimming, choice of the principal axis where there is one
    subjet, normalisation and what it does to the jet's mass: arXiv:1511.05190. Trimming: arXiv:0912.1342.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NoReturn, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trigger.config import Format, Settings
from trigger.data.jets import MOMENTUM, FeatureDataset, JetDataset
from trigger.errors import InputError
from trigger.inputs.clustering import cluster
from trigger.inputs.contract import Input, InputSpec
from trigger.kinematics import azimuth, delta_phi, from_pt_eta_phi_mass, pseudorapidity, transverse_momentum

Centre = Literal["axis", "centroid", "leading_subjet"]
Rotation = Literal["none", "second_subjet", "principal_axis"]
Norm = Literal["none", "sum", "max", "euclidean"]
Count = Annotated[int, Field(gt=0, le=256)]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_DECIMALS = 9
"""Places in pixels, towers and energy steps are rounded to these before they are cut to whole numbers: what lies on an edge, as
a subjet in the middle of an even number of pixels does, then falls to the same side on every machine."""
_ON_THE_LINE = 1e-9
"""Distance from an axis within which a deposit is on neither side."""


@dataclass(frozen=True)
class Deposits:
    """Transverse energy of many jets, flat: every array but `jets` has one entry a deposit, ordered by jet.

    Attributes:
        et_gev: Transverse energy, above 0.
        eta: Pseudorapidity, absolute or from the image's centre.
        phi: Azimuth in radians, absolute or from the image's centre.
        jet: Index of the jet, not falling.
        jets: Number of jets.

    Raises:
        InputError: Shapes differ, a number is NaN or infinite, an energy is not positive, jets are not in order.
    """

    et_gev: Floats
    eta: Floats
    phi: Floats
    jet: Indices
    jets: int

    def __post_init__(self) -> None:
        shapes = {name: getattr(self, name).shape for name in ("et_gev", "eta", "phi", "jet")}
        if self.et_gev.ndim != 1 or len(set(shapes.values())) > 1:
            raise InputError(f"deposits are flat arrays of one length, found {shapes}")
        for name in ("et_gev", "eta", "phi"):
            wrong = ~np.isfinite(getattr(self, name))
            if wrong.any():
                first = self.jet[wrong.argmax()]
                raise InputError(
                    f"{name} of {np.count_nonzero(wrong)} of {wrong.size} deposits is NaN or infinite, first in jet {first}"
                )
        if (self.et_gev <= 0).any():
            raise InputError(
                f"{np.count_nonzero(self.et_gev <= 0)} deposits have no transverse energy or less than none"
            )
        if len(self.jet) and (self.jet[0] < 0 or self.jet[-1] >= self.jets or (np.diff(self.jet) < 0).any()):
            raise InputError(f"deposits are ordered by jet, from 0 to {self.jets - 1}")

    @property
    def counts(self) -> Indices:
        """Deposits of each jet, shape `(jets,)`."""
        return np.bincount(self.jet, minlength=self.jets)

    def total(self, quantity: Any = 1.0) -> Floats:
        """Sum of transverse energy times a quantity over each jet, shape `(jets,)`."""
        return np.bincount(self.jet, self.et_gev * quantity, minlength=self.jets).astype(np.float64)

    def mean(self, quantity: Floats) -> Floats:
        """Mean of a quantity over each jet, weighted with transverse energy, shape `(jets,)`."""
        return self.total(quantity) / self.total()

    def take(self, selection: NDArray[np.bool_]) -> Deposits:
        """The deposits that a mask picks, of as many jets as before."""
        return Deposits(
            self.et_gev[selection], self.eta[selection], self.phi[selection], self.jet[selection], self.jets
        )


@dataclass(frozen=True)
class Images:
    """Images of many jets, without the pixels that are 0; ordered by jet, then by pixel.

    Attributes:
        jet: Index of each pixel's jet, shape `(pixels,)`.
        pixel: `row * columns + column`, shape `(pixels,)`.
        value: What is in it, shape `(pixels,)`: GeV, a code, or without unit when normalised.
        shape: Jets, rows, columns.
        et_gev: Transverse energy that each jet had to fill, after trimming, shape `(jets,)`.
        outside: Share of it that fell outside the image, shape `(jets,)`.
        saturated: Number of pixels whose code is the largest that there is because their energy did not fit.
    """

    jet: Indices
    pixel: Indices
    value: NDArray[Any]
    shape: tuple[int, int, int]
    et_gev: Floats
    outside: Floats
    saturated: int = 0

    def dense(self) -> NDArray[Any]:
        """All pixels, shape `(jets, rows, columns)`."""
        jets, rows, columns = self.shape
        image = np.zeros(jets * rows * columns, dtype=self.value.dtype)
        image[self.jet * (rows * columns) + self.pixel] = self.value
        return image.reshape(self.shape)

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Whether a jet has no pixel above 0, shape `(jets,)`."""
        filled: NDArray[np.bool_] = np.isin(np.arange(self.shape[0]), self.jet)
        return ~filled

    def summary(self) -> dict[str, float]:
        """What a reader must know of a sample of images; the numbers of several samples may be added."""
        return {
            "jets": self.shape[0],
            "et_gev": float(self.et_gev.sum()),
            "et_outside_gev": float((self.et_gev * self.outside).sum()),
            "empty_images": int(np.count_nonzero(self.empty)),
            "saturated_pixels": self.saturated,
        }


def deposits_of(jets: JetDataset) -> Deposits:
    """What the jets' constituents leave in a calorimeter: `E * pt / |p|` each; those along the beam leave nothing.

    Raises:
        InputError: A jet has no transverse energy.
    """
    import awkward as ak

    px, py, pz, energy = (ak.to_numpy(ak.flatten(jets.constituents[name])).astype(np.float64) for name in MOMENTUM)
    jet = np.repeat(np.arange(len(jets)), ak.to_numpy(ak.num(jets.constituents)))
    pt = transverse_momentum(px, py)
    seen = pt > 0
    px, py, pz, pt = px[seen], py[seen], pz[seen], pt[seen]
    et = energy[seen] * pt / np.hypot(pt, pz)
    found = Deposits(et, pseudorapidity(px, py, pz), azimuth(px, py), jet[seen], len(jets))
    if (found.counts == 0).any():
        _refuse(found.counts == 0, jets.events, "has no constituent with transverse energy")
    return found


def centroid(deposits: Deposits) -> tuple[Floats, Floats]:
    """Mean pseudorapidity and azimuth of each jet, weighted with transverse energy, shape `(jets,)` each."""
    near = azimuth(deposits.total(np.cos(deposits.phi)), deposits.total(np.sin(deposits.phi)))
    return deposits.mean(deposits.eta), near + deposits.mean(delta_phi(deposits.phi, near[deposits.jet]))


def axis(deposits: Deposits) -> tuple[Floats, Floats]:
    """Direction of each jet: rapidity and azimuth of the sum of its deposits, each without mass, shape `(jets,)` each.

    Of the jet it is the rapidity, because that moves with its deposits when all are moved, as its pseudorapidity does not.
    """
    middle = deposits.mean(deposits.eta)
    eta = deposits.eta - middle[deposits.jet]  # near 0, where tanh and its inverse lose nothing
    rapidity = middle + np.arctanh(deposits.total(np.sinh(eta)) / deposits.total(np.cosh(eta)))
    return rapidity, azimuth(deposits.total(np.cos(deposits.phi)), deposits.total(np.sin(deposits.phi)))


def subjets(deposits: Deposits, radius: float) -> tuple[Deposits, Indices]:
    """The kt subjets of each jet.

    Args:
        deposits: Jets, none of them empty.
        radius: Radius parameter of the kt algorithm.

    Returns:
        The subjets, as deposits at their centroids, by falling transverse energy within each jet; and for each of the given
        deposits the index of its subjet.

    References:
        kt: hep-ph/9305266. Subjets of radius 0.3: arXiv:1407.5675, arXiv:1511.05190.
    """
    import awkward as ak

    momentum = from_pt_eta_phi_mass(deposits.et_gev, deposits.eta, deposits.phi, 0.0)
    particles = ak.unflatten(ak.zip(dict(zip(MOMENTUM, momentum, strict=True))), deposits.counts)
    found = cluster(particles, radius, 0.0, "kt")
    first = np.cumsum(deposits.counts) - deposits.counts
    place = ak.to_numpy(ak.flatten(found.constituents + first[found.event]))
    member = np.empty(len(deposits.et_gev), dtype=np.int64)
    member[place] = np.repeat(np.arange(len(found.event)), ak.to_numpy(ak.num(found.constituents)))

    et = np.bincount(member, deposits.et_gev)
    order = np.lexsort((-et, found.event))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    member = rank[member]
    by_subjet = np.argsort(member, kind="stable")
    whole = Deposits(
        deposits.et_gev[by_subjet], deposits.eta[by_subjet], deposits.phi[by_subjet], member[by_subjet], len(order)
    )
    return Deposits(whole.total(), *centroid(whole), found.event[order], deposits.jets), member


def trimmed(deposits: Deposits, parts: Deposits, member: Indices, fraction: float) -> tuple[Deposits, Deposits]:
    """Deposits and subjets without the subjets that have too little of their jet (arXiv:0912.1342).

    Args:
        deposits: The jets.
        parts: Their subjets, and
        member: which of them each deposit belongs to, both as `subjets` has them.
        fraction: A subjet that has less than this of its jet's transverse energy is left out.
    """
    kept = parts.et_gev >= fraction * deposits.total()[parts.jet]
    return deposits.take(kept[member]), parts.take(kept)


def centred(deposits: Deposits, eta: Floats, phi: Floats) -> Deposits:
    """Places from a centre of each jet, shape `(jets,)` each."""
    jet = deposits.jet
    return replace(deposits, eta=deposits.eta - eta[jet], phi=delta_phi(deposits.phi, phi[jet]))


def rotated(deposits: Deposits, angle: Floats) -> Deposits:
    """Turned about the centre by an angle of each jet, shape `(jets,)`, from the direction of eta towards that of phi."""
    cosine, sine = np.cos(angle)[deposits.jet], np.sin(angle)[deposits.jet]
    return replace(
        deposits,
        eta=cosine * deposits.eta - sine * deposits.phi,
        phi=sine * deposits.eta + cosine * deposits.phi,
    )


def angle_of_second_subjet(parts: Deposits) -> Floats:
    """The angle that turns the second subjet straight below the leading one (1511.05190); NaN where there is no second."""
    first = np.searchsorted(parts.jet, np.arange(parts.jets))
    two = parts.counts > 1
    angle = np.full(parts.jets, np.nan)
    leading = first[two]
    angle[two] = -np.pi / 2 - np.arctan2(
        delta_phi(parts.phi[leading + 1], parts.phi[leading]), parts.eta[leading + 1] - parts.eta[leading]
    )
    return angle


def angle_of_principal_axis(deposits: Deposits) -> Floats:
    """The angle that turns the jet's longest extension upright, the end with more transverse energy downwards.

    The principal axis is the eigenvector of the larger eigenvalue of the second moments about the centroid, weighted with
    transverse energy (1407.5675).
    """
    eta, phi = deposits.mean(deposits.eta)[deposits.jet], deposits.mean(deposits.phi)[deposits.jet]
    x, y = deposits.eta - eta, deposits.phi - phi
    angle = -np.pi / 2 - 0.5 * np.arctan2(2 * deposits.total(x * y), deposits.total(x**2 - y**2))
    upright = rotated(deposits, angle).phi
    above, below = deposits.total(upright > _ON_THE_LINE), deposits.total(upright < -_ON_THE_LINE)
    return angle + np.where(above > below, np.pi, 0.0)


def flipped(deposits: Deposits) -> Deposits:
    """Mirrored where the left has more transverse energy than the right (1407.5675, 1511.05190)."""
    right, left = deposits.total(deposits.eta > _ON_THE_LINE), deposits.total(deposits.eta < -_ON_THE_LINE)
    return replace(deposits, eta=np.where((left > right)[deposits.jet], -deposits.eta, deposits.eta))


def pixelated(deposits: Deposits, rows: int, columns: int, pixel_width: float) -> Images:
    """Transverse energy summed in square pixels about the centre.

    Args:
        deposits: Places from the centre.
        rows: Pixels in azimuth.
        columns: Pixels in pseudorapidity.
        pixel_width: Their width in both; a pixel holds its lower edges and not its upper ones.
    """
    row, column = _whole(deposits.phi / pixel_width + rows / 2), _whole(deposits.eta / pixel_width + columns / 2)
    return _filled(deposits, row, column, rows, columns)


def without_faint(images: Images, fraction: float) -> Images:
    """Without the pixels that have less than a fraction of their image's sum."""
    kept = images.value >= fraction * _sum(images)[images.jet]
    return replace(images, jet=images.jet[kept], pixel=images.pixel[kept], value=images.value[kept])


def normalised(images: Images, norm: Norm) -> Images:
    """Each image divided by the sum of its pixels, the largest, or the root of the sum of their squares.

    The last is the norm of 1511.05190, where it is shown to change how the image knows the jet's mass.

    Raises:
        InputError: An image is empty.
    """
    if norm == "none":
        return images
    if images.empty.any():
        raise InputError(
            f"{np.count_nonzero(images.empty)} images are empty and have no norm, the first is {images.empty.argmax()}"
        )
    match norm:
        case "sum":
            size = _sum(images)
        case "max":
            size = np.maximum.reduceat(images.value, np.searchsorted(images.jet, np.arange(images.shape[0])))
        case "euclidean":
            size = np.sqrt(np.bincount(images.jet, images.value**2, minlength=images.shape[0]))
    return replace(images, value=images.value / size[images.jet])


def towers(deposits: Deposits, rows: int, columns: int, tower_width: float, step_gev: float, bits: int) -> Images:
    """Codes of the calorimeter towers around the one that holds the jet's axis.

    The towers are those of the whole detector, wherever the jet is: edges at multiples of the width in pseudorapidity, and
    in azimuth at multiples of 2 pi over their number. The energy in a tower is cut to whole steps, as a digitiser does.

    Args:
        deposits: Absolute places.
        rows: Towers in azimuth; the axis is in row `rows // 2`.
        columns: Towers in pseudorapidity; the axis is in column `columns // 2`.
        tower_width: In pseudorapidity, and about that in azimuth.
        step_gev: Transverse energy of one code.
        bits: Larger energies have the code `2**bits - 1`, and are counted.

    Returns:
        Images of codes, `int64`; some may be empty.
    """
    around = _around(tower_width)
    eta, phi = axis(deposits)
    row = _whole(deposits.phi * around / (2 * np.pi)) - _whole(phi * around / (2 * np.pi))[deposits.jet]
    row = (row + around // 2) % around - around // 2
    column = _whole(deposits.eta / tower_width) - _whole(eta / tower_width)[deposits.jet]
    filled = _filled(deposits, row + rows // 2, column + columns // 2, rows, columns)
    code, largest = _whole(filled.value / step_gev), 2**bits - 1
    seen = code > 0
    return replace(
        filled,
        jet=filled.jet[seen],
        pixel=filled.pixel[seen],
        value=np.minimum(code[seen], largest),
        saturated=int(np.count_nonzero(code > largest)),
    )


class JetImageInputs(Settings):
    """The network sees a prepared image of each jet.

    Attributes:
        format: Fixed-point format of every pixel.
        rows: Pixels in azimuth.
        columns: Pixels in pseudorapidity.
        pixel_width: Their width, in both. 25 of 0.064 are as wide as a jet of R = 0.8.
        subjet_radius: Of the kt subjets, for trimming, centring and rotation.
        trim_subjets: Subjets with a smaller fraction of the jet's transverse energy are left out; 0 keeps all.
        centre: On the direction of the jet, on its centroid, or on the leading subjet.
        rotate: Not at all, so that the second subjet is below the leading one (where there is none, as `principal_axis`), or
            so that the principal axis is upright.
        flip: Whether the right side shall have more.
        trim_pixels: Pixels with a smaller fraction of the image's sum are set to 0; 0 keeps all.
        norm: What each image is divided by.
        saturate: Share of the training images whose brightest pixel may be too large for the format.
    """

    kind: Literal["jet_images"]
    format: Format
    rows: Count = 25
    columns: Count = 25
    pixel_width: float = Field(default=0.064, gt=0, le=1)
    subjet_radius: float = Field(default=0.3, gt=0, le=1.5)
    trim_subjets: float = Field(default=0.05, ge=0, lt=1)
    centre: Centre = "leading_subjet"
    rotate: Rotation = "second_subjet"
    flip: bool = True
    trim_pixels: float = Field(default=0.0, ge=0, lt=1)
    norm: Norm = "sum"
    saturate: float = Field(default=1e-3, ge=0, lt=1)

    @property
    def unit(self) -> str:
        """Unit of a pixel."""
        return "GeV" if self.norm == "none" else "1"

    @property
    def edges(self) -> tuple[Floats, Floats]:
        """Edges of the columns in pseudorapidity and of the rows in azimuth, from the centre."""
        width = self.pixel_width
        return _edges(self.columns, self.columns / 2, width), _edges(self.rows, self.rows / 2, width)

    def images(self, jets: JetDataset) -> Images:
        """The images of the jets.

        Raises:
            InputError: A jet has no constituents, or nothing of it is left in its image: such an image has no norm, and what
                a network says of it says nothing of the jet.
        """
        deposits = deposits_of(jets)
        if self.trim_subjets > 0 or self.centre == "leading_subjet" or self.rotate == "second_subjet":
            parts, member = subjets(deposits, self.subjet_radius)
            deposits, parts = trimmed(deposits, parts, member, self.trim_subjets)
            if (deposits.counts == 0).any():
                _refuse(deposits.counts == 0, jets.events, f"has no subjet with {self.trim_subjets:g} of its energy")
        else:
            parts = deposits  # not looked at
        match self.centre:
            case "axis":
                eta, phi = axis(deposits)
            case "centroid":
                eta, phi = centroid(deposits)
            case "leading_subjet":
                leading = np.searchsorted(parts.jet, np.arange(parts.jets))
                eta, phi = parts.eta[leading], parts.phi[leading]
        deposits = centred(deposits, eta, phi)
        if self.rotate != "none":
            angle = angle_of_principal_axis(deposits)
            if self.rotate == "second_subjet":
                second = angle_of_second_subjet(parts)
                angle = np.where(np.isnan(second), angle, second)
            deposits = rotated(deposits, angle)
        if self.flip:
            deposits = flipped(deposits)
        images = pixelated(deposits, self.rows, self.columns, self.pixel_width)
        if self.trim_pixels > 0:
            images = without_faint(images, self.trim_pixels)
        if images.empty.any():
            _refuse(images.empty, jets.events, f"leaves nothing in an image of {self.rows} x {self.columns} pixels of "
                    f"{self.pixel_width:g}")  # fmt: skip
        return normalised(images, self.norm)

    def table(self, sample: JetDataset, workers: int = 1) -> FeatureDataset:
        """One row a jet, one column a pixel; `origin.details["images"]` has the summary.

        Args:
            sample: Jets with constituents.
            workers: Not used: one core is enough, most of whose time is fastjet's.

        Raises:
            InputError: See `images`.
        """
        del workers
        return _table(self.images(sample), sample)

    def contract(self, learn: FeatureDataset) -> InputSpec:
        """One power of two for all pixels: the largest with which the training images fit the format.

        A pixel of exactly the end of the format's range, as the brightest of images whose `norm` is `max`, counts as
        fitting, although it loses one step.

        Raises:
            InputError: The table is not of these images, has no energy, or the image is wider than the jets reach.
        """
        image = pixels(learn, self.rows, self.columns)
        _refuse_wide(image, self.edges)
        brightest = np.sort(image.max(axis=(1, 2)))
        largest = float(brightest[-1 - int(self.saturate * len(brightest))])
        if largest <= 0:
            raise InputError(f"more than {self.saturate:.3g} of the {len(image)} training images are empty")
        scale = 2.0 ** (self.format.integer - math.ceil(math.log2(largest)))
        return _spec(learn, self.format, self.unit, scale, (self.rows, self.columns, 1))


class JetGridInputs(Settings):
    """The network sees the calorimeter towers around the jet, as the trigger has them.

    Attributes:
        format: Fixed-point format of every tower; it holds the codes exactly. `ap_ufixed<10,0>` takes them as they are with
            the binary point before them.
        rows: Towers in azimuth around the jet's.
        columns: Towers in pseudorapidity around the jet's.
        tower_width: Width of a tower in pseudorapidity, and about that in azimuth: 0.087 as in CMS, 72 around.
        step_gev: Transverse energy of one code; CMS's trigger has 0.5 GeV (CMS-TDR-012).
        bits: Bits of a code; larger energies saturate.
    """

    kind: Literal["jet_grid"]
    format: Format
    rows: Count = 19
    columns: Count = 19
    tower_width: float = Field(default=0.087, gt=0, le=1)
    step_gev: float = Field(default=0.5, gt=0)
    bits: int = Field(default=10, gt=0, le=32)

    @model_validator(mode="after")
    def _once_around(self) -> Self:
        if self.rows > _around(self.tower_width):
            raise ValueError(
                f"{self.rows} rows of towers are more than the {_around(self.tower_width)} around the detector"
            )
        return self

    @property
    def unit(self) -> str:
        """Unit of a pixel."""
        return f"{self.step_gev:g} GeV"

    @property
    def edges(self) -> tuple[Floats, Floats]:
        """Edges of the columns in pseudorapidity and of the rows in azimuth, from the middle of the jet's tower."""
        in_phi = 2 * np.pi / _around(self.tower_width)
        return (
            _edges(self.columns, self.columns // 2 + 0.5, self.tower_width),
            _edges(self.rows, self.rows // 2 + 0.5, in_phi),
        )

    def images(self, jets: JetDataset) -> Images:
        """The towers of the jets. A jet whose towers all are below one step is a row of zeros, as on the board.

        Raises:
            InputError: A jet has no constituents with transverse energy.
        """
        return towers(deposits_of(jets), self.rows, self.columns, self.tower_width, self.step_gev, self.bits)

    def table(self, sample: JetDataset, workers: int = 1) -> FeatureDataset:
        """One row a jet, one column a tower; `origin.details["images"]` has the summary. `workers` is not used.

        Raises:
            InputError: See `images`.
        """
        del workers
        return _table(self.images(sample), sample)

    def contract(self, learn: FeatureDataset) -> InputSpec:
        """The codes themselves, shifted to the format's binary point.

        Raises:
            InputError: The table is not of this grid, it is wider than the jets reach, or the format does not hold the codes.
        """
        if self.format.integer + self.format.fraction < self.bits:
            raise InputError(
                f"codes of {self.bits} bits do not fit {self.format}; right would be 'ap_ufixed<{self.bits},0>'"
            )
        _refuse_wide(pixels(learn, self.rows, self.columns), self.edges)
        scale = 2.0 ** (self.format.integer - self.bits)
        return _spec(learn, self.format, self.unit, scale, (self.rows, self.columns, 1))


def pixel_names(rows: int, columns: int) -> tuple[str, ...]:
    """Names of the pixels, row by row."""
    return tuple(f"pixel_{row}_{column}" for row in range(rows) for column in range(columns))


def pixels(table: FeatureDataset, rows: int, columns: int) -> Floats:
    """The images in a table, shape `(jets, rows, columns)`.

    Raises:
        InputError: The table has other columns.
    """
    if table.names != pixel_names(rows, columns):
        raise InputError(
            f"images of {rows} x {columns} pixels have {rows * columns} columns pixel_0_0 to pixel_{rows - 1}_{columns - 1}; "
            f"the table has {len(table.names)}, {table.names[0]} to {table.names[-1]}"
        )
    return table.values.reshape(len(table), rows, columns)


def _table(images: Images, jets: JetDataset) -> FeatureDataset:
    origin = replace(jets.origin, details={**jets.origin.details, "images": images.summary()})
    _, rows, columns = images.shape
    values = images.dense().reshape(len(jets), -1).astype(np.float64)
    return FeatureDataset(
        values, pixel_names(rows, columns), jets.labels, jets.class_names, jets.weights, jets.events, origin
    )


def _spec(learn: FeatureDataset, wire: Format, unit: str, scale: float, shape: tuple[int, ...]) -> InputSpec:
    inputs = tuple(Input(name=name, unit=unit, format=wire, scale=scale) for name in learn.names)
    return InputSpec(inputs=inputs, outputs=learn.class_names, shape=shape)


def _filled(deposits: Deposits, row: Indices, column: Indices, rows: int, columns: int) -> Images:
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    jet, et = deposits.jet[inside], deposits.et_gev[inside]
    keys, place = np.unique((jet * rows + row[inside]) * columns + column[inside], return_inverse=True)
    et_gev = deposits.total()
    return Images(
        jet=keys // (rows * columns),
        pixel=keys % (rows * columns),
        value=np.bincount(place, et, minlength=len(keys)).astype(np.float64),
        shape=(deposits.jets, rows, columns),
        et_gev=et_gev,
        outside=deposits.total(~inside) / et_gev,
    )


def _edges(count: int, middle: float, width: float) -> Floats:
    return np.array([(edge - middle) * width for edge in range(count + 1)])


def _whole(place: Floats) -> Indices:
    return np.floor(np.round(place, _DECIMALS)).astype(np.int64)


def _sum(images: Images) -> Floats:
    return np.bincount(images.jet, images.value, minlength=images.shape[0]).astype(np.float64)


def _around(tower_width: float) -> int:
    """Towers around the detector, as `trigger/data/detector.py` has them."""
    return round(2 * np.pi / tower_width)


def _refuse(wrong: NDArray[np.bool_], events: Indices, what: str) -> NoReturn:
    first = int(wrong.argmax())
    raise InputError(
        f"jet {first} (event {events[first]}) {what}; of {len(wrong)} jets this is so of {np.count_nonzero(wrong)}"
    )


def _refuse_wide(image: Floats, edges: tuple[Floats, Floats]) -> None:
    """Refuse images whose outermost rows or columns, on both sides, no jet ever reaches: a network would pay for nothing."""
    hit = (image != 0).any(axis=0)
    faults = []
    for name, found, places in (("rows", hit.any(axis=1), edges[1]), ("columns", hit.any(axis=0), edges[0])):
        if not found.any():
            raise InputError(f"all pixels of all {len(image)} images are 0")
        spare = int(min(found.argmax(), found[::-1].argmax()))
        if spare:
            faults.append(
                f"{len(found)} {name} reach from {places[0]:.3g} to {places[-1]:.3g}, but none of {len(image)} jets leaves "
                f"anything outside {places[spare]:.3g} to {places[-1 - spare]:.3g}: {len(found) - 2 * spare} {name} are enough"
            )
    if faults:
        raise InputError("the image is wider than the jets reach: " + "; ".join(faults))
