"""Events of Pythia, written as HepMC3 here and read back, against the path that our own samples take."""

from __future__ import annotations

import gzip
from dataclasses import replace

import awkward as ak
import numpy as np
import pyhepmc
import pytest

from trigger.config import parse
from trigger.data.detector import PRESETS, detect
from trigger.data.generate import PROCESSES, PythiaData, Record, measured_jets, record_of, seeded, visible
from trigger.data.hepmc import HepMcJets, read_hepmc
from trigger.data.jets import CONSTITUENT_FIELDS
from trigger.data.sources import content_of, jets_of
from trigger.errors import InputError
from trigger.kinematics import pseudorapidity, transverse_momentum

WINDOW = (200.0, 2000.0)
DATA = PythiaData(kind="pythia", pt_gev=(300.0, 500.0), detector="perfect", classes=("quark", "gluon"))
EVENTS = 50


@pytest.fixture(scope="module")
def collisions():
    """Collisions of partons: Pythia, and the records."""
    pythia = seeded(PROCESSES["qcd"].settings(DATA), 11)
    return pythia, record_of(pythia.nextBatch(EVENTS))


def write(path, record: Record, weights=None, momentum="GEV", change=None, form=None):
    """All final particles and some that decayed, from one vertex, in the order of the record."""
    scale = 1000.0 if momentum == "MEV" else 1.0
    with pyhepmc.open(path, "w", format=form) as file:
        for number in range(len(record.offsets) - 1):
            event = pyhepmc.GenEvent(getattr(pyhepmc.Units, momentum), pyhepmc.Units.MM)
            event.event_number = 1000 + number
            event.weights = [1.0] if weights is None else list(np.atleast_1d(weights[number]))
            vertex = pyhepmc.GenVertex((0, 0, 0, 0))
            for sign in (1, -1):
                vertex.add_particle_in(pyhepmc.GenParticle((0, 0, sign * 6500.0, 6500.0), 2212, 4))
            for place in range(record.offsets[number], record.offsets[number + 1]):
                status = int(record.status[place])
                if status < -91 or status > 0:
                    p = [float(record.momentum[name][place]) * scale for name in ("px", "py", "pz", "e")]
                    vertex.add_particle_out(pyhepmc.GenParticle(p, int(record.code[place]), 1 if status > 0 else 2))
            event.add_vertex(vertex)
            if change is not None:
                change(event, number)
            file.write(event)


def recipe(*files, **more):
    text = {"pt_gev": list(WINDOW), "detector": "perfect", "leading": 100, **more}
    samples = ", ".join(f"{{files: ['{path}'], label: {label}}}" for label, path in zip(("a", "b"), files, strict=True))
    lines = "".join(f"{key}: {value}\n" for key, value in text.items())
    return parse(f"kind: hepmc\nclasses: [a, b]\nsamples: [{samples}]\n{lines}", HepMcJets, "test")


@pytest.fixture(scope="module")
def both(collisions, tmp_path_factory):
    """The file of all collisions, and of the same from the other end, gzipped."""
    folder = tmp_path_factory.mktemp("hepmc")
    write(folder / "a.hepmc", collisions[1])
    (folder / "b.hepmc.gz").write_bytes(gzip.compress((folder / "a.hepmc").read_bytes()))
    return folder / "a.hepmc", folder / "b.hepmc.gz"


def generators_own(collisions, preset="perfect", seed=None, data=DATA):
    """Constituents, events and momenta of the jets of the path of our own samples, in a window."""
    pythia, record = collisions
    particles = visible(pythia, record, PRESETS[preset].acceptance, 0)
    generator = np.random.default_rng(seed)
    seen = detect(replace(particles, d0_mm=None), PRESETS[preset], generator)
    jets, constituents = measured_jets(data, seen, EVENTS, WINDOW[0], generator)
    pt = transverse_momentum(jets.momentum["px"], jets.momentum["py"])
    eta = pseudorapidity(jets.momentum["px"], jets.momentum["py"], jets.momentum["pz"])
    chosen = np.flatnonzero((np.abs(eta) < 2) & (pt >= WINDOW[0]) & (pt < WINDOW[1]))
    chosen = chosen[np.lexsort((-pt[chosen], jets.event[chosen]))]
    return constituents[chosen], jets.event[chosen]


