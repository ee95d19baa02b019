"""Helical tracks through cylindrical layers, and graphs of their hits: toys for networks that find tracks.

The layers are those of the barrel of the detector of the tracking challenge: ten cylinders in a homogeneous solenoid field
along z. Particles come from the beam line, with the density `pT^-power` in pT, evenly in azimuth and pseudorapidity, and
from a normal distribution in z. Scattering in the layers moves their hits further out; hits are measured with Gaussian
errors, some are missing, and some belong to nobody.

As in the paper the detector is cut into sectors of azimuth, and a graph is one sector: particles that leave it do not come
back. Edges connect hits in neighbouring layers, from the inner to the outer one, if the line through them keeps two limits:
the change of azimuth per radius, and the z at the beam line.

Departures from arXiv:1810.06111: no Pythia and no detailed detector, tracks do not curl (the lowest pT is above that), no
energy loss, no decays, hits are points and not clusters, and particles are independent of each other.

References:
    The task: arXiv:1810.06111. The layers: the generic detector of ACTS, which the one of the tracking challenge was made of
    (arXiv:1904.06778). The graphs: the code that the HEP.TrkX project published. Multiple scattering: Highland's formula,
    Review of Particle Physics, "Passage of particles through matter".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trigger.config import Settings
from trigger.data.jets import Origin, PtWindow
from trigger.errors import InputError
from trigger.kinematics import delta_phi

RADIUS_MM = (32.0, 72.0, 116.0, 172.0, 260.0, 360.0, 500.0, 660.0, 820.0, 1020.0)
HALF_LENGTH_MM = (*[500.0] * 4, *[1080.0] * 6)
# A pitch over the square root of twelve: pixels of 50 x 56 um, strips of 80 um x 1.2 mm and of 120 um x 10.8 mm.
RESOLUTION_MM = (*[0.0144] * 4, *[0.0231] * 4, *[0.0346] * 2)
Z_RESOLUTION_MM = (*[0.0162] * 4, *[0.346] * 4, *[3.12] * 2)
PT_PER_TESLA_METRE = 0.299792458
"""pT in GeV of a unit charge over field and radius of curvature."""
NO_TRACK = -1
NODE_FEATURES = ("r", "phi", "z")
"""What a network sees of a hit: radius in m; azimuth from the middle of the sector over half its width; z in m."""
EDGE_FEATURES = ("phi_slope", "z0")
"""And of an edge, both over the limits that edges keep."""
BLOCK = 250
"""Graphs made at a time; part of what decides the random numbers."""
ROUND_TO = 32
"""Graphs are padded to a multiple of it."""


class TrackData(Settings):
    """Graphs of hits of charged particles in a sector; synthetic.

    Attributes:
        graphs: How many sectors.
        tracks: Mean number of particles that start into a sector.
        pt_gev: Window of their pT.
        power: The density falls like pT to minus this.
        max_abs_eta: Largest |eta|, evenly filled.
        field_tesla: The solenoid field.
        sectors: How many sectors the detector has.
        vertex_mm: Standard deviation of the particles' z at the beam line.
        efficiency: Probability of a hit where a particle crosses a layer.
        noise: Hits of nobody over hits of particles.
        material: Thickness of a layer in radiation lengths.
        phi_slope_max: Of an edge, in radians per mm.
        z0_max_mm: Of an edge, largest |z| at the beam line.
    """

    kind: Literal["toy_tracks"]
    graphs: int = Field(default=4000, gt=0)
    tracks: float = Field(default=20.0, gt=0, le=500)
    pt_gev: PtWindow = (0.5, 10.0)
    power: float = Field(default=2.0, gt=1)
    max_abs_eta: float = Field(default=1.5, gt=0, le=4)
    field_tesla: float = Field(default=2.0, gt=0, le=10)
    sectors: int = Field(default=8, ge=2, le=64)
    vertex_mm: float = Field(default=55.0, ge=0)
    efficiency: float = Field(default=0.99, gt=0, le=1)
    noise: float = Field(default=0.1, ge=0, le=10)
    material: float = Field(default=0.02, ge=0, le=1)
    phi_slope_max: float = Field(default=0.001, gt=0)
    z0_max_mm: float = Field(default=200.0, gt=0)

    @model_validator(mode="after")
    def _no_curls(self) -> Self:
        lowest = PT_PER_TESLA_METRE * self.field_tesla * RADIUS_MM[-1] / 2000
        if self.pt_gev[0] <= lowest:
            raise ValueError(
                f"pt_gev: particles of {self.pt_gev[0]:g} GeV curl up before the last layer; right would be more than "
                f"{lowest:.3g} GeV at {self.field_tesla:g} T"
            )
        return self

    @property
    def half_width(self) -> float:
        """Half the width of a sector in radians."""
        return float(np.pi / self.sectors)


@dataclass(frozen=True)
class HitGraphs:
    """Hits and the edges between them, padded with zeros. Synthetic.

    Attributes:
        r_mm: Radius of each hit, shape `(graphs, nodes)`, as the next four.
        phi: Azimuth from the middle of the sector.
        z_mm: Along the beam.
        layer: Number of the layer, from 0 on.
        node_mask: Whether there is a hit.
        track: Number of the particle within the graph, -1 for noise and where there is no hit.
        senders: Index of the inner hit of each edge, shape `(graphs, edges)`, as the next three.
        receivers: Index of the outer hit.
        edge_mask: Whether there is an edge.
        truth: Whether both hits are of one particle.
        pt_gev: pT of each particle, shape `(graphs, particles)`; 0 where there is none, or none of its hits is in the sector.
        eta: Pseudorapidity of each particle.
        half_width: Half the width of the sector in radians.
        origin: Where the graphs came from.

    Raises:
        InputError: There is no graph or no edge, shapes differ, a number is not finite, or an edge has no hit at an end.
    """

    r_mm: NDArray[np.float32]
    phi: NDArray[np.float32]
    z_mm: NDArray[np.float32]
    layer: NDArray[np.int16]
    node_mask: NDArray[np.bool_]
    track: NDArray[np.int32]
    senders: NDArray[np.int32]
    receivers: NDArray[np.int32]
    edge_mask: NDArray[np.bool_]
    truth: NDArray[np.bool_]
    pt_gev: NDArray[np.float64]
    eta: NDArray[np.float64]
    half_width: float
    origin: Origin

    def __post_init__(self) -> None:
        if not self.edge_mask.any():
            raise InputError("there is no edge between hits; more tracks or wider limits of edges would be right")
        for shape, names in (
            (self.node_mask.shape, ("r_mm", "phi", "z_mm", "layer", "track")),
            (self.edge_mask.shape, ("senders", "receivers", "truth")),
            (self.pt_gev.shape, ("pt_gev", "eta")),
        ):
            for name in names:
                found = getattr(self, name)
                if found.shape != shape or len(found) != len(self.node_mask):
                    raise InputError(f"hit graphs: {name} has the shape {list(found.shape)}; right is {list(shape)}")
                if not np.isfinite(found).all():
                    raise InputError(f"hit graphs: {name} has numbers that are NaN or infinite")
        for name in ("senders", "receivers"):
            ends = getattr(self, name)
            if (ends < 0).any() or (ends >= self.node_mask.shape[1]).any():
                raise InputError(f"hit graphs: {name} names hits that are not there")
            if not np.take_along_axis(self.node_mask, ends, axis=1)[self.edge_mask].all():
                raise InputError(f"hit graphs: {name} names places without a hit")

    def __len__(self) -> int:
        return len(self.node_mask)

    def take(self, selection: NDArray[np.bool_] | NDArray[np.int64]) -> HitGraphs:
        """The graphs that `selection` (a mask or indices) picks, padded as before."""
        names = [name for name in self.__dataclass_fields__ if name not in ("half_width", "origin")]
        columns = {name: getattr(self, name)[selection] for name in names}
        return HitGraphs(**columns, half_width=self.half_width, origin=self.origin)

    def inputs(self) -> dict[str, NDArray[Any]]:
        """What a network sees.

        Returns:
            `nodes` of shape `(graphs, nodes, len(NODE_FEATURES))`, `edges` of shape `(graphs, edges, len(EDGE_FEATURES))`,
            and `senders`, `receivers` and `edge_mask`.
        """
        settings = self.origin.details["settings"]
        nodes = np.stack([self.r_mm / 1000, self.phi / self.half_width, self.z_mm / 1000], axis=-1)
        slope, z0 = self.edge_geometry()
        edges = np.stack([slope / settings["phi_slope_max"], z0 / settings["z0_max_mm"]], axis=-1)
        return {"nodes": nodes.astype(np.float32), "edges": edges.astype(np.float32), "senders": self.senders,
                "receivers": self.receivers, "edge_mask": self.edge_mask}  # fmt: skip

    def edge_geometry(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Change of azimuth per radius in radians per mm, and z at the beam line in mm, of each edge; 0 for padding."""
        (r, outer_r), (phi, outer_phi), (z, outer_z) = (
            [np.take_along_axis(column.astype(np.float64), ends, axis=1) for ends in (self.senders, self.receivers)]
            for column in (self.r_mm, self.phi, self.z_mm)
        )
        distance = np.where(self.edge_mask, outer_r - r, 1.0)
        slope, z0 = delta_phi(outer_phi, phi) / distance, z - r * (outer_z - z) / distance
        return np.where(self.edge_mask, slope, 0.0), np.where(self.edge_mask, z0, 0.0)

    def answers(self) -> NDArray[np.float32]:
        """What it is to learn, shape `(graphs, edges)`: 1 for true edges, 0 for others, -1 where there is no edge."""
        return np.where(self.edge_mask, self.truth, -1).astype(np.float32)


