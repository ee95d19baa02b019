from __future__ import annotations

from dataclasses import replace

import awkward as ak
import numpy as np
import pytest

from trigger.data.jets import (
    FeatureDataset,
    JetDataset,
    Origin,
    Split,
    concatenate_features,
    flattening_weights,
    split_by_event,
)
from trigger.digest import digest
from trigger.errors import InputError


def table(**changes):
    columns = {
        "values": np.arange(6.0).reshape(3, 2), "names": ("a", "b"), "labels": np.array([0, 1, 1]), "class_names": ("x", "y"),
        "weights": np.ones(3), "events": np.arange(3), "origin": Origin("test"),
    }  # fmt: skip
    return FeatureDataset(**{**columns, **changes})


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="feature b: 1 of 3 values are NaN or infinite, the first at 1"):
        table(values=np.array([[0, 1], [2, np.nan], [4, 5]]))
    with pytest.raises(InputError, match="sample is empty"):
        table(values=np.empty((0, 2)), labels=np.empty(0, int), weights=np.empty(0), events=np.empty(0, int))
    with pytest.raises(InputError, match="labels run from 0 to 2, but there are 2 classes"):
        table(labels=np.array([0, 1, 2]))
    with pytest.raises(InputError, match="all 3 weights are 0"):
        table(weights=np.zeros(3))
    with pytest.raises(InputError, match="1 of 3 weights are negative"):
        table(weights=np.array([1, -1, 1.0]))
    with pytest.raises(InputError, match="class 'y' has no jets \\(found: x 3, y 0\\)"):
        concatenate_features([table(labels=np.zeros(3, int))])
    with pytest.raises(InputError, match="sample is empty"):
        concatenate_features([])


def test_jets_without_constituents_or_with_infinite_ones_are_refused(toy):
    emptied = ak.concatenate([toy.constituents[:1, :0], toy.constituents[1:]])
    with pytest.raises(InputError, match="1 of 600 jets have no constituents"):
        JetDataset(emptied, toy.labels, toy.class_names, toy.weights, toy.events, toy.origin)
    cold = ak.with_field(toy.constituents, toy.constituents.E * 0.9, "E")
    with pytest.raises(InputError, match="constituents have less energy than momentum"):
        JetDataset(cold, toy.labels, toy.class_names, toy.weights, toy.events, toy.origin)
    infinite = ak.with_field(toy.constituents, toy.constituents.px * np.inf, "px")
    with pytest.raises(InputError, match="constituent px"):
        JetDataset(infinite, toy.labels, toy.class_names, toy.weights, toy.events, toy.origin)


def test_digest_is_of_content(toy):
    same = toy.take(np.arange(len(toy)))
    assert same.digest() == toy.digest()
    assert toy.take(np.arange(len(toy) - 1)).digest() != toy.digest()


def test_a_target_goes_where_its_jet_goes():
    plain, aimed = table(), table(target=np.array([1.0, 1.1, 0.9]))
    assert plain.digest() != aimed.digest()
    assert aimed.digest() != table(target=np.array([1.0, 1.1, 0.8])).digest()
    assert aimed.take(np.array([2, 0])).target.tolist() == [0.9, 1.0]
    assert concatenate_features([aimed, aimed.take(np.array([1]))]).target.tolist() == [1.0, 1.1, 0.9, 1.1]
    assert concatenate_features([plain, plain]).target is None
    with pytest.raises(InputError, match="3 jets have target of shape"):
        table(target=np.ones(2))
    with pytest.raises(InputError, match="target: 1 of 3 values are NaN"):
        table(target=np.array([1.0, np.nan, 1.0]))
    with pytest.raises(InputError, match="1 of 2 parts of the sample have a target"):
        concatenate_features([plain, aimed])


def test_a_digest_without_target_is_that_of_before(toy):
    whole = digest(
        *(getattr(table(), name) for name in ("values", "names", "labels", "class_names", "weights", "events"))
    )
    assert table().digest() == whole
    displaced = ak.with_field(toy.constituents, 0.1 + 0 * toy.constituents.px, "d0_mm")
    assert replace(toy, constituents=displaced).digest() != toy.digest()
    with pytest.raises(InputError, match="constituent d0_mm"):
        replace(toy, constituents=ak.with_field(displaced, displaced.d0_mm * np.inf, "d0_mm"))


def test_a_split_keeps_events_whole_and_never_changes_sides():
    events = np.repeat(np.arange(20_000), 2)
    parts = split_by_event(events, seed=1)
    assert sum(part.sum() for part in parts.values()) == len(events)
    for part in parts.values():
        np.testing.assert_array_equal(part[::2], part[1::2])
    # 20,000 events: the standard deviation of a share of 0.25 is 0.003.
    assert parts[Split.TEST].mean() == pytest.approx(0.25, abs=0.012)
    assert parts[Split.VALIDATION].mean() == pytest.approx(0.15, abs=0.012)
    fewer = split_by_event(events[1000:], seed=1)
    np.testing.assert_array_equal(fewer[Split.TEST], parts[Split.TEST][1000:])
    assert (split_by_event(events, seed=2)[Split.TEST] != parts[Split.TEST]).any()


def test_weights_flatten_the_spectrum_of_every_class():
    generator = np.random.default_rng(1)
    pt = np.concatenate([generator.triangular(800, 800, 1200, 5000), generator.triangular(800, 1200, 1200, 5000)])
    labels = np.repeat([0, 1], 5000)
    weights = flattening_weights(pt, labels, np.ones(10_000), (800, 1200), bins=8)
    for label in (0, 1):
        chosen = labels == label
        counts, _ = np.histogram(pt[chosen], 8, (800, 1200), weights=weights[chosen])
        assert counts == pytest.approx(np.full(8, 625), rel=1e-9)
        assert weights[chosen].mean() == pytest.approx(1)


def test_kinematics(toy):
    kinematics = toy.kinematics()
    four = toy.constituents[0]
    px, py = sum(four.px.to_list()), sum(four.py.to_list())
    assert kinematics["pt_gev"][0] == pytest.approx(np.hypot(px, py))
    mass2 = sum(four.E.to_list()) ** 2 - px**2 - py**2 - sum(four.pz.to_list()) ** 2
    assert kinematics["mass_gev"][0] == pytest.approx(np.sqrt(mass2))
