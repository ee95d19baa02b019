"""Inclusive collisions with their Level-1 jets: normalisation, slices, showers, and that they can be made again."""

from __future__ import annotations

import shutil

import awkward as ak
import numpy as np
import pytest

from trigger.config import parse
from trigger.data import generate as machinery
from trigger.data.generate import SHOWER_LINES, SHOWERS, Record, shower_weights
from trigger.data.level1_collisions import (
    CollisionChunk,
    Level1Collisions,
    collisions_digest,
    generate_collisions,
    make_collision_chunk,
    read_collisions,
)
from trigger.data.level1_jets import Level1JetData
from trigger.errors import InputError

JETS = Level1JetData(kind="level1_jets")
TWO = Level1Collisions(
    jets=JETS, slices_gev=(40, 80), collisions_per_slice=100, signals=("ttbar",), collisions_per_signal=30, pt_gev=60
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="module")
def made(folder):
    """Two slices and a signal, made by two workers: the path, what was said meanwhile, and the sample."""
    steps = []
    path = generate_collisions(TWO, 1, folder, workers=2, progress=lambda *step: steps.append(step))
    return path, steps, read_collisions(path)


def test_every_collision_is_there_and_every_jet_above_the_threshold(made):
    path, steps, found = made
    assert path.parent.name.startswith("level1_collisions-")
    assert not (path.parent / "chunks").exists()
    assert steps[-1] == ("collisions", 430, 430)
    assert found.class_names == ("background", "ttbar")
    assert np.bincount(found.labels).tolist() == [200, 30]
    assert len(found) == 230
    kinematics = found.jets.kinematics()
    assert kinematics["pt_gev"].min() >= 60
    assert kinematics["pt_gev"].min() < 65
    assert np.abs(kinematics["eta"]).max() < JETS.max_abs_eta
    assert (np.diff(found.jets.events) >= 0).all()
    per_collision = np.bincount(found.jets.events, minlength=230)
    assert per_collision[:100].mean() < 1 < per_collision[100:200].mean() < per_collision[200:].mean()
    np.testing.assert_array_equal(found.jets.labels, found.labels[found.jets.events])
    np.testing.assert_array_equal(found.jets.weights, found.cross_section_pb[found.jets.events])
    significance = found.jets.constituents.d0_significance
    assert ak.any(significance != 0)
    assert not ak.any(significance[found.jets.constituents.charge == 0])


def test_what_a_collision_stands_for(made):
    _, _, found = made
    details = found.jets.origin.details
    for name, rows in (("qcd_40", slice(0, 100)), ("qcd_80", slice(100, 200)), ("ttbar", slice(200, 230))):
        assert found.cross_section_pb[rows].sum() == pytest.approx(details["cross_section_pb"][name])
    pythia = machinery.seeded(TWO.lines("qcd_40"), 99)
    pythia.nextBatch(400)
    assert found.cross_section_pb[:100].sum() == pytest.approx(pythia.infoPython().sigmaGen() * 1e9, rel=0.2)
    assert found.inelastic_cross_section_pb == pytest.approx(78.93e9, rel=2e-3)  # Pythia's at 14 TeV


def test_the_offline_jet_is_that_of_the_particles(made):
    _, _, found = made
    assert found.offline_gev.min() >= 0
    assert found.offline_gev[(found.offline_gev > 0)].min() >= 10
    leading = np.zeros(len(found))
    np.maximum.at(leading, found.jets.events, found.jets.kinematics()["pt_gev"])
    some = leading > 0
    # The response of the preset is 0.98, and the leading jet of the particles is not always that of the detector.
    assert np.median(leading[some] / found.offline_gev[some]) == pytest.approx(0.95, abs=0.05)


def test_weights_of_the_shower(made):
    _, _, found = made
    assert found.showers.shape == (230, len(SHOWERS))
    error = found.showers.std(axis=0) / np.sqrt(230)
    assert (error > 0.01).all()  # they are not all 1
    assert (np.abs(found.showers.mean(axis=0) - 1) < 4 * error).all()
    low, high = found.showers[:, 0], found.showers[:, 1]
    assert np.corrcoef(low, high)[0, 1] < -0.5  # what a lower scale makes likelier a higher one makes rarer


def test_columns_of_weights_are_those_of_their_names():
    """Pythia has a weight for each factor, by the alphabet, and after them one for each name of our list, in its order."""
    pythia = machinery.seeded(TWO.lines("qcd_80"), 3)
    batch = pythia.nextBatch(20)
    info, columns = pythia.infoPython(), ak.to_numpy(batch.info.weights)
    names = [info.weightNameByIndex(at) for at in range(columns.shape[1])]
    assert names[-len(SHOWERS) :] == [name.replace(" ", "_").lower() for name in SHOWERS]
    for at, text in enumerate(SHOWERS.values()):
        single = names.index(text.replace(":", ".").lower())
        np.testing.assert_allclose(shower_weights(batch)[:, at], columns[:, single] / columns[:, 0])


