"""Level-1 jets of a few real collisions, their labels against loops over Pythia's record."""

from __future__ import annotations

from dataclasses import replace

import awkward as ak
import numpy as np
import pytest

from trigger.config import parse
from trigger.data import generate as machinery
from trigger.data.detector import PRESETS, Particles, detect
from trigger.data.generate import Chunk, generate, read_generated, simulate
from trigger.data.level1_jets import Level1JetData, hadronic_taus, heavy_hadrons
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint
from trigger.inputs.features import jet_features
from trigger.inputs.particles import ParticleInputs, require_ordered

DATA = Level1JetData(kind="level1_jets", jets_per_class=12, d0_resolution_um=(20, 90))
FORMAT = FixedPoint.parse("ap_fixed<10,4,AP_RND_CONV,AP_SAT>")


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Twelve jets of each class, made once."""
    folder = tmp_path_factory.mktemp("level1")
    path = generate(DATA, 1, folder, workers=2)
    (jets,) = read_generated(path)
    return path, jets


@pytest.fixture(scope="module")
def collisions():
    """Pythia's own record of some collisions of each process: `name -> batch`."""
    made = {}
    for name, process in DATA.processes.items():
        pythia = machinery.seeded(process.settings(DATA), 17)
        made[name] = pythia.nextBatch(25)
    return made


def test_the_sample_holds_what_was_asked_for(sample):
    path, jets = sample
    assert path.parent.name.startswith("level1_jets-")
    assert jets.class_names == ("light", "gluon", "b", "tau")
    assert np.bincount(jets.labels).tolist() == [12] * 4
    assert jets.origin.kind == "level1_jets"
    kinematics = jets.kinematics()
    assert (kinematics["pt_gev"] >= 30).all()
    assert (kinematics["pt_gev"] < 500).all()
    assert (np.abs(kinematics["eta"]) < 2.4).all()
    assert np.percentile(kinematics["pt_gev"], 15) < 160  # the whole window is filled
    assert np.percentile(kinematics["pt_gev"], 90) > 220
    for label in range(4):
        assert jets.weights[jets.labels == label].mean() == pytest.approx(1)


def test_the_target_brings_the_measured_pt_to_that_of_the_particles(sample):
    _, jets = sample
    assert jets.target.shape == (48,)
    # The response of the preset is 0.98 with a width of some 5 to 10 %.
    assert np.median(jets.target) == pytest.approx(1.02, abs=0.03)
    assert 0.01 < np.percentile(jets.target, 84) - np.percentile(jets.target, 16) < 0.4
    assert (jets.target > 0.3).all()


def test_a_perfect_detector_needs_no_correction():
    block = simulate(Chunk(DATA.model_copy(update={"detector": "perfect"}), "bottom", 0, 3, 15, None))
    assert len(block.target) > 5
    np.testing.assert_allclose(block.target, 1, rtol=1e-9)


def test_candidates_of_a_tau_are_few_and_tracks_have_two_gev(sample):
    _, jets = sample
    counts = ak.to_numpy(ak.num(jets.constituents))
    assert counts[jets.labels == 3].mean() < 0.5 * counts[jets.labels == 0].mean()
    assert counts[jets.labels == 0].mean() < counts[jets.labels == 1].mean()
    tracks = ak.flatten(jets.constituents[jets.constituents.charge != 0])
    pt = np.hypot(ak.to_numpy(tracks.px), ak.to_numpy(tracks.py))
    assert np.percentile(pt, 1) > 1.8  # 2 GeV before the resolution
    assert set(np.unique(ak.to_numpy(ak.flatten(jets.constituents.pdg_id)))) <= {11, 13, 22, 130, 211}


def test_tracks_of_b_jets_are_displaced(sample):
    _, jets = sample
    significance = jets.constituents.d0_significance
    tracks = jets.constituents.charge != 0
    assert not ak.any(significance[~tracks])
    assert not ak.any(jets.constituents.d0_mm[~tracks])
    share = [ak.mean(abs(significance[jets.labels == label][tracks[jets.labels == label]]) > 4) for label in range(4)]
    assert share[2] > 2 * max(share[0], share[1])
    assert share[2] > 0.2


@pytest.mark.parametrize("resolution", [(20.0, 90.0), (70.0, 850.0)])
def test_impact_parameters_are_smeared_as_stated(resolution):
    data = DATA.model_copy(update={"d0_resolution_um": resolution})
    size = 20_000
    pt = np.repeat([2.0, 50.0], size)
    true = np.full(2 * size, 0.3)
    charge = np.tile([1, 0], size).astype(np.int8)
    seen = Particles(np.arange(2 * size), pt, 0 * pt, 0 * pt, pt, charge, np.full(2 * size, 211), 0 * charge, true)
    tracks = data.tracked(seen, np.random.default_rng(4))
    for value in (2.0, 50.0):
        chosen = (pt == value) & (charge != 0)
        expected = 1e-3 * np.sqrt(resolution[0] ** 2 + (resolution[1] / value) ** 2)
        residual = tracks["d0_mm"][chosen] - 0.3
        # 10,000 tracks: the width is known to 0.7 %, the mean to 1 % of the width.
        assert residual.std() == pytest.approx(expected, rel=0.03)
        assert abs(residual.mean()) < 0.04 * expected
        np.testing.assert_allclose(tracks["d0_significance"][chosen], tracks["d0_mm"][chosen] / expected)
    assert not tracks["d0_mm"][charge == 0].any()


