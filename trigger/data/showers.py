"""Overlapping showers in a layered calorimeter, parametrised: toys for networks that cluster energy.

The calorimeter is a block of iron of 60 x 60 cm, struck at right angles, in 20 layers: ten of 3.5 cm (2 radiation lengths
each), and ten of 15 cm behind them; 11 interaction lengths in all. Cells are squares of 3 cm in front and 5 cm behind, and of
half that in the quadrant where x and y are positive. There are two particles an event.

A shower is drawn as spots of equal energy; their number is a Poisson number with the mean `energy / resolution**2`, so that
the energy resolution is `resolution / sqrt(energy / GeV)`.

- Photon: begins at an exponentially distributed depth of 9/7 radiation lengths on average. Depths of spots are of a gamma
  distribution whose shape and maximum fluctuate from shower to shower, radii of a core and a tail that widen with depth.
- Charged pion: begins at an exponentially distributed depth of one interaction length on average. Spots are electromagnetic,
  with the radii above, or hadronic; depths of each kind are of a gamma distribution. The electromagnetic fraction is of a
  beta distribution about its mean. Radii of hadronic spots are of the same shape as a tail, with 95 % of the energy within
  one interaction length.

Departures from the calorimeter of arXiv:1902.07987: iron, for which the pion's profile was fitted, and not tungsten; finer
layers in front; no Geant4. Not simulated: tracks of pions before they interact, tilted particles, neutrons that come late, a
different response to the hadronic part, readout by samples.

References:
    The task: arXiv:1902.07987. Photons: Grindhammer and Peters, hep-ex/0001020, appendix A.1, numbers as in Geant4's GFlash;
    the gamma distribution is of Longo and Sestili, Nucl. Instrum. Meth. 128 (1975) 283. Pions: Bock et al., Nucl. Instrum.
    Meth. 186 (1981) 533, with the numbers of hep-ex/9903019, Eq. (1). Iron: the tables of the Particle Data Group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from trigger.config import Settings
from trigger.data.jets import Origin
from trigger.errors import InputError

RADIATION_LENGTH_CM, INTERACTION_LENGTH_CM, MOLIERE_RADIUS_CM = 1.757, 16.77, 1.719
CRITICAL_ENERGY_GEV, ATOMIC_NUMBER = 0.02168, 26
HALF_WIDTH_CM = 30.0
THICKNESS_CM = (*[3.5] * 10, *[15.0] * 10)
CELL_CM = (*[3.0] * 10, *[5.0] * 10)
HADRONIC_RADIUS_CM = INTERACTION_LENGTH_CM / 19**0.5
"""Within `r` is the share r^2 / (r^2 + R^2) of the energy: 95 % for r = sqrt(19) R."""
ELECTROMAGNETIC_SPREAD = 0.15
"""Standard deviation of the electromagnetic fraction of a pion's shower; ours."""
HIT_FEATURES = ("log_energy", "x", "y", "depth", "size")
"""What a network sees of a hit: log10 of energy over threshold; x and y over the half width; the depth of the middle of the
layer over that of the calorimeter; the cell's size over the largest."""
BLOCK = 64
"""Events made at a time; part of what decides the random numbers."""


def _window(found: tuple[float, float]) -> tuple[float, float]:
    if not found[0] < found[1]:
        raise ValueError(f"a window is [low, high] with low < high, found {list(found)}")
    return found


Window = Annotated[tuple[Annotated[float, Field(ge=0)], float], AfterValidator(_window)]
EnergyWindow = Annotated[tuple[Annotated[float, Field(ge=1)], float], AfterValidator(_window)]


class ShowerData(Settings):
    """Two overlapping showers an event; synthetic.

    Attributes:
        events: How many events.
        particles: `pion`, `photon`, or `mixed`: each of the two is either with equal chance.
        energy_gev: Window of the energy of a particle, evenly filled, from 1 GeV on.
        separation_cm: Window of the distance of the second particle from the first, evenly filled.
        spread_cm: The first particle strikes within plus and minus this in x and y.
        resolution: Relative energy resolution at 1 GeV of pions.
        photon_resolution: The same of photons.
        noise_gev: Standard deviation of each cell's noise.
        threshold_gev: Cells of less measured energy are no hits.
        hits: Most hits of an event; the most energetic are kept, fewer are padded.
    """

    kind: Literal["parametrised_showers"]
    events: int = Field(default=4000, gt=0)
    particles: Literal["pion", "photon", "mixed"] = "pion"
    energy_gev: EnergyWindow = (10.0, 100.0)
    separation_cm: Window = (2.0, 15.0)
    spread_cm: float = Field(default=8.0, ge=0, le=15)
    resolution: float = Field(default=0.5, gt=0, le=2)
    photon_resolution: float = Field(default=0.2, gt=0, le=2)
    noise_gev: float = Field(default=0.01, ge=0)
    threshold_gev: float = Field(default=0.05, gt=0)
    hits: int = Field(default=192, ge=16, le=4096)


