"""The sample of jet images and what is drawn of a network, against scipy, numpy and cases worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.signal import correlate2d

from models.analyses.jet_images import JetImages, convolved, growing_averages, pixel_correlation
from models.analyses.recipe import load_analysis
from models.analyses.study import Workplace
from models.analyses.trimmed_jets import JET_IMAGES, TrimmedJets
from models.offline.image_cnn import ImageCnn
from trigger.data.jets import Split, concatenate_jets
from trigger.data.sources import jets_of
from trigger.data.toy import ToyData
from trigger.errors import InputError
from trigger.inputs.substructure import in_towers, substructure, trimmed_jets
from trigger.plots import jet_images as plots

TOY = ToyData(kind="toy", classes=("quark", "W"), jets_per_class=200)


def place(folder: Path) -> Workplace:
    return Workplace(folder, folder, 1, 1, lambda what, done, total: None)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Toys whose trimmed mass and pT lie in windows that cut into both classes."""
    how = TrimmedJets(data=TOY, signal=("W",), pt_gev=(850.0, 1100.0), mass_gev=(60.0, 160.0))
    return how.sample(place(tmp_path_factory.mktemp("toys")))


def test_the_sample_is_what_the_windows_leave(found):
    jets = concatenate_jets(list(jets_of(TOY, 1, Path())))
    trimmed = trimmed_jets(in_towers(jets, 0.1), 0.3, 0.05)
    numbers = substructure(trimmed, 0.3)
    inside = (numbers.pt_gev >= 850) & (numbers.pt_gev < 1100) & (numbers.mass_gev >= 60) & (numbers.mass_gev < 160)
    assert 20 < inside.sum() < len(jets) - 20
    assert (found.numbers.table() == numbers.table()[inside]).all()
    assert found.made == {"quark": 200, "W": 200}
    assert sum(found.details()["jets"].values()) == len(found.jets) == inside.sum()
    assert (found.trial.is_signal == (found.jets.labels == 1)).all()


def test_weights_make_the_trimmed_pt_flat(found):
    for label in (0, 1):
        chosen = found.jets.labels == label
        share, _ = np.histogram(
            found.numbers.pt_gev[chosen], np.linspace(850, 1100, 17), weights=found.jets.weights[chosen]
        )
        filled = share[share > 0]
        assert filled == pytest.approx(np.full(len(filled), filled[0]))


def test_images_have_a_mean_square_of_one(found):
    network = ImageCnn(kind="image_cnn", images=JET_IMAGES)
    image = found.images(network)
    assert image.shape == (len(found.jets), 25, 25, 1)
    learn = found.trial.splits[Split.TRAIN]
    assert (image[learn].astype(float) ** 2).sum() / learn.sum() == pytest.approx(1, rel=1e-5)
    energy = image.sum(axis=(1, 2, 3)) / found.numbers.pt_gev
    assert np.ptp(energy) / energy.mean() < 0.05  # all pixels were divided by one number


def test_windows_that_hold_nothing(tmp_path):
    how = TrimmedJets(data=TOY, signal=("W",), pt_gev=None, mass_gev=(5000.0, 6000.0))
    with pytest.raises(InputError, match="none has"):
        how.sample(place(tmp_path))
    with pytest.raises(InputError, match="'quark' has no jets"):
        TrimmedJets(data=TOY, signal=("W",), pt_gev=None, mass_gev=(150.0, 200.0)).sample(place(tmp_path))
    with pytest.raises(ValidationError, match="mass window"):
        TrimmedJets(data=TOY, signal=("W",), mass_gev=(95.0, 65.0))


@pytest.mark.parametrize("padding", [0, 2])
def test_convolutions_are_those_of_scipy(padding):
    generator = np.random.default_rng(1)
    image, kernels = generator.normal(size=(9, 8)), generator.normal(size=(3, 5, 3))
    found = convolved(image, kernels, padding)
    wanted = [correlate2d(np.pad(image, padding), kernel, mode="valid") for kernel in kernels]
    assert found == pytest.approx(np.array(wanted))


def test_correlation_is_pearsons():
    generator = np.random.default_rng(2)
    images = generator.random((40, 3, 2)).astype(np.float32)
    images[:, 1, 1] = 0.25
    output = images[:, 0, 0] - 2 * images[:, 2, 1] + 0.1 * generator.normal(size=40)
    repeats = generator.integers(1, 4, 40)  # whole weights are jets that are there as often
    found = pixel_correlation(images, output, repeats.astype(float))
    many, outputs = np.repeat(images, repeats, axis=0), np.repeat(output, repeats)
    for row in range(3):
        for column in range(2):
            wanted = 0.0 if (row, column) == (1, 1) else np.corrcoef(many[:, row, column], outputs)[0, 1]
            assert found[row, column] == pytest.approx(wanted, abs=1e-6)


def test_averages_over_more_and_more_jets():
    images = np.arange(20, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), dtype=np.float32)
    is_signal, weights = np.arange(20) < 12, np.linspace(1, 2, 20)
    found = growing_averages(images, is_signal, weights, (1, 4, 1000), 3)
    assert list(found) == [1, 4, 8]  # of background there are eight
    assert found[1][0][0, 0] in range(12)
    assert found[1][1][0, 0] in range(12, 20)
    assert found[8][1] == pytest.approx(np.full((2, 2), np.average(np.arange(12, 20), weights=weights[12:])))
    again = growing_averages(images, is_signal, weights, (1, 4, 1000), 3)
    assert all((found[count][0] == again[count][0]).all() for count in found)


def test_the_scan_wants_rising_sizes():
    with pytest.raises(ValidationError, match="larger than the one before"):
        JetImages(kind="jet_images", sample=TrimmedJets(data=TOY, signal=("W",)), filter_sizes=(5, 3))


@pytest.mark.parametrize("name", ["jet_images", "beyond_mass"])
def test_the_two_studies_share_their_samples(name):
    small, large = load_analysis(name), load_analysis(f"{name}_large")
    for recipe, twin in ((small, load_analysis("jet_images")), (large, load_analysis("jet_images_large"))):
        assert recipe.study.sample == twin.study.sample
        assert recipe.seed == twin.seed


def test_figures_are_drawn():
    generator = np.random.default_rng(3)
    averages = {count: (generator.random((25, 25)), generator.random((25, 25))) for count in (1, 10)}
    figures = (
        plots.growing_images(averages, JET_IMAGES), plots.filters(generator.normal(size=(10, 5, 5))),
        plots.convolved_differences(generator.normal(size=(3, 9, 9))),
        plots.correlation_image(np.zeros((25, 25)), JET_IMAGES),
    )  # fmt: skip
    assert [len(figure.axes) for figure in figures] == [3 * 2 + 2, 2 * 8 + 1, 3 + 1, 2]
