from __future__ import annotations

import shutil
from dataclasses import fields

import awkward as ak
import numpy as np
import pytest
import uproot

from trigger.config import dump, packaged, parse
from trigger.data.event_rootfile import (
    EventMapping,
    EventRootData,
    iterate_events,
    read_root_events,
    write_root_events,
)
from trigger.data.events import EventDataset, concatenate_events
from trigger.data.jets import Origin
from trigger.errors import InputError

# Widths of the numbers that CMS's unpackers write, from their sources: the product of the hardware integer and these.
STEPS = {"L1EG": (0.5, 0.0435, 0.0435), "L1Jet": (0.5, 0.0435, 0.0435), "L1Mu": (0.5, 0.010875, 0.010908)}
RANGES = {"L1EG": (511, 127, 143), "L1Jet": (2047, 127, 143), "L1Mu": (511, 225, 575)}
PLACES = {"L1EG": ("egammas", 4), "L1Mu": ("muons", 4), "L1Jet": ("jets", 10)}


def packed(values):
    """As nanoAOD packs them: phi within half a turn, single precision, 12 bits of mantissa, rounded."""
    mantissa, exponent = np.frexp(np.asarray(values, dtype=np.float64))
    return np.ldexp(np.rint(mantissa * 2**13) / 2**13, exponent).astype(np.float32)


def turned(phi):
    return np.where(phi >= np.pi, phi - 2 * np.pi, phi)


def cms_events(seed=1, events=30):
    """Crossings -1, 0 and 1 in the layout of L1 nano, in nested lists, with the truth at crossing 0 by a plain loop."""
    generator = np.random.default_rng(seed)
    columns = {f"{name}_{field}": [] for name in STEPS for field in ("pt", "eta", "phi", "bx")}
    columns |= {f"L1EtSum_{field}": [] for field in ("pt", "phi", "etSumType", "bx")}
    truth = {"met": [], "sums": [], **{place: [] for place, _ in PLACES.values()}}
    for _ in range(events):
        for name, steps in STEPS.items():
            rows = {"pt": [], "eta": [], "phi": [], "bx": []}
            kept = []
            for crossing in (-1, 0, 1):
                for _ in range(generator.integers(0, 9 if name != "L1Jet" else 14)):
                    pt, eta, phi = (
                        int(generator.integers(1, RANGES[name][0] + 1)),
                        int(generator.integers(-RANGES[name][1], RANGES[name][1] + 1)),
                        int(generator.integers(0, RANGES[name][2] + 1)),
                    )
                    rows["pt"].append(pt * steps[0] + 1e-6)
                    rows["eta"].append(eta * steps[1])
                    rows["phi"].append(float(turned(phi * steps[2])))
                    rows["bx"].append(crossing)
                    if crossing == 0:
                        kept.append([pt, eta, phi])
            place, count = PLACES[name]
            kept = sorted(kept, key=lambda one: -one[0])[:count]
            truth[place].append(kept + [[0, 0, 0]] * (count - len(kept)))
            for field, row in rows.items():
                columns[f"{name}_{field}"].append(row)
        sums = {"pt": [], "phi": [], "etSumType": [], "bx": []}
        for crossing in (-1, 0, 1):
            for kind in (0, 16, 11, 1, 21, 12, 2, 13, 3, 14, 8, 20):  # the order of the boards, not of the numbers
                pt, phi = int(generator.integers(0, 4096)), int(generator.integers(0, 144))
                sums["pt"].append(pt * 0.5)
                sums["phi"].append(float(turned(phi * 0.0435)))
                sums["etSumType"].append(kind)
                sums["bx"].append(crossing)
                if crossing == 0 and kind == 2:
                    truth["met"].append([pt, phi])
                if crossing == 0 and kind in (0, 1):
                    truth["sums"].append(pt)
        for field, row in sums.items():
            columns[f"L1EtSum_{field}"].append(row)
    truth["sums"] = np.reshape(truth["sums"], (-1, 2))
    return columns, {name: np.array(value) for name, value in truth.items()}


def write(path, columns, **numbers):
    """One entry an event: lists with their counts as nanoAOD has them (`nL1EG`), and branches of one number."""
    grouped = {}
    for name, values in columns.items():
        group, field = name.split("_", 1)
        array = ak.Array(values)
        if field in ("bx", "etSumType"):
            array = ak.values_astype(array, np.int16 if field == "bx" else np.int32)
        elif np.issubdtype(ak.to_numpy(ak.flatten(array)).dtype, np.floating):
            array = ak.unflatten(packed(ak.to_numpy(ak.flatten(array))), ak.num(array))
        grouped.setdefault(group, {})[field] = array
    tables = {group: ak.zip(fields) for group, fields in grouped.items()} | numbers
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: ak.type(ak.Array(table)).content for name, table in tables.items()}).extend(tables)
    return path