@dataclass(frozen=True)
class Cells:
    """All cells of the calorimeter, one entry each.

    Attributes:
        x_cm: Centre.
        y_cm: Centre.
        z_cm: Depth of the middle of the layer.
        layer: Number of the layer, from 0 on.
        size_cm: Length of an edge.
    """

    x_cm: NDArray[np.float64]
    y_cm: NDArray[np.float64]
    z_cm: NDArray[np.float64]
    layer: NDArray[np.int64]
    size_cm: NDArray[np.float64]


@dataclass(frozen=True)
class CalorimeterEvents:
    """Hits of two showers, most energetic first, padded with zeros. Synthetic.

    Attributes:
        energy_gev: Measured energy, shape `(events, hits)`.
        x_cm: Centre of the cell, like the next three.
        y_cm: Centre of the cell.
        z_cm: Depth of the middle of the layer.
        size_cm: Length of the cell's edge.
        layer: Number of the layer.
        mask: Whether there is a hit.
        fractions: Share of each shower in the energy that was deposited in the cell, shape `(events, hits, 2)`; both are 0
            where there is noise alone.
        shower_energy_gev: Energy of the particles, shape `(events, 2)`.
        deposited_gev: What they left in the calorimeter, in cells without hits too.
        axes_cm: Where they struck, shape `(events, 2, 2)`: shower, then x and y.
        photon: Whether they are photons, shape `(events, 2)`.
        origin: Where the events came from.

    Raises:
        InputError: There is no event, shapes differ, a number is not finite, or shares do not add up.
    """

    energy_gev: NDArray[np.float32]
    x_cm: NDArray[np.float32]
    y_cm: NDArray[np.float32]
    z_cm: NDArray[np.float32]
    size_cm: NDArray[np.float32]
    layer: NDArray[np.int16]
    mask: NDArray[np.bool_]
    fractions: NDArray[np.float32]
    shower_energy_gev: NDArray[np.float64]
    deposited_gev: NDArray[np.float64]
    axes_cm: NDArray[np.float64]
    photon: NDArray[np.bool_]
    origin: Origin

    def __post_init__(self) -> None:
        events, hits = self.mask.shape
        if events == 0:
            raise InputError("there is no calorimeter event; one at least is needed")
        expected = {**dict.fromkeys(_HIT_COLUMNS, (events, hits)), "fractions": (events, hits, 2), "axes_cm": (events, 2, 2),
                    **dict.fromkeys(("shower_energy_gev", "deposited_gev", "photon"), (events, 2))}  # fmt: skip
        for name, shape in expected.items():
            found = getattr(self, name)
            if found.shape != shape:
                raise InputError(f"calorimeter events: {name} has shape {list(found.shape)}; right is {list(shape)}")
            if not np.isfinite(found).all():
                raise InputError(f"calorimeter events: {name} has numbers that are NaN or infinite")
        total = self.fractions.sum(axis=2)
        if (self.fractions < 0).any() or (np.minimum(np.abs(total), np.abs(total - 1)) > 1e-4).any():
            raise InputError("calorimeter events: shares of the showers in a hit add up to 1, or to 0 for noise")

    def __len__(self) -> int:
        return len(self.mask)

    def take(self, selection: NDArray[np.bool_] | NDArray[np.int64]) -> CalorimeterEvents:
        """The events that `selection` (a mask or indices) picks."""
        columns = {name: getattr(self, name)[selection] for name in self.__dataclass_fields__ if name != "origin"}
        return CalorimeterEvents(**columns, origin=self.origin)

    def inputs(self) -> dict[str, NDArray[Any]]:
        """What a network sees: `hits` of shape `(events, hits, len(HIT_FEATURES))`, and `mask`."""
        threshold = float(self.origin.details["settings"]["threshold_gev"])
        columns = (
            np.log10(np.maximum(self.energy_gev, threshold) / threshold), self.x_cm / HALF_WIDTH_CM,
            self.y_cm / HALF_WIDTH_CM, self.z_cm / sum(THICKNESS_CM), self.size_cm / max(CELL_CM),
        )  # fmt: skip
        return {"hits": np.stack(columns, axis=-1).astype(np.float32), "mask": self.mask}

    def answers(self) -> NDArray[np.float32]:
        """What it is to learn, shape `(events, hits, 3)`: the shares of the showers, and the energy that weighs them."""
        return np.concatenate([self.fractions, self.energy_gev[..., None]], axis=2)


