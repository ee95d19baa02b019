"""Jets as lists of their leading candidates, in the integers that the trigger's board has in its hands.

Steps and ranges are those of the candidates between the two layers of the Phase-2 correlator of CMS: pT in 14 bits of
0.25 GeV, pseudorapidity and azimuth in steps of pi / 720, here relative to the jet's axis in the same integers. Its word
also has eight bits for the transverse impact parameter, in a step of 0.5 mm that no b hadron would show in; ours is 1/64 mm.

| field | step | bits | what |
| --- | --- | --- | --- |
| pt | 0.25 GeV | 14 | transverse momentum; saturates |
| log_pt | 1/8 | 7 | logarithm to base 2 of the integer above, from a table; 0 for an integer of 1 |
| deta, dphi | pi / 720 | 11 + sign | position less that of the jet's axis, both in whole steps |
| charge | 1 | 1 + sign | -1, 0 or 1 |
| charged_hadron, neutral_hadron, photon, electron, muon | 1 | 1 | what it was taken for; all 0 where that is unknown |
| filled | 1 | 1 | whether there is a candidate in the slot |
| d0 | 1/64 mm | 7 + sign | transverse impact parameter; saturates |
| d0_significance | 1/4 | 7 + sign | the same over its resolution; saturates |

The sign of the last two is that of the flight: positive where the track passes the collision on the side that the jet goes to.
On the board it is one exclusive or of two sign bits, of d0 and of dphi.

References:
    CERN-LHCC-2020-004; `DataFormats/L1TParticleFlow/interface/datatypes.h` of CMSSW. Sign of
    the flight: arXiv:1211.4462.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from trigger.config import Format, Settings
from trigger.data.detector import ELECTRON, MUON, PHOTON
from trigger.data.jets import FeatureDataset, JetDataset, optional_fields
from trigger.errors import InputError, nearest
from trigger.fixed_point import FixedPoint
from trigger.inputs.contract import Input, InputSpec
from trigger.kinematics import azimuth, pseudorapidity, transverse_momentum

PT_STEP_GEV = 0.25
HALF_TURN = 720
"""Steps of pseudorapidity and azimuth in pi."""
LOG_STEP = 1 / 8
D0_STEP_MM = 1 / 64
SIGNIFICANCE_STEP = 1 / 4
PT_BITS, D0_BITS = 14, 7

_CLIPPED = 1e-3
"""Share of a field's codes that may be clipped: with a scale for the last of them all others would lose their low bits."""

ParticleField = Literal["pt", "log_pt", "deta", "dphi", "charge", "charged_hadron", "neutral_hadron", "photon", "electron",
                        "muon", "filled", "d0", "d0_significance"]  # fmt: skip

UNITS: dict[ParticleField, str] = {
    "pt": "0.25 GeV",
    "log_pt": "1/8",
    "deta": "pi/720",
    "dphi": "pi/720",
    "charge": "e",
    "charged_hadron": "1",
    "neutral_hadron": "1",
    "photon": "1",
    "electron": "1",
    "muon": "1",
    "filled": "1",
    "d0": "1/64 mm",
    "d0_significance": "1/4",
}
"""Every field and its step."""
_NEEDS: dict[str, str] = {"d0": "d0_mm", "d0_significance": "d0_significance"}


