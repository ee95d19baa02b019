"""Jet images against a slow second version in plain Python, and what must not change when a jet is moved."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest

from trigger.config import parse
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint
from trigger.inputs.deposits import (
    Deposits,
    angle_of_principal_axis,
    centred,
    centroid,
    deposits_of,
    flipped,
    rotated,
    subjets,
)
from trigger.inputs.images import (
    Images,
    JetGridInputs,
    JetImageInputs,
    normalised,
    pixelated,
    pixels,
    without_faint,
)
from trigger.kinematics import from_pt_eta_phi_mass

PLAIN = {"trim_subjets": 0.0, "centre": "axis", "rotate": "none", "flip": False, "norm": "none"}
PREPARED = [
    {},
    {"rows": 16, "columns": 20, "pixel_width": 0.07, "norm": "max", "subjet_radius": 0.2},
    {"centre": "centroid", "rotate": "principal_axis", "trim_subjets": 0.0, "norm": "euclidean"},
    {"centre": "axis", "rotate": "second_subjet", "flip": False, "trim_subjets": 0.03, "trim_pixels": 0.01, "norm": "none"},
    PLAIN,
]  # fmt: skip


def inputs(**settings):
    return JetImageInputs(kind="jet_images", format=FixedPoint.parse("ap_ufixed<8,0,AP_RND_CONV,AP_SAT>"), **settings)


def grid(**settings):
    wire = settings.pop("format", "ap_ufixed<10,0>")
    return JetGridInputs(kind="jet_grid", format=FixedPoint.parse(wire), **settings)


def jets_of(like, pt, eta, phi, counts):
    """Massless jets of the classes and events of others."""
    px, py, pz, energy = from_pt_eta_phi_mass(np.asarray(pt), np.asarray(eta), np.asarray(phi), 0.0)
    zero = np.zeros(len(px), dtype=np.int64)
    columns = {"px": px, "py": py, "pz": pz, "E": energy, "charge": zero, "pdg_id": zero, "vertex": zero}
    return replace(like.take(np.arange(len(counts))), constituents=ak.unflatten(ak.zip(columns), counts))


def moved(jets, change):
    """The same jets with `change(eta, phi)` from their centroids, at the centroids that it also gives."""
    found = deposits_of(jets)
    eta, phi = centroid(found)
    near = centred(found, eta, phi)
    x, y, to_eta, to_phi = change(near.eta, near.phi, eta, phi)
    return jets_of(jets, found.et_gev, x + to_eta[near.jet], y + to_phi[near.jet], found.counts)


# The second version: one jet at a time, one deposit at a time.


def wrapped(angle):
    return math.remainder(angle, 2 * math.pi)


def slow_deposits(particles):
    found = []
    for px, py, pz, energy in particles:
        pt, p = math.hypot(px, py), math.sqrt(px**2 + py**2 + pz**2)
        found.append((energy * pt / p, math.asinh(pz / pt), math.atan2(py, px)))
    return found


def slow_centroid(deposits):
    total = sum(et for et, _, _ in deposits)
    near = deposits[0][2]
    phi = near + sum(et * wrapped(phi - near) for et, _, phi in deposits) / total
    return sum(et * eta for et, eta, _ in deposits) / total, phi


def slow_kt(deposits, radius):
    """Inclusive kt: the smallest distance is looked for anew each time."""
    nodes = []
    for number, (et, eta, phi) in enumerate(deposits):
        p = (et * math.cos(phi), et * math.sin(phi), et * math.sinh(eta), et * math.cosh(eta))
        nodes.append((p, [number]))
    subjets = []

    def place(p):
        return p[0] ** 2 + p[1] ** 2, 0.5 * math.log((p[3] + p[2]) / (p[3] - p[2])), math.atan2(p[1], p[0])

    def distance(a, b):
        (pt2_a, y_a, phi_a), (pt2_b, y_b, phi_b) = place(a[0]), place(b[0])
        return min(pt2_a, pt2_b) * ((y_a - y_b) ** 2 + wrapped(phi_a - phi_b) ** 2) / radius**2

    while nodes:
        single = min(nodes, key=lambda node: place(node[0])[0])
        pair = min(itertools.combinations(nodes, 2), key=lambda two: distance(*two), default=None)
        if pair is None or place(single[0])[0] < distance(*pair):
            nodes.remove(single)
            subjets.append(single[1])
        else:
            nodes = [node for node in nodes if node is not pair[0] and node is not pair[1]]
            nodes.append((tuple(a + b for a, b in zip(pair[0][0], pair[1][0], strict=True)), pair[0][1] + pair[1][1]))
    return sorted(
        ([deposits[k] for k in sorted(members)] for members in subjets), key=lambda one: -sum(et for et, _, _ in one)
    )


def slow_image(particles, view):
    deposits = slow_deposits(particles)
    total = sum(et for et, _, _ in deposits)
    parts = [
        one for one in slow_kt(deposits, view.subjet_radius) if sum(et for et, _, _ in one) >= view.trim_subjets * total
    ]
    deposits = [deposit for part in parts for deposit in part]
    if view.centre == "leading_subjet":
        eta, phi = slow_centroid(parts[0])
    elif view.centre == "centroid":
        eta, phi = slow_centroid(deposits)
    else:
        px, py = (sum(et * f(phi) for et, _, phi in deposits) for f in (math.cos, math.sin))
        pz, energy = (sum(et * f(eta) for et, eta, _ in deposits) for f in (math.sinh, math.cosh))
        eta, phi = math.atanh(pz / energy), math.atan2(py, px)
    points = [(et, e - eta, wrapped(p - phi)) for et, e, p in deposits]
    angle = 0.0
    if view.rotate == "second_subjet" and len(parts) > 1:
        (eta_1, phi_1), (eta_2, phi_2) = slow_centroid(parts[0]), slow_centroid(parts[1])
        angle = -math.pi / 2 - math.atan2(wrapped(phi_2 - phi_1), eta_2 - eta_1)
    elif view.rotate != "none":
        weight = np.array([et for et, _, _ in points])
        xy = np.array([(x, y) for _, x, y in points])
        if len(points) > 1:
            x, y = np.linalg.eigh(np.cov(xy.T, aweights=weight, ddof=0))[1][:, 1]
            angle = -math.pi / 2 - math.atan2(y, x)
        above = sum(
            math.copysign(et, math.sin(angle) * x + math.cos(angle) * y) for et, x, y in points
        )  # turned upside down where there is more above
        angle += math.pi if above > 0 else 0
    points = [
        (et, math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y)
        for et, x, y in points
    ]
    if view.flip and sum(math.copysign(et, x) for et, x, _ in points) < 0:
        points = [(et, -x, y) for et, x, y in points]
    image = [[0.0] * view.columns for _ in range(view.rows)]
    for et, x, y in points:
        row, column = (
            math.floor(y / view.pixel_width + view.rows / 2),
            math.floor(x / view.pixel_width + view.columns / 2),
        )
        if 0 <= row < view.rows and 0 <= column < view.columns:
            image[row][column] += et
    total = sum(map(sum, image))
    image = [[value if value >= view.trim_pixels * total else 0.0 for value in row] for row in image]
    flat = list(itertools.chain(*image))
    size = {"none": 1.0, "sum": sum(flat), "max": max(flat), "euclidean": math.sqrt(sum(v * v for v in flat))}[
        view.norm
    ]
    return np.array(image) / size


@pytest.mark.parametrize("settings", PREPARED, ids=str)
def test_images_against_plain_python(toy, settings):
    view, chosen = inputs(**settings), toy.take(np.arange(5, len(toy), 60))
    found = view.images(chosen).dense()
    for jet, image in zip(chosen.constituents, found, strict=True):
        particles = [(p["px"], p["py"], p["pz"], p["E"]) for p in jet.to_list()]
        np.testing.assert_allclose(image, slow_image(particles, view), rtol=1e-9, atol=1e-12)


def test_the_plain_image_is_a_histogram(toy):
    found = deposits_of(toy)
    eta, phi = centroid(found)
    near = centred(found, eta, phi)
    view = inputs(**PLAIN | {"centre": "centroid"})
    image = view.images(toy).dense()
    columns, rows = view.edges
    for jet in (0, 17, 599):
        own = near.jet == jet
        expected, _, _ = np.histogram2d(near.phi[own], near.eta[own], bins=(rows, columns), weights=near.et_gev[own])
        np.testing.assert_allclose(image[jet], expected, rtol=1e-12, atol=1e-9)


def test_energy_is_inside_or_outside(toy):
    view = inputs(**PLAIN | {"pixel_width": 0.02})
    images = view.images(toy)
    et = ak.to_numpy(ak.sum(np.hypot(toy.constituents.px, toy.constituents.py), axis=1))  # massless
    np.testing.assert_allclose(images.et_gev, et, rtol=1e-12)
    assert 0.1 < images.outside.mean() < 0.9
    np.testing.assert_allclose(images.dense().sum(axis=(1, 2)), et * (1 - images.outside), rtol=1e-12)
    summary = view.table(toy).origin.details["images"]
    assert summary["jets"] == 600
    assert summary["et_outside_gev"] == pytest.approx((et * images.outside).sum())
    assert summary["et_gev"] == pytest.approx(et.sum())


def test_sparse_is_dense(toy):
    images = inputs().images(toy)
    dense = images.dense()
    jet, row, column = np.nonzero(dense)
    np.testing.assert_array_equal(images.jet, jet)
    np.testing.assert_array_equal(images.pixel, row * 25 + column)
    np.testing.assert_array_equal(images.value, dense[jet, row, column])
    table = inputs().table(toy, workers=2)
    assert table.names[:2] + table.names[-1:] == ("pixel_0_0", "pixel_0_1", "pixel_24_24")
    np.testing.assert_array_equal(pixels(table, 25, 25), dense)


CHANGES = {
    "translation": lambda x, y, eta, phi: (x, y, eta + 0.9, phi + 2.8),
    "rotation": lambda x, y, eta, phi: (x * math.cos(2) - y * math.sin(2), x * math.sin(2) + y * math.cos(2), eta, phi),
    "reflection": lambda x, y, eta, phi: (-x, y, eta, phi),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("view", ["principal", "subjets"])
def test_prepared_images_do_not_see(toy, change, view):
    settings = {"centre": "centroid", "rotate": "principal_axis", "trim_subjets": 0.0} if view == "principal" else {}
    before = inputs(**settings).images(toy).dense()
    after = inputs(**settings).images(moved(toy, CHANGES[change])).dense()
    same = np.isclose(before, after, rtol=1e-9, atol=1e-12).all(axis=(1, 2))
    # The sum of two four-vectors has a mass, which a rotation in eta and phi does not keep: kt may merge otherwise.
    assert same.all() if (view, change) != ("subjets", "rotation") else same.mean() > 0.98


@pytest.mark.parametrize("change", CHANGES)
def test_unprepared_images_do_see(toy, change):
    """What proves the test above: without the steps the images differ, unless the jet was only carried elsewhere."""
    view = inputs(**PLAIN | {"centre": "centroid"})
    before, after = view.images(toy).dense(), view.images(moved(toy, CHANGES[change])).dense()
    same = np.isclose(before, after, rtol=1e-9, atol=1e-9).all(axis=(1, 2))
    assert same.all() if change == "translation" else same.mean() < 0.02
    if change == "reflection":
        np.testing.assert_allclose(after, before[:, :, ::-1], rtol=1e-9, atol=1e-9)


def test_what_the_steps_bring_about(toy):
    view = inputs()
    parts, member = subjets(deposits_of(toy), 0.3)
    assert (np.diff(parts.jet) >= 0).all()
    falling = np.diff(parts.et_gev) <= 0
    assert falling[np.diff(parts.jet) == 0].all()
    np.testing.assert_allclose(np.bincount(member, deposits_of(toy).et_gev), parts.et_gev, rtol=1e-12)
    image = view.images(toy).dense()
    np.testing.assert_allclose(image.sum(axis=(1, 2)), 1.0)
    assert (image[:, :, 13:].sum(axis=(1, 2)) + image[:, :, 12].sum(axis=1) >= image[:, :, :12].sum(axis=(1, 2))).all()
    two_prongs = np.isin(toy.labels, [2, 3])  # W and Z: the leading prong in the middle, the second straight below
    rows = image[two_prongs].mean(axis=0).sum(axis=1)
    assert rows[12] > 0.1
    assert rows[:11].sum() > 5 * rows[14:].sum()


def test_jets_of_one_particle(toy):
    one = jets_of(toy, [300.0, 400.0], [0.3, -1.0], [3.1, -3.1], [1, 1])
    for settings in ({}, {"rows": 24, "columns": 24}, {"centre": "centroid", "rotate": "principal_axis"}):
        view = inputs(**settings)
        image = view.images(one).dense()
        assert image[:, view.rows // 2, view.columns // 2].tolist() == [1, 1]
        assert np.count_nonzero(image) == 2


def test_steps_one_by_one():
    given = Deposits(
        np.array([3.0, 1.0, 2.0]), np.array([-0.2, 0.1, 0.05]), np.array([0.0, 0.1, -0.1]), np.array([0, 0, 1]), 2
    )
    quarter = rotated(given, np.array([np.pi / 2, 0.0]))
    np.testing.assert_allclose(quarter.eta, [0, -0.1, 0.05], atol=1e-15)
    np.testing.assert_allclose(quarter.phi, [-0.2, 0.1, -0.1], atol=1e-15)
    assert flipped(given).eta.tolist() == [0.2, -0.1, 0.05]
    images = pixelated(given, 2, 4, 0.1)
    # -0.2 is the lowest edge and inside, 0.1 in eta the edge of the last column, 0.1 in phi the upper edge and outside.
    assert images.dense().tolist() == [[[0, 0, 0, 0], [3, 0, 0, 0]], [[0, 0, 2, 0], [0, 0, 0, 0]]]
    assert images.outside.tolist() == [0.25, 0]
    line = Deposits(
        np.ones(4), np.array([0.0, 0.1, 0.2, -0.5]), np.array([0.0, 0.1, 0.2, -0.5]), np.zeros(4, np.int64), 1
    )
    upright = rotated(line, angle_of_principal_axis(line))
    np.testing.assert_allclose(upright.eta, 0, atol=1e-15)
    assert upright.phi[3] > 0 > upright.phi[2]  # two below, one above


def test_norms_and_faint_pixels():
    images = Images(
        np.array([0, 0, 1]), np.array([0, 3, 2]), np.array([3.0, 4.0, 5.0]), (2, 2, 2), np.ones(2), np.zeros(2)
    )
    assert normalised(images, "none") is images
    assert normalised(images, "sum").value.tolist() == [3 / 7, 4 / 7, 1]
    assert normalised(images, "max").value.tolist() == [0.75, 1, 1]
    assert normalised(images, "euclidean").value.tolist() == [0.6, 0.8, 1]
    assert without_faint(images, 0.5).value.tolist() == [4, 5]
    assert without_faint(images, 0.0).value.tolist() == [3, 4, 5]
    with pytest.raises(InputError, match="1 images are empty and have no norm, the first is 2"):
        normalised(replace(images, shape=(3, 2, 2)), "sum")


# The trigger's view.


def test_towers_are_exact_integers(toy):
    """Known energies in known towers, over the seam of the azimuth, against a dictionary of towers."""
    generator = np.random.default_rng(8)
    pt, eta, phi, counts, expected, saturated = [], [], [], [], [], 0
    width_phi = 2 * np.pi / 72
    for jet in range(40):
        ieta, iphi = int(generator.integers(-15, 15)), 71 if jet % 2 else int(generator.integers(0, 72))
        hits = {(0, 0): 3001}  # so that the axis is in this tower
        hits |= {
            (int(r), int(c)): int(k)
            for r, c, k in zip(generator.integers(-3, 4, 9), generator.integers(-3, 4, 9), generator.integers(1, 9, 9), strict=True)
            if (r, c) != (0, 0)
        }  # fmt: skip
        image = np.zeros((5, 7), dtype=np.int64)
        for (row, column), steps in hits.items():
            for share in (0.25, 0.75):  # two deposits in the tower, off its middle
                pt.append(steps * 0.5 * share)
                eta.append((ieta + column + 0.2 + 0.6 * (share if column else 0.5)) * 0.087)
                phi.append((iphi + row + 0.2 + 0.6 * (share if row else 0.5)) * width_phi)
            if abs(row) <= 2:
                image[row + 2, column + 3] = min(steps, 1023)
        saturated += 1
        counts.append(2 * len(hits))
        expected.append(image)
    view = grid(rows=5, columns=7)
    images = view.images(jets_of(toy, pt, eta, phi, counts))
    assert images.value.dtype == np.int64
    np.testing.assert_array_equal(images.dense(), expected)
    assert images.saturated == saturated
    assert (images.outside > 0).any()


def test_grid_against_nested_loops(toy):
    view, chosen = grid(rows=9, columns=11, tower_width=0.1, step_gev=1.0, bits=6), toy.take(np.arange(0, 600, 25))
    images = view.images(chosen)
    expected, too_large = [], 0
    for jet in chosen.constituents:
        sums, axis = {}, [0.0, 0.0, 0.0, 0.0]
        for p in jet.to_list():
            ((et, eta, phi),) = slow_deposits([(p["px"], p["py"], p["pz"], p["E"])])
            tower = (math.floor(eta / 0.1), math.floor(phi % (2 * math.pi) / (2 * math.pi / 63)))
            sums[tower] = sums.get(tower, 0.0) + et
            axis = [a + p[name] for a, name in zip(axis, ("px", "py", "pz", "E"), strict=True)]
        ieta = math.floor(math.atanh(axis[2] / axis[3]) / 0.1)
        iphi = math.floor(math.atan2(axis[1], axis[0]) % (2 * math.pi) / (2 * math.pi / 63))
        image = np.zeros((9, 11), dtype=np.int64)
        for row, column in itertools.product(range(9), range(11)):
            code = math.floor(sums.get((ieta + column - 5, (iphi + row - 4) % 63), 0.0))
            too_large += code > 63
            image[row, column] = min(code, 63)
        expected.append(image)
    np.testing.assert_array_equal(images.dense(), expected)
    assert images.saturated == too_large > 10


@pytest.mark.parametrize("wire", ["ap_ufixed<10,0>", "ap_ufixed<10,10>", "ap_fixed<14,12>"])
def test_the_grid_is_on_the_wire_as_it_is(toy, wire):
    view = grid(format=wire, rows=9, columns=9)
    table = view.table(toy)
    spec = view.contract(table)
    assert spec.shape == (9, 9, 1)
    assert {(one.offset, one.scale, one.unit) for one in spec.inputs} == {(0, spec.inputs[0].scale, "0.5 GeV")}
    shift = {"ap_ufixed<10,0>": 0, "ap_ufixed<10,10>": 0, "ap_fixed<14,12>": 3}[wire]
    np.testing.assert_array_equal(spec.codes(table.values), table.values.astype(np.int64) << shift)
    assert table.origin.details["images"]["saturated_pixels"] == np.count_nonzero(table.values == 1023) > 0
    assert not any(spec.clipped(table.values).values())


def test_a_jet_below_one_step_is_an_empty_grid(toy):
    soft = jets_of(toy, [0.3, 0.3, 50.0], [0.0, 0.3, 0.0], [0.0, 0.0, 1.0], [2, 1])
    view = grid(rows=3, columns=3)
    assert view.images(soft).dense().sum(axis=(1, 2)).tolist() == [0, 100]
    assert view.table(soft).origin.details["images"]["empty_images"] == 1


# The contract.


@pytest.mark.parametrize(("norm", "wire"), [("sum", "ap_ufixed<8,0>"), ("max", "ap_ufixed<8,0>"), ("none", "ap_ufixed<8,0>"),
                                            ("euclidean", "ap_fixed<9,3>")])  # fmt: skip
def test_one_power_of_two_for_all_pixels(toy, norm, wire):
    wire = FixedPoint.parse(f"{wire[:-1]},AP_RND_CONV,AP_SAT>")
    view = inputs(norm=norm, rows=15, columns=15, pixel_width=0.1).model_copy(update={"format": wire})
    table = view.table(toy)
    spec = view.contract(table)
    scale = spec.inputs[0].scale
    assert spec.shape == (15, 15, 1)
    assert spec.outputs == toy.class_names
    assert math.log2(scale).is_integer()
    assert {(one.offset, one.scale, one.format) for one in spec.inputs} == {(0.0, scale, wire)}
    largest = table.values.max() * scale
    assert 2.0**wire.integer / 2 < largest <= 2.0**wire.integer * (1 + 1e-9)
    codes = spec.codes(table.values)
    assert codes.max() > 2 ** (wire.width - wire.signed) / 2
    np.testing.assert_allclose(spec.values(codes) / scale, table.values, atol=wire.step / scale)


def test_a_few_bright_jets_may_saturate(toy):
    bright = inputs(**PLAIN, rows=13, columns=13, pixel_width=0.1)
    table = bright.table(toy)
    few = replace(table, values=np.where(np.arange(600)[:, None] < 3, table.values * 64, table.values))
    assert bright.model_copy(update={"saturate": 0.0}).contract(few).inputs[0].scale == 2.0**-16
    tolerant = bright.model_copy(update={"saturate": 0.01}).contract(few)
    assert tolerant.inputs[0].scale == 2.0**-10
    assert sum(tolerant.clipped(few.values).values()) > 0


# What is wrong is said.


def test_an_image_wider_than_the_jets_reach(toy):
    view = inputs(rows=61, columns=65, pixel_width=0.1)
    table = view.table(toy)
    with pytest.raises(InputError, match="the image is wider than the jets reach") as caught:
        view.contract(table)
    rows, columns = (int(part.split(" are enough")[0].split()[-2]) for part in str(caught.value).split(";"))
    assert "61 rows reach from -3.05 to 3.05, but none of 600 jets" in str(caught.value)
    better = inputs(rows=rows, columns=columns, pixel_width=0.1)
    assert better.contract(better.table(toy)).shape == (rows, columns, 1)
    np.testing.assert_allclose(better.images(toy).outside, 0, atol=1e-15)  # it was true that nothing lies beyond
    nearly = inputs(
        rows=rows, columns=math.floor(columns / 0.75 / 2) * 2 + 1, pixel_width=0.1
    )  # a quarter may be spare
    assert nearly.contract(nearly.table(toy)).shape == (rows, nearly.columns, 1)
    too_wide = nearly.model_copy(update={"columns": nearly.columns + 2})
    with pytest.raises(
        InputError, match=f"wider than the jets reach: {nearly.columns + 2} columns .* {columns} columns are enough"
    ):
        too_wide.contract(too_wide.table(toy))
    wide = grid(rows=51, columns=51)
    with pytest.raises(InputError, match=r"51 columns reach from -2.22 to 2.22"):
        wide.contract(wide.table(toy))


def test_wrong_samples(toy):
    with pytest.raises(
        InputError, match=r"jet 1 \(event 0\) has no constituent with transverse energy; of 2 jets this is so of 1"
    ):
        inputs().images(jets_of(toy, [10.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1, 1]))
    ring = jets_of(toy, [10.0, 10.0, 10.0], [0.0, 0.4, -0.4], [0.0, 0.0, 0.0], [1, 2])
    with pytest.raises(InputError, match=r"jet 1 \(event 0\) leaves nothing in an image of 4 x 4 pixels of 0.1"):
        inputs(**PLAIN, rows=4, columns=4, pixel_width=0.1).images(ring)
    with pytest.raises(InputError, match=r"jet 1 \(event 0\) has no subjet with 0.6 of its transverse energy"):
        inputs(trim_subjets=0.6).images(ring)
    good = {"et_gev": np.ones(2), "eta": np.zeros(2), "phi": np.zeros(2), "jet": np.array([0, 1]), "jets": 2}
    for wrong, message in (
        ({"eta": np.array([0, np.nan])}, "eta of 1 of 2 deposits is NaN or infinite, first in jet 1"),
        ({"et_gev": np.ones(3)}, "flat arrays of one length"),
        ({"et_gev": np.array([1.0, -1.0])}, "1 deposits have no transverse energy or less"),
        ({"jet": np.array([1, 0])}, "ordered by jet, from 0 to 1"),
        ({"jet": np.array([0, 2])}, "ordered by jet, from 0 to 1"),
    ):
        with pytest.raises(InputError, match=message):
            Deposits(**good | wrong)


def test_wrong_tables_and_settings(toy):
    table = inputs().table(toy)
    with pytest.raises(
        InputError, match="images of 24 x 25 pixels have 600 columns pixel_0_0 to pixel_23_24; the table has 625"
    ):
        inputs(rows=24).contract(table)
    with pytest.raises(InputError, match="all pixels of all 600 images are 0"):
        inputs().contract(replace(table, values=np.zeros_like(table.values)))
    view = grid(format="ap_ufixed<8,0>")
    with pytest.raises(
        InputError, match=r"codes of 10 bits do not fit ap_ufixed<8,0.*right would be 'ap_ufixed<10,0>'"
    ):
        view.contract(view.table(toy))
    with pytest.raises(InputError) as caught:
        parse(
            "kind: jet_images\nformat: 'ap_ufixed<8,0>'\ncentre: axes\nrows: 0\npixel_width: 0\nnorm: l2\n",
            JetImageInputs,
            "r",
        )
    assert len(str(caught.value).splitlines()) == 4
    with pytest.raises(InputError, match="80 rows of towers are more than the 72 around the detector"):
        parse("kind: jet_grid\nformat: 'ap_ufixed<10,0>'\nrows: 80\n", JetGridInputs, "r")


# Figures.


def test_figures(toy):
    from matplotlib.colors import LogNorm, SymLogNorm

    from trigger.plots.images import average_images, class_means, difference_images

    view = inputs(rows=11, columns=13, pixel_width=0.12)
    table = replace(view.table(toy), weights=np.linspace(0, 2, len(toy)))
    means = class_means(table, view)
    own = toy.labels == 2
    np.testing.assert_allclose(means[2], np.average(pixels(table, 11, 13)[own], axis=0, weights=table.weights[own]))
    figure = average_images(table, view, simulated=True)
    *panels, bar = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.texts[0].get_text() for axes in panels] == list(toy.class_names)
    for axes, mean in zip(panels, means, strict=True):
        (mesh,) = axes.collections
        np.testing.assert_array_equal(mesh.get_array(), mean)
        assert isinstance(mesh.norm, LogNorm)
    assert panels[0].get_ylabel() == "Δφ, turned [rad]"
    assert panels[3].get_xlabel() == "Δη, turned"
    assert bar.get_ylabel() == "mean share of transverse energy"
    figure = difference_images(table, view, "quark", simulated=True)
    first = figure.axes[0]
    np.testing.assert_array_equal(first.collections[0].get_array(), means[1] - means[0])
    assert isinstance(first.collections[0].norm, SymLogNorm)
    assert first.texts[0].get_text() == "gluon - quark"
    with pytest.raises(InputError, match="no class 'quarks'; nearest: 'quark'"):
        difference_images(table, view, "quarks", simulated=True)
    with pytest.raises(InputError, match="class 'top' has no jets of any weight"):
        average_images(table.take(table.labels != 4), view, simulated=True)