def curvature_radius_mm(pt_gev: NDArray[np.float64], field_tesla: float) -> NDArray[np.float64]:
    """Radius of the circle that a particle of unit charge is on, in the transverse plane."""
    return 1000 * pt_gev / (PT_PER_TESLA_METRE * field_tesla)


def make_tracks(data: TrackData, seed: int) -> HitGraphs:
    """The graphs.

    Args:
        data: What to make.
        seed: Of everything random; the same seed gives the same bits.

    Returns:
        The graphs, labelled synthetic, padded to the largest, rounded up to a multiple of 32.
    """
    generator = np.random.default_rng(seed)
    starts = range(0, data.graphs, BLOCK)
    blocks = [_block(data, min(BLOCK, data.graphs - start), generator) for start in starts]
    sizes = {name: max(block[name].shape[1] for block in blocks) for name in blocks[0]}
    columns = {
        name: np.concatenate([np.pad(block[name], ((0, 0), (0, size - block[name].shape[1]))) for block in blocks])
        for name, size in sizes.items()
    }
    columns["track"] = np.where(columns["node_mask"], columns["track"], NO_TRACK).astype(np.int32)
    details = {"settings": data.model_dump(mode="json"), "seed": seed}
    return HitGraphs(**columns, half_width=data.half_width, origin=Origin(data.kind, True, details))