def recipe(path, mapping="cms_l1_nano", **more):
    text = f"kind: event_root\nclasses: [a, b]\nmapping: {mapping}\n"
    text += "".join(f"{key}: {value}\n" for key, value in more.items())
    if "samples" not in more:
        text += f"samples: [{{files: ['{path}'], label: {{branch: process, values: {{a: [0], b: [1]}}}}}}]\n"
    return parse(text, EventRootData, "test")


@pytest.fixture(scope="module")
def cms(tmp_path_factory):
    columns, truth = cms_events()
    path = tmp_path_factory.mktemp("cms") / "nano.root"
    process = np.arange(30) % 2
    write(path, columns, process=process, event=(np.arange(30) + 7_000_000_000).astype(np.uint64), w=np.arange(30.0) + 1,
          Pileup_nPU=np.arange(30) + 20)  # fmt: skip
    return path, truth


def changed(tmp_path, change, events=6):
    """A file of the same layout after `change(columns)`."""
    columns, _ = cms_events(seed=2, events=events)
    change(columns)
    return write(tmp_path / "changed.root", columns, process=np.arange(events) % 2)


def test_layout_of_the_test_file(cms):
    """The branches are those of cmssw's l1trig_cff.py."""
    path, _ = cms
    with uproot.open(path) as file:
        names = set(file["Events"].keys())
    assert {
        "nL1EG",
        "L1EG_pt",
        "L1EG_bx",
        "nL1Mu",
        "L1Mu_phi",
        "nL1Jet",
        "L1Jet_eta",
        "nL1EtSum",
        "L1EtSum_etSumType",
    } < names


def test_events_of_two_files_with_one_number_are_two(cms, tmp_path):
    path, _ = cms
    shutil.copy(path, tmp_path / "again.root")
    files = f"[{{files: [{path}, {tmp_path / 'again.root'}], label: {{branch: process, values: {{a: [0], b: [1]}}}}}}]"
    numbers = concatenate_events(list(iterate_events(recipe(path, event="event", samples=files), step_size=7))).events
    assert len(np.unique(numbers)) == 60
    assert numbers[:30].tolist() == list(range(7_000_000_000, 7_000_000_030))
    assert (np.diff(numbers[30:]) == 1).all()


def test_cms_objects_become_the_integers_they_were(cms):
    path, truth = cms
    (found,) = iterate_events(recipe(path, event="event", collisions="Pileup_nPU"))
    for name, expected in truth.items():
        np.testing.assert_array_equal(getattr(found, name), expected, err_msg=name)
    assert found.regions is None
    assert found.labels.tolist() == [0, 1] * 15
    assert found.events.tolist() == list(range(7_000_000_000, 7_000_000_030))
    assert found.collisions.tolist() == list(range(20, 50))
    assert found.origin.details["absent"] == ["regions"]
    assert not found.origin.synthetic


def test_every_hardware_integer_comes_back():
    """All of them, through the packing of nanoAOD; the calorimeter's phi is 0.0435 a count there, not a 144th of a turn."""
    from trigger.data.events import EGAMMA, JET, MUON

    for scale, name in ((EGAMMA, "L1EG"), (JET, "L1Jet"), (MUON, "L1Mu")):
        largest, steps = RANGES[name], STEPS[name]
        pt, eta, phi = np.arange(largest[0] + 1), np.arange(-largest[1], largest[1] + 1), np.arange(largest[2] + 1)
        np.testing.assert_array_equal(scale.pt_codes(packed(pt * steps[0] + 1e-6)), pt)
        np.testing.assert_array_equal(scale.eta_codes(packed(eta * steps[1])), eta)
        np.testing.assert_array_equal(scale.phi_codes(packed(turned(phi * steps[2]))), phi)


def test_chunks_and_files_change_nothing(cms):
    path, _ = cms
    (whole,) = iterate_events(recipe(path))
    pieces = list(iterate_events(recipe(path), step_size=7))
    assert [len(piece) for piece in pieces] == [7, 7, 7, 7, 2]
    assert concatenate_events(pieces).digest() == whole.digest()
    twice = f"[{{files: ['{path}', '{path}'], label: a}}]"
    both = list(iterate_events(recipe(path, samples=twice), step_size=11))
    assert np.concatenate([part.events for part in both]).tolist() == list(range(60))
    few = list(iterate_events(recipe(path, max_events=9), step_size=4))
    assert [len(part) for part in few] == [4, 4, 1]


