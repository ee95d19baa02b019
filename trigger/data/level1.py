"""A Level-1 detector: coarse calorimeter towers and muon stations, and the objects that the trigger builds of them.

`observe` turns particles into sparse deposits and muon candidates of single collisions; `overlay` adds collisions up to
crossings; `with_towers` puts dead and hot towers into them; `trigger_objects` builds objects in hardware integers. Numbers
are those of CMS where a source is named and round ones where not:

* Towers follow the trigger towers of CMS: 72 in phi, 28 in eta to 3.0 on either side (0.087 wide to 1.74, then wider). The
  forward calorimeter has 12 more to 5.19; here it too has 72 in phi and no electromagnetic share.
* Photons and electrons are electromagnetic. A hadron leaves nothing but its ionisation there (neglected) with probability
  1/3, and a uniform share of its energy otherwise: the crystals are 1.1 interaction lengths deep. Showers do not spread.
* Energies have the stochastic and constant terms of the CMS card of Delphes, hadrons in the crystals those of hadrons. The
  stochastic part is a gamma distribution:
  it is never negative, and the sum of smeared deposits is the smeared sum.
* Tower ET is rounded to 0.5 GeV, and 0 below 0.5 GeV in either part. Towers do not saturate, objects do.
* Missing and total energy are of towers of 3 GeV and more within |eta| < 3, HT of jets above 30 GeV within 2.5.
* Muons: from pT 3 GeV, |eta| < 2.4, efficiency 0.95. 1/pT has a Gaussian resolution of 20 %; of 2 % of the muons it is
  60 %, which makes the tail to high pT.
* Pions and kaons that decay to a muon before the calorimeter make muons with the probability 1 - exp(-L m / (p c tau)) and
  a uniform share of the momentum between (m_mu / m)^2 and 1, along the hadron's direction; their deposits stay. Punch-through,
  decays of neutral kaons, and kinks are left out: absolute muon rates at low pT are indicative.

Jets are not calibrated: without pileup the median response to particle-level jets (R = 0.4) of QCD is 0.80 (20 to 40 GeV) to
0.97 (above 80 GeV) in the barrel, 0.86 to 0.98 in the endcaps and 1.0 in the forward calorimeter.

Not simulated: other crossings (no out-of-time pileup), shower spread, isolation of e/gamma, taus, and charged particles that
reach the endcaps after more than half a turn (pT below some 0.7 GeV at |eta| = 1.7, 0.5 GeV at 2.0).

References:
    Trigger towers, jet and pileup algorithm: arXiv:2006.10165, sections 4 and 5. Resolutions: Delphes, arXiv:1307.6346,
    `delphes_card_CMS.tcl`. Depth of the crystals, field and radii: doi:10.1088/1748-0221/3/08/S08004. Lifetimes, masses and
    branching fractions: Particle Data Group, doi:10.1103/PhysRevD.110.030001.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trigger.data.detector import ELECTRON, MUON, PHOTON, Particles
from trigger.data.events import MET, OBJECTS, PT_STEP_GEV, REGION_BITS, REGIONS, SUMS, leading
from trigger.errors import InputError
from trigger.kinematics import azimuth, pseudorapidity, transverse_momentum

ROWS = 72
"""Towers in phi."""
_CENTRAL = [*(0.087 * np.arange(21)), 1.83, 1.93, 2.043, 2.172, 2.322, 2.5, 2.65, 3.0]
_FORWARD = [3.139, 3.314, 3.489, 3.664, 3.839, 4.013, 4.191, 4.363, 4.538, 4.716, 4.889, 5.191]
ETA_EDGES: NDArray[np.float64] = np.array([-e for e in [*_CENTRAL, *_FORWARD][:0:-1]] + _CENTRAL + _FORWARD)
"""Edges of the towers in eta, shape `(81,)`."""
COLUMNS = len(ETA_EDGES) - 1
ACCEPTANCE = float(ETA_EDGES[-1])
ETA_CENTRES: NDArray[np.float64] = (ETA_EDGES[1:] + ETA_EDGES[:-1]) / 2
CENTRAL = slice(len(_FORWARD), COLUMNS - len(_FORWARD))
"""Columns of the towers within |eta| < 3.0."""
EM, HAD = 0, 1
CELLS = 2 * ROWS * COLUMNS
"""Cells of a crossing: part (`EM`, `HAD`), phi, eta, in this order."""

FIELD_TESLA, RADIUS_M, ENDCAP_M = 3.8, 1.29, 3.17
"""Solenoid field; radius of the barrel's and distance of the endcap's face."""
_SHOWERS = ((EM, 0.11, 0.008), (EM, 1.50, 0.05), (HAD, 1.50, 0.05), (HAD, 2.70, 0.13))
"""Photons and electrons, hadrons in the crystals, hadrons behind them, anything in the forward calorimeter: part, and S and C
of the resolution sigma = S sqrt(E) (+) C E, in GeV."""
IONISING = 1 / 3
"""Probability that a hadron does not shower in the crystals."""
TOWER_THRESHOLD_GEV = 0.5

MUON_ETA, MUON_PT_GEV, MUON_EFFICIENCY = 2.4, 3.0, 0.95
MUON_RESOLUTION, MUON_TAIL, MUON_TAIL_RESOLUTION = 0.20, 0.02, 0.60
# For pions and kaons: m / (c tau) in GeV/m, branching fraction to a muon and a neutrino, (m_mu / m)^2.
_IN_FLIGHT = {211: (0.13957 / 7.8045, 0.99988, 0.5731), 321: (0.49368 / 3.711, 0.6356, 0.0458)}

EGAMMA_SEED_GEV, EGAMMA_ETA, EGAMMA_HADRONIC = 2.0, 2.5, 8
"""e/gamma: ET of the seed, largest |eta|, and the electromagnetic ET must be this many times the seed tower's hadronic."""
JET_SEED_GEV, HT_JET_GEV, HT_ETA = 4.0, 30.0, 2.5
SUM_TOWER_GEV = 3.0
"""Smallest tower in missing and total energy, against pileup; CMS has a threshold that follows pileup and eta."""


