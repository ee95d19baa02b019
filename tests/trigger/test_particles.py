"""Candidates in hardware integers, against a loop over jets and candidates."""

from __future__ import annotations

import math
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest

from trigger.config import parse
from trigger.data.jets import JetDataset, Origin
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint
from trigger.inputs.particles import UNITS, ParticleInputs, require_ordered

FORMAT = FixedPoint.parse("ap_fixed<10,4,AP_RND_CONV,AP_SAT>")
ALL = tuple(UNITS)
KINDS = ((211, 1), (211, -1), (130, 0), (22, 0), (11, -1), (13, 1), (0, 0))


def particles(**settings):
    return ParticleInputs(kind="particles", **{"fields": ALL, "format": FORMAT, **settings})


@pytest.fixture(scope="module")
def jets():
    """Sixty jets of 1 to 30 candidates, some across phi = pi, some too soft to be one, with impact parameters."""
    generator = np.random.default_rng(5)
    constituents = []
    for index in range(60):
        jet, phi0, eta0 = [], np.pi if index % 4 == 0 else generator.uniform(-3, 3), generator.uniform(-2.4, 2.4)
        for number in range(generator.integers(1, 31)):
            pt = 0.05 if number % 7 == 6 else 5000.0 if index == 3 and number == 0 else 1 + generator.exponential(15)
            eta, phi = eta0 + generator.normal(0, 0.15), phi0 + generator.normal(0, 0.15)
            kind, charge = KINDS[generator.integers(len(KINDS))]
            d0 = generator.normal(0, 1.5) if charge else 0.0
            jet.append({
                "px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "E": pt * np.cosh(eta),
                "charge": charge, "pdg_id": kind, "vertex": 0, "d0_mm": d0, "d0_significance": 12 * d0,
            })  # fmt: skip
        constituents.append(jet)
    size = len(constituents)
    return JetDataset(
        ak.Array(constituents), np.arange(size) % 2, ("x", "y"), np.ones(size), np.arange(size), Origin("test"),
        target=generator.uniform(0.8, 1.2, size),
    )  # fmt: skip


def by_hand(jet, slots):
    """What the board would make of one jet, candidate by candidate."""
    step = math.pi / 720
    total = [sum(one[name] for one in jet) for name in ("px", "py", "pz")]
    axis_eta = round(math.asinh(total[2] / math.hypot(*total[:2])) / step)
    axis_phi = round(math.atan2(total[1], total[0]) / step)
    rows = []
    for one in jet:
        pt = min(round(math.hypot(one["px"], one["py"]) / 0.25), 16383)
        if pt == 0:
            continue
        dphi = round(math.atan2(one["py"], one["px"]) / step) - axis_phi
        while dphi >= 720:
            dphi -= 1440
        while dphi < -720:
            dphi += 1440
        side = 1 if dphi < 0 else -1
        kind, charge = one["pdg_id"], one["charge"]
        rows.append({
            "pt": pt, "log_pt": round(8 * math.log2(pt)),
            "deta": round(math.asinh(one["pz"] / math.hypot(one["px"], one["py"])) / step) - axis_eta, "dphi": dphi,
            "charge": charge, "charged_hadron": int(kind == 211), "neutral_hadron": int(kind == 130),
            "photon": int(kind == 22), "electron": int(kind == 11), "muon": int(kind == 13), "filled": 1,
            "d0": side * max(-127, min(127, round(one["d0_mm"] * 64))),
            "d0_significance": side * max(-127, min(127, round(one["d0_significance"] * 4))),
            "order": math.hypot(one["px"], one["py"]),
        })  # fmt: skip
    rows.sort(key=lambda row: -row["order"])
    empty = dict.fromkeys(ALL, 0)
    return [(rows[slot] if slot < len(rows) else empty)[field] for slot in range(slots) for field in ALL]


@pytest.mark.parametrize("slots", [1, 8, 16, 40])
def test_the_table_is_what_a_loop_makes(jets, slots):
    table = particles(particles=slots).table(jets)
    expected = [by_hand(jet, slots) for jet in jets.constituents.to_list()]
    np.testing.assert_array_equal(table.values, expected)
    assert table.names[0] == "p0_pt"
    assert table.names[-1] == f"p{slots - 1}_d0_significance"
    np.testing.assert_array_equal(table.target, jets.target)
    np.testing.assert_array_equal(table.events, jets.events)


def test_saturation_empty_slots_and_order(jets):
    table = particles().table(jets)
    image = table.values.reshape(len(table), 16, len(ALL))
    filled = image[:, :, ALL.index("filled")] == 1
    assert not image[~filled].any()
    assert 0.2 < filled.mean() < 0.9
    assert (filled[:, 1:] <= filled[:, :-1]).all()  # no hole
    assert image[:, :, ALL.index("pt")].max() == 2**14 - 1
    assert np.abs(image[:, :, ALL.index("d0")]).max() == 127
    assert np.abs(image[:, :, ALL.index("dphi")]).max() < 720  # none is on the other side of the detector
    require_ordered(image[:, :, 0])