@dataclass(frozen=True)
class Hits:
    """Hits of many graphs, flat, ordered by graph, and by layer within each."""

    graph: NDArray[np.int64]
    layer: NDArray[np.int64]
    phi: NDArray[np.float64]
    z_mm: NDArray[np.float64]
    track: NDArray[np.int64]


def _block(data: TrackData, graphs: int, generator: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Some graphs, as columns of `HitGraphs`."""
    # Particles that start beside the sector may bend into it.
    reach = float(np.arcsin(RADIUS_MM[-1] / (2 * curvature_radius_mm(np.array(data.pt_gev[0]), data.field_tesla))))
    widened = 1 + reach / data.half_width
    graph = np.repeat(np.arange(graphs), generator.poisson(data.tracks * widened, graphs))
    number = np.arange(len(graph)) - np.searchsorted(graph, graph)
    pt = _falling(data, generator.random(len(graph)))
    eta = generator.uniform(-data.max_abs_eta, data.max_abs_eta, len(graph))
    phi, z = propagate(data, pt, eta, data.half_width * widened * generator.uniform(-1, 1, len(graph)), generator)
    seen = (generator.random(phi.shape) < data.efficiency) & (np.abs(z) < HALF_LENGTH_MM)
    seen &= np.abs(phi) < data.half_width
    track, layer = np.nonzero(seen)
    hits = _sorted(graph[track], layer, phi[seen], z[seen], number[track])
    hits = _with_noise(data, hits, generator)
    senders, receivers = edges(hits, data.phi_slope_max, data.z0_max_mm)

    visible = np.zeros(len(graph), dtype=bool)
    visible[track] = True
    particles: dict[str, NDArray[Any]] = {"pt_gev": pt * visible, "eta": eta * visible}
    columns = {name: _padded(column, graph, number, graphs, 1) for name, column in particles.items()}
    place = np.arange(len(hits.graph)) - np.searchsorted(hits.graph, hits.graph)
    nodes: dict[str, NDArray[Any]] = {
        "r_mm": np.array(RADIUS_MM)[hits.layer].astype(np.float32), "phi": hits.phi.astype(np.float32),
        "z_mm": hits.z_mm.astype(np.float32), "layer": hits.layer.astype(np.int16), "track": hits.track.astype(np.int32),
        "node_mask": np.ones(len(hits.graph), dtype=bool),
    }  # fmt: skip
    columns |= {name: _padded(column, hits.graph, place, graphs, ROUND_TO) for name, column in nodes.items()}
    owner = hits.graph[senders]
    same = (hits.track[senders] == hits.track[receivers]) & (hits.track[senders] != NO_TRACK)
    between: dict[str, NDArray[Any]] = {
        "senders": place[senders].astype(np.int32), "receivers": place[receivers].astype(np.int32), "truth": same,
        "edge_mask": np.ones(len(owner), dtype=bool),
    }  # fmt: skip
    slot = np.arange(len(owner)) - np.searchsorted(owner, owner)
    return columns | {name: _padded(column, owner, slot, graphs, ROUND_TO) for name, column in between.items()}


def _falling(data: TrackData, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers between 0 and 1 as pT of the density `pT^-power` in the window."""
    low, high = (edge ** (1 - data.power) for edge in data.pt_gev)
    drawn: NDArray[np.float64] = (low + uniform * (high - low)) ** (1 / (1 - data.power))
    return drawn


def propagate(
    data: TrackData, pt_gev: NDArray[np.float64], eta: NDArray[np.float64], phi: NDArray[np.float64],
    generator: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Where particles from the beam line are measured on each layer.

    At the radius r a helix of curvature radius R that starts on the beam line has turned by `arcsin(r / 2 R)`, and its
    length in the transverse plane is `2 R arcsin(r / 2 R)`. Angles of scattering are small, and what they add is taken
    along straight lines.

    Args:
        data: The detector.
        pt_gev: pT of each particle.
        eta: Pseudorapidity.
        phi: Azimuth at the beam line.
        generator: The source of randomness, of charges and z at the beam line too.

    Returns:
        Measured azimuth and z in mm, both of shape `(particles, layers)`.
    """
    count, radius = len(pt_gev), np.array(RADIUS_MM)
    charge = np.where(generator.random(count) < 0.5, -1.0, 1.0)[:, None]
    begin = data.vertex_mm * generator.standard_normal((count, 1))
    curvature = curvature_radius_mm(pt_gev, data.field_tesla)[:, None]
    turn = np.arcsin(radius / (2 * curvature))
    azimuth = phi[:, None] - charge * turn
    z = begin + 2 * curvature * turn * np.sinh(eta)[:, None]

    momentum = pt_gev * np.cosh(eta)
    thickness = data.material * np.cosh(eta)  # a cylinder is crossed at an angle
    angle = np.zeros(count)
    if data.material > 0:
        angle = 0.0136 / momentum * np.sqrt(thickness) * (1 + 0.038 * np.log(thickness))
    lever = np.maximum(radius[None, :] - radius[:, None], 0.0)  # from the layer of the row to that of the column
    bent = (angle[:, None] * generator.standard_normal((count, len(radius)))) @ lever
    tilted = (angle[:, None] * generator.standard_normal((count, len(radius)))) @ lever
    azimuth += (bent * np.cosh(eta)[:, None] + RESOLUTION_MM * generator.standard_normal(bent.shape)) / radius
    z += tilted * np.cosh(eta)[:, None] ** 2 + Z_RESOLUTION_MM * generator.standard_normal(tilted.shape)
    return azimuth, z


def _sorted(graph: NDArray[Any], layer: NDArray[Any], phi: NDArray[Any], z: NDArray[Any], track: NDArray[Any]) -> Hits:
    order = np.lexsort((phi, layer, graph))  # by azimuth, so that the order tells nothing of the track
    return Hits(*(column[order] for column in (graph, layer, phi, z, track)))


def _with_noise(data: TrackData, hits: Hits, generator: np.random.Generator) -> Hits:
    """Hits and, beside each with the probability `noise`, one of nobody somewhere on the same layer."""
    added = np.repeat(np.arange(len(hits.graph)), generator.poisson(data.noise, len(hits.graph)))
    phi = data.half_width * generator.uniform(-1, 1, len(added))
    z = np.array(HALF_LENGTH_MM)[hits.layer[added]] * generator.uniform(-1, 1, len(added))
    columns = (
        (hits.graph, hits.graph[added]), (hits.layer, hits.layer[added]), (hits.phi, phi), (hits.z_mm, z),
        (hits.track, np.full(len(added), NO_TRACK)),
    )  # fmt: skip
    return _sorted(*(np.concatenate(pair) for pair in columns))


def edges(hits: Hits, phi_slope_max: float, z0_max_mm: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of hits in neighbouring layers that keep both limits.

    Args:
        hits: The hits.
        phi_slope_max: Largest change of azimuth per radius, in radians per mm.
        z0_max_mm: Largest |z| at the beam line of the straight line through both.

    Returns:
        Indices of the inner and of the outer hits, ordered by the inner one.
    """
    layers = len(RADIUS_MM)
    key = hits.graph * (layers + 1) + hits.layer
    first, last = np.searchsorted(key, key + 1), np.searchsorted(key, key + 1, side="right")
    counts = last - first
    inner = np.repeat(np.arange(len(key)), counts)
    outer = first[inner] + np.arange(len(inner)) - np.repeat(np.cumsum(counts) - counts, counts)
    radius = np.array(RADIUS_MM)
    distance = radius[hits.layer[outer]] - radius[hits.layer[inner]]
    slope = delta_phi(hits.phi[outer], hits.phi[inner]) / distance
    z0 = hits.z_mm[inner] - radius[hits.layer[inner]] * (hits.z_mm[outer] - hits.z_mm[inner]) / distance
    kept = (np.abs(slope) < phi_slope_max) & (np.abs(z0) < z0_max_mm)
    return inner[kept], outer[kept]


def _padded(
    column: NDArray[Any], graph: NDArray[np.int64], place: NDArray[np.int64], graphs: int, round_to: int
) -> NDArray[Any]:
    """A flat column as a table, one row a graph."""
    width = int(place.max(initial=0)) + 1
    table = np.zeros((graphs, -(-width // round_to) * round_to), dtype=column.dtype)
    table[graph, place] = column
    return table
