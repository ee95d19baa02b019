from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from tests.conftest import realdata
from trigger.config import parse
from trigger.data.rootfile import (
    JetBlock,
    RootData,
    iterate_blocks,
    numbers_of_file,
    read_block,
    read_jets,
    write_sample,
)
from trigger.data.sources import content_of
from trigger.errors import InputError

MOMENTA = ("px", "py", "pz", "E")


def write_tree(file, name, columns):
    """A TTree; plain assignment would write an RNTuple."""
    file.mktree(name, {key: ak.type(ak.Array(column)).content for key, column in columns.items()}).extend(columns)


def recipe(path, layout, **more):
    extra = "".join(f"{key}: {value}\n" for key, value in more.items())
    text = f"kind: root\nclasses: [a, b]\ntree: Events\nlayout: {layout}\n{extra}"
    if "samples" not in more:
        text += f"samples: [{{files: ['{path}'], label: {{branch: flavour, values: {{a: [1, 2], b: [21]}}}}}}]\n"
    return parse(text, RootData, "test")


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """Six events of two jets each, written in every layout."""
    generator = np.random.default_rng(4)
    path = tmp_path_factory.mktemp("root") / "jets.root"
    counts = generator.integers(3, 9, 12)
    pt, eta = (
        generator.uniform(5, 60, counts.sum()),
        np.repeat(np.tile([-1.0, 1.0], 6), counts) + generator.normal(0, 0.1, counts.sum()),
    )
    phi = np.repeat(np.tile([0.5, -2.0], 6), counts) + generator.normal(0, 0.1, counts.sum())
    jets = ak.unflatten(ak.zip({"pt": pt, "eta": eta, "phi": phi}), counts)
    by_event = ak.unflatten(jets, np.full(6, 2))
    flat = ak.flatten(by_event, axis=2)
    order = ak.argsort(flat.pt, axis=1)  # particles do not lie by jet
    jet_of = ak.flatten(ak.broadcast_arrays(ak.local_index(by_event, axis=1), by_event.pt)[0], axis=2)
    with uproot.recreate(path) as file:
        columns = {
            "part": ak.zip({"pt": flat.pt[order], "eta": flat.eta[order], "phi": flat.phi[order]}),
            "link": ak.zip({"jet": jet_of[order], "particle": ak.local_index(flat.pt)}),
            "Jet_pt": ak.sum(by_event.pt, axis=2),
            "flavour": ak.Array([[1, 21]] * 6),
            "run": np.arange(6) + 100,
            "met": np.arange(6.0),
            "w": np.arange(6.0) + 1,
        }
        write_tree(file, "Events", columns)
        write_tree(file, "Jets", {"c": jets, "flavour": np.tile([1, 21], 6), "event": np.repeat(np.arange(6), 2) + 100})
    return path, jets


def multiset(jets):
    return sorted(sorted(np.round(one, 9)) for one in (np.hypot(jets.constituents.px, jets.constituents.py)).to_list())


LINKED = "{kind: linked, particles: {pt: part_pt, eta: part_eta, phi: part_phi}, jet_index: link_jet, particle_index: link_particle, jets: Jet_pt}"  # fmt: skip
FLAT = "{kind: flat, particles: {pt: part_pt, eta: part_eta, phi: part_phi}, min_pt_gev: 5}"
NESTED = "{kind: nested, constituents: {pt: c_pt, eta: c_eta, phi: c_phi}}"


def test_the_layouts_give_the_same_jets(events):
    path, truth = events
    expected = sorted(sorted(np.round(one, 9)) for one in truth.pt.to_list())
    (linked,) = read_jets(recipe(path, LINKED, event="run"))
    (nested,) = read_jets(recipe(path, NESTED, event="event").model_copy(update={"tree": "Jets"}))
    flat_recipe = recipe(path, FLAT, samples=f"[{{files: ['{path}'], label: a}}]")
    (flat,) = read_jets(flat_recipe)
    assert multiset(linked) == multiset(nested) == multiset(flat) == expected
    assert linked.labels.tolist() == nested.labels.tolist() == [0, 1] * 6
    assert linked.events.tolist() == nested.events.tolist() == np.repeat(np.arange(100, 106), 2).tolist()


