"""Deep convolutional networks on jet images: bosons of a W' against QCD, and what the networks look at.

References:
    arXiv:1511.05190. Jet images: arXiv:1407.5675. N-subjettiness: arXiv:1011.2268.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from models.analyses.study import Cell, Result, Seeds, Study, Table, Workplace, beyond, judged
from models.analyses.trimmed_jets import CONVOLUTIONS, TrimmedJets, TrimmedSample
from models.layers import Nodes
from models.offline.dense import ImageDnn
from models.offline.image_cnn import ImageCnn
from models.offline.merit import Merit, Scored, gain, merit
from models.offline.tagging import boosted_trees, fisher, likelihood, train_tagger
from trigger.data.jets import Split
from trigger.inputs.substructure import OBSERVABLES

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float64]
CNN, DENSE, PHYSICS, PHYSICS_TREES = "CNN", "dense network", "mass + tau21", "trees of mass + tau21"


def _rising(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if list(sizes) != sorted(set(sizes)):
        raise ValueError(f"each number is larger than the one before, found {list(sizes)}")
    return sizes


Rising = Annotated[tuple[Annotated[int, Field(gt=0)], ...], AfterValidator(_rising)]


class JetImages(Study):
    """A convolutional network on jet images, against physics variables and a dense network; filters, and what is learnt.

    Attributes:
        sample: The jets.
        network: The convolutional network; its `images` are those of the whole study.
        dense: Nodes of the layers of the dense network.
        dense_dropout: Share of their outputs that is dropped in training.
        filter_sizes: Pixels a side of the first convolution's filters in the scan; none leaves it out.
        scan_epochs: The most epochs of a training of the scan.
        scan_seeds: Models of each size.
        averages: Over how many jets images are averaged.
    """

    PAPERS: ClassVar[tuple[str, ...]] = ("1511.05190", "1407.5675")
    SAMPLE: ClassVar[tuple[str, ...]] = (
        "Pythia 8.3 in place of 8.170. The signal is every jet in the windows of a W' to W Z of which both decay to quarks, so "
        "that half of it are Z; in the paper the Z is invisible.",
        "The spectrum of the hard scattering is biased and not weighted back, in a window where the recipe sets one: jets whose "
        "hard scattering was far softer or harder than they are rarer than in nature.",
    )
    DEPARTURES: ClassVar[tuple[str, ...]] = (
        "The window of pT is that of the trimmed jet as in the paper, but every jet is taken and not only the leading one.",
        "Jets are clustered of particles, and then each is summed in towers of 0.1 x 0.1; the paper clusters towers. Mass, "
        "tau21, Delta R and the images are of the same trimmed towers.",
        "The deposits are turned and not the pixels, so that nothing is interpolated.",
        "Two convolutions where the paper has three; rectifiers in the dense network where the paper has MaxOut in the first "
        "two layers.",
    )

    kind: Literal["jet_images"]
    sample: TrimmedJets
    network: ImageCnn = CONVOLUTIONS
    dense: Nodes = (256, 128, 64, 25)
    dense_dropout: float = Field(default=0.2, ge=0, lt=1)
    filter_sizes: Rising = (3, 5, 7, 9, 11, 13, 15)
    scan_epochs: int = Field(default=10, gt=0)
    scan_seeds: Seeds = 2
    averages: Rising = Field(default=(1, 10, 100, 1000, 10_000), min_length=1)

    def content(self, seed: int) -> Any:
        """Digest of the jets."""
        return self.sample.content(seed)

    def run(self, place: Workplace) -> Result:
        """Train, judge, scan the sizes of filters, then look inside."""
        sample = self.sample.sample(place)
        images = sample.images(self.network)
        cnn, models = train_tagger(
            CNN, sample.builder(self.network), {"image": images}, sample.trial, self.fitting, self.seeds, place.seed,
            place.trainings, place.progress,
        )  # fmt: skip
        place.keep("cnn", models[0])
        others = [*self._physics(sample, place.seed), self._dense(sample, images, place)]
        scan = self._scan(sample, images, place)
        held = sample.trial.held
        gains = {one.name: gain(cnn, one, held, place.seed) for one in others}
        taggers, curves = judged([*others, cnn], held, place.seed)
        tables = [Table("AUC of the CNN minus that of others", ("over", "gain"), tuple(gains.items()))]
        areas = {size: merit(one, held, place.seed) for size, one in scan.items()}
        if areas:
            tables.append(self._scan_table(scan, areas, sample, place.seed))
        figures = self._figures(sample, images, cnn, models[0], areas, place)
        requirements = tuple(
            beyond(f"cnn:over {name}", gains[name], 3, f"AUC {taggers[CNN].auc.value:.4f} against {taggers[name].auc.value:.4f}")
            for name in (PHYSICS, PHYSICS_TREES)
        )  # fmt: skip
        return Result(
            self.kind, self.PAPERS, self.departures(self.sample.data),
            requirements, taggers, curves, tuple(tables), tuple(figures),
            sample.details(), sample.jets.origin.synthetic, sample.jets.origin.simulated,
        )  # fmt: skip

    def _physics(self, sample: TrimmedSample, seed: int) -> list[Scored]:
        """Taggers of mass, tau21 and Delta R: likelihoods of one and two, Fisher's discriminants and boosted trees."""
        table, trial = sample.numbers.table(), sample.trial
        numbers = range(len(OBSERVABLES))
        few = [*combinations(numbers, 1), *combinations(numbers, 2)]
        found = [likelihood(_together(columns), table[:, columns], trial) for columns in few]
        for columns in ((0, 1), tuple(numbers)):
            found.append(fisher(f"Fisher of {_together(columns)}", table[:, columns], trial))
            found.append(boosted_trees(f"trees of {_together(columns)}", table[:, columns], trial, self.seeds, seed))
        return found

    def _dense(self, sample: TrimmedSample, images: NDArray[np.float32], place: Workplace) -> Scored:
        network = ImageDnn(kind="image_dnn", images=self.network.images, hidden=self.dense, dropout=self.dense_dropout)

        def build() -> keras.Model:
            return network.build({"image": images.shape[1:3]}, 2)

        return train_tagger(
            DENSE, build, {"image": images[..., 0]}, sample.trial, self.fitting, self.seeds, place.seed, place.trainings,
            place.progress,
        )[0]  # fmt: skip

    def _scan(self, sample: TrimmedSample, images: NDArray[np.float32], place: Workplace) -> dict[int, Scored]:
        """The network with first filters of other sizes, trained for fewer epochs."""
        how = self.fitting.model_copy(update={"epochs": self.scan_epochs})
        first, *later = self.network.blocks
        found = {}
        for size in self.filter_sizes:
            blocks = (first.model_copy(update={"kernel": size}), *later)
            network = self.network.model_copy(update={"blocks": blocks})
            found[size] = train_tagger(
                f"{CNN} {size} x {size}", sample.builder(network), {"image": images}, sample.trial, how, self.scan_seeds,
                place.seed, place.trainings, place.progress,
            )[0]  # fmt: skip
        return found

    def _scan_table(self, scan: dict[int, Scored], areas: dict[int, Merit], sample: TrimmedSample, seed: int) -> Table:
        first = self.filter_sizes[0]
        rows: list[tuple[Cell, ...]] = []
        for size, found in areas.items():
            below = None if size == first else gain(scan[size], scan[first], sample.trial.held, seed)
            rows.append(
                (size, found.auc, below, found.rejection_50, found.parameters, found.trained_per_s, found.judged_per_s)
            )
        return Table(
            f"sizes of the first filters, after {self.scan_epochs} epochs at most",
            ("pixels a side", "AUC", "minus that of the first", "rejection at 50 %", "parameters", "jets/s learnt",
             "jets/s judged"),
            tuple(rows),
        )  # fmt: skip

    def _figures(
        self, sample: TrimmedSample, images: NDArray[np.float32], cnn: Scored, model: keras.Model, areas: dict[int, Merit],
        place: Workplace,
    ) -> list[str]:  # fmt: skip
        from trigger.plots import jet_images as plots

        how, trial, simulated = self.network.images, sample.trial, sample.jets.origin.simulated
        pixels, test = images[..., 0], trial.splits[Split.TEST]
        growing = growing_averages(pixels, trial.is_signal, trial.weights, self.averages, place.seed)
        kernels = np.moveaxis(model.get_layer("convolution1").get_weights()[0][:, :, 0], -1, 0)
        signal, background = (
            np.average(pixels[chosen], axis=0, weights=trial.weights[chosen]) for chosen in (trial.is_signal, ~trial.is_signal)
        )  # fmt: skip
        response = convolved(signal - background, kernels, self.network.blocks[0].padding)
        related = pixel_correlation(pixels[test], 1 / (1 + np.exp(-cnn.scores[0])), trial.weights[test])
        drawn = {
            "average_images": plots.growing_images(growing, how, simulated),
            "filters": plots.filters(kernels),
            "convolved_differences": plots.convolved_differences(response),
            "correlation": plots.correlation_image(related, how, simulated),
        }
        if areas:
            drawn["filter_sizes"] = plots.filter_sizes({size: found.auc for size, found in areas.items()}, simulated)
        return [place.draw(name, figure) for name, figure in drawn.items()]