_HIT_COLUMNS = ("energy_gev", "x_cm", "y_cm", "z_cm", "size_cm", "layer")


def calorimeter_cells() -> Cells:
    """The cells, layer by layer; in each the coarse grid first, then the fine quadrant."""
    parts: list[tuple[NDArray[Any], ...]] = []
    front = 0.0
    for layer, (thickness, size) in enumerate(zip(THICKNESS_CM, CELL_CM, strict=True)):
        for coarse, edge in ((True, size), (False, size / 2)):
            centre = np.arange(-HALF_WIDTH_CM + edge / 2, HALF_WIDTH_CM, edge)
            x, y = (grid.ravel() for grid in np.meshgrid(centre, centre, indexing="ij"))
            chosen = ((x > 0) & (y > 0)) != coarse
            count = int(chosen.sum())
            parts.append((x[chosen], y[chosen], np.full(count, front + thickness / 2), np.full(count, layer),
                          np.full(count, edge)))  # fmt: skip
        front += thickness
    return Cells(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def make_showers(data: ShowerData, seed: int) -> CalorimeterEvents:
    """The events.

    Args:
        data: What to make.
        seed: Of everything random; the same seed gives the same bits.

    Returns:
        The events, labelled synthetic.
    """
    generator = np.random.default_rng(seed)
    cells = calorimeter_cells()
    blocks = [_block(data, cells, min(BLOCK, data.events - start), generator) for start in range(0, data.events, BLOCK)]
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    details = {"settings": data.model_dump(mode="json"), "seed": seed}
    return CalorimeterEvents(**columns, origin=Origin(data.kind, True, details))


def _block(data: ShowerData, cells: Cells, events: int, generator: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Some events, as columns of `CalorimeterEvents`."""
    energy = generator.uniform(*data.energy_gev, (events, 2))
    photon = np.full((events, 2), data.particles == "photon")
    if data.particles == "mixed":
        photon = generator.random((events, 2)) < 0.5
    first = generator.uniform(-data.spread_cm, data.spread_cm, (events, 2))
    distance, angle = generator.uniform(*data.separation_cm, events), generator.uniform(0, 2 * np.pi, events)
    second = first + (distance * np.stack([np.cos(angle), np.sin(angle)])).T
    axes = np.stack([first, second], axis=1)

    spot_energy = np.zeros((events * 2, len(cells.layer)))
    for kind, resolution in ((False, data.resolution), (True, data.photon_resolution)):
        chosen = np.flatnonzero(photon.ravel() == kind)
        if len(chosen):
            spots = draw_spots(energy.ravel()[chosen], kind, resolution, generator)
            shower = chosen[spots.shower]
            place = axes.reshape(-1, 2)[shower]
            cell = cell_of(place[:, 0] + spots.x_cm, place[:, 1] + spots.y_cm, spots.z_cm)
            inside = cell >= 0
            key = shower[inside] * len(cells.layer) + cell[inside]
            spot_energy += resolution**2 * np.bincount(key, minlength=spot_energy.size).reshape(spot_energy.shape)
    deposits: NDArray[np.float64] = spot_energy.reshape(events, 2, -1)
    total = deposits.sum(axis=1)
    measured = total + data.noise_gev * generator.standard_normal(total.shape, dtype=np.float32)
    columns = _hits(data, cells, measured, deposits, total)
    truth = {"shower_energy_gev": energy, "deposited_gev": deposits.sum(axis=2), "axes_cm": axes, "photon": photon}
    return columns | truth


def _hits(
    data: ShowerData, cells: Cells, measured: NDArray[np.float64], deposits: NDArray[np.float64],
    total: NDArray[np.float64],
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """The most energetic cells above the threshold, most energetic first."""
    chosen = np.argpartition(-measured, data.hits - 1, axis=1)[:, : data.hits]
    chosen = np.take_along_axis(chosen, np.argsort(-np.take_along_axis(measured, chosen, 1), axis=1, kind="stable"), 1)
    energy = np.take_along_axis(measured, chosen, 1)
    mask = energy > data.threshold_gev
    each = np.take_along_axis(deposits, chosen[:, None], 2)
    fractions = each / np.maximum(np.take_along_axis(total, chosen, 1), 1e-12)[:, None]
    columns = {"energy_gev": energy, "x_cm": cells.x_cm[chosen], "y_cm": cells.y_cm[chosen], "z_cm": cells.z_cm[chosen],
               "size_cm": cells.size_cm[chosen]}  # fmt: skip
    found: dict[str, NDArray[Any]] = {name: (column * mask).astype(np.float32) for name, column in columns.items()}
    found["layer"] = (cells.layer[chosen] * mask).astype(np.int16)
    found["fractions"] = np.moveaxis(fractions * mask[:, None], 1, 2).astype(np.float32)
    return found | {"mask": mask}


@dataclass(frozen=True)
class Spots:
    """Spots of equal energy of many showers, flat.

    Attributes:
        shower: Index of the shower.
        x_cm: From the axis.
        y_cm: From the axis.
        z_cm: Depth in the calorimeter.
    """

    shower: NDArray[np.int64]
    x_cm: NDArray[np.float64]
    y_cm: NDArray[np.float64]
    z_cm: NDArray[np.float64]


def draw_spots(
    energy_gev: NDArray[np.float64], photon: bool, resolution: float, generator: np.random.Generator
) -> Spots:
    """Showers of photons or pions as spots, each of the energy `resolution**2` GeV.

    Args:
        energy_gev: Energy of each particle.
        photon: Whether they are photons; else charged pions.
        resolution: Relative energy resolution at 1 GeV.
        generator: The source of randomness.
    """
    shower = np.repeat(np.arange(len(energy_gev)), generator.poisson(energy_gev / resolution**2))
    energy = energy_gev[shower]
    begin = generator.exponential(
        9 / 7 * RADIATION_LENGTH_CM if photon else INTERACTION_LENGTH_CM, len(energy_gev)
    )[shower]  # fmt: skip
    if photon:
        maximum, shape = photon_profile(energy_gev, generator)
        depth = generator.gamma(shape[shower]) * (maximum / (shape - 1))[shower]
        mean = (maximum * shape / (shape - 1))[shower]
        radius, depth_cm = _electromagnetic_radius(energy, depth / mean, generator), depth * RADIATION_LENGTH_CM
    else:
        shape, slope, hadronic_slope, fraction = pion_profile(energy_gev)
        spread = fraction * (1 - fraction) / ELECTROMAGNETIC_SPREAD**2 - 1
        drawn = generator.beta(fraction * spread, (1 - fraction) * spread)
        electromagnetic = generator.random(len(shower)) < drawn[shower]
        depth = generator.gamma(shape[shower])
        narrow = _electromagnetic_radius(energy, depth / shape[shower], generator)
        wide = HADRONIC_RADIUS_CM * _unit_radius(len(shower), generator)
        radius = np.where(electromagnetic, narrow, wide)
        depth_cm = depth * np.where(
            electromagnetic, RADIATION_LENGTH_CM / slope, INTERACTION_LENGTH_CM / hadronic_slope
        )
    angle = generator.uniform(0, 2 * np.pi, len(shower))
    return Spots(shower, radius * np.cos(angle), radius * np.sin(angle), begin + depth_cm)


def photon_profile(
    energy_gev: NDArray[np.float64], generator: np.random.Generator | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Depth of the maximum in radiation lengths and shape of the gamma distribution of photons' depths.

    Args:
        energy_gev: Energy of each photon.
        generator: Of the fluctuations; without it the most likely shower.

    References:
        hep-ex/0001020, appendix A.1.1 and A.1.2.
    """
    log_y = np.log(energy_gev / CRITICAL_ENERGY_GEV)
    log_maximum = np.log(log_y - 0.812)
    log_shape = np.log(0.81 + (0.458 + 2.26 / ATOMIC_NUMBER) * log_y)
    if generator is not None:
        correlation = 0.705 - 0.023 * log_y
        one, two = generator.standard_normal((2, len(energy_gev)))
        log_maximum = log_maximum + one / (-1.4 + 1.26 * log_y)
        log_shape = log_shape + (correlation * one + np.sqrt(1 - correlation**2) * two) / (-0.58 + 0.86 * log_y)
    # A shape of 1 and less has no maximum.
    return np.exp(log_maximum), np.maximum(np.exp(log_shape), 1.1)


def pion_profile(energy_gev: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float, NDArray[np.float64]]:
    """Depth profile of pions' showers from where they begin.

    Args:
        energy_gev: Energy of each pion.

    Returns:
        Shape of both gamma distributions; slope of the electromagnetic one per radiation length and of the hadronic one per
        interaction length; and the mean electromagnetic fraction: the integral of the first term of Eq. (1) over that of both.

    References:
        hep-ex/9903019, Eq. (1) and the numbers below it.
    """
    log_energy = np.log(energy_gev)
    shape = 0.786 + 0.427 * log_energy
    slope, hadronic_slope = 0.29, 0.978
    weight = 1.032 - 0.159 * log_energy
    electromagnetic = weight * RADIATION_LENGTH_CM * slope**-shape
    hadronic = (1 - weight) * INTERACTION_LENGTH_CM * hadronic_slope**-shape
    return shape, slope, hadronic_slope, electromagnetic / (electromagnetic + hadronic)


def electromagnetic_radii(
    energy_gev: NDArray[np.float64], depth: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Radius of the core, radius of the tail, both in Moliere radii, and the share of the core.

    Args:
        energy_gev: Energy of the particle.
        depth: Over the mean depth of the shower.

    References:
        hep-ex/0001020, appendix A.1.3.
    """
    log_energy, z = np.log(energy_gev), ATOMIC_NUMBER
    core = 0.0251 + 0.00319 * log_energy + (0.1162 - 0.000381 * z) * depth
    beyond = np.minimum(depth, 5.0) - 0.645  # the fit ends there, and the tail grows exponentially
    tail = (0.659 - 0.00309 * z) * (np.exp(-2.59 * beyond) + np.exp((0.3585 + 0.0412 * log_energy) * beyond))
    exponent = (0.401 + 0.00187 * z - depth) / (1.313 - 0.0686 * log_energy)
    share = (2.632 - 0.00094 * z) * np.exp(exponent - np.exp(exponent))
    return core, tail, np.clip(share, 0.0, 1.0)


def _electromagnetic_radius(
    energy_gev: NDArray[np.float64], depth: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    core, tail, share = electromagnetic_radii(energy_gev, depth)
    radius = np.where(generator.random(len(depth)) < share, core, tail)
    return MOLIERE_RADIUS_CM * radius * _unit_radius(len(depth), generator)


def _unit_radius(count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Radii of the density 2 r / (r^2 + 1)^2."""
    below = generator.random(count)
    radius: NDArray[np.float64] = np.sqrt(below / (1 - below))
    return radius


def cell_of(x_cm: NDArray[np.float64], y_cm: NDArray[np.float64], z_cm: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the cell of `calorimeter_cells` that a place is in, -1 outside the calorimeter."""
    layer = np.searchsorted(np.cumsum(THICKNESS_CM), z_cm, side="right")
    inside = (layer < len(THICKNESS_CM)) & (np.abs(x_cm) < HALF_WIDTH_CM) & (np.abs(y_cm) < HALF_WIDTH_CM) & (z_cm >= 0)
    fine = (x_cm > 0) & (y_cm > 0)
    found = np.full(len(x_cm), -1, dtype=np.int64)
    for number, first, coarse_count, size in _layout():
        here = inside & (layer == number)
        side = round(2 * HALF_WIDTH_CM / size)
        for quadrant in (False, True):
            chosen = here & (fine == quadrant)
            if quadrant:
                ix, iy = (np.floor(place[chosen] / (size / 2)).astype(np.int64) for place in (x_cm, y_cm))
                found[chosen] = first + coarse_count + ix * side + iy
            else:
                ix, iy = (np.floor((place[chosen] + HALF_WIDTH_CM) / size).astype(np.int64) for place in (x_cm, y_cm))
                # In the columns of positive x only cells of negative y are coarse.
                half = side // 2
                skipped = np.maximum(ix - half, 0) * half
                found[chosen] = first + ix * side - skipped + iy
    return found


def _layout() -> Iterator[tuple[int, int, int, float]]:
    """Of every layer: its number, the index of its first cell, how many coarse ones it has, and their size."""
    first = 0
    for number, size in enumerate(CELL_CM):
        side = round(2 * HALF_WIDTH_CM / size)
        coarse = 3 * side**2 // 4
        yield number, first, coarse, size
        first += coarse + side**2