def test_chunks_change_nothing(events):
    path, _ = events
    whole = list(read_jets(recipe(path, LINKED)))
    pieces = list(read_jets(recipe(path, LINKED), step_size=2))
    assert (len(whole), len(pieces)) == (1, 3)
    assert np.concatenate([piece.events for piece in pieces]).tolist() == whole[0].events.tolist()
    assert multiset(whole[0]) == sorted(one for piece in pieces for one in multiset(piece))


def test_selection_weight_and_cross_section(events):
    path, _ = events
    (cut,) = read_jets(recipe(path, LINKED, cuts="[{branch: met, min: 2, max: 4}]"))
    assert cut.events.tolist() == [2, 2, 3, 3]
    (jets,) = read_jets(recipe(path, LINKED))
    pt = jets.kinematics()["pt_gev"]
    low, high = np.quantile(pt, [0.3, 0.8])
    (window,) = read_jets(recipe(path, LINKED, pt_gev=f"[{low}, {high}]"))
    assert len(window) == ((pt >= low) & (pt < high)).sum()
    (weighted,) = read_jets(recipe(path, LINKED, samples=f"[{{files: ['{path}'], label: a, weight: w}}]"))
    assert weighted.weights.tolist() == np.repeat(np.arange(1, 7), 2).tolist()
    (few,) = read_jets(recipe(path, LINKED, max_jets=5))
    assert len(few) == 5


def test_cross_sections_do_not_depend_on_the_number_of_entries(events, tmp_path):
    """Weights of all entries add up to the cross-section, cuts or not, in chunks or not, in one file or two."""
    path, _ = events
    for weight, expected in (("1.0", np.full(6, 12.0 / 6)), ("w", np.arange(1, 7) * 12.0 / 21)):
        sample = f"[{{files: ['{path}'], label: a, weight: {weight}, cross_section_pb: 12.0}}]"
        parts = list(read_jets(recipe(path, LINKED, samples=sample), step_size=2))
        assert np.concatenate([part.weights for part in parts]) == pytest.approx(np.repeat(expected, 2))
        (cut,) = read_jets(recipe(path, LINKED, samples=sample, cuts="[{branch: met, min: 2, max: 4}]"))
        assert cut.weights == pytest.approx(np.repeat(expected[2:4], 2))
        twice = f"[{{files: ['{path}', '{path}'], label: a, weight: {weight}, cross_section_pb: 12.0}}]"
        assert sum(part.weights.sum() for part in read_jets(recipe(path, LINKED, samples=twice))) == pytest.approx(24.0)


def test_padding_is_no_particle(events, tmp_path):
    """Public sets store a fixed number of slots and fill the rest with zeros."""
    with uproot.recreate(tmp_path / "padded.root") as file:
        c = {
            "c_px": [[1.0, 2, 0, 0], [3, 0, 0, 0]],
            "c_py": [[0.0] * 4] * 2,
            "c_pz": [[1.0, 1, 0, 0], [1, 0, 0, 0]],
            "c_E": [[2.0, 3, 0, 0], [4, 0, 0, 0]],
        }
        write_tree(
            file, "Events", {**{name: np.array(column) for name, column in c.items()}, "flavour": np.array([1, 21])}
        )
    layout = "{kind: nested, constituents: {px: c_px, py: c_py, pz: c_pz, E: c_E}}"
    (jets,) = read_jets(recipe(tmp_path / "padded.root", layout))
    assert ak.num(jets.constituents).to_list() == [2, 1]


def test_damage_in_the_middle(events, tmp_path):
    """Wherever bytes are overwritten: jets come out or a message, never a traceback."""
    path, _ = events
    whole, refused = path.read_bytes(), 0
    for place in range(300, len(whole) - 64, 211):
        (tmp_path / "broken.root").write_bytes(whole[:place] + bytes(range(64)) + whole[place + 64 :])
        try:
            list(read_jets(recipe(tmp_path / "broken.root", LINKED)))
        except InputError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("part_pt", "part_Pt"), r"tree 'Events' has no branch 'part_Pt'; nearest: 'part_pt'"),
        (("Jet_pt", "met"), "'met' has neither one value a jet nor the number of jets"),
        (("link_particle", "flavour"), "differ in length"),
    ],
)
def test_wrong_branches(events, change, message):
    path, _ = events
    with pytest.raises(InputError, match=message):
        list(read_jets(recipe(path, LINKED.replace(*change))))