def same(found, expected):
    return all(ak.array_equal(found[name], expected[name], dtype_exact=False) for name in CONSTITUENT_FIELDS)


@pytest.mark.parametrize("preset", ["perfect", "particle_flow", "calorimeter"])
def test_jets_are_exactly_those_of_our_own_path(collisions, both, preset):
    """Every digit of every constituent, with the same random numbers of the detector."""
    a, b = read_hepmc(recipe(*both, detector=preset), 5)
    for number, part in enumerate((a, b)):
        constituents, event = generators_own(collisions, preset, [5, number, 0, 0])
        assert len(part) == len(event) > 50
        assert part.events.tolist() == (event + number * EVENTS).tolist()
        assert part.labels.tolist() == [number] * len(part)
        assert same(part.constituents, constituents)
        assert part.weights.tolist() == [1.0] * len(part)
    assert a.origin.details["settings"]["samples"][1]["label"] == "b"


def test_radius_and_leading_jets(collisions, both):
    (narrow, _) = read_hepmc(recipe(*both, radius=0.4), 5)
    assert same(narrow.constituents, generators_own(collisions, data=DATA.model_copy(update={"radius": 0.4}))[0])
    (every, _), (first, _) = (read_hepmc(recipe(*both, leading=n), 5) for n in (100, 1))
    pt = every.kinematics()["pt_gev"]
    hardest = [np.flatnonzero(every.events == event)[0] for event in np.unique(every.events)]
    assert (first.events == every.events[hardest]).all()
    assert first.kinematics()["pt_gev"] == pytest.approx([pt[every.events == event].max() for event in first.events])
    # Where the hardest jet is above the window, the event has none in it.
    high = float(np.median(first.kinematics()["pt_gev"]))
    (window, _) = read_hepmc(recipe(*both, leading=1, pt_gev=[WINDOW[0], high]), 5)
    assert window.events.tolist() == first.events[first.kinematics()["pt_gev"] < high].tolist()
    assert len(window) == len(first) // 2


def test_units_and_weights(collisions, both, tmp_path):
    generator = np.random.default_rng(1)
    weights = np.stack([generator.exponential(1e-3, EVENTS), np.full(EVENTS, -1.0)], axis=1)  # the first is nominal
    write(tmp_path / "mev.hepmc", collisions[1], weights, "MEV")
    mev, plain = read_hepmc(recipe(tmp_path / "mev.hepmc", both[0]), 5)
    assert mev.weights == pytest.approx(weights[mev.events, 0], rel=1e-12)
    assert mev.events.tolist() == (plain.events - EVENTS).tolist()
    for name in ("px", "py", "pz", "E"):
        assert ak.to_numpy(ak.flatten(mev.constituents[name])) == pytest.approx(
            ak.to_numpy(ak.flatten(plain.constituents[name])), rel=1e-9, abs=1e-9
        )
    data = recipe(tmp_path / "mev.hepmc", both[0])
    scaled = data.samples[0].model_copy(update={"weight": 10.0})
    (ten, _) = read_hepmc(data.model_copy(update={"samples": (scaled, data.samples[1])}), 5)
    assert ten.weights == pytest.approx(10 * mev.weights)


def test_events_without_weights_count_as_one(collisions, both, tmp_path):
    write(tmp_path / "none.hepmc", collisions[1], [[]] * EVENTS)
    (part, _) = read_hepmc(recipe(tmp_path / "none.hepmc", both[0]), 5)
    assert part.weights.tolist() == [1.0] * len(part)


def test_hepmc2(collisions, both, tmp_path):
    write(tmp_path / "old.hepmc", collisions[1], form="HepMC2")
    old, new = read_hepmc(recipe(tmp_path / "old.hepmc", both[0]), 5)
    assert old.kinematics()["pt_gev"] == pytest.approx(new.kinematics()["pt_gev"], rel=1e-9)