def test_the_impact_parameter_is_the_distance_of_the_line_to_the_beam(collisions):
    """By geometry: the foot of the perpendicular from the beam to the line through where the particle was made."""
    batch = collisions["bottom"]
    pythia = machinery.seeded(DATA.processes["bottom"].settings(DATA), 17)
    seen = machinery.visible(pythia, machinery.record_of(batch), 3.0, 0)
    record = [one for event in batch.prt.to_list() for one in event]
    stable = [
        one for one in record
        if one["status"] > 0 and abs(one["id"]) not in (12, 14, 16)
        and abs(one["p"]["pz"]) < np.sinh(3.0) * np.hypot(one["p"]["px"], one["p"]["py"])
    ]  # fmt: skip
    assert len(stable) == len(seen.event)
    displaced = 0
    for one, d0, charge in zip(stable, seen.d0_mm, seen.charge, strict=True):
        if charge == 0:
            assert d0 == 0
            continue
        made = one["vProd"] or {"px": 0.0, "py": 0.0}  # Pythia gives no vertex to what is made in the collision
        start, along = np.array([made["px"], made["py"]]), np.array([one["p"]["px"], one["p"]["py"]])
        along = along / np.hypot(*along)
        foot = start - (start @ along) * along
        assert abs(d0) == pytest.approx(np.hypot(*foot), abs=1e-6 * (1 + np.hypot(*start)))
        displaced += abs(d0) > 0.05
    assert displaced > 20


def test_the_detector_carries_impact_parameters_along():
    size = 50
    angle = np.linspace(-3, 3, size)
    made = Particles(
        np.arange(size), 20 * np.cos(angle), 20 * np.sin(angle), 0 * angle, np.full(size, 20.1), np.ones(size, np.int8),
        np.full(size, 211, np.int32), np.zeros(size, np.int8), angle,
    )  # fmt: skip
    seen = detect(made, PRESETS["level1_particle_flow"], np.random.default_rng(1))
    tracks = seen.charge != 0
    assert tracks.sum() > 40
    np.testing.assert_allclose(seen.d0_mm[tracks], angle[seen.event[tracks]])
    assert not seen.d0_mm[~tracks].any()
    without = detect(replace(made, d0_mm=None), PRESETS["level1_particle_flow"], np.random.default_rng(1))
    assert without.d0_mm is None
    np.testing.assert_array_equal(without.px, seen.px)


def direction(p):
    return np.arcsinh(p["pz"] / np.hypot(p["px"], p["py"])), np.arctan2(p["py"], p["px"])


def test_hadronic_taus_by_their_daughters(collisions):
    """Mother by mother in Pythia's record: the last tau, its daughters, what of them is visible."""
    batch = collisions["tau"]
    found = np.stack(hadronic_taus(machinery.record_of(batch)), axis=1)
    expected, leptonic = [], 0
    for number, event in enumerate(batch.prt.to_list()):
        for one in event:
            if abs(one["id"]) != 15 or one["status"] > 0:
                continue
            daughters = event[one["daughter1"] : one["daughter2"] + 1]
            if any(abs(d["id"]) == 15 for d in daughters):
                continue  # it radiated and goes on
            if any(abs(d["id"]) in (11, 13) for d in daughters):
                leptonic += 1
                continue
            visible = [d["p"] for d in daughters if abs(d["id"]) != 16]
            expected.append((number, *direction({n: sum(p[n] for p in visible) for n in ("px", "py", "pz")})))
    assert leptonic > 3
    assert len(found) == len(expected) > 15
    np.testing.assert_allclose(sorted(map(tuple, found)), sorted(expected), atol=1e-4)


def has_quark(code, digit):
    """Whether a hadron's code names that quark: the digits of thousands (baryons) and hundreds."""
    text = str(abs(code)).zfill(4)
    return abs(code) > 100 and str(digit) in text[-4:-2]