@dataclass(frozen=True)
class Signals:
    """What single collisions leave in the detector, sparse.

    Attributes:
        cell_offsets: Collision `c` has the deposits `cell_offsets[c]` to `cell_offsets[c + 1]`, shape `(collisions + 1,)`.
        cell: Index of each deposit's cell, below `CELLS`; one cell may have two deposits.
        et_gev: Transverse energy of each deposit.
        muon_offsets: The same of muon candidates.
        muon: Candidates: pT in GeV, eta, phi, probability of being a muon, smallest share of the pT that it carries; shape
            `(candidates, 5)`.
    """

    cell_offsets: NDArray[np.int64]
    cell: NDArray[np.int32]
    et_gev: NDArray[np.float32]
    muon_offsets: NDArray[np.int64]
    muon: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.cell_offsets) - 1

    def take(self, first: int, last: int) -> Signals:
        """Collisions `first` up to, not including, `last`."""
        cells, muons = self.cell_offsets[first : last + 1], self.muon_offsets[first : last + 1]
        return Signals(
            cells - cells[0], self.cell[cells[0] : cells[-1]], self.et_gev[cells[0] : cells[-1]], muons - muons[0],
            self.muon[muons[0] : muons[-1]],
        )  # fmt: skip


@dataclass(frozen=True)
class Crossings:
    """Crossings of bunches before any decision is taken on them.

    Attributes:
        towers: Transverse energy in GeV, shape `(crossings, 2, ROWS, COLUMNS)`: electromagnetic and hadronic.
        muon_event: Index of the crossing of each muon candidate.
        muon: As in `Signals`.
    """

    towers: NDArray[np.float64]
    muon_event: NDArray[np.int64]
    muon: NDArray[np.float64]


Tower = tuple[int, int]
"""Row (phi) and column (eta) of a tower."""


