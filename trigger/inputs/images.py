"""Jets as images: transverse energy in pixels of pseudorapidity and azimuth.

Two views. `JetImageInputs` prepares each jet as the papers do, in steps that can each be switched: trim the subjets, centre,
rotate, flip, fill pixels, trim pixels, normalise. `JetGridInputs` is what a calorimeter trigger has in its hands: the towers
around the jet's own, in whole numbers, with nothing done to them that needs a multiplier or a divider.

Rows of an image are azimuth and columns pseudorapidity, both rising with the index, so that the second subjet, which is turned
downwards, is in the rows before the middle.

References:
    Jet images, centring, rotation, flip: arXiv:1407.5675. Subjets, trimming, choice of the principal axis where there is one
    subjet, normalisation and what it does to the jet's mass: arXiv:1511.05190. Trimming: arXiv:0912.1342.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trigger.config import Format, Settings
from trigger.data.jets import FeatureDataset, JetDataset
from trigger.errors import InputError
from trigger.inputs.contract import Input, InputSpec
from trigger.inputs.deposits import (
    Deposits,
    Floats,
    Indices,
    angle_of_principal_axis,
    angle_of_second_subjet,
    axis,
    centred,
    centroid,
    deposits_of,
    flipped,
    refuse_jets,
    rotated,
    subjets,
    trimmed,
)  # fmt: skip

Centre = Literal["axis", "centroid", "leading_subjet"]
Rotation = Literal["none", "second_subjet", "principal_axis"]
Norm = Literal["none", "sum", "max", "euclidean"]
Count = Annotated[int, Field(gt=0, le=256)]

_DECIMALS = 9
"""Places in pixels, towers and energy steps are rounded to these before they are cut to whole numbers: what lies on an edge, as
a subjet in the middle of an even number of pixels does, then falls to the same side on every machine."""

_SPARE = 0.25
"""Largest share of rows or of columns that no training jet reaches. Not 0: a few hundred jets do not reach what a million do,
turned jets are narrower than high, and pooling wants round numbers."""


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
    def quantity(self) -> str:
        """What a pixel is, for a figure."""
        return {
            "none": "transverse energy [GeV]",
            "sum": "share of transverse energy",
            "max": "transverse energy / brightest pixel",
            "euclidean": "transverse energy / Euclidean norm",
        }[self.norm]

    @property
    def axes(self) -> tuple[str, str]:
        """What the columns and the rows are, for a figure."""
        return ("Δη", "Δφ [rad]") if self.rotate == "none" else ("Δη, turned", "Δφ, turned [rad]")

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
            bare = deposits.counts == 0
            if bare.any():
                refuse_jets(bare, jets.events, f"has no subjet with {self.trim_subjets:g} of its transverse energy")
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
            refuse_jets(images.empty, jets.events, f"leaves nothing in an image of {self.rows} x {self.columns} pixels of "
                    f"{self.pixel_width:g}")  # fmt: skip
        return normalised(images, self.norm)

    def table(self, sample: JetDataset, workers: int = 1) -> FeatureDataset:
        """One row a jet, one column a pixel; `origin.details["images"]` has the summary.

        Args:
            sample: Jets with constituents.
            workers: Not used: one core is enough.

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
            InputError: The table is not of these images, has no energy, or no jet reaches a quarter of the rows or columns.
        """
        image = pixels(learn, self.rows, self.columns)
        _refuse_wide(image, self.edges)
        brightest = np.sort(image.max(axis=(1, 2)))
        largest = float(brightest[-1 - int(self.saturate * len(brightest))])
        if largest <= 0:
            raise InputError(f"more than {self.saturate:.3g} of the {len(image)} training images are empty")
        scale = 2.0 ** (self.format.integer - math.ceil(math.log2(largest) - 1e-9))  # a norm may be 1 and a rounding
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
    def quantity(self) -> str:
        """What a pixel is, for a figure."""
        return f"transverse energy [{self.unit}]"

    @property
    def axes(self) -> tuple[str, str]:
        """What the columns and the rows are, for a figure."""
        return "Δη", "Δφ [rad]"

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
            InputError: The table is not of this grid, no jet reaches a quarter of the rows or columns, or the format does not
                hold the codes.
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
    names = pixel_names(rows, columns)
    return FeatureDataset(
        values, names, jets.labels, jets.class_names, jets.weights, jets.events, origin, target=jets.target
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


def _refuse_wide(image: Floats, edges: tuple[Floats, Floats]) -> None:
    """Refuse images of whose rows or columns too many lie, on both sides, where no jet ever reaches: gates for nothing."""
    hit = (image != 0).any(axis=0)
    faults = []
    for name, found, places in (("rows", hit.any(axis=1), edges[1]), ("columns", hit.any(axis=0), edges[0])):
        if not found.any():
            raise InputError(f"all pixels of all {len(image)} images are 0")
        spare = int(min(found.argmax(), found[::-1].argmax()))
        if 2 * spare > _SPARE * len(found):
            faults.append(
                f"{len(found)} {name} reach from {places[0]:.3g} to {places[-1]:.3g}, but none of {len(image)} jets leaves "
                f"anything outside {places[spare]:.3g} to {places[-1 - spare]:.3g}: {len(found) - 2 * spare} {name} are enough"
            )
    if faults:
        raise InputError("the image is wider than the jets reach: " + "; ".join(faults))
