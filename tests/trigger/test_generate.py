"""Real Pythia collisions, few of them."""

from __future__ import annotations

from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool

import awkward as ak
import numpy as np
import pytest
import uproot

from trigger.config import parse
from trigger.data.generate import Chunk, PythiaData, generate, make_chunk, pythia_seed, read_generated, simulate
from trigger.data.jets import concatenate_features
from trigger.errors import InputError, ToolError
from trigger.inputs.features import jet_features

ALL = ("quark", "gluon", "W", "Z", "top", "higgs")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    data = PythiaData(kind="pythia", classes=ALL, jets_per_class=60)
    folder = tmp_path_factory.mktemp("samples")
    steps = []
    path = generate(data, 1, folder, workers=2, progress=lambda what, done, total: steps.append((done, total)))
    return data, folder, path, steps


def test_the_sample_holds_what_was_asked_for(made):
    _, _, path, steps = made
    (jets,) = read_generated(path)
    assert np.bincount(jets.labels).tolist() == [60] * 6
    kinematics = jets.kinematics()
    assert (kinematics["pt_gev"] >= 800).all()
    assert (kinematics["pt_gev"] < 1200).all()
    assert (np.abs(kinematics["eta"]) < 2).all()
    assert steps[-1] == (360, 360)
    assert len(np.unique(jets.events)) < len(jets)  # two jets of one event share its number
    assert set(np.unique(ak.to_numpy(ak.flatten(jets.constituents.pdg_id)))) <= {11, 13, 22, 130, 211}
    for process in jets.origin.details["processes"].values():
        assert process["cross_section_pb"] > 0
        assert process["sum_of_weights"] > 0


def test_masses_are_those_of_the_particles(made):
    (jets,) = read_generated(made[2])
    mass = jet_features(jets, ("mass_gev",)).values[:, 0]
    for name, expected in (("W", 80.4), ("Z", 91.2), ("top", 172.5), ("higgs", 125.0)):
        # Sixty jets, the detector, and lost prongs: the median is within 15 %.
        assert np.median(mass[jets.labels == ALL.index(name)]) == pytest.approx(expected, rel=0.15)
    assert np.median(mass[jets.labels == 0]) < 50
    multiplicity = ak.to_numpy(ak.num(jets.constituents))
    assert multiplicity[jets.labels == 1].mean() > 1.2 * multiplicity[jets.labels == 0].mean()


def test_others_can_read_it(made):
    with uproot.open(made[2]) as file:
        assert file["jets"].num_entries == 360
        assert "constituent_px" in file["jets"].keys()  # noqa: SIM118


def test_nothing_is_made_twice(made, monkeypatch):
    data, folder, path, _ = made
    before = path.stat().st_mtime_ns
    assert generate(data, 1, folder) == path
    assert path.stat().st_mtime_ns == before


def test_the_number_of_workers_and_an_interruption_change_nothing(tmp_path):
    data = PythiaData(kind="pythia", classes=("W", "Z"), jets_per_class=40)
    two = generate(data, 3, tmp_path / "two", workers=2)
    # What a killed run leaves: some chunks, one of them beyond what is needed, and half a file beside them.
    home = tmp_path / "one" / two.parent.name / "chunks"
    home.mkdir(parents=True)
    make_chunk(Chunk(data, "wz", 0, pythia_seed(3, "wz", 0), 100, None), home)
    (home / ".wz-0001.root-abc").mkdir()
    one = generate(data, 3, tmp_path / "one", workers=1)
    digests = [
        concatenate_features([jet_features(jets) for jets in read_generated(path)]).digest() for path in (one, two)
    ]
    contents = [next(iter(read_generated(path))).digest() for path in (one, two)]
    assert digests[0] == digests[1]
    assert contents[0] == contents[1]


def test_a_chunk_depends_on_its_seed_alone():
    data = PythiaData(kind="pythia", jets_per_class=40)
    first = simulate(Chunk(data, "qcd", 1, 4242, 20, None))
    simulate(Chunk(data, "qcd", 0, 99, 30, None))
    again = simulate(Chunk(data, "qcd", 1, 4242, 20, None))
    assert ak.array_equal(first.constituents, again.constituents)
    assert first.details == again.details


def test_pileup_adds_particles_of_its_own_vertex(tmp_path):
    data = PythiaData(kind="pythia", classes=("W", "Z"), jets_per_class=15, pileup=20, pileup_pool=60)
    path = generate(data, 1, tmp_path, workers=2)
    (jets,) = read_generated(path)
    share = ak.mean(jets.constituents.vertex == 1)
    assert 0.1 < share < 0.9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [W]", "at least two different classes"),
        ("classes: [W, W]", "at least two different classes"),
        ("classes: [W, boson]", "'boson' is not known; nearest: "),
        ("pt_gev: [900, 800]", "a pT window is"),
        ("detector: cms", "'cms' is not known; nearest: "),
        ("jets_per_class: 0", "greater than 0"),
    ],
)
def test_wrong_settings(text, message):
    with pytest.raises(InputError, match=message):
        parse(f"kind: pythia\n{text}\n", PythiaData, "data")


class DyingPool(Executor):
    """Stands for a machine that ran out of memory."""

    def submit(self, *_, **__):
        raise BrokenProcessPool


def test_a_worker_that_dies(tmp_path):
    with pytest.raises(ToolError, match="use fewer --workers"):
        generate(PythiaData(kind="pythia", jets_per_class=10), 1, tmp_path, executor=DyingPool())


def test_wrong_pythia_settings(tmp_path):
    data = PythiaData(kind="pythia", jets_per_class=10, pythia=("HardQDC:all = on",))
    with pytest.raises(InputError, match="Pythia does not know the setting 'HardQDC:all = on'"):
        generate(data, 1, tmp_path)


def test_a_class_that_never_appears(tmp_path):
    data = PythiaData(kind="pythia", classes=("W", "Z"), jets_per_class=100, radius=0.05)
    with pytest.raises(InputError, match=r"class 'W', 'Z' has no jets after [89]00 events of process 'wz'"):
        generate(data, 1, tmp_path, workers=2)


def test_labels_by_hand():
    """A top jet is a top jet whatever the order of the classes; a W inside it is no W jet, a quark from it no quark jet."""
    from trigger.data.generate import HardPartons, _match

    quarks = HardPartons(
        code=np.array([[5, 2, -1, 21, 0], [5, 3, 21, 1, 4]]), mother=np.array([[6, 24, 24, 2, 0], [21, 24, 2, 21, 21]]),
        eta=np.array([[0.1, -0.2, 0.3, 2.0, 0], [2.9, -0.2, 3.5, 1.5, -2.0]]), phi=np.zeros((2, 5)),
    )  # fmt: skip
    jets = (np.array([0, 0, 1, 1, 1]), np.array([0.0, 2.1, -0.3, 1.4, -2.1]), np.zeros(5))
    for classes in (("top", "W", "quark", "gluon"), ("gluon", "quark", "W", "top")):
        data = PythiaData(kind="pythia", classes=classes)

        def names(process, data=data, classes=classes):
            return [classes[label] if label >= 0 else None for label in _match(data, process, quarks, *jets)]

        assert names("top") == ["top", None, None, None, None]
        assert names("qcd") == [None, "gluon", None, "quark", None]  # b and c, and quarks of a decay, are left out
        assert names("wz") == ["W", None, None, None, None]