@dataclass(frozen=True)
class Fault:
    """Towers that do not work, the same in all crossings.

    Attributes:
        dead: Towers that read nothing, in either part.
        hot: Towers that always read more than there is.
        hot_gev: How much more, in the electromagnetic and in the hadronic part, in transverse energy.

    Raises:
        InputError: A tower is not there or is named twice, or the energy is negative or not finite.
    """

    dead: tuple[Tower, ...] = ()
    hot: tuple[Tower, ...] = ()
    hot_gev: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for row, column in (*self.dead, *self.hot):
            if not (0 <= row < ROWS and 0 <= column < COLUMNS):
                raise InputError(
                    f"there is no tower {(row, column)}: rows run from 0 to {ROWS - 1}, columns from 0 to {COLUMNS - 1}"
                )
        if len({*self.dead, *self.hot}) != len(self.dead) + len(self.hot):
            raise InputError(f"each tower is dead or hot and is named once; found dead {self.dead} and hot {self.hot}")
        if not (np.isfinite(self.hot_gev).all() and min(self.hot_gev) >= 0):
            raise InputError(f"hot towers read 0 GeV more or a positive number of them, not {self.hot_gev}")


# One region of the barrel, 0 < eta < 0.35. Noise is put where it does the most: energy in the crystals alone, without any behind
# them, is an e/gamma besides a jet and missing energy.
FAULTS: dict[str, Fault] = {
    "dead towers": Fault(dead=tuple((row, column) for row in range(36, 40) for column in range(40, 44))),
    "a hot tower": Fault(hot=((38, 42),), hot_gev=(16.0, 0.0)),
}
"""Faults of a calorimeter: 4 x 4 dead towers, which are one region; a tower of 16 GeV of noise in the crystals."""


def concatenate_signals(parts: list[Signals]) -> Signals:
    """The collisions of several lists, one after the other."""

    def joined(offsets: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(np.concatenate([np.diff(one) for one in offsets]), dtype=np.int64)])

    return Signals(
        joined([part.cell_offsets for part in parts]),
        np.concatenate([part.cell for part in parts]),
        np.concatenate([part.et_gev for part in parts]),
        joined([part.muon_offsets for part in parts]),
        np.concatenate([part.muon for part in parts]),
    )


def observe(particles: Particles, collisions: int, generator: np.random.Generator) -> Signals:
    """What the detector has of single collisions.

    Args:
        particles: Stable visible particles, ordered by event; `event` is the index of the collision.
        collisions: How many there are.
        generator: The source of randomness.
    """
    eta = pseudorapidity(particles.px, particles.py, particles.pz)
    inside = np.abs(eta) < ACCEPTANCE
    particles, eta = particles.take(inside), eta[inside]
    pt = transverse_momentum(particles.px, particles.py)
    phi = azimuth(particles.px, particles.py)
    radius = np.minimum(RADIUS_M, ENDCAP_M / np.sinh(np.maximum(np.abs(eta), 1e-3)))

    # Turn of the azimuth from the vertex to the calorimeter's face; pT [GeV] = 0.3 B [T] r [m].
    turn = np.where(particles.charge == 0, 0.0, 0.15 * FIELD_TESLA * radius / np.maximum(pt, 1e-6))
    reaches = (turn < 1) & (particles.kind != MUON)
    face = phi - np.sign(particles.charge) * np.arcsin(np.minimum(turn, 1.0))
    cell_offsets, cell, et = _deposits(particles.take(reaches), eta[reaches], face[reaches], collisions, generator)
    muon_event, muon = _muon_candidates(particles, pt, eta, phi, radius)
    return Signals(cell_offsets, cell, et, np.searchsorted(muon_event, np.arange(collisions + 1)), muon)