def test_blocks_and_workers_change_nothing(both, tmp_path, monkeypatch):
    data = recipe(*both, detector="particle_flow")
    whole = list(read_hepmc(data, 5))
    apart = list(read_hepmc(data, 5, workers=2))
    assert [one.digest() for one in whole] == [one.digest() for one in apart]
    assert [one.digest() for one in jets_of(data, 5, tmp_path)] == [one.digest() for one in whole]
    assert [one.digest() for one in read_hepmc(data, 6)] != [one.digest() for one in whole]
    monkeypatch.setattr("trigger.data.hepmc.EVENTS_PER_BLOCK", 20)
    parts = list(read_hepmc(recipe(*both), 5))
    monkeypatch.undo()
    (first, second) = read_hepmc(recipe(*both), 5)
    assert len(parts) == 6
    assert np.concatenate([part.events for part in parts]).tolist() == [*first.events, *second.events]
    assert same(ak.concatenate([part.constituents for part in parts[:3]]), first.constituents)


def test_content_is_of_the_files(both):
    found = content_of(recipe(*both), 5)
    assert [path for path, _ in found] == [str(path) for path in both]
    assert found[0][1] != found[1][1]


def spoil(event, number, status=None, code=None, momentum=None):
    """Change the hardest final particle of the twelfth event."""
    if number == 11:
        final = [one for one in event.particles if one.status == 1 and abs(one.momentum.eta()) < 2]
        one = max(final, key=lambda each: each.momentum.pt())
        one.pid = one.pid if code is None else code
        one.momentum = one.momentum if momentum is None else momentum


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {"weights": np.where(np.arange(EVENTS) == 11, -0.5, 1.0)},
            r"event 11 \(from 0\): its weight is -0\.5, .*resampled",
        ),
        ({"weights": np.where(np.arange(EVENTS) == 11, np.nan, 1.0)}, r"event 11 \(from 0\): its weight is no number"),
        ({"change": lambda e, n: spoil(e, n, code=1000022)}, r"event 11 .*PDG code 1000022, which is of no lepton"),
        ({"change": lambda e, n: spoil(e, n, momentum=(1, 2, np.nan, 9))}, r"event 11 .*1 of its particles .*NaN"),
        ({"change": lambda e, n: spoil(e, n, momentum=(900, 0, 1, 9))}, "less energy than momentum"),
    ],
)
def test_wrong_events(collisions, both, tmp_path, how, message):
    write(tmp_path / "broken.hepmc", collisions[1], **how)
    with pytest.raises(InputError, match=message):
        list(read_hepmc(recipe(tmp_path / "broken.hepmc", both[0]), 5))


def test_neutrinos_and_decayed_particles_are_not_seen(collisions, both, tmp_path):
    """Turning the hardest particle into either makes it vanish."""
    (before, _) = read_hepmc(recipe(*both), 5)
    for code, status in ((14, 1), (211, 2)):

        def change(event, number, code=code, status=status):
            spoil(event, number, code=code)
            if number == 11 and status == 2:
                max((one for one in event.particles if one.status == 1 and abs(one.momentum.eta()) < 2),
                    key=lambda each: each.momentum.pt()).status = 2  # fmt: skip

        write(tmp_path / "changed.hepmc", collisions[1], change=change)
        (after, _) = read_hepmc(recipe(tmp_path / "changed.hepmc", both[0]), 5)
        lost = [ak.sum(ak.num(part.constituents)[part.events == 11]) for part in (before, after)]
        assert lost[1] < lost[0]
        others = [part.take(part.events != 11).digest() for part in (before, after)]
        assert others[0] == others[1]