def growing_averages(
    images: NDArray[np.float32], is_signal: NDArray[np.bool_], weights: Floats, counts: tuple[int, ...], seed: int
) -> dict[int, tuple[Floats, Floats]]:
    """Mean image of signal and of background over more and more jets, in an order drawn at random.

    Args:
        images: Shape `(jets, rows, columns)`.
        is_signal: Shape `(jets,)`.
        weights: Shape `(jets,)`.
        counts: Numbers of jets, rising; where there are fewer of signal or of background, all jets of the rarer one and as
            many of the other end the row.
        seed: Of the order.

    Returns:
        By the number of jets that there are of each: the image of signal and that of background.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    classes = [order[is_signal[order]], order[~is_signal[order]]]
    most = min(map(len, classes))
    found = {}
    for count in dict.fromkeys(min(count, most) for count in counts):
        means = []
        for chosen in classes:
            some = chosen[:count]
            weight = weights[some] if weights[some].any() else np.ones(count)
            means.append(np.average(images[some].astype(np.float64), axis=0, weights=weight))
        found[count] = means[0], means[1]
    return found


def convolved(image: NDArray[np.floating[Any]], kernels: NDArray[np.floating[Any]], padding: int = 0) -> Floats:
    """What a convolution without its offset makes of an image.

    Args:
        image: Shape `(rows, columns)`.
        kernels: Shape `(filters, rows of a kernel, columns of a kernel)`.
        padding: Rows and columns of zeros around the image.

    Returns:
        Shape `(filters, rows left, columns left)`.
    """
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, padding), kernels.shape[1:])
    response: Floats = np.einsum("rcij,fij->frc", windows, kernels.astype(np.float64))
    return response


def pixel_correlation(images: NDArray[np.floating[Any]], output: Floats, weights: Floats) -> Floats:
    """Pearson's correlation of a network's output with each pixel, weighted; 0 for a pixel that is the same in all images.

    Args:
        images: Shape `(jets, rows, columns)`.
        output: Shape `(jets,)`.
        weights: Shape `(jets,)`.
    """
    share = weights / weights.sum()
    far = output - share @ output
    flat = images.reshape(len(images), -1).astype(np.float64)
    mean = share @ flat
    covariance = (share * far) @ flat
    variance = share @ np.square(flat) - mean**2
    size = np.sqrt(np.maximum(variance, 0) * (share @ far**2))
    there = variance > 1e-12 * np.maximum(mean**2, np.finfo(float).tiny)
    found = np.divide(covariance, size, out=np.zeros_like(covariance), where=there & (size > 0))
    correlation: Floats = found.reshape(images.shape[1:])
    return correlation


def _together(columns: tuple[int, ...]) -> str:
    return " + ".join(OBSERVABLES[column] for column in columns)