def test_labels_cuts_weights_and_cross_sections(cms):
    path, truth = cms
    samples = (
        f"[{{files: ['{path}'], label: {{branch: process, values: {{b: [1]}}}}, weight: w, cross_section_pb: 93}}]"
    )
    (found,) = iterate_events(recipe(path, samples=samples, cuts="[{branch: Pileup_nPU, min: 30, max: 40}]"))
    chosen = [11, 13, 15, 17, 19]
    np.testing.assert_array_equal(found.jets, truth["jets"][chosen])
    assert found.labels.tolist() == [1] * 5
    assert found.weights == pytest.approx((np.array(chosen) + 1) * 93 / 465)  # of all 30 entries, before any cut
    with pytest.raises(InputError, match="label 'c' is none of the classes; nearest: 'a', 'b'"):
        list(iterate_events(recipe(path, samples=f"[{{files: ['{path}'], label: c}}]")))


def test_central_nano_keeps_no_total_energy(tmp_path):
    def reduce(columns):
        for event, kinds in enumerate(columns["L1EtSum_etSumType"]):
            keep = [kind in (1, 2, 3, 8) for kind in kinds]
            for field in ("pt", "phi", "bx", "etSumType"):
                values = columns[f"L1EtSum_{field}"][event]
                columns[f"L1EtSum_{field}"][event] = [value for value, kept in zip(values, keep, strict=True) if kept]

    path = changed(tmp_path, reduce)
    _, truth = cms_events(seed=2, events=6)
    with pytest.raises(InputError, match=r"changed.root: 6 of 6 events have not one sum of L1EtSum_etSumType 0 \(total_et\) "
                       r"at L1EtSum_bx 0 but 0; found there: \[1, 2, 3, 8\]; where files have none, 'total_et: null'"):  # fmt: skip
        list(iterate_events(recipe(path)))
    (found,) = iterate_events(recipe(path, "cms_nano"))
    np.testing.assert_array_equal(found.sums, truth["sums"] * [0, 1])
    np.testing.assert_array_equal(found.met, truth["met"])
    assert found.origin.details["absent"] == ["regions", "total_et"]


def test_physical_values_go_to_the_nearest_integer_and_saturate(tmp_path):
    """Rounding, order, the turn of phi and the ends of the ranges, by hand."""

    def by_hand(columns):
        columns["L1Mu_pt"][0], columns["L1Mu_bx"][0] = [3.7, 0.3, 900.0, 10.2], [0, 0, 0, -1]
        columns["L1Mu_eta"][0], columns["L1Mu_phi"][0] = [-2.4, 0.005, 1.0, 0.0], [-0.02, 6.28, 3.2, 0.0]
        columns["L1EtSum_pt"][0] = [5000.0] * len(columns["L1EtSum_pt"][0])
        columns["L1EtSum_phi"][0] = [-7.0] * len(columns["L1EtSum_phi"][0])

    (found,) = iterate_events(recipe(changed(tmp_path, by_hand)))
    # 3.7/0.5 = 7.4; -2.4/0.010875 = -220.7; -0.02 + one turn is 574.2 counts; 6.28 is 575.7, which is 0 again; 3.2: 293.4.
    assert found.muons[0].tolist() == [[511, 92, 293], [7, -221, 574], [1, 0, 0], [0, 0, 0]]
    assert found.sums[0].tolist() == [4095, 4095]
    assert found.met[0].tolist() == [4095, 128]  # -7 and two turns, over a 144th of a turn: 127.6


def write_own(tmp_path, sample):
    write_root_events(tmp_path / "own.root", sample)
    return tmp_path / "own.root"


