"""W bosons against QCD with recursive networks on the merging trees of jets, and with message passing between constituents.

What is merged first is a choice: as the kt, Cambridge/Aachen or anti-kt algorithms do, one after the other by pT, or at random.
With each order a simple and a gated recursive network is trained; message passing sees the same jets without any tree. The
networks learn from jets of a broad window in pT, and are judged by others in a narrow window of pT and mass, weighted to be flat
in pT. Then the same with towers of a calorimeter, and with these as pixels of an image; and whole collisions, W' to W Z against
QCD, as sequences of jets, each with its embedding, against their four-momenta alone and against all their constituents.

References:
    arXiv:1702.00748, section 4 for the windows and section 5 for what is compared; Henrion et al., "Neural Message Passing for
    Jet Physics", workshop on deep learning for physical sciences, NIPS 2017.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from models.analyses.study import (
    Cell,
    Result,
    Study,
    Table,
    Workplace,
    beyond,
    judged,
    not_below,
    require_classes,
)
from models.offline.event_gru import EventGru, Reads, events_of
from models.offline.fitting import Fitting
from models.offline.merit import HeldOut, Merit, Scored, gain
from models.offline.message_passing import Adjacency, MessagePassing
from models.offline.recursive import Order, Recursive, Scale
from models.offline.tagging import Trial, boosted_trees, cut, likelihood, train_tagger, trial
from trigger.config import Settings
from trigger.data.jets import JetDataset, PtWindow, Split, concatenate_jets, flattening_weights, split_by_event
from trigger.data.sources import JetSource, content_of
from trigger.decision.efficiency import Estimate
from trigger.errors import InputError
from trigger.verdict import Requirement

Floats = NDArray[np.float64]
Curves = dict[str, tuple[Floats, Floats]]
NAMES: dict[Order, str] = {
    "kt": "kt", "cambridge_aachen": "Cambridge-Aachen", "anti_kt": "anti-kt", "descending_pt": "falling pT",
    "ascending_pt": "rising pT", "random": "random",
}  # fmt: skip
CLASSICAL = "mass and tau21"
TREES = "trees of mass, tau21, pT"


class LearnAndJudge(Settings):
    """Two samples of the same classes.

    Attributes:
        learn: Jets that networks learn from, and by which the best epoch is chosen.
        judge: Jets that they are judged by, as far as they are in the windows.
    """

    learn: JetSource
    judge: JetSource


@dataclass(frozen=True)
class Jets:
    """Jets to learn from and to be judged by, and which are which."""

    jets: JetDataset
    trial: Trial


class JetTrees(Study):
    """Recursive networks on jet trees: orders and gating, inputs, events; message passing.

    Attributes:
        particles: Jets of particles.
        towers: Jets of calorimeter towers; left out if not given.
        events: Jets of whole collisions; left out if not given.
        signal: Classes of the jets that are signal.
        signal_of_events: Classes of `events` that are signal.
        pt_gev: Window of pT of the jets that judge.
        mass_gev: Window of their mass.
        orders: Orders of merging; kt is among them, and random ones are what the others are compared with.
        adjacencies: Of message passing; it is left out if there is none.
        constituents: The most constituents of a jet, by falling pT.
        width: Numbers of an embedding.
        scale: How networks see momenta and energies.
        fitting_of_events: How networks of events are trained; none is as those of jets.
        jets_of_event: The most jets of an event.
        constituents_of_event: The most constituents of an event, where these are read.
    """

    PAPERS: ClassVar[tuple[str, ...]] = ("1702.00748",)
    SAMPLE: ClassVar[tuple[str, ...]] = (
        "Signal are jets that hold both quarks of a W of a broad W' to W Z, background all jets of QCD collisions; the paper "
        "takes the leading jet of each collision, and another simulation of the detector.",
    )
    DEPARTURES: ClassVar[tuple[str, ...]] = (
        "The jets that networks learn from are weighted flat in pT.",
        "A jet's constituents beyond a number, those of lowest pT, are left out.",
        "The numbers of the nodes are scaled with fixed middles and spreads, not with those of the sample; the small recipe "
        "takes logarithms of momenta and energies, with which fewer epochs are enough.",
        "The likelihood of mass and tau21 is that of all particles of the untrimmed jet.",
        "Message passing has no set-to-set readout.",
        "Azimuths of an event are relative to that of its leading jet.",
        "An event holds only its jets within the sample's windows of pT and eta, at most so many, and of particles only those "
        "of these jets; the leading jet's pT is weighted flat.",
    )

    kind: Literal["jet_trees"]
    particles: LearnAndJudge
    towers: LearnAndJudge | None = None
    events: JetSource | None = None
    signal: tuple[str, ...] = Field(default=("W",), min_length=1)
    signal_of_events: tuple[str, ...] = Field(default=("wz",), min_length=1)
    pt_gev: PtWindow = (250.0, 300.0)
    mass_gev: PtWindow = (50.0, 110.0)
    orders: tuple[Order, ...] = ("kt", "cambridge_aachen", "anti_kt", "descending_pt", "random")
    adjacencies: tuple[Adjacency, ...] = ("learned",)
    constituents: int = Field(default=100, ge=2, le=1000)
    width: int = Field(default=40, gt=0)
    scale: Scale = "linear"
    fitting_of_events: Fitting | None = None
    jets_of_event: int = Field(default=5, gt=0, le=50)
    constituents_of_event: int = Field(default=50, gt=0, le=1000)

    @model_validator(mode="after")
    def _known(self) -> Self:
        for sample in (self.particles, self.towers):
            if sample is not None:
                require_classes("signal", self.signal, sample.learn.classes)
                if sample.learn.classes != sample.judge.classes:
                    raise ValueError(
                        f"learn and judge are of other classes: {sample.learn.classes}, {sample.judge.classes}"
                    )
        if self.events is not None:
            require_classes("signal_of_events", self.signal_of_events, self.events.classes)
        if "kt" not in self.orders or len(set(self.orders)) < len(self.orders):
            raise ValueError(f"orders: kt is among them, and none is given twice; found {list(self.orders)}")
        return self

    def _sources(self) -> list[JetSource]:
        pairs = [one for one in (self.particles, self.towers) if one is not None]
        return [source for one in pairs for source in (one.learn, one.judge)] + ([self.events] if self.events else [])

    def content(self, seed: int) -> Any:
        """Digests of all samples."""
        pairs = [one for one in (self.particles, self.towers) if one is not None]
        found = [[content_of(one.learn, seed), content_of(one.judge, seed + 1)] for one in pairs]
        return [*found, None if self.events is None else content_of(self.events, seed)]

    def run(self, place: Workplace) -> Result:
        """Particles in all orders, then towers and images, then events."""
        from trigger.plots.jet_trees import event_readings, tree_orders

        particles = self._jets(self.particles, place)
        taggers = self._taggers(particles, "", self.orders, place)
        taggers |= self._message_passing(particles, place)
        held = particles.trial.held
        merits, curves = judged(list(taggers.values()), held, place.seed)
        tables = [self._orders_table(taggers, merits, held, place.seed)]
        if "random" in self.orders:
            tables.append(_differences_table(taggers, held, place.seed, self.orders))
        figures = [place.draw("tree_orders", tree_orders(
            {NAMES[order]: (merits[NAMES[order]].auc, merits[_gated(NAMES[order])].auc) for order in self.orders},
            CLASSICAL, merits[CLASSICAL].auc, particles.jets.origin.simulated,
        ))]  # fmt: skip
        requirements = _requirements(taggers, held, place.seed)
        details: dict[str, Any] = {"particles": _counts(particles)}
        if self.towers is not None:
            towers = self._jets(self.towers, place)
            found = self._taggers(towers, "towers ", ("kt",), place)
            found |= self._images(towers, place)
            more, more_curves = judged(list(found.values()), towers.trial.held, place.seed)
            merits, curves = merits | more, curves | more_curves
            tables.append(_inputs_table(merits))
            details["towers"] = _counts(towers)
        if self.events is not None:
            read, event_curves, details["events"] = self._events(self.events, place)
            merits, curves = merits | read, curves | event_curves
            tables.append(_merit_rows("events, W' to W Z against QCD", "what is read", read))
            shown = {name.removeprefix("events: "): one.auc for name, one in read.items()}
            figures.append(place.draw("events", event_readings(shown, particles.jets.origin.simulated)))
        return Result(
            self.kind, self.PAPERS, self.departures(*self._sources()),
            tuple(requirements), merits, curves, tuple(tables), tuple(figures),
            details, particles.jets.origin.synthetic, particles.jets.origin.simulated,
        )  # fmt: skip

    def _jets(self, sample: LearnAndJudge, place: Workplace) -> Jets:
        """Both samples, of the second what is in the windows."""
        learn, judge = (
            place.jets(source, seed) for source, seed in ((sample.learn, place.seed), (sample.judge, place.seed + 1))
        )
        kinematics = judge.kinematics()
        pt, mass = kinematics["pt_gev"], kinematics["mass_gev"]
        inside = (pt >= self.pt_gev[0]) & (pt < self.pt_gev[1]) & (mass >= self.mass_gev[0]) & (mass < self.mass_gev[1])
        if not inside.any():
            raise InputError(
                f"judge: none of {len(judge)} jets has a pT in {self.pt_gev} and a mass in {self.mass_gev} GeV"
            )
        judge = judge.take(inside)
        flat = flattening_weights(pt[inside], judge.labels, np.ones(len(judge)), self.pt_gev)
        apart = replace(judge, weights=flat, events=judge.events + learn.events.max() + 1)
        return Jets(concatenate_jets([learn, apart]), _trial(learn, apart, self.signal, place.seed))

    def _taggers(self, data: Jets, prefix: str, orders: tuple[Order, ...], place: Workplace) -> dict[str, Scored]:
        """What mass and tau21 can do, and a simple and a gated network with each order."""
        found = self._classical(data, prefix, place)
        for order in orders:
            simple = self._recursive(order, place)
            inputs = simple.seen(data.jets, place.workers)
            for network in (simple, simple.model_copy(update={"gated": True})):
                name = prefix + (_gated(NAMES[order]) if network.gated else NAMES[order])
                found |= self._trained(name, network, inputs, data.trial, place)
        return found

    def _images(self, data: Jets, place: Workplace) -> dict[str, Scored]:
        network = self._recursive("kt", place).model_copy(update={"image": True})
        return self._trained("images kt", network, network.seen(data.jets, place.workers), data.trial, place)

    def _message_passing(self, data: Jets, place: Workplace) -> dict[str, Scored]:
        found: dict[str, Scored] = {}
        for adjacency in self.adjacencies:
            network = MessagePassing(
                adjacency=adjacency, constituents=self.constituents, width=self.width, scale=self.scale
            )
            inputs = network.seen(data.jets, place.workers)
            found |= self._trained(f"message passing {adjacency}", network, inputs, data.trial, place)
        return found

    def _recursive(self, order: Order, place: Workplace) -> Recursive:
        return Recursive(
            order=order, constituents=self.constituents, width=self.width, scale=self.scale, tree_seed=place.seed
        )

    def _trained(
        self, name: str, network: Recursive | MessagePassing | EventGru, inputs: dict[str, NDArray[np.float32]],
        trial: Trial, place: Workplace, how: Fitting | None = None,
    ) -> dict[str, Scored]:  # fmt: skip
        shapes = {key: array.shape[1:] for key, array in inputs.items()}
        scored, _ = train_tagger(
            name, lambda: network.build(shapes, 2), inputs, trial, how or self.fitting, self.seeds, place.seed,
            place.trainings, place.progress,
        )  # fmt: skip
        return {name: scored}

    def _classical(self, data: Jets, prefix: str, place: Workplace) -> dict[str, Scored]:
        """Mass, tau21, their likelihood in the window of mass, and boosted trees of them and pT."""
        from trigger.inputs.nsubjettiness import nsubjettiness, tau_ratio  # compiled, as is the next
        from trigger.inputs.trees import flat_momenta

        kinematics = data.jets.kinematics()
        mass, pt = kinematics["mass_gev"], kinematics["pt_gev"]
        tau21 = tau_ratio(nsubjettiness(*flat_momenta(data.jets.constituents), n_max=2, radius=1.0), 2, 1)
        near = (mass >= self.mass_gev[0]) & (mass < self.mass_gev[1])
        splits = data.trial.splits
        window = replace(data.trial, splits={split: chosen & near for split, chosen in splits.items()})
        table = np.column_stack([mass, tau21])
        found = [
            cut(f"{prefix}tau21", tau21, data.trial),
            likelihood(f"{prefix}mass", mass[:, None], window),
            likelihood(f"{prefix}{CLASSICAL}", table, window),
            boosted_trees(f"{prefix}{TREES}", np.column_stack([table, pt]), data.trial, self.seeds,
                          place.seed),
        ]  # fmt: skip
        return {one.name: one for one in found}

    def _events(self, source: JetSource, place: Workplace) -> tuple[dict[str, Merit], Curves, dict[str, Any]]:
        """Each way to read an event."""
        jets = place.jets(source)
        events = events_of(jets, self.jets_of_event)
        names = np.array(jets.class_names)[events.labels]
        window = float(events.pt_gev.min()), float(events.pt_gev.max())
        weights = flattening_weights(events.pt_gev, events.labels, np.ones(len(events)), window)
        of_events = trial(np.isin(names, self.signal_of_events), weights, events.numbers, place.seed)
        ways: dict[Reads, str] = {
            "embeddings": "events: jets' embeddings", "four_momenta": "events: jets' four-momenta",
            "constituents": "events: constituents",
        }  # fmt: skip
        found: dict[str, Scored] = {}
        for reads, name in ways.items():
            network = EventGru(
                reads=reads, jets=self.jets_of_event, constituents=self.constituents_of_event,
                embedding=self._recursive("kt", place),
            )  # fmt: skip
            inputs = network.seen(jets, place.workers)
            found |= self._trained(name, network, inputs, of_events, place, self.fitting_of_events)
        merits, curves = judged(list(found.values()), of_events.held, place.seed)
        per_event = (events.jets >= 0).sum(axis=1)
        return merits, curves, {
            "events": len(events), "jets_per_event": float(per_event.mean()), "judged": len(of_events.held),
        }  # fmt: skip

    def _orders_table(self, taggers: dict[str, Scored], merits: dict[str, Merit], held: HeldOut, seed: int) -> Table:
        rows: list[tuple[Cell, ...]] = []
        for order in self.orders:
            simple, gated = NAMES[order], _gated(NAMES[order])
            rows.append((
                simple, merits[simple].auc, merits[simple].rejection_50, merits[gated].auc, merits[gated].rejection_50,
                gain(taggers[gated], taggers[simple], held, seed),
            ))  # fmt: skip
        columns = ("order", "AUC, simple", "rejection at 50 %, simple", "AUC, gated", "rejection at 50 %, gated",
                   "AUC, gated minus simple")  # fmt: skip
        return Table("tree orders and gating", columns, tuple(rows))


def _trial(learn: JetDataset, judge: JetDataset, signal: tuple[str, ...], seed: int) -> Trial:
    """The first are learnt from and choose the epoch, the second judge; signal and background weigh the same in each."""
    parts = [
        trial(
            np.isin(np.array(jets.class_names)[jets.labels], signal), jets.weights, jets.events, seed
        )
        for jets in (learn, judge)
    ]  # fmt: skip
    joined = [np.concatenate([getattr(part, name) for part in parts]) for name in ("is_signal", "weights", "events")]
    chosen = split_by_event(learn.events, seed, test=0.0)
    first = np.arange(len(learn) + len(judge)) < len(learn)
    splits = {split: np.concatenate([chosen[split], np.zeros(len(judge), dtype=bool)]) for split in chosen}
    return Trial(joined[0], joined[1], joined[2], {**splits, Split.TEST: ~first})


def _gated(name: str) -> str:
    return f"{name} gated"


def _requirements(taggers: dict[str, Scored], held: HeldOut, seed: int) -> list[Requirement]:
    def over(one: str, other: str) -> Estimate:
        return gain(taggers[one], taggers[other], held, seed)

    simple = over("kt", CLASSICAL)
    note = f"AUC; of particles; simple: {simple.value:+.4f} ± {simple.uncertainty:.4f}"
    found = [
        beyond("kt:gated_over_mass_and_tau21", over("kt gated", CLASSICAL), 3, note),
        beyond("kt:gated_over_trees_of_them", over("kt gated", TREES), 3, "AUC; trees of mass, tau21 and pT"),
        not_below("kt:gated_over_simple", over("kt gated", "kt"), 0, 3, "AUC"),
    ]
    if "random" in taggers:
        found += [
            not_below("kt:over_random", over("kt", "random"), 0, 3, "AUC, simple"),
            not_below("kt:over_random_gated", over("kt gated", "random gated"), 0, 3, "AUC, gated"),
        ]
    return found


def _differences_table(taggers: dict[str, Scored], held: HeldOut, seed: int, orders: tuple[Order, ...]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            NAMES[order], gain(taggers[NAMES[order]], taggers["random"], held, seed),
            gain(taggers[_gated(NAMES[order])], taggers["random gated"], held, seed),
        )
        for order in orders
        if order != "random"
    ]  # fmt: skip
    return Table("AUC minus that of random trees", ("order", "simple", "gated"), tuple(rows))


def _inputs_table(merits: dict[str, Merit]) -> Table:
    shown = {name: merits[name] for name in ("kt", "kt gated", "towers kt", "towers kt gated", "images kt")}
    return _merit_rows("what kt trees are made of", "input", shown)


def _merit_rows(title: str, first: str, merits: dict[str, Merit]) -> Table:
    rows: list[tuple[Cell, ...]] = [(name, one.auc, one.rejection_30, one.rejection_50) for name, one in merits.items()]
    return Table(title, (first, "AUC", "rejection at 30 %", "rejection at 50 %"), tuple(rows))


def _counts(data: Jets) -> dict[str, int]:
    test = data.trial.splits[Split.TEST]
    return {
        "learnt": int((~test).sum()), "judged_signal": int((test & data.trial.is_signal).sum()),
        "judged_background": int((test & ~data.trial.is_signal).sum()),
    }  # fmt: skip
