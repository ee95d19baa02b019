"""Trimmed jets of bosons and of QCD in narrow windows: the sample of two studies.

References:
    Jets, windows, images and weights: arXiv:1511.05190. Trimming: arXiv:0912.1342.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from models.analyses.study import Workplace
from models.offline.image_cnn import ImageBlock, ImageCnn, ResponseNormalisation
from models.offline.tagging import Trial, trial_of
from trigger.config import Settings
from trigger.data.jets import (
    JetDataset,
    PtWindow,
    Split,
    concatenate_jets,
    flattening_weights,
)
from trigger.data.sources import JetSource, content_of, jets_of
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint, Overflow, Rounding
from trigger.inputs.images import JetImageInputs
from trigger.inputs.substructure import (
    Substructure,
    concatenate_substructure,
    in_towers,
    substructure,
    trimmed_jets,
)

if TYPE_CHECKING:
    import keras

PT_BINS = 16
"""Of the weights that make the spectra of pT flat."""


def _mass_window(mass_gev: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= mass_gev[0] < mass_gev[1]:
        raise ValueError(f"a mass window is [low, high] with 0 <= low < high, found {list(mass_gev)}")
    return mass_gev


MassWindow = Annotated[tuple[float, float], AfterValidator(_mass_window)]
"""Of a recipe: a range of the jet's mass in GeV, lower edge included."""

JET_IMAGES = JetImageInputs(
    kind="jet_images", format=FixedPoint(False, 0, 16, Rounding.RND_CONV, Overflow.SAT), rows=25, columns=25,
    pixel_width=0.1, trim_subjets=0.0, centre="leading_subjet", rotate="second_subjet", flip=True, norm="none",
)  # fmt: skip
"""25 x 25 pixels of 0.1, the leading subjet in the middle, the second one below it, not normalised; of jets that are trimmed
already. Pixels are floating-point numbers, `format` is not used."""

CONVOLUTIONS = ImageCnn(
    kind="image_cnn", images=JET_IMAGES,
    blocks=(ImageBlock(filters=32, kernel=11, pool=2, dropout=0.2), ImageBlock(filters=32, kernel=3, pool=2, dropout=0.2)),
    response=ResponseNormalisation(), hidden=(64,), dropout=0.2,
)  # fmt: skip
"""Twice (convolution, rectifier, max pooling, dropout), local response normalisation, one dense layer."""


@dataclass(frozen=True)
class TrimmedSample:
    """Trimmed jets with the numbers that describe them.

    Attributes:
        jets: Trimmed; their weights make the trimmed pT of every class flat.
        numbers: Of each jet.
        trial: Signal against background.
        made: Jets of each class before the windows.
    """

    jets: JetDataset
    numbers: Substructure
    trial: Trial
    made: dict[str, int]

    def images(self, network: ImageCnn) -> NDArray[np.float32]:
        """What the network is shown of each jet, shape `(jets, rows, columns, 1)`.

        All pixels of all images are divided by one number, so that the mean square of the jets that are learnt from is 1.
        """
        image = network.seen(self.jets)["image"]
        square = np.square(image[self.trial.splits[Split.TRAIN]], dtype=np.float64).sum(axis=(1, 2, 3)).mean()
        return (image / np.float32(np.sqrt(square))).astype(np.float32)

    def builder(self, network: ImageCnn) -> Callable[[], keras.Model]:
        """Makes the untrained network, of two outputs."""
        images = network.images
        return lambda: network.build({"image": (images.rows, images.columns, 1)}, 2)

    def details(self) -> dict[str, Any]:
        """Sizes, as JSON would hold them."""
        kept = np.bincount(self.jets.labels, minlength=len(self.jets.class_names))
        test = self.trial.splits[Split.TEST]
        held = np.bincount(self.jets.labels[test], minlength=len(self.jets.class_names))
        names = self.jets.class_names
        return {
            "jets before the windows": self.made,
            "jets": {name: int(count) for name, count in zip(names, kept, strict=True)},
            "held-out jets": {name: int(count) for name, count in zip(names, held, strict=True)},
        }


class TrimmedJets(Settings):
    """Which jets, and how they are trimmed and selected.

    Attributes:
        data: Where they come from; its window of pT is that of the jets before trimming and should be wider than `pt_gev`.
        signal: Classes that are signal.
        tower_width: Constituents are first summed in towers of this width; `None` takes them as they are.
        subjet_radius: Of the kt subjets of the trimming, and of Delta R.
        trim: Subjets with a smaller fraction of the jet's pT are left out.
        pt_gev: Window of the trimmed jet's pT; `None` takes all.
        mass_gev: Window of the trimmed jet's mass; `None` takes all.
    """

    data: JetSource
    signal: tuple[str, ...] = Field(min_length=1)
    tower_width: float | None = Field(default=0.1, gt=0, le=1)
    subjet_radius: float = Field(default=0.3, gt=0, le=1.5)
    trim: float = Field(default=0.05, ge=0, lt=1)
    pt_gev: PtWindow | None = (250.0, 300.0)
    mass_gev: MassWindow | None = (65.0, 95.0)

    def content(self, seed: int) -> Any:
        """Digest of the jets."""
        return content_of(self.data, seed)

    def sample(self, place: Workplace) -> TrimmedSample:
        """The jets, read or made block by block.

        Raises:
            InputError: A class has no jet in the windows, or a setting does not suit.
        """
        jets, numbers, made = [], [], np.zeros(0, dtype=np.int64)
        for block in jets_of(self.data, place.seed, place.samples, place.workers, place.progress):
            if not len(made):
                made = np.zeros(len(block.class_names), dtype=np.int64)
            made += np.bincount(block.labels, minlength=len(made))
            found = self._selected(block)
            if found is not None:
                jets.append(found[0])
                numbers.append(found[1])
        if not jets:
            raise InputError(
                f"of {made.sum()} jets none has a trimmed pT in {self.pt_gev} and mass in {self.mass_gev} GeV"
            )
        whole, all_numbers = concatenate_jets(jets), concatenate_substructure(numbers)
        pt = all_numbers.pt_gev
        window = self.pt_gev or (float(pt.min()), float(pt.max()))
        whole = replace(whole, weights=flattening_weights(pt, whole.labels, whole.weights, window, PT_BINS))
        counts = dict(zip(whole.class_names, made.tolist(), strict=True))
        return TrimmedSample(whole, all_numbers, trial_of(whole, self.signal, place.seed), counts)

    def _selected(self, jets: JetDataset) -> tuple[JetDataset, Substructure] | None:
        """Trimmed jets of a block in the windows; `None` where there is none."""
        seen = jets if self.tower_width is None else in_towers(jets, self.tower_width)
        seen = trimmed_jets(seen, self.subjet_radius, self.trim)
        kinematics = seen.kinematics()
        chosen = np.ones(len(seen), dtype=bool)
        for name, window in (("pt_gev", self.pt_gev), ("mass_gev", self.mass_gev)):
            if window is not None:
                chosen &= (kinematics[name] >= window[0]) & (kinematics[name] < window[1])
        if not chosen.any():
            return None
        seen = seen.take(chosen)
        return seen, substructure(seen, self.subjet_radius)