def own_sample(events=23, seed=4, **more):
    """A sample at the limits of every range, drawn without our code for objects."""
    generator = np.random.default_rng(seed)

    def objects(count, pt_high, eta_high, phi_high):
        table = np.zeros((events, count, 3), dtype=np.int64)
        for event in range(events):
            pts = sorted(generator.integers(1, pt_high + 1, generator.integers(0, count + 1)).tolist(), reverse=True)
            for at, pt in enumerate(pts):
                table[event, at] = pt, generator.integers(-eta_high, eta_high + 1), generator.integers(0, phi_high)
        table[0] = [[pt_high, -eta_high, phi_high - 1]] * count  # equal pt too: the order is to stay
        table[0, 1:, 1] = np.arange(count - 1)
        return table

    collisions = generator.poisson(2.0, events).astype(np.int64)
    columns = {
        "met": np.stack([generator.integers(0, 4096, events), generator.integers(0, 144, events)], axis=1),
        "egammas": objects(4, 511, 127, 144),
        "muons": objects(4, 511, 255, 576),
        "jets": objects(10, 2047, 127, 144),
        "sums": generator.integers(0, 4096, (events, 2)),
        "regions": generator.integers(0, 1024, (events, 18, 14)),
        "labels": generator.integers(0, 2, events),
        "class_names": ("minimum bias", "A"),
        "weights": generator.uniform(0, 1, events),
        "events": generator.integers(0, 2**62, events),
        "origin": Origin("events", True, {"mean": 1.5, "names": ["α", None], "deep": {"x": [1, 2]}}),
        "collisions": collisions,
        "pool": ak.unflatten(generator.integers(0, 2**40, collisions.sum()), collisions),
        "source": generator.integers(-(2**40), 2**40, events),
        "slices": generator.integers(0, 3, (events, 2)),
        "offline_gev": generator.exponential(90.0, events),
        "showers": generator.exponential(1.0, (events, 4)),
    }
    return EventDataset(**(columns | more))


@pytest.mark.parametrize(
    "left_out",
    [
        (),
        ("pool", "source", "slices", "showers"),
        ("pool", "collisions"),
        ("pool", "collisions", "regions", "offline_gev"),
    ],
)
def test_our_own_files_come_back_bit_for_bit(tmp_path, left_out, monkeypatch):
    monkeypatch.setattr("trigger.data.event_rootfile.EVENTS_PER_BASKET", 9)  # more than one basket
    sample = own_sample(**dict.fromkeys(left_out))
    again = read_root_events(write_own(tmp_path, sample))
    for name in sorted({one.name for one in fields(EventDataset)} - {"pool", "class_names", "origin"}):
        before, after = getattr(sample, name), getattr(again, name)
        if name in left_out:
            assert after is None
        else:
            assert after.dtype == before.dtype
            np.testing.assert_array_equal(after, before, err_msg=name)
    assert (again.pool is None) if "pool" in left_out else (again.pool.to_list() == sample.pool.to_list())
    assert (again.class_names, again.origin) == (sample.class_names, sample.origin)
    assert again.digest() == sample.digest()
    assert again.take(np.arange(5)).digest() != sample.digest()


def test_our_own_files_are_read_by_the_mapping_too(tmp_path):
    sample = own_sample()
    path = write_own(tmp_path, sample)
    samples = f"[{{files: ['{path}'], label: {{branch: label, values: {{a: [0], b: [1]}}}}, weight: weight}}]"
    data = recipe(path, "jetgate", tree="events", event="event", collisions="collisions", samples=samples)
    found = concatenate_events(list(iterate_events(data, step_size=5)))
    for name in ("met", "egammas", "muons", "jets", "sums", "regions", "labels", "weights", "events", "collisions"):
        np.testing.assert_array_equal(getattr(found, name), getattr(sample, name), err_msg=name)
    assert found.class_names == ("a", "b")


def test_a_mapping_is_kept_by_its_content(tmp_path):
    """The name of a packaged mapping says nothing about what it holds tomorrow; records and digests have its content."""
    path = tmp_path / "nano.root"
    by_name = recipe(path)
    again = parse(dump(by_name), EventRootData, "again")
    assert again == by_name
    assert "L1EtSum_etSumType" in dump(by_name)
    own = tmp_path / "mine.yaml"
    own.write_text(dump(by_name.mapping).replace("L1Mu_eta", "L1Mu_etaAtVtx"))
    assert recipe(path, str(own)).mapping.muons.eta == "L1Mu_etaAtVtx"
    for name, file in packaged("trigger.data", "mappings").items():
        assert isinstance(recipe(path, name).mapping, EventMapping), file
    with pytest.raises(
        InputError, match="there is no packaged mapping 'cms_l1nano' and no such file; nearest: 'cms_l1_nano'"
    ):
        recipe(path, "cms_l1nano")
    own.write_text(dump(by_name.mapping).replace("units: physical", "units: metric"))
    with pytest.raises(InputError, match=r"mine.yaml: units: 'metric' is not known; nearest: 'hardware', 'physical'"):
        recipe(path, str(own))