def test_labels_by_hand(collisions):
    """Every jet of some collisions, labelled by loops over the record."""
    order = ("tau", "b", "gluon", "light")
    data = DATA.model_copy(update={"classes": order})
    generator = np.random.default_rng(8)
    for name, batch in collisions.items():
        record, expected = machinery.record_of(batch), []
        events = [list(filter(decides, event)) for event in batch.prt.to_list()]
        partons = machinery.hard_partons(record)
        taus = np.stack(hadronic_taus(record), axis=1)
        event = np.repeat(np.arange(25), 8)
        eta, phi = generator.uniform(-2.4, 2.4, 200), generator.uniform(-np.pi, np.pi, 200)
        # Half of the axes lie by a parton or tau.
        pick = generator.integers(0, 2, 200)
        if name == "tau":
            near = taus[generator.integers(len(taus), size=200)]
            event = near[:, 0].astype(int)
            place = near[:, 1:]
        else:
            place = np.stack([partons.eta[event, pick], partons.phi[event, pick]], axis=1)
        close = np.arange(200) % 2 == 0
        eta[close], phi[close] = (place + generator.normal(0, 0.12, (200, 2)))[close].T
        for e, jet_eta, jet_phi in zip(event, eta, phi, strict=True):
            expected.append(label_by_hand(name, events[e], [t[1:] for t in taus if t[0] == e], jet_eta, jet_phi))
        labels = data.match(name, record, event, eta, phi)
        assert [order[label] if label >= 0 else None for label in labels] == expected
        assert set(expected) == {None, *data.processes[name].classes}


def decides(one):
    """Whether the loop below looks at a particle."""
    return abs(one["status"]) == 23 or has_quark(one["id"], 4) or has_quark(one["id"], 5)


def label_by_hand(process, event, taus, eta, phi):
    def distance(other_eta, other_phi):
        return np.hypot(eta - other_eta, abs((phi - other_phi + np.pi) % (2 * np.pi) - np.pi))

    if process == "tau":
        return "tau" if any(distance(*tau) < 0.2 for tau in taus) else None
    heavy = [
        digit for one in event for digit in (4, 5)
        if has_quark(one["id"], digit) and np.hypot(one["p"]["px"], one["p"]["py"]) > 5 and distance(*direction(one["p"])) < 0.4
    ]  # fmt: skip
    if heavy:
        return "b" if 5 in heavy and process == "bottom" else None
    near = sorted((distance(*direction(one["p"])), abs(one["id"])) for one in event if abs(one["status"]) == 23)
    if near[0][0] >= 0.2 or process == "bottom":
        return None
    return "gluon" if near[0][1] == 21 else "light" if near[0][1] in (1, 2, 3) else None


def test_heavy_hadrons_in_the_record(collisions):
    record = machinery.record_of(collisions["bottom"])
    for digit in (4, 5):
        expected = [
            number for number, event in enumerate(collisions["bottom"].prt.to_list()) for one in event
            if has_quark(one["id"], digit) and np.hypot(one["p"]["px"], one["p"]["py"]) > 5
        ]  # fmt: skip
        assert heavy_hadrons(record, digit)[0].tolist() == expected
        assert expected


def test_the_same_seed_gives_the_same_jets(sample):
    first, other, again = (simulate(Chunk(DATA, "tau", 0, seed, 10, None)) for seed in (5, 6, 5))
    assert ak.array_equal(first.constituents, again.constituents)
    assert first.target.tolist() == again.target.tolist()
    assert not ak.array_equal(first.constituents.px, other.constituents.px)
    path, jets = sample
    assert generate(DATA, 1, path.parents[1]) == path  # it is not made again
    assert jets.take(np.arange(10)).target.tolist() == jets.target[:10].tolist()


def test_the_network_s_views_of_them(sample):
    _, jets = sample
    inputs = ParticleInputs(kind="particles", fields=("pt", "deta", "dphi", "d0", "d0_significance"), format=FORMAT)
    table = inputs.table(jets)
    np.testing.assert_array_equal(table.target, jets.target)
    image = table.values.reshape(len(table), 16, 5)
    require_ordered(image[:, :, 0])
    assert np.abs(image[:, :, 1:3]).max() <= 0.5 * 720 / np.pi
    features = jet_features(jets)
    assert features.values.shape == (48, 16)
    multiplicity = features.column("multiplicity")
    np.testing.assert_array_equal(multiplicity, ak.to_numpy(ak.num(jets.constituents)))
    light, tau = (features.column("mass_gev")[jets.labels == label] for label in (0, 3))
    assert np.median(tau) < 2.0 < np.median(light)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [light, b, W]", "'W' is not known; nearest: "),
        ("pt_gev: [5, 100]", "a pT window begins at 20 GeV or above"),
        ("d0_resolution_um: [-1, 90]", "a resolution of the impact parameter is positive"),
        ("d0_resolution_um: [0, 0]", "a resolution of the impact parameter is positive"),
    ],
)
def test_wrong_settings(text, message):
    with pytest.raises(InputError, match=message):
        parse(f"kind: level1_jets\n{text}\n", Level1JetData, "data")