def _deposits(
    particles: Particles, eta: NDArray[np.float64], phi: NDArray[np.float64], collisions: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:  # fmt: skip
    """Smeared transverse energy in the cells: offsets of the collisions, cells, ET."""
    column = np.searchsorted(ETA_EDGES, eta, side="right") - 1
    row = np.floor(np.mod(phi, 2 * np.pi) / (2 * np.pi / ROWS)).astype(np.int64) % ROWS
    central = (column >= CENTRAL.start) & (column < CENTRAL.stop)
    light = central & ((particles.kind == PHOTON) | (particles.kind == ELECTRON))
    showers = generator.random(len(eta)) >= IONISING
    share = np.where(showers, generator.random(len(eta)), 0.0) * (central & ~light)
    shares = np.stack([light, share, (central & ~light) - share, ~central])  # rows as in _SHOWERS
    source, particle = np.nonzero(shares)
    key = ((particles.event[particle] * len(_SHOWERS) + source) * ROWS + row[particle]) * COLUMNS + column[particle]
    keys, place = np.unique(key, return_inverse=True)
    energy = np.bincount(place, shares[source, particle] * particles.energy[particle], minlength=len(keys))
    rest, tower = np.divmod(keys, ROWS * COLUMNS)
    event, source = np.divmod(rest, len(_SHOWERS))
    part, stochastic, constant = (column[source] for column in map(np.array, zip(*_SHOWERS, strict=True)))
    measured = generator.gamma(energy / stochastic**2, stochastic**2)
    measured *= np.maximum(1 + constant * generator.standard_normal(len(keys)), 0)
    et = (measured / np.cosh(ETA_CENTRES[tower % COLUMNS])).astype(np.float32)
    kept = et > 1e-3  # most soft hadrons leave nothing
    cell = (part * (ROWS * COLUMNS) + tower).astype(np.int32)
    return np.searchsorted(event[kept], np.arange(collisions + 1)), cell[kept], et[kept]


def _muon_candidates(
    particles: Particles, pt: NDArray[np.float64], eta: NDArray[np.float64], phi: NDArray[np.float64],
    path_m: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # fmt: skip
    """Muons, and hadrons that may become one on the way; `path_m` is the transverse part of it."""
    probability = np.where(particles.kind == MUON, 1.0, 0.0)
    share = np.ones(len(pt))
    for code, (decay_constant, fraction, smallest) in _IN_FLIGHT.items():
        chosen = particles.kind == code
        decays = -np.expm1(-path_m[chosen] * decay_constant / pt[chosen])
        probability[chosen], share[chosen] = fraction * decays, smallest
    kept = (probability > 0) & (pt > MUON_PT_GEV) & (np.abs(eta) < MUON_ETA)
    return particles.event[kept], np.stack([pt, eta, phi, probability, share], axis=1)[kept]


def overlay(
    pool: Signals,
    drawn: NDArray[np.int64],
    counts: NDArray[np.int64],
    hard: Signals | None,
    generator: np.random.Generator,
) -> Crossings:
    """Crossings that are sums of collisions.

    Each drawn collision is turned by a random number of towers in phi and mirrored in eta at random: the beams know neither
    direction, so that this is another collision as good, and one pool gives more different crossings.

    Args:
        pool: The collisions of the pool.
        drawn: Which of them, crossing after crossing, shape `(sum(counts),)`.
        counts: How many in each crossing.
        hard: One more collision for each crossing, which is left as it is.
        generator: The source of randomness.
    """
    crossings = len(counts)
    turn = generator.integers(0, ROWS, len(drawn))
    mirrored = generator.random(len(drawn)) < 0.5
    owner = np.repeat(np.arange(crossings), counts)

    place, draw = _gather(pool.cell_offsets, drawn)
    rest, column = np.divmod(pool.cell[place], COLUMNS)
    part, row = np.divmod(rest, ROWS)
    row = (row + turn[draw]) % ROWS
    column = np.where(mirrored[draw], COLUMNS - 1 - column, column)
    key = [((owner[draw] * 2 + part) * ROWS + row) * COLUMNS + column]
    et = [pool.et_gev[place]]

    place, draw = _gather(pool.muon_offsets, drawn)
    muon = pool.muon[place]
    muon[:, 1] *= np.where(mirrored[draw], -1, 1)
    muon[:, 2] += turn[draw] * (2 * np.pi / ROWS)
    muon_event, muons = [owner[draw]], [muon]

    if hard is not None:
        one = np.arange(crossings)
        key.append(np.repeat(one, np.diff(hard.cell_offsets)) * CELLS + hard.cell)
        et.append(hard.et_gev)
        muon_event.append(np.repeat(one, np.diff(hard.muon_offsets)))
        muons.append(hard.muon)
    flat: NDArray[np.float64] = np.bincount(np.concatenate(key), np.concatenate(et), crossings * CELLS).astype(
        np.float64
    )
    towers = flat.reshape(crossings, 2, ROWS, COLUMNS)
    return Crossings(towers, np.concatenate(muon_event), np.concatenate(muons))


def with_towers(crossings: Crossings, fault: Fault) -> Crossings:
    """The crossings as a calorimeter with this fault reads them; the given ones stay as they are."""
    towers = crossings.towers.copy()
    if fault.dead:
        rows, columns = np.array(fault.dead).T
        towers[:, :, rows, columns] = 0.0
    if fault.hot:
        rows, columns = np.array(fault.hot).T
        towers[:, :, rows, columns] += np.array(fault.hot_gev)[:, None]
    return replace(crossings, towers=towers)


def _gather(offsets: NDArray[np.int64], drawn: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the entries of the drawn collisions, one after the other, and which draw each is of."""
    lengths = offsets[drawn + 1] - offsets[drawn]
    draw = np.repeat(np.arange(len(drawn)), lengths)
    first = offsets[drawn] - np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return first[draw] + np.arange(len(draw)), draw


def trigger_objects(crossings: Crossings, generator: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    """The trigger's objects, in hardware integers: the columns of an `EventDataset` that are measured.

    Random numbers are drawn for muon candidates alone: how many does not depend on the towers.
    """
    counts = tower_counts(crossings.towers)
    total = counts.sum(axis=1)
    jets = jet_candidates(total)
    made = {
        "egammas": _objects("egammas", egamma_candidates(counts), len(counts)),
        "muons": _muons(crossings, len(counts), generator),
        "jets": _objects("jets", jets, len(counts)),
        "regions": regions(total),
    }
    event, _, column, pt = jets
    in_ht = (pt >= HT_JET_GEV / PT_STEP_GEV) & (np.abs(ETA_CENTRES[column]) < HT_ETA)
    ht = np.bincount(event[in_ht], pt[in_ht], minlength=len(counts))
    high = np.where(total >= SUM_TOWER_GEV / PT_STEP_GEV, total, 0)[:, :, CENTRAL]
    sums = np.stack([high.sum(axis=(1, 2)), ht], axis=1).astype(np.int64)
    return {"met": missing_energy(high), "sums": np.minimum(sums, 2**SUMS.pt_bits - 1), **made}


def tower_counts(towers: NDArray[np.float64]) -> NDArray[np.int32]:
    """Tower energies in counts of 0.5 GeV, without those below the threshold."""
    return np.where(towers < TOWER_THRESHOLD_GEV, 0, np.rint(towers / PT_STEP_GEV)).astype(np.int32)


def missing_energy(counts: NDArray[np.int32]) -> NDArray[np.int64]:
    """Size and direction of minus the vector sum of towers `(n, ROWS, columns)`, shape `(n, 2)`."""
    phi = (np.arange(ROWS) + 0.5) * (2 * np.pi / ROWS)
    rows = counts.sum(axis=2)
    x, y = -rows @ np.cos(phi), -rows @ np.sin(phi)
    pt = MET.pt_codes(np.hypot(x, y) * PT_STEP_GEV)
    return np.stack([pt, np.where(pt > 0, MET.phi_codes(np.arctan2(y, x)), 0)], axis=1)


def regions(total: NDArray[np.int32]) -> NDArray[np.int64]:
    """Sums of 4 x 4 towers within |eta| < 3, saturating, shape `(n, 18, 14)`."""
    rows, columns = REGIONS
    sums = total[:, :, CENTRAL].reshape(len(total), rows, ROWS // rows, columns, -1).sum(axis=(2, 4), dtype=np.int64)
    saturated: NDArray[np.int64] = np.minimum(sums, 2**REGION_BITS - 1)
    return saturated


Candidates = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Objects in towers: crossing, row, column, and pT in counts."""


def jet_candidates(total: NDArray[np.int32]) -> Candidates:
    """Jets: 9 x 9 towers around each local maximum of at least 4 GeV, less the pileup around them.

    The pileup is the sum over the three lowest of four strips of 3 x 9 towers along the sides of the window (81 towers again).
    Strips beyond the last column are empty, so that less is subtracted there.
    """
    event, row, column = _local_maxima(total, total >= JET_SEED_GEV / PT_STEP_GEV, 9)
    box = _around(total, event, row, column, 15)
    middle = slice(3, 12)
    strips = np.stack([
        one.sum(axis=(1, 2))
        for one in (box[:, :3, middle], box[:, 12:, middle], box[:, middle, :3], box[:, middle, 12:])
    ])  # fmt: skip
    pt = box[:, middle, middle].sum(axis=(1, 2)) - (strips.sum(axis=0) - strips.max(axis=0))
    return event, row, column, np.maximum(pt, 0).astype(np.int64)


def egamma_candidates(counts: NDArray[np.int32]) -> Candidates:
    """Electrons and photons: 3 x 3 electromagnetic towers around local maxima with little hadronic energy behind them."""
    em, had = counts[:, EM], counts[:, HAD]
    seeds = (em >= EGAMMA_SEED_GEV / PT_STEP_GEV) & (np.abs(ETA_CENTRES) < EGAMMA_ETA)
    event, row, column = _local_maxima(em, seeds, 3)
    pt = _around(em, event, row, column, 3).sum(axis=(1, 2))
    kept = EGAMMA_HADRONIC * had[event, row, column] <= pt
    return event[kept], row[kept], column[kept], pt[kept].astype(np.int64)


def _local_maxima(
    grid: NDArray[np.int32], seeds: NDArray[np.bool_], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Crossing, row and column of the seeds that are the largest of `width` x `width` towers; the first of equal ones."""
    event, row, column = np.nonzero(seeds)
    around = _around(grid, event, row, column, width).reshape(len(event), width * width)
    middle = width * width // 2
    centre = around[:, middle, None]
    largest = (around[:, :middle] < centre).all(axis=1) & (around[:, middle + 1 :] <= centre).all(axis=1)
    return event[largest], row[largest], column[largest]


def _around(
    grid: NDArray[np.int32], event: NDArray[np.int64], row: NDArray[np.int64], column: NDArray[np.int64], width: int
) -> NDArray[np.int32]:
    """The `width` x `width` towers around each of the given ones; phi goes round, beyond the last column there is nothing."""
    half = width // 2
    wide = np.pad(np.pad(grid, ((0, 0), (half, half), (0, 0)), mode="wrap"), ((0, 0), (0, 0), (half, half)))
    rows, columns = wide.shape[1:]
    window = np.arange(width)[:, None] * columns + np.arange(width)
    towers: NDArray[np.int32] = wide.ravel()[((event * rows + row) * columns + column)[:, None, None] + window]
    return towers


def _objects(name: str, found: Candidates, events: int) -> NDArray[np.int64]:
    """The leading objects at the centres of their towers."""
    scale, count = OBJECTS[name]
    event, row, column, pt = found
    phi = (row + 0.5) * (2 * np.pi / ROWS)
    saturated = np.minimum(pt, 2**scale.pt_bits - 1)
    # Equal pT codes after saturation stay in the order of the true ones.
    order = np.argsort(-pt, kind="stable")
    return leading(
        event[order], saturated[order], scale.eta_codes(ETA_CENTRES[column])[order], scale.phi_codes(phi)[order], events, count
    )  # fmt: skip


def _muons(crossings: Crossings, events: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Candidates that are muons, pass and are found, with the pT that the muon stations measure."""
    pt, eta, phi, probability, smallest = crossings.muon.T
    pt = pt * generator.uniform(smallest, 1.0)
    found = (generator.random(len(pt)) < MUON_EFFICIENCY * probability) & (pt > MUON_PT_GEV)
    resolution = np.where(generator.random(len(pt)) < MUON_TAIL, MUON_TAIL_RESOLUTION, MUON_RESOLUTION)
    curvature = np.abs(1 + resolution * generator.standard_normal(len(pt))) / pt
    scale, count = OBJECTS["muons"]
    measured = scale.pt_codes(1 / np.maximum(curvature, 1e-6))
    return leading(
        crossings.muon_event[found], measured[found], scale.eta_codes(eta)[found], scale.phi_codes(phi)[found], events, count
    )  # fmt: skip