def drop(name):
    return lambda columns: [columns.pop(key) for key in list(columns) if key.startswith(name)]


def put(name, value, event=3):
    def change(columns):
        columns[name][event] = value if isinstance(value, list) else [value, *columns[name][event][1:]]

    return change


def none_at_zero(columns):
    columns["L1Mu_bx"] = [[one or 1 for one in event] for event in columns["L1Mu_bx"]]


def no_muons(columns):
    for field in ("pt", "eta", "phi", "bx"):
        columns[f"L1Mu_{field}"] = ak.Array([[1.0]] * 6)[:, :0]


def no_crossing_zero(columns):
    columns["L1EtSum_bx"] = [[one or 2 for one in event] for event in columns["L1EtSum_bx"]]


def two_missing_energies(columns):
    columns["L1EtSum_etSumType"] = [
        [2 if kind == 3 else kind for kind in event] for event in columns["L1EtSum_etSumType"]
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("L1Mu_pt"), r"no branch 'L1Mu_pt' for the muons; nearest: 'L1Mu_phi', .*'muons: null'"),
        (drop("L1Mu"), r"no branch 'L1Mu_pt' for the muons; nearest: .*; right would be to name the branches of the muons"),
        (drop("L1EtSum_etSumType"), r"has no branch 'L1EtSum_etSumType'; nearest: 'L1EtSum_"),
        (no_muons, r"none of 6 events has any muons at L1Mu_bx 0 \('L1Mu_pt'\); right would be files in which they are filled"),
        (none_at_zero, r"none of 6 events has any muons at L1Mu_bx 0"),
        (no_crossing_zero, r"6 of 6 events have not one sum of L1EtSum_etSumType 2 \(missing_et\) at L1EtSum_bx 0 but 0; "
                           "found there: none"),
        (two_missing_energies, r"\(missing_et\) at L1EtSum_bx 0 but 2; found there: \[0, 1, 2, 8, 11"),
        (put("L1EtSum_pt", [np.nan] * 36), r"branch 'L1EtSum_pt': pt: 1 of 6 values are NaN or infinite"),
        (put("L1EtSum_pt", [-1.0] * 36), r"branch 'L1EtSum_pt': a transverse momentum cannot be -1.0 GeV"),
    ],
)  # fmt: skip
def test_wrong_events(tmp_path, change, message):
    path = changed(tmp_path, change)
    with pytest.raises(InputError, match=message) as caught:
        list(iterate_events(recipe(path)))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("pt", np.nan, r"branch 'L1Jet_pt': pt: 1 of \d+ values are NaN or infinite"),
        ("pt", -3.0, r"branch 'L1Jet_pt': a transverse momentum cannot be -3.0 GeV"),
        ("eta", np.inf, r"branch 'L1Jet_eta': eta: 1 of \d+ values are NaN or infinite"),
        ("eta", 9.0, r"branch 'L1Jet_eta': eta 9 is beyond the 5.52 that 8 bits reach"),
        ("phi", np.nan, r"branch 'L1Jet_phi': phi: 1 of \d+ values are NaN or infinite"),
    ],
)
def test_wrong_numbers(tmp_path, field, value, message):
    def change(columns):
        for name, inserted in (("pt", 20.0), ("eta", 0.1), ("phi", 0.1), ("bx", 0)):
            columns[f"L1Jet_{name}"][3].insert(0, value if name == field else inserted)

    with pytest.raises(InputError, match=message):
        list(iterate_events(recipe(changed(tmp_path, change))))


def test_what_is_not_of_crossing_zero_may_be_anything(tmp_path):
    def change(columns):
        for name, inserted in (("pt", np.nan), ("eta", 99.0), ("phi", np.inf), ("bx", -2)):
            columns[f"L1Jet_{name}"][3].insert(0, inserted)

    _, truth = cms_events(seed=2, events=6)
    (found,) = iterate_events(recipe(changed(tmp_path, change)))
    np.testing.assert_array_equal(found.jets, truth["jets"])


def test_muons_may_be_left_out_on_purpose(tmp_path):
    path = changed(tmp_path, drop("L1Mu"))
    mapping = tmp_path / "mapping.yaml"
    text = dump(recipe(path).mapping).splitlines()
    at = text.index("muons:")
    mapping.write_text("\n".join([*text[:at], "muons: null", *text[at + 5 :]]))
    (found,) = iterate_events(recipe(path, str(mapping)))
    assert not found.muons.any()
    assert found.jets.any()
    assert found.origin.details["absent"] == ["muons", "regions"]