def test_damaged_files(both, tmp_path):
    text = both[0].read_bytes()
    lines = text.splitlines(keepends=True)
    begin = [place for place, line in enumerate(lines) if line.startswith(b"E ")]
    cases = {
        "none.hepmc": (b"".join([*lines[: begin[0]], *lines[-2:]]), "there are no events"),
        "empty.hepmc": (b"", "it is empty"),
        "empty.hepmc.gz": (gzip.compress(b""), "it is empty"),
        "packed.hepmc": (gzip.compress(text), r"it is gzipped; name it \.gz"),
        "twice.hepmc.gz": (gzip.compress(gzip.compress(text)), "it is gzipped twice"),
        "lhe.hepmc": (b"<LesHouchesEvents version='3.0'>\n" * 20, "does not begin as HepMC3 or HepMC2 text"),
        "cut.hepmc": (
            text[: 2 * len(text) // 3],
            r"event 3\d \(from 0\) of 3\d cannot be read: it is damaged or cut off",
        ),
        "clean_cut.hepmc": (b"".join(lines[: begin[20]]), "the file is cut off after 20 events"),
        "hole.hepmc": (
            b"".join([*lines[: begin[7] + 30], *lines[begin[7] + 50 :]]),
            r"event 7 \(from 0\) of 50 cannot be read",
        ),
        "cut.hepmc.gz": (gzip.compress(text)[:-2000], "cannot be read after .* events"),
        "noise.hepmc.gz": (text, r"cannot be read after 0 events: .*; name it without \.gz"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: .*{message}"):
            list(read_hepmc(recipe(path, both[0]), 5))
    with pytest.raises(InputError, match=r"away\.hepmc: no such file"):
        list(read_hepmc(recipe(tmp_path / "away.hepmc", both[0]), 5))


def test_a_class_without_jets(both):
    with pytest.raises(
        InputError, match=r"a\.hepmc, .*b\.hepmc\.gz: class 'a', 'b' has no jets .*left out: none.*right would"
    ):
        list(read_hepmc(recipe(*both, pt_gev=[6000, 7000]), 5))
    for workers in (1, 2):
        with pytest.raises(
            InputError,
            match=r"'a' is 50 events of \S*a\.hepmc, left out: \d+ beyond max_abs_eta 2, \d+ not among the leading 1 of their "
            r"event, \d+ outside pt_gev \[20, 21\]; 'b' is 50 events of",
        ):
            list(read_hepmc(recipe(*both, pt_gev=[20, 21], leading=1), 5, workers))


def test_weights_of_zero_name_the_file(collisions, both, tmp_path):
    write(tmp_path / "zero.hepmc", collisions[1], np.zeros(EVENTS))
    with pytest.raises(
        InputError, match=r"zero\.hepmc: all \d+ jets of the events 0 to 49 .* have the weight 0: right would"
    ):
        list(read_hepmc(recipe(tmp_path / "zero.hepmc", both[0]), 5))


def test_jets_of_more_energy_than_a_beam(collisions, both, tmp_path):
    """A file that says GeV and means MeV."""
    write(tmp_path / "mev.hepmc", collisions[1], momentum="MEV")
    text = (tmp_path / "mev.hepmc").read_bytes()
    assert text.count(b"U MEV MM") == EVENTS
    (tmp_path / "mev.hepmc").write_bytes(text.replace(b"U MEV MM", b"U GEV MM"))
    with pytest.raises(
        InputError, match=r"mev\.hepmc: event \d+ \(from 0\): a jet has an energy of .* are these MeV\?"
    ):
        list(read_hepmc(recipe(tmp_path / "mev.hepmc", both[0]), 5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "samples: [{files: [x], label: a}, {files: [y], label: c}]",
            "label 'c' is none of the classes; nearest: 'a', 'b'",
        ),
        ("samples: [{files: [x], label: a}]", "no sample has the label 'b'"),
        ("samples: []", "samples"),
        (
            "samples: [{files: [x], label: a}, {files: [y], label: b}]\ndetector: particle",
            "detector: 'particle' is not known",
        ),
        ("samples: [{files: [x], label: a}, {files: [y], label: b}]\nleading: 0", "leading"),
        ("samples: [{files: [x], label: a, weight: -1.0}, {files: [y], label: b}]", "weight"),
    ],
)
def test_recipes_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse(f"kind: hepmc\nclasses: [a, b]\npt_gev: [100, 200]\n{text}\n", HepMcJets, "test")