def test_wrong_files(events, tmp_path):
    path, _ = events
    with pytest.raises(InputError, match=r"no tree 'Evnts'; nearest: 'Events'"):
        list(read_jets(recipe(path, LINKED).model_copy(update={"tree": "Evnts"})))
    with pytest.raises(InputError, match="no such file"):
        list(read_jets(recipe(tmp_path / "*.root", LINKED)))
    for size in (50, 2000, path.stat().st_size // 2):
        broken = tmp_path / f"broken{size}.root"
        broken.write_bytes(path.read_bytes()[:size])
        with pytest.raises(InputError, match=rf"broken{size}.root: not a ROOT file, or a damaged one"):
            list(read_jets(recipe(broken, LINKED)))
    with uproot.recreate(tmp_path / "empty.root") as file:
        types = dict.fromkeys(("c_pt", "c_eta", "c_phi"), "var * float64")
        file.mktree("Events", {**types, "flavour": "int64"})
    assert list(read_jets(recipe(tmp_path / "empty.root", NESTED))) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none(tmp_path, bad):
    with uproot.recreate(tmp_path / "nan.root") as file:
        c = ak.zip(
            {
                "pt": ak.Array([[1.0, bad], [2.0, 1.0]]),
                "eta": ak.Array([[0.0, 0.0]] * 2),
                "phi": ak.Array([[0.0, 0.0]] * 2),
            }
        )
        write_tree(file, "Events", {"c": c, "flavour": np.array([1, 21])})
    with pytest.raises(InputError, match=r"nan.root: 1 of 4 values of \w+ are NaN or infinite"):
        list(read_jets(recipe(tmp_path / "nan.root", NESTED)))


def write_nested(path, px, flavour=None, **more):
    """Jets of two equal particles each, along px."""
    px = np.asarray(px, dtype=float)
    pair = np.stack([px, px], axis=1)
    columns = {"c_px": pair, "c_py": 0 * pair, "c_pz": 0 * pair + 1, "c_E": np.sqrt(pair**2 + 1)}
    with uproot.recreate(path) as file:
        write_tree(file, "Events", {**columns, "flavour": np.tile([1, 21], len(px))[: len(px)], **more})


PXPYPZE = "{kind: nested, constituents: {px: c_px, py: c_py, pz: c_pz, E: c_E}}"


def numbers(data, **more):
    return np.concatenate([part.events for part in read_jets(data, **more)])


def test_events_of_two_files_are_two_events(tmp_path):
    """Also of one class, and where the same file is read twice it stays one event."""
    for name in "xyz":
        write_nested(tmp_path / f"{name}.root", [10, 20, 30], event=np.array([7, 7, 8]))
    found = numbers(recipe(tmp_path / "?.root", PXPYPZE, event="event"))
    assert found.dtype == np.int64
    assert found[:3].tolist() == [7, 7, 8]
    assert len(set(found.tolist())) == 6
    assert (found >= 0).all()
    for file in range(3):
        assert np.diff(found[3 * file : 3 * file + 3]).tolist() == [0, 1]
    assert found.tolist() == numbers(recipe(tmp_path / "?.root", PXPYPZE, event="event"), step_size=1).tolist()
    samples = (
        f"[{{files: ['{tmp_path}/x.root', '{tmp_path}/y.root'], label: a}}, {{files: ['{tmp_path}/x.root'], label: b}}]"
    )
    twice = numbers(recipe(None, PXPYPZE, event="event", samples=samples))
    assert twice[:3].tolist() == twice[6:].tolist() == [7, 7, 8]
    assert numbers(recipe(tmp_path / "?.root", PXPYPZE)).tolist() == list(range(9))


def test_numbers_of_files_stay_apart():
    """For every distance of two files up to a hundred thousand, their numbers lie further apart than any number is large."""
    first = np.concatenate([numbers_of_file(np.array([0]), file) for file in range(100_000)])
    gaps = np.diff(np.sort(first))
    assert gaps.min() > 3e13
    most = np.array([2**63 - 1, 0, 5], dtype=np.uint64)
    assert numbers_of_file(most, 0).tolist() == [2**63 - 1, 0, 5]
    moved = [int(one) for one in numbers_of_file(most, 3)]
    assert all(0 <= one < 2**63 for one in moved)
    assert (moved[1] - moved[0]) % 2**63 == 1
    assert (moved[2] - moved[1]) % 2**63 == 5


def test_the_format_of_rows_is_content(events):
    path, _ = events
    data = recipe(path, LINKED)
    number, *files = content_of(data, 1)
    assert isinstance(number, int)
    assert [one for one, _ in files] == [str(path)]


@pytest.mark.parametrize(("bad", "message"), [(0.5, "no whole numbers"), (np.nan, "NaN"), (1e20, "no whole numbers")])
def test_event_numbers_are_whole(tmp_path, bad, message):
    write_nested(tmp_path / "x.root", [10, 20, 30], event=np.array([1.0, bad, 2.0]))
    with pytest.raises(InputError, match=rf"x\.root: 1 of 3 values of 'event' are {message}"):
        numbers(recipe(tmp_path / "x.root", PXPYPZE, event="event"))


@pytest.mark.parametrize(("bad", "message"), [(0.5, "no whole numbers"), (np.inf, "NaN or infinite")])
def test_charges_are_whole(tmp_path, bad, message):
    write_nested(tmp_path / "x.root", [10, 20], c_charge=np.array([[0.0, 1.0], [bad, -1.0]]))
    layout = PXPYPZE.replace("E: c_E", "E: c_E, charge: c_charge")
    with pytest.raises(InputError, match=rf"x\.root: 1 of 4 values of 'c_charge' are {message}"):
        list(read_jets(recipe(tmp_path / "x.root", layout)))


def test_text_is_no_number(tmp_path):
    write_nested(tmp_path / "x.root", [10, 20], event=ak.Array(["1", "2"]))
    with pytest.raises(InputError, match=r"x\.root: array 'event' does not hold numbers but .*first is '1'"):
        numbers(recipe(tmp_path / "x.root", PXPYPZE, event="event"))


def test_jets_that_there_cannot_be(tmp_path):
    """The entry is that of the file."""
    write_nested(tmp_path / "a.root", [10, 20, 30])
    write_nested(tmp_path / "b.root", [10, 20, 3600])
    with pytest.raises(
        InputError, match=r"b\.root: entry 2 \(from 0\): a jet has an energy of 7200 GeV; .* are these MeV\?"
    ):
        list(read_jets(recipe(tmp_path / "?.root", PXPYPZE), step_size=1))
    with uproot.recreate(tmp_path / "b.root") as file:
        px = np.array([[10.0, 10.0], [5.0, -5.0]])
        columns = {"c_px": px, "c_py": 0 * px, "c_pz": 0 * px, "c_E": np.abs(px), "flavour": np.array([1, 21])}
        write_tree(file, "Events", columns)
    with pytest.raises(InputError, match=r"b\.root: entry 1 \(from 0\): a jet has a pT of 0; 1 of 2 jets"):
        list(read_jets(recipe(tmp_path / "?.root", PXPYPZE)))
    assert numbers(recipe(tmp_path / "?.root", PXPYPZE, pt_gev="[1, 100]")).tolist() == [0, 1, 2, 3]


def test_labels_must_be_classes(events):
    path, _ = events
    with pytest.raises(InputError, match="label 'c' is none of the classes; nearest: 'a', 'b'"):
        list(read_jets(recipe(path, LINKED, samples=f"[{{files: ['{path}'], label: c}}]")))


def test_our_own_files_are_read_by_us_and_by_the_mapping(toy, tmp_path):
    block = JetBlock(toy.constituents, toy.labels, toy.weights, toy.events, np.full(len(toy), 0.5), {})
    nothing = block.take(np.zeros(len(toy), bool), np.empty(0))
    path = tmp_path / "own.root"
    write_sample(path, [nothing, block, block], {"class_names": list(toy.class_names)})
    again = read_block(path)
    assert len(again.labels) == 2 * len(toy)
    assert sum(len(one.labels) for one in iterate_blocks(path, step_size=100)) == 2 * len(toy)
    assert again.details["class_names"] == list(toy.class_names)
    mapped = parse(
        f"""
kind: root
classes: [quark, gluon, W, Z, top]
tree: jets
event: event
layout: {{kind: nested, constituents: {{px: constituent_px, py: constituent_py, pz: constituent_pz, E: constituent_E}}}}
samples:
- files: ['{path}']
  label: {{branch: label, values: {{quark: [0], gluon: [1], W: [2], Z: [3], top: [4]}}}}
  weight: weight
""",
        RootData, "own",
    )  # fmt: skip
    (jets,) = read_jets(mapped)
    np.testing.assert_array_equal(jets.labels[: len(toy)], toy.labels)
    assert ak.all(jets.constituents.px[: len(toy)] == toy.constituents.px)


def test_cms_nanoaod_with_linked_particles():
    path = realdata("root/pfnano.root")
    data = parse(
        f"""
kind: root
classes: [light, heavy, other]
layout:
  kind: linked
  particles: {{pt: PFCands_pt, eta: PFCands_eta, phi: PFCands_phi, mass: PFCands_mass, charge: PFCands_charge, pdg_id: PFCands_pdgId}}
  jet_index: JetPFCands_jetIdx
  particle_index: JetPFCands_pFCandsIdx
  jets: nJet
event: event
samples: [{{files: ['{path}'], label: {{branch: Jet_hadronFlavour, values: {{light: [0], heavy: [4, 5]}}}}}}]
""",
        RootData, "pfnano",
    )  # fmt: skip
    (jets,) = read_jets(data)
    with uproot.open(path) as file:
        stored = file["Events"].arrays(["Jet_pt", "Jet_rawFactor", "Jet_nConstituents", "event"])
    assert set(jets.events) == set(ak.to_numpy(stored["event"]))
    np.testing.assert_array_equal(ak.num(jets.constituents), ak.flatten(stored["Jet_nConstituents"]))
    # The sum of a jet's particles is its uncorrected momentum, up to the packing of the file's numbers.
    raw = ak.to_numpy(ak.flatten(stored["Jet_pt"] * (1 - stored["Jet_rawFactor"])))
    np.testing.assert_allclose(jets.kinematics()["pt_gev"], raw, rtol=3e-3)


def test_public_quark_and_gluon_jets(tmp_path):
    """Two thousand jets of others, padded to 128 slots: read by a mapping, and told apart as the field knows they are."""
    from sklearn.metrics import roc_auc_score

    from trigger.inputs.features import jet_features

    folder = realdata("jets/quark_gluon")
    vectors, labels = np.load(folder / "qg_pf_vectors.npy"), np.load(folder / "qg_labels.npy")
    columns = {f"c_{name}": vectors[:, index].astype(float) for index, name in enumerate(MOMENTA)}
    with uproot.recreate(tmp_path / "qg.root") as file:
        write_tree(file, "Events", {**columns, "flavour": np.where(labels == 1, 1, 21)})
    layout = "{kind: nested, constituents: {px: c_px, py: c_py, pz: c_pz, E: c_E}}"
    (jets,) = read_jets(recipe(tmp_path / "qg.root", layout))
    np.testing.assert_array_equal(ak.num(jets.constituents), np.load(folder / "qg_pf_mask.npy").sum(axis=(1, 2)))
    assert (np.abs(jets.kinematics()["pt_gev"] - 525) < 26).all()  # 500 to 550 GeV, and a particle more or less
    found = jet_features(jets)
    # Gluon jets have more particles and more mass (arXiv:1405.6583): AUCs of 0.84 and 0.7 are usual at this pT.
    assert roc_auc_score(labels == 0, found.column("multiplicity")) > 0.8
    assert roc_auc_score(labels == 0, found.column("c1_b1")) > 0.65
    assert roc_auc_score(labels == 0, found.column("mass_gev")) > 0.6


def test_delphes_tracks_are_clustered():
    path = realdata("root/uproot-issue513.root")
    data = parse(
        f"""
kind: root
classes: [jet, none]
tree: Delphes
layout: {{kind: flat, particles: {{pt: EFlowTrack.PT, eta: EFlowTrack.Eta, phi: EFlowTrack.Phi}}, radius: 0.4, min_pt_gev: 20, max_abs_eta: 5}}
samples: [{{files: ['{path}'], label: jet}}]
""",
        RootData, "delphes",
    )  # fmt: skip
    (jets,) = read_jets(data)
    assert (jets.kinematics()["pt_gev"] >= 20).all()