HARDWARE = """
units: hardware
egammas: null
muons: {pt: Mu_pt, eta: Mu_eta, phi: Mu_phi}
jets: null
sums: {kind: separate, met_pt: met, met_phi: metphi, total_et: null, total_ht: null}
regions: grid
"""


def hardware_file(tmp_path, **more):
    """Integers given as they are, in lists of fixed length filled up with zeros, and a flat grid."""
    numbers = {
        "process": np.array([0, 1]), "met": np.array([7, 8]), "metphi": np.array([1, 143]),
        "Mu_pt": np.array([[5, 9, 0], [2, 0, 0]]), "Mu_eta": np.array([[-3, 4, -999], [0, -999, -999]]),
        "Mu_phi": np.array([[575, 0, -999], [8, -999, -999]]), "grid": np.arange(504).reshape(2, 252),
    }  # fmt: skip
    with uproot.recreate(tmp_path / "hardware.root") as file:
        columns = numbers | more
        file.mktree("Events", {name: np.dtype((one.dtype, one.shape[1:])) for name, one in columns.items()}).extend(
            columns
        )
    (tmp_path / "hardware.yaml").write_text(HARDWARE)
    return recipe(tmp_path / "hardware.root", tmp_path / "hardware.yaml")


def test_hardware_integers(tmp_path):
    (found,) = iterate_events(hardware_file(tmp_path))
    assert found.muons.tolist() == [[[9, 4, 0], [5, -3, 575], [0, 0, 0], [0, 0, 0]], [[2, 0, 8]] + [[0, 0, 0]] * 3]
    assert found.met.tolist() == [[7, 1], [8, 143]]
    assert found.regions[1, 17, 13] == 503
    assert found.regions[0, 1, 0] == 14


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Mu_pt", np.array([[5, -9, 0], [2, 0, 0]]), "branch 'Mu_pt': a transverse momentum cannot be -9"),
        ("Mu_pt", np.array([[5, 512, 0], [2, 0, 0]]), r"muons pt: 512 in event 0 is outside \[0, 511\]"),
        (
            "Mu_pt",
            np.array([[5.5, 9, 0], [2, 0, 0]]),
            "branch 'Mu_pt': 1 of 6 values are no whole numbers, the first is 5.5",
        ),
        ("Mu_eta", np.array([[1, 2], [3, 4]]), "branches 'Mu_pt' and 'Mu_eta' differ in length"),
        ("Mu_phi", np.array([1, 2]), "branch 'Mu_phi' needs a list of numbers an entry"),
        ("met", np.array([[7], [8]]), "branch 'met' has more than one number an entry"),
        ("grid", np.zeros((2, 251), int), "branch 'grid' needs 18 x 14 numbers an entry"),
        ("grid", np.full((2, 18, 14), 1024), r"regions: 1024 in event 0 is outside \[0, 1023\]"),
    ],
)
def test_wrong_hardware_integers(tmp_path, name, value, message):
    data = hardware_file(tmp_path, **{name: value})
    with pytest.raises(InputError, match=rf"hardware.root: .*{message}"):
        list(iterate_events(data))


@pytest.fixture
def own_streamers():
    """uproot learns classes from the files it reads, for the whole process; what it learns from damaged ones is taken back."""
    known = dict(uproot.classes)
    versions = [
        (one.known_versions, dict(one.known_versions)) for one in known.values() if hasattr(one, "known_versions")
    ]
    yield
    for now, before in ((uproot.classes, known), *versions):
        now.clear()
        now.update(before)


@pytest.mark.usefixtures("own_streamers")
def test_wrong_files(tmp_path, cms):
    path, _ = cms
    with pytest.raises(InputError, match=r"no tree 'Evnts'; nearest: 'Events'"):
        list(iterate_events(recipe(path, tree="Evnts")))
    with pytest.raises(InputError, match=r"nothing.root: no such file"):
        list(iterate_events(recipe(tmp_path / "nothing.root")))
    with pytest.raises(InputError, match=r"nano.root: there is no tree 'events'; nearest: 'Events'"):
        read_root_events(path)
    own = write_own(tmp_path, own_sample())
    broken = tmp_path / "broken.root"
    whole, refused = own.read_bytes(), 0
    for place in range(300, len(whole) - 64, max(64, len(whole) // 40)):
        broken.write_bytes(whole[:place] + bytes(range(64)) + whole[place + 64 :])
        try:
            read_root_events(broken)
        except InputError as error:
            refused += "broken.root" in str(error)
    assert refused > 10
