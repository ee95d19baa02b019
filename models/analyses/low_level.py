"""What the layers of a detector see, without jets: whole events as images, energy of showers shared out, and tracks.

Three parts, each of which may be left out; what synthetic showers and tracks say is shown and decides nothing:

- images: a convolutional network on images of collisions whose channels are tracks, electromagnetic and hadronic deposits;
- clustering: GravNet and GarNet share the energy of the hits of two overlapping showers out among them (parametrised
  showers, synthetic);
- tracking: a graph network tells edges of tracks from others in a barrel of cylinders (toy tracks, synthetic).

References:
    Images: arXiv:1902.08276. Clustering: arXiv:1902.07987. Tracking: arXiv:1810.06111.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from models.analyses.study import Cell, Result, Study, Table, Workplace, beyond, judged, require_classes
from models.offline.clustering_merit import best_order, central_width, nearest_axis, responses, summarise, two_means
from models.offline.detector_cnn import DetectorCnn
from models.offline.detector_merit import (
    best_point,
    binomial,
    by_pt,
    channel_numbers,
    edge_trial,
    resolution,
    scan_of,
)  # fmt: skip
from models.offline.edge_network import EdgeNetwork, edge_loss
from models.offline.fitting import Fitting, Loss, Rows, predict
from models.offline.gravnet import GarNet, GravNet, fraction_loss
from models.offline.merit import Merit, Scored, gain, mean_difference, mean_over_models
from models.offline.tagging import Trained, boosted_trees, cut, train_tagger, trained, trial
from models.offline.tracking_merit import Match, find_tracks, narrower_cuts
from trigger.config import Settings
from trigger.data.detector_images import CHANNELS, DetectorImages, generate_images, images_digest, read_images
from trigger.data.jets import Split, split_by_event
from trigger.data.showers import CalorimeterEvents, ShowerData, make_showers
from trigger.data.tracks import HitGraphs, TrackData, make_tracks
from trigger.decision.efficiency import bootstrap, softmax
from trigger.verdict import Requirement

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float64]
Responses = NDArray[np.floating[Any]]
CNN, SUMS, MORE = "CNN", "trees of sums", "trees of sums, pixels and maxima"
MEANS, NEAREST = "two means", "nearest true axis"
GRAPH, CUTS, EDGE_TREES = "graph network", "cuts", "trees of edges"
LOGITS = tuple(np.linspace(-3.0, 3.0, 9).tolist())
"""Thresholds of the graph network that are tried."""
NARROWER = tuple(np.linspace(0.1, 1.0, 10).tolist())
"""Parts of the limits of edges that are tried as cuts."""
PT_BINS = 6
MATCHES: tuple[Match, ...] = ("perfect", "double_majority", "lhc")
BATCH = 128
"""Events that are predicted at a time; pairs of hits take much memory."""


class ImagePart(Settings):
    """Images of whole collisions.

    Attributes:
        data: The collisions.
        signal: Processes that are signal.
        network: The convolutional network.
        fitting: How it is trained; none is that of the study.
    """

    data: DetectorImages
    signal: tuple[str, ...] = Field(default=("top_pairs",), min_length=1)
    network: DetectorCnn = DetectorCnn(kind="detector_cnn")
    fitting: Fitting | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        require_classes("signal", self.signal, self.data.processes)
        return self


class ClusteringPart(Settings):
    """Two overlapping showers.

    Attributes:
        data: The showers.
        gravnet: One network.
        garnet: The other.
        fitting: How both are trained; none is that of the study.
    """

    data: ShowerData
    gravnet: GravNet = GravNet(kind="gravnet")
    garnet: GarNet = GarNet(kind="garnet")
    fitting: Fitting | None = None


class TrackingPart(Settings):
    """Tracks through cylinders.

    Attributes:
        data: The tracks.
        network: The graph network.
        fitting: How it is trained; none is that of the study.
        match: When a candidate is a particle.
    """

    data: TrackData
    network: EdgeNetwork = EdgeNetwork(kind="edge_network")
    fitting: Fitting | None = None
    match: Match = "double_majority"


@dataclass
class _Found:
    """What the parts found so far."""

    requirements: list[Requirement]
    tables: list[Table]
    figures: list[str]
    details: dict[str, Any]


class LowLevel(Study):
    """Networks on what the layers of a detector see: images, showers and tracks.

    Attributes:
        images: Whole collisions; none leaves them out, and all that is left is synthetic.
        clustering: Overlapping showers; none leaves them out.
        tracking: Tracks; none leaves them out.
    """

    PAPERS: ClassVar[tuple[str, ...]] = ("1902.08276", "1902.07987", "1810.06111")
    SAMPLE: ClassVar[tuple[str, ...]] = (
        "Images: whole collisions of our own simulation and a parametrised detector, top pairs against QCD, in place of quark "
        "and gluon jets of CMS Open Data with its full simulation; a smaller residual network.",
        "Clustering: parametrised showers in iron, synthetic, in place of Geant4 showers in tungsten; smaller samples.",
        "Tracking: independent helical toy tracks in ten cylinders, synthetic, in place of the collisions of the tracking "
        "challenge; the graph network sees the geometry of edges where the recipe says so.",
    )
    DEPARTURES: ClassVar[tuple[str, ...]] = (
        "Clustering: the loss takes the better of both orders of the showers. The baselines are ours: two means of the "
        "hits, and the nearest of the true axes, which no network is told and of which one that learns from few showers stays "
        "behind.",
    )  # fmt: skip

    kind: Literal["low_level"]
    images: ImagePart | None = None
    clustering: ClusteringPart | None = None
    tracking: TrackingPart | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.images is None and self.clustering is None and self.tracking is None:
            raise ValueError("images, clustering and tracking are all left out; right would be one of them at least")
        return self

    def content(self, seed: int) -> Any:
        """Digest of the images; what else there is follows from the settings."""
        return None if self.images is None else images_digest(self.images.data, seed)

    def run(self, place: Workplace) -> Result:
        """The parts that are there, one after the other."""
        found = _Found([], [], [], {})
        taggers: dict[str, Merit] = {}
        curves: dict[str, tuple[Floats, Floats]] = {}
        if self.images is not None:
            taggers, curves = self._images(self.images, place, found)
        if self.clustering is not None:
            self._clustering(self.clustering, place, found)
        if self.tracking is not None:
            self._tracking(self.tracking, place, found)
        return Result(
            self.kind, self.PAPERS, self.departures(), tuple(found.requirements), taggers, curves, tuple(found.tables),
            tuple(found.figures), found.details, self.images is None,
        )  # fmt: skip

    def _images(
        self, part: ImagePart, place: Workplace, found: _Found
    ) -> tuple[dict[str, Merit], dict[str, tuple[Floats, Floats]]]:
        """The network on images, against trees of a few numbers of each channel."""
        from trigger.plots.low_level import average_images

        path = generate_images(
            part.data, place.seed, place.samples, workers=place.workers, progress=place.progress
        )  # fmt: skip
        data = read_images(path)
        is_signal = np.isin(data.labels, [data.class_names.index(name) for name in part.signal])
        sample = trial(is_signal, data.weights, data.events, place.seed)
        inputs = data.inputs()

        def build() -> keras.Model:
            return part.network.build({"image": data.images.shape[1:]}, 2)

        cnn, _ = train_tagger(
            CNN,
            build,
            inputs,
            sample,
            part.fitting or self.fitting,
            self.seeds,
            place.seed,
            place.trainings,
            place.progress,
        )
        sums = channel_numbers(data.images)
        count = len(CHANNELS)
        others = [
            *(cut(f"sum of {name}", sums[:, place_], sample) for place_, name in enumerate(CHANNELS)),
            boosted_trees(SUMS, sums[:, :count], sample, self.seeds, place.seed),
            boosted_trees(MORE, sums, sample, self.seeds, place.seed),
        ]
        gains = {one.name: gain(cnn, one, sample.held, place.seed) for one in others}
        taggers, curves = judged([*others, cnn], sample.held, place.seed)
        for name in (SUMS, MORE):
            note = f"AUC {taggers[CNN].auc.value:.4f} against {taggers[name].auc.value:.4f}"
            found.requirements.append(beyond(f"images:cnn over {name}", gains[name], 3, note))
        found.tables.append(
            Table("images: AUC of the CNN minus that of others", ("over", "gain"), tuple(gains.items()))
        )
        found.details["images"] = {
            name: int((data.labels == label).sum()) for label, name in enumerate(data.class_names)
        }
        averages = {
            name: np.average(data.images[data.labels == label], axis=0, weights=data.weights[data.labels == label])
            for label, name in enumerate(data.class_names)
        }
        found.figures.append(place.draw("average_images", average_images(averages, CHANNELS, part.data.max_abs_eta)))
        return taggers, curves

    def _clustering(self, part: ClusteringPart, place: Workplace, found: _Found) -> None:
        """Both networks, against two means of the hits, which are told as little, and against the true axes."""
        from trigger.plots.low_level import response_histograms

        events = make_showers(part.data, place.seed)
        splits = split_by_event(np.arange(len(events)), place.seed)
        test = events.take(splits[Split.TEST])
        energy, truth = test.energy_gev.astype(np.float64), test.fractions.astype(np.float64)
        simple = {
            MEANS: two_means(energy, test.x_cm, test.y_cm),
            NEAREST: nearest_axis(test.x_cm, test.y_cm, test.axes_cm),
        }
        given: dict[str, list[Responses]] = {
            name: [responses(energy, best_order(energy, shares, truth), truth)] for name, shares in simple.items()
        }
        rows = _rows_of(events.inputs(), events.answers(), splits)
        networks: dict[str, Trained] = {}
        for network in (part.gravnet, part.garnet):
            logits, networks[network.kind] = self._trained(
                network.kind, partial(_clusterer, network, events), rows, part.fitting or self.fitting, fraction_loss, place
            )  # fmt: skip
            given[network.kind] = [
                responses(energy, best_order(energy, softmax(one), truth), truth) for one in logits
            ]  # fmt: skip
        sampled = bootstrap(np.arange(len(test)), np.ones(len(test)), place.seed)
        widths = {name: np.stack([central_width(one, sampled) for one in models]) for name, models in given.items()}
        truncated = {name: np.stack([resolution(one, sampled) for one in models]) for name, models in given.items()}
        found.tables.append(Table(
            "clustering (synthetic showers): energy response of a shower",
            ("clustering", "half of the central 68.3 %", "narrower than two means by", "truncated resolution", "truncated mean",
             "accuracy", "showers", "parameters", "events/s learnt"),
            tuple(_clustering_row(name, models, widths, truncated[name], networks.get(name)) for name, models in given.items()),
        ))  # fmt: skip
        gained = mean_difference(widths[MEANS], widths["gravnet"])
        found.requirements.append(beyond(
            "clustering:gravnet over two means", gained, 3,
            f"synthetic showers; central width {widths['gravnet'][:, 0].mean():.4f} against {widths[MEANS][0, 0]:.4f}, "
            f"{widths[NEAREST][0, 0]:.4f} of one that is told the true axes", required=False,
        ))  # fmt: skip
        found.details["showers"] = {"events": len(events), "held out": len(test), "synthetic": True}
        shown = {name: models[0].ravel().astype(np.float64) for name, models in given.items()}
        found.figures.append(place.draw("shower_response", response_histograms(shown)))

    def _tracking(self, part: TrackingPart, place: Workplace, found: _Found) -> None:
        """The graph network, against cuts on edges."""
        graphs = make_tracks(part.data, place.seed)
        splits = split_by_event(np.arange(len(graphs)), place.seed)
        seen = graphs.inputs()

        def build() -> keras.Model:
            return part.network.build({name: array.shape[1:] for name, array in seen.items()})

        rows = _rows_of(seen, graphs.answers(), splits)
        logits, network = self._trained(
            part.network.kind, build, rows, part.fitting or self.fitting, edge_loss, place, (Split.VALIDATION, Split.TEST)
        )  # fmt: skip
        parts = {split: graphs.take(splits[split]) for split in (Split.VALIDATION, Split.TEST)}
        cut_at = int(splits[Split.VALIDATION].sum())
        self._edges(graphs, splits, [one[cut_at:] for one in logits], network, place, found)
        scores = {Split.VALIDATION: logits[0][:cut_at], Split.TEST: logits[0][cut_at:]}
        found.details["tracks"] = {"graphs": len(graphs), "held out": len(parts[Split.TEST]), "synthetic": True}
        _tracks(part, parts, scores, place, found)

    def _edges(
        self, graphs: HitGraphs, splits: dict[Split, NDArray[np.bool_]], logits: list[Floats], trainings: Trained,
        place: Workplace, found: _Found,
    ) -> None:  # fmt: skip
        """AUC of edges: single cuts, trees of the geometry, and the graph network."""
        sample = edge_trial(graphs, splits)
        slope, z0 = (column[graphs.edge_mask] for column in graphs.edge_geometry())
        near = {"phi_slope": -np.abs(slope), "z0": -np.abs(z0)}
        limits = graphs.origin.details["settings"]
        both = -np.maximum(np.abs(slope) / limits["phi_slope_max"], np.abs(z0) / limits["z0_max_mm"])
        table = np.column_stack([slope, z0, np.take_along_axis(graphs.layer, graphs.senders, 1)[graphs.edge_mask]])
        mask = graphs.edge_mask[splits[Split.TEST]]
        network = Scored(
            GRAPH, np.stack([one[mask] for one in logits]), threshold=0.0, parameters=trainings.parameters,
            trained_per_s=trainings.rows_per_s,
        )  # fmt: skip
        cuts = [cut(f"cut on {name}", values, sample) for name, values in (*near.items(), ("both", both))]
        others = [*cuts, boosted_trees(EDGE_TREES, table, sample, self.seeds, place.seed)]
        merits, _ = judged([*others, network], sample.held, place.seed)
        gains = {one.name: gain(network, one, sample.held, place.seed) for one in others}
        found.tables.append(Table(
            "tracking (synthetic tracks): edges",
            ("tagger", "AUC", "graph network minus this", "parameters", "graphs/s learnt"),
            tuple((name, one.auc, gains.get(name), one.parameters, one.trained_per_s) for name, one in merits.items()),
        ))  # fmt: skip
        best = max((one.name for one in others), key=lambda name: merits[name].auc.value)
        note = f"synthetic tracks; AUC {merits[GRAPH].auc.value:.4f} against {merits[best].auc.value:.4f} of {best}"
        found.requirements.append(beyond("tracking:edges over best other", gains[best], 3, note, required=False))

    def _trained(
        self, name: str, build: Callable[[], keras.Model], rows: dict[Split, Rows], how: Fitting, loss: Loss, place: Workplace,
        judge: tuple[Split, ...] = (Split.TEST,),
    ) -> tuple[list[Floats], Trained]:  # fmt: skip
        """Outputs of each model for the splits that judge, one after the other; and the trainings."""
        found = trained(
            name, build, rows[Split.TRAIN], rows[Split.VALIDATION], how, loss, self.seeds, place.seed, place.trainings,
            place.progress,
        )  # fmt: skip
        return [
            np.concatenate([predict(model, rows[split].inputs, BATCH) for split in judge]) for model in found.models
        ], found


def _tracks(
    part: TrackingPart, parts: dict[Split, HitGraphs], scores: dict[Split, Floats], place: Workplace, found: _Found
) -> None:
    """Efficiency and fake rate against the threshold; at the point that validation chooses against pT too."""
    from trigger.plots.low_level import efficiency_by_pt, track_scan

    how, test = part.data, Split.TEST

    def by_network(split: Split) -> list[NDArray[np.bool_]]:
        return [scores[split] > logit for logit in LOGITS]

    def by_cuts(split: Split) -> list[NDArray[np.bool_]]:
        return [narrower_cuts(parts[split], share * how.phi_slope_max, share * how.z0_max_mm) for share in NARROWER]

    rows: list[tuple[Cell, ...]] = []
    scans, tracks = {}, {}
    for name, steps, edges in ((GRAPH, LOGITS, by_network), (CUTS, NARROWER, by_cuts)):
        point = best_point(scan_of(parts[Split.VALIDATION], edges(Split.VALIDATION), part.match))
        accepted = edges(test)
        scans[name] = scan_of(parts[test], accepted, part.match)
        tracks[name] = find_tracks(parts[test], accepted[point])
        for match in MATCHES:
            figures = tracks[name].figures(match)
            fake = None if figures.fake_rate is None else binomial(figures.fake_rate, figures.candidates)
            rows.append((f"{name}, {match}", steps[point], binomial(figures.efficiency, figures.particles), fake,
                         figures.duplicate_rate))  # fmt: skip
    found.tables.append(Table(
        f"tracking (synthetic tracks): tracks at the best point of {part.match} in validation",
        ("edges by, match", "threshold", "efficiency", "fake rate", "duplicate rate"), tuple(rows),
    ))  # fmt: skip
    found.figures += [
        place.draw("track_scan", track_scan(
            {name: [(one.efficiency, one.fake_rate) for one in scan] for name, scan in scans.items()}, LOGITS, GRAPH
        )),
        place.draw("track_efficiency", efficiency_by_pt(
            {name: by_pt(one, part.match, how.pt_gev, PT_BINS) for name, one in tracks.items()}
        )),
    ]  # fmt: skip


def _rows_of(inputs: dict[str, NDArray[Any]], answers: NDArray[np.float32], splits: dict[Split, NDArray[np.bool_]]) -> dict[
    Split, Rows
]:  # fmt: skip
    return {
        split: Rows(
            {name: array[chosen] for name, array in inputs.items()}, answers[chosen], np.ones(int(chosen.sum()))
        )
        for split, chosen in splits.items()
    }


def _clusterer(network: GravNet | GarNet, events: CalorimeterEvents) -> keras.Model:
    return network.build({name: array.shape[1:] for name, array in events.inputs().items()}, 2)


def _clustering_row(
    name: str, models: list[Responses], widths: dict[str, Floats], truncated: Floats, network: Trained | None
) -> tuple[Cell, ...]:
    found = [summarise(one) for one in models]
    mean, accuracy = (
        float(np.mean([getattr(one, figure) for one in found])) for figure in ("truncated_mean", "accuracy")
    )
    gained = None if name == MEANS else mean_difference(widths[MEANS], widths[name])
    size = (None, None) if network is None else (network.parameters, network.rows_per_s)
    wide, narrow = mean_over_models(widths[name]), mean_over_models(truncated)
    return (name, wide, gained, narrow, mean, accuracy, found[0].showers, *size)