def test_two_slices_give_the_rate_of_a_wide_one(made, folder):
    _, _, found = made
    wide = Level1Collisions(
        jets=JETS, slices_gev=(40,), collisions_per_slice=700, signals=("ttbar",), collisions_per_signal=1, pt_gev=60
    )
    other = read_collisions(generate_collisions(wide, 2, folder, workers=2))

    def rate(sample, background):
        hit = np.unique(sample.jets.events)
        each = sample.cross_section_pb[hit[hit < background]]
        return each.sum(), np.sqrt((each**2).sum())

    (one, one_error), (two, two_error) = rate(found, 200), rate(other, 700)
    assert abs(one - two) < 3 * np.hypot(one_error, two_error)
    assert two_error < 0.12 * two


def test_the_same_for_any_number_of_workers_and_after_a_kill(made, tmp_path, monkeypatch):
    path, _, found = made
    again = generate_collisions(TWO, 1, path.parents[1])
    assert again == path  # it is not made again

    home = tmp_path / path.parent.name / "chunks"
    home.mkdir(parents=True)
    chunk = CollisionChunk(TWO, 1, "qcd_40", 0, 100)
    make_collision_chunk(chunk, home)
    before = (home / chunk.file).stat().st_mtime_ns
    times = []
    monkeypatch.setattr(
        shutil,
        "rmtree",
        lambda where, **_: times.append((where / chunk.file).stat().st_mtime_ns) if where == home else None,
    )
    one = read_collisions(generate_collisions(TWO, 1, tmp_path, workers=1))
    assert times == [before]  # what the killed run had was taken
    assert one.jets.digest() == found.jets.digest()
    for name in ("labels", "cross_section_pb", "offline_gev", "showers"):
        np.testing.assert_array_equal(getattr(one, name), getattr(found, name))


def test_a_hadron_harder_than_all_partons_is_no_collision():
    def record(*entries):
        """Two events: the entries, and one parton that becomes one hadron."""
        rows = [*entries, (71, 8.0, 0.0), (84, 0.0, 8.0)]
        status, px, py = (np.array(column) for column in zip(*rows, strict=True))
        momentum = {"px": px, "py": py, "pz": np.zeros(len(rows)), "e": np.hypot(px, py)}
        none = np.zeros(len(rows), dtype=np.int32)
        offsets = np.array([0, len(entries), len(rows)])
        return Record(offsets, none, status.astype(np.int32), none, momentum, (none * 0.0, none * 0.0))

    partons = ((-71, 9.0, 0.0), (-71, -8.0, 0.0), (-72, 0.0, 2.0))
    assert machinery.broken_strings(record(*partons, (83, 24.0, 1.0))).tolist() == [True, False]
    assert machinery.broken_strings(record(*partons, (83, 23.0, 1.0))).tolist() == [False, False]
    assert machinery.broken_strings(record(*partons, (91, 80.0, 1.0))).tolist() == [False, False]  # of a decay
    collinear = ((-71, 20.0, 0.0), (-71, 20.0, 1.0), (-71, 20.0, -1.0))
    assert machinery.broken_strings(record(*collinear, (83, 59.0, 0.0))).tolist() == [False, False]


def test_no_real_collision_is_taken_for_a_broken_one(made):
    _, _, found = made
    assert (found.cross_section_pb > 0).all()


def test_only_what_matters_is_in_the_digest():
    same = TWO.model_copy(update={"jets": JETS.model_copy(update={"jets_per_class": 7, "pt_gev": (20.0, 99.0)})})
    assert collisions_digest(same, 1) == collisions_digest(TWO, 1)
    for change in ({"radius": 0.3}, {"max_abs_eta": 2.0}, {"d0_resolution_um": (20.0, 90.0)}):
        other = TWO.model_copy(update={"jets": JETS.model_copy(update=change)})
        assert collisions_digest(other, 1) != collisions_digest(TWO, 1)
    assert collisions_digest(TWO, 2) != collisions_digest(TWO, 1)


def test_settings_of_the_parts():
    assert TWO.parts == {"qcd_40": 100, "qcd_80": 100, "ttbar": 30}
    assert all(line in TWO.lines(name) for line in SHOWER_LINES for name in TWO.parts)
    assert "PhaseSpace:pTHatMax = 80.0" in TWO.lines("qcd_40")
    assert "PhaseSpace:pTHatMax = -1" in TWO.lines("qcd_80")
    assert "Top:gg2ttbar = on" in TWO.lines("ttbar")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pt_gev: 59", "jets would be missing, of collisions below all slices; right would be 60 GeV and more"),
        ("jets: {kind: level1_jets, pileup: 20}", "jets.pileup: 20: what is counted are collisions"),
        ("slices_gev: [40, 40]", "edges of slices rise"),
        ("slices_gev: [10, 40]", "begin at 20 GeV or above"),
        ("slices_gev: []", "at least 1 item"),
        ("signals: [ttbar, ttbar]", "at least one signal, each once"),
        ("signals: [top]", "'top' is not known; nearest: "),
    ],
)
def test_wrong_settings(text, message):
    given = {
        "jets": "jets: {kind: level1_jets}", "slices_gev": "slices_gev: [40, 80]", "pt_gev": "pt_gev: 60",
        "signals": "signals: [ttbar]", text.split(":")[0]: text,
    }  # fmt: skip
    with pytest.raises(InputError, match=message):
        parse("\n".join(given.values()), Level1Collisions, "data")