class ParticleInputs(Settings):
    """The network sees the leading candidates of a jet, by falling pT; slots without one are 0.

    Attributes:
        particles: Number of candidates.
        fields: What is shown of each, in order.
        format: Fixed-point format of every input, after scaling; signed.
    """

    kind: Literal["particles"]
    particles: int = Field(default=16, gt=0, le=256)
    fields: tuple[ParticleField, ...] = Field(
        default=("pt", "deta", "dphi", "charge", "charged_hadron", "neutral_hadron", "photon", "electron", "muon"),
        min_length=1,
    )
    format: Format

    @field_validator("fields")
    @classmethod
    def _distinct(cls, fields: tuple[ParticleField, ...]) -> tuple[ParticleField, ...]:
        if len(set(fields)) != len(fields):
            raise ValueError(f"a field is named twice in {list(fields)}")
        return fields

    @field_validator("format")
    @classmethod
    def _signed(cls, given: FixedPoint) -> FixedPoint:
        if not given.signed:
            raise ValueError(f"positions and charges have a sign, {given} has none")
        return given

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns: `p0_pt`, `p0_deta`, ..., `p15_d0`, candidate by candidate."""
        return tuple(f"p{slot}_{field}" for slot in range(self.particles) for field in self.fields)

    def table(self, sample: JetDataset | FeatureDataset, workers: int = 1) -> FeatureDataset:
        """The candidates of every jet in hardware integers, shape `(jets, particles * fields)`.

        Args:
            sample: Jets; or somebody's table with the columns `names`, which is checked.
            workers: Not used: it is sorting, which numpy does in one go.

        Raises:
            InputError: The jets have no impact parameters and `fields` names one; or a table lacks a column, its numbers are
                no integers, or its candidates are not ordered.
        """
        del workers
        if isinstance(sample, FeatureDataset):
            return self._checked(sample)
        _require_tracks(sample, self.fields)
        candidates = _candidates(sample, self.particles)
        values = np.zeros((len(sample), self.particles, len(self.fields)))
        for index, field in enumerate(self.fields):
            values[candidates.jet, candidates.slot, index] = candidates.codes[field]
        return FeatureDataset(
            values.reshape(len(sample), -1), self.names, sample.labels, sample.class_names, sample.weights, sample.events,
            sample.origin, sample.target,
        )  # fmt: skip

    def contract(self, learn: FeatureDataset) -> InputSpec:
        """Offset 0, so that an empty slot is 0, and for each field the power of two that brings it into the format.

        It is the largest, but not above 1, with which all but a thousandth of the codes that are not 0 fit; all
        candidates share it.

        Args:
            learn: Rows of `table` that are for training.
        """
        if learn.names != self.names:
            raise InputError(
                f"a table of {len(learn.names)} columns ({learn.names[0]}, ...) is not of {self.particles} particles with "
                f"{', '.join(self.fields)}"
            )
        codes = np.abs(learn.values.reshape(-1, len(self.fields)))
        scales = [_scale(column[column > 0], self.format) for column in codes.T]
        return InputSpec(
            inputs=tuple(
                Input(name=f"p{slot}_{field}", unit=UNITS[field], format=self.format, scale=scale)
                for slot in range(self.particles) for field, scale in zip(self.fields, scales, strict=True)
            ),
            outputs=learn.class_names, shape=(self.particles, len(self.fields)),
        )  # fmt: skip

    def _checked(self, sample: FeatureDataset) -> FeatureDataset:
        missing = [name for name in self.names if name not in sample.names]
        if missing:
            raise InputError(
                f"the table has no column {missing[0]!r}; nearest: {nearest(missing[0], sample.names)}; right would be "
                f"{self.names[0]} to {self.names[-1]}"
            )
        values = sample.values[:, [sample.names.index(name) for name in self.names]]
        broken = values != np.rint(values)
        if broken.any():
            row, column = np.argwhere(broken)[0]
            raise InputError(
                f"{self.names[column]} of jet {row} is {values[row, column]:g}: candidates are in whole steps of "
                f"{UNITS[self.fields[column % len(self.fields)]]}"
            )
        for field in ("pt", "log_pt"):
            if field in self.fields:
                require_ordered(values[:, self.fields.index(field) :: len(self.fields)], f"the table's {field}")
        return FeatureDataset(
            values, self.names, sample.labels, sample.class_names, sample.weights, sample.events, sample.origin,
            sample.target,
        )  # fmt: skip


def require_ordered(pt: NDArray[Any], what: str = "pt") -> None:
    """Refuse candidates that do not come by falling pT.

    Args:
        pt: Transverse momentum of every candidate in any unit, 0 in empty slots, shape `(events, slots)`.
        what: What it is, for the message.

    Raises:
        InputError: Names the first event and slot, and how many events there are.
    """
    wrong = pt[:, 1:] > pt[:, :-1]
    if wrong.any():
        event, slot = np.argwhere(wrong)[0]
        raise InputError(
            f"{what}: particles are not ordered by falling pT: in event {event} slot {slot + 1} has {pt[event, slot + 1]} "
            f"after {pt[event, slot]} in slot {slot}; so it is in {np.count_nonzero(wrong.any(axis=1))} of {len(pt)} events"
        )


@dataclass(frozen=True)
class _Candidates:
    """The leading candidates of all jets, flat.

    Attributes:
        jet: Index of each one's jet.
        slot: Its place in the jet.
        codes: Every field that there is in hardware integers.
    """

    jet: NDArray[np.int64]
    slot: NDArray[np.int64]
    codes: dict[str, NDArray[np.int64]]


def _require_tracks(sample: JetDataset, fields: tuple[ParticleField, ...]) -> None:
    missing = [
        field for field in fields if field in _NEEDS and _NEEDS[field] not in optional_fields(sample.constituents)
    ]
    if missing:
        raise InputError(
            f"fields: {', '.join(missing)}: these jets ({sample.origin.kind}) have no impact parameters; jets of kind "
            f"level1_jets have, and fields without them are {', '.join(name for name in UNITS if name not in _NEEDS)}"
        )


def _candidates(sample: JetDataset, slots: int) -> _Candidates:
    import awkward as ak

    def flat(name: str) -> NDArray[np.float64]:
        column: NDArray[np.float64] = ak.to_numpy(ak.flatten(sample.constituents[name])).astype(np.float64)
        return column

    jet = np.repeat(np.arange(len(sample)), ak.to_numpy(ak.num(sample.constituents)))
    px, py, pz = flat("px"), flat("py"), flat("pz")
    pt = transverse_momentum(px, py)
    pt_code = np.minimum(_steps(pt, PT_STEP_GEV), 2**PT_BITS - 1)
    order = np.lexsort((-pt, jet))
    order = order[pt_code[order] > 0]  # less than half a step is nothing
    jet, pt_code = jet[order], pt_code[order]
    slot = np.arange(len(jet)) - np.searchsorted(jet, jet)
    chosen = slot < slots
    order, jet, slot, pt_code = order[chosen], jet[chosen], slot[chosen], pt_code[chosen]

    axis = sample.momentum()
    axis_eta, axis_phi = _position(axis["px"], axis["py"], axis["pz"])
    eta, phi = _position(px[order], py[order], pz[order])
    dphi = (phi - axis_phi[jet] + HALF_TURN) % (2 * HALF_TURN) - HALF_TURN
    charge = np.sign(flat("charge")[order]).astype(np.int64)
    kind = np.abs(flat("pdg_id")[order]).astype(np.int64)
    hadron = (kind != 0) & ~np.isin(kind, (PHOTON, ELECTRON, MUON))
    codes = {
        "pt": pt_code,
        "log_pt": _steps(np.log2(pt_code), LOG_STEP),
        "deta": eta - axis_eta[jet],
        "dphi": dphi,
        "charge": charge,
        "charged_hadron": (hadron & (charge != 0)).astype(np.int64),
        "neutral_hadron": (hadron & (charge == 0)).astype(np.int64),
        "photon": (kind == PHOTON).astype(np.int64),
        "electron": (kind == ELECTRON).astype(np.int64),
        "muon": (kind == MUON).astype(np.int64),
        "filled": np.ones(len(order), dtype=np.int64),
    }
    flight = np.where(dphi < 0, 1, -1)  # a vertex in front moves a track on the side of smaller phi to positive d0
    largest = 2**D0_BITS - 1  # symmetric, so that every code has its negative
    for field, step in (("d0", D0_STEP_MM), ("d0_significance", SIGNIFICANCE_STEP)):
        if _NEEDS[field] in optional_fields(sample.constituents):
            codes[field] = flight * np.clip(_steps(flat(_NEEDS[field])[order], step), -largest, largest)
    return _Candidates(jet, slot, codes)


def _steps(quantity: NDArray[np.float64], step: float) -> NDArray[np.int64]:
    return np.rint(quantity / step).astype(np.int64)


def _position(
    px: NDArray[np.float64], py: NDArray[np.float64], pz: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pseudorapidity and azimuth in whole steps."""
    return _steps(pseudorapidity(px, py, pz), np.pi / HALF_TURN), _steps(azimuth(px, py), np.pi / HALF_TURN)


def _scale(codes: NDArray[np.float64], wanted: FixedPoint) -> float:
    if len(codes) == 0:
        return 1.0
    largest = np.quantile(codes, 1 - _CLIPPED, method="higher")
    room = wanted.max_code * wanted.step
    return float(2.0 ** min(0, np.floor(np.log2(room / largest))))
