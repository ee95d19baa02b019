from __future__ import annotations

import itertools
import math

import awkward as ak
import numpy as np
import pytest

from trigger.data.toy import ToyData, toy_jets
from trigger.errors import InputError
from trigger.inputs.features import JET_FEATURES, jet_features


def slow_groom(particles, z_cut=0.1):
    """Cambridge/Aachen and mMDT in plain Python: the closest pair is looked for anew each time."""

    def vector(node):
        return node["p"]

    def distance(a, b):
        dy, dphi = a["y"] - b["y"], abs(a["phi"] - b["phi"])
        return dy**2 + min(dphi, 2 * math.pi - dphi) ** 2

    def node(p, children=()):
        return {
            "p": p,
            "y": 0.5 * math.log((p[3] + p[2]) / (p[3] - p[2])),
            "phi": math.atan2(p[1], p[0]),
            "children": children,
        }

    nodes = [node(tuple(p)) for p in particles]
    while len(nodes) > 1:
        a, b = min(itertools.combinations(nodes, 2), key=lambda pair: distance(*pair))
        nodes = [n for n in nodes if n is not a and n is not b]
        nodes.append(node(tuple(x + y for x, y in zip(vector(a), vector(b), strict=True)), (a, b)))
    jet = nodes[0]
    while jet["children"]:
        a, b = sorted(jet["children"], key=lambda n: -math.hypot(*n["p"][:2]))
        pt_a, pt_b = math.hypot(*a["p"][:2]), math.hypot(*b["p"][:2])
        if pt_b > z_cut * (pt_a + pt_b):
            break
        jet = a
    leaves, stack = [], [jet]
    while stack:
        n = stack.pop()
        stack += n["children"]
        leaves += [] if n["children"] else [n]
    return leaves


def slow_features(particles):
    zs = [p[3] / sum(q[3] for q in particles) for p in particles]
    leaves = slow_groom(particles)
    pt = [math.hypot(*n["p"][:2]) for n in leaves]
    z = [one / sum(pt) for one in pt]

    def r(i, j):
        dphi = abs(leaves[i]["phi"] - leaves[j]["phi"])
        return math.hypot(leaves[i]["y"] - leaves[j]["y"], min(dphi, 2 * math.pi - dphi))

    def e2(beta):
        return sum(z[i] * z[j] * r(i, j) ** beta for i, j in itertools.combinations(range(len(z)), 2))

    def e3(v, beta):
        total = 0.0
        for i, j, k in itertools.combinations(range(len(z)), 3):
            smallest = sorted((r(i, j), r(i, k), r(j, k)))[:v]
            total += z[i] * z[j] * z[k] * math.prod(smallest) ** beta
        return total

    p = [sum(column) for column in zip(*(n["p"] for n in leaves), strict=True)]
    return {
        "zlogz": sum(one * math.log(one) for one in zs),
        "c1_b0": e2(0), "c1_b1": e2(1), "c1_b2": e2(2),
        "c2_b1": e3(3, 1) / e2(1) ** 2, "c2_b2": e3(3, 2) / e2(2) ** 2,
        "d2_b1": e3(3, 1) / e2(1) ** 3, "d2_b2": e3(3, 2) / e2(2) ** 3,
        "d2_a1_b1": e3(3, 1) / e2(1) ** 3, "d2_a1_b2": e3(3, 1) / e2(2) ** 1.5,
        "m2_b1": e3(1, 1) / e2(1), "m2_b2": e3(1, 2) / e2(2),
        "n2_b1": e3(2, 1) / e2(1) ** 2, "n2_b2": e3(2, 2) / e2(2) ** 2,
        "mass_gev": math.sqrt(max(p[3] ** 2 - p[0] ** 2 - p[1] ** 2 - p[2] ** 2, 0)),
        "multiplicity": float(len(particles)),
    }  # fmt: skip


def test_every_feature_against_nested_loops(toy):
    chosen = toy.take(np.arange(0, len(toy), 40))
    found = jet_features(chosen)
    assert found.names == tuple(JET_FEATURES)
    for jet, row in zip(chosen.constituents, found.values, strict=True):
        particles = [[p["px"], p["py"], p["pz"], p["E"]] for p in jet.to_list()]
        expected = slow_features(particles)
        # Sums of thousands of terms in another order, and masses as small differences of large squares.
        assert dict(zip(found.names, row, strict=True)) == pytest.approx(expected, rel=1e-8, abs=1e-9)


@pytest.mark.usefixtures("quiet_fastjet")
def test_grooming_against_fastjet():
    import fastjet

    from trigger.inputs.grooming import mmdt

    (jets,) = toy_jets(ToyData(kind="toy", jets_per_class=60), seed=11)
    c = jets.constituents
    four = ak.zip({name: c[name] for name in ("px", "py", "pz", "E")}, with_name="Momentum4D")
    sequence = fastjet.ClusterSequence(four, fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0))
    expected = sequence.exclusive_jets_softdrop_grooming(beta=0.0, symmetry_cut=0.1, R0=0.8)
    momentum = np.stack([ak.to_numpy(ak.flatten(four[name])) for name in ("px", "py", "pz", "E")], axis=1)
    counts = ak.to_numpy(ak.num(four))
    kept = mmdt(momentum, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
    left = ak.sum(ak.unflatten(kept, counts), axis=1)
    np.testing.assert_array_equal(left, ak.num(expected.constituents.px))
    # fastjet adds the constituents in another order.
    np.testing.assert_allclose(
        jet_features(jets, ("mass_gev",)).values[:, 0], ak.to_numpy(expected.msoftdrop), rtol=1e-6
    )


def test_jets_of_one_and_two_particles(toy):
    jets = toy.take(np.arange(2))
    thin = ak.concatenate([jets.constituents[:1, :1], jets.constituents[1:, :2]])
    few = type(jets)(thin, jets.labels, jets.class_names, jets.weights, jets.events, jets.origin)
    found = jet_features(few)
    assert np.isfinite(found.values).all()
    assert found.column("multiplicity").tolist() == [1, 2]
    assert found.column("d2_b1").tolist() == [0, 0]
    assert found.column("c1_b1")[0] == 0


def test_threads_change_nothing(toy):
    assert jet_features(toy, workers=1).digest() == jet_features(toy, workers=3).digest()


def test_the_public_duplicate_is_there(toy):
    found = jet_features(toy)
    np.testing.assert_array_equal(found.column("d2_b1"), found.column("d2_a1_b1"))


def test_unknown_feature(toy):
    with pytest.raises(InputError, match="no jet feature 'c1_b3'; nearest: 'c1_b"):
        jet_features(toy, ("c1_b3",))
