"""Where jets can come from, and how each kind is read: one place for everything that takes jets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trigger.data.generate import Progress, PythiaData, SimulatedJets, generate, read_generated, sample_digest
from trigger.data.hepmc import HepMcJets, read_hepmc
from trigger.data.hepmc import input_files as hepmc_files
from trigger.data.jets import JetDataset, concatenate_jets
from trigger.data.level1_jets import Level1JetData
from trigger.data.offline_jets import OfflineJets
from trigger.data.public import PublicJets, read_public
from trigger.data.public import input_files as public_files
from trigger.data.rootfile import ROWS_FORMAT, RootData, final_weights, input_files, read_jets
from trigger.data.toy import ToyData, toy_jets
from trigger.digest import file_digest

Floats = NDArray[np.float64]
JetSource = Annotated[
    PythiaData | OfflineJets | Level1JetData | RootData | PublicJets | HepMcJets | ToyData, Field(discriminator="kind")
]
"""Of a recipe: any kind of data that jets can be had from."""


def jets_of(
    source: JetSource, seed: int, folder: Path, workers: int = 1, progress: Progress | None = None
) -> Iterator[JetDataset]:
    """The jets of a source, block by block; the weights are those before `weights_of`.

    Args:
        source: Where they come from.
        seed: Seed of everything random in making them.
        folder: Where generated samples are kept; one that is there already is not made again.
        workers: Processes that make or read them.
        progress: Told of every finished piece of a sample that is made.

    Raises:
        InputError: A file is missing or broken, or a class has no jets.
    """
    match source:
        case SimulatedJets():
            yield from read_generated(generate(source, seed, folder, workers=workers, progress=progress))
        case RootData():
            yield from read_jets(source)
        case PublicJets():
            yield from read_public(source)
        case HepMcJets():
            yield from read_hepmc(source, seed, workers)
        case ToyData():
            yield from toy_jets(source, seed)


def all_jets(
    source: JetSource, seed: int, folder: Path, workers: int = 1, progress: Progress | None = None
) -> JetDataset:
    """All jets of a source at once, their weights flattened where it asks for that. See `jets_of`."""
    jets = concatenate_jets(list(jets_of(source, seed, folder, workers, progress)))
    return replace(jets, weights=weights_of(source, jets.kinematics()["pt_gev"], jets.labels, jets.weights))


def weights_of(source: JetSource, pt_gev: Floats, labels: NDArray[np.int64], weights: Floats) -> Floats:
    """Weights of all jets of a source: what `jets_of` gave, flattened in pT where the source asks for that.

    Args:
        source: Where they come from.
        pt_gev: Shape `(jets,)`, as are the next.
        labels: Class of each.
        weights: Those that `jets_of` gave.
    """
    return final_weights(source, pt_gev, labels, weights) if isinstance(source, RootData) else weights


def content_of(source: JetSource, seed: int) -> Any:
    """Digests of everything that the jets of a source are made from besides its settings.

    Returns:
        The digest of a simulated sample; for files the path and the digest of each (of ROOT after the
        format of the rows); nothing for toys.
    """
    match source:
        case SimulatedJets():
            return sample_digest(source, seed)
        case RootData():
            return [ROWS_FORMAT, *digests_of(path for _, group in input_files(source) for path in group)]
        case PublicJets():
            return digests_of(public_files(source))
        case HepMcJets():
            return digests_of(path for _, group in hepmc_files(source) for path in group)
        case ToyData():
            return []


def digests_of(paths: Iterable[Path]) -> list[list[str]]:
    """Path and digest of each file."""
    return [[str(path), file_digest(path)] for path in paths]