def test_a_displaced_vertex_gives_a_positive_sign():
    """Tracks of a vertex 2 mm along the jet's axis, whichever way the axis points; behind it the sign turns."""
    generator = np.random.default_rng(2)
    for flight, wanted in ((1.0, 1), (-1.0, -1)):
        constituents = []
        for phi0 in generator.uniform(-np.pi, np.pi, 40):
            phi = phi0 + np.array([0.2, -0.2, 0.1, -0.1])
            x, y = 2 * flight * np.cos(phi0), 2 * flight * np.sin(phi0)
            d0 = y * np.cos(phi) - x * np.sin(phi)
            constituents.append([
                {"px": 9 * np.cos(p), "py": 9 * np.sin(p), "pz": 0.0, "E": 9.1, "charge": 1, "pdg_id": 211, "vertex": 0,
                 "d0_mm": d, "d0_significance": 10 * d} for p, d in zip(phi, d0, strict=True)
            ])  # fmt: skip
        made = JetDataset(
            ak.Array(constituents), np.arange(40) % 2, ("x", "y"), np.ones(40), np.arange(40), Origin("test")
        )
        for field in ("d0", "d0_significance"):
            values = particles(particles=4, fields=(field,)).table(made).values
            assert (np.sign(values) == wanted).all()


def test_the_contract_shifts_and_nothing_else(jets):
    inputs = particles()
    table = inputs.table(jets)
    contract = inputs.contract(table)
    assert contract.shape == (16, len(ALL))
    assert contract.names == table.names
    assert contract.outputs == ("x", "y")
    assert contract.common_format == FORMAT
    scales = np.array([one.scale for one in contract.inputs]).reshape(16, len(ALL))
    assert all(one.offset == 0 for one in contract.inputs)
    assert (np.log2(scales) == np.rint(np.log2(scales))).all()
    assert (scales == scales[0]).all()
    assert scales.max() == 1
    codes = contract.codes(table.values)
    assert not codes[table.values == 0].any()  # an empty slot is empty on the wire
    image = np.abs(table.values).reshape(len(table), 16, len(ALL))
    for index, field in enumerate(ALL):
        used = image[:, :, index][image[:, :, index] > 0]
        end = FORMAT.max_code * FORMAT.step
        assert np.mean(used * scales[0, index] > end) <= 0.001, field
        if scales[0, index] < 1:  # twice the scale would have clipped too much
            assert np.count_nonzero(used * 2 * scales[0, index] > end) > 0.001 * (len(used) - 1), field


def test_toy_jets_have_particles_but_no_impact_parameters(toy):
    inputs = ParticleInputs(kind="particles", format=FORMAT)
    table = inputs.table(toy)
    contract = inputs.contract(table)
    assert contract.network_input(contract.codes(table.values)).shape == (len(toy), 16, 9)
    require_ordered(table.values[:, ::9])
    with pytest.raises(
        InputError, match=r"fields: d0: these jets \(toy\) have no impact parameters; jets of kind level1"
    ):
        particles(fields=("pt", "d0")).table(toy)


def test_unordered_particles_are_refused_by_event_and_slot(jets):
    pt = np.array([[9, 5, 0], [9, 5, 6], [9, 0, 1]])
    with pytest.raises(InputError, match="in event 1 slot 2 has 6 after 5 in slot 1; so it is in 2 of 3 events"):
        require_ordered(pt)
    require_ordered(pt[:1])
    inputs = particles(particles=3, fields=("deta", "pt"))
    table = inputs.table(jets)
    assert inputs.table(table).digest() == table.digest()
    swapped = table.values[:, [2, 3, 0, 1, 4, 5]]
    with pytest.raises(
        InputError, match=r"the table's pt: particles are not ordered by falling pT: in event \d+ slot 1"
    ):
        inputs.table(replace(table, values=swapped))


def test_somebodys_table(jets):
    inputs = particles(particles=2, fields=("pt", "deta"))
    table = inputs.table(jets)
    mixed = replace(table, values=table.values[:, ::-1], names=table.names[::-1])
    assert inputs.table(mixed).digest() == table.digest()
    with pytest.raises(InputError, match="no column 'p2_pt'; nearest: 'p1_pt'"):
        particles(particles=3, fields=("pt", "deta")).table(table)
    with pytest.raises(InputError, match=r"p0_deta of jet 0 is .*: candidates are in whole steps of pi/720"):
        inputs.table(replace(table, values=table.values + np.array([0, 0.5, 0, 0])))
    with pytest.raises(InputError, match=r"a table of 4 columns \(p0_pt, ...\) is not of 3 particles with pt, deta"):
        particles(particles=3, fields=("pt", "deta")).contract(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{kind: particles, format: 'ap_ufixed<10,4>'}", "positions and charges have a sign"),
        ("{kind: particles, format: 'ap_fixed<10,4>', fields: [pt, pt]}", "a field is named twice"),
        ("{kind: particles, format: 'ap_fixed<10,4>', fields: [pt, d_0]}", "'d_0' is not known; nearest: "),
        ("{kind: particles, format: 'ap_fixed<10,4>', particles: 0}", "greater than 0"),
    ],
)
def test_wrong_settings(text, message):
    with pytest.raises(InputError, match=message):
        parse(text, ParticleInputs, "inputs")
