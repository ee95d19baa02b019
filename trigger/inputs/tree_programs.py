"""Binary trees as programs of equal shape: one merging of every jet at a step, in an order that needs few registers.

A recursion over trees goes from the constituents to the jet. Here each inner node is one step, and what a step makes is put
into a register until its parent takes it. Children come before parents, and of two children that are both inner nodes the one
that needs more registers comes first: so a tree of n constituents needs at most log2(n) of them, and a chain one. Then any
tree of n constituents, balanced or not, is n - 1 steps over a handful of numbers, and all jets of a batch take them together.

References:
    The least number of registers: Sethi and Ullman, doi:10.1145/321607.321620. Left is the child of higher pT, as in the code
    that the authors of arXiv:1702.00748 published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trigger.errors import InputError

if TYPE_CHECKING:
    from trigger.inputs.trees import MergingTrees

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

NOTHING, CONSTITUENT = -1, -1
"""Of a step that does nothing its node and target; of a child that is no inner node its register."""


@dataclass(frozen=True)
class TreePrograms:
    """What to merge at each step, for all jets.

    Attributes:
        node: Row of the merged node in `MergingTrees.nodes`, `NOTHING` after a jet's last step, shape `(jets, steps)`. Of a
            jet of one constituent the first step is that constituent.
        children: Rows of its two children, that of higher pT first, `NOTHING` where there are none, shape `(jets, steps, 2)`.
        registers: Where the children are found, `CONSTITUENT` for constituents, shape `(jets, steps, 2)`.
        target: Where the node is put, `NOTHING` where there is none, shape `(jets, steps)`. The jet ends in register 0.
    """

    node: Indices
    children: Indices
    registers: Indices
    target: Indices


def most_registers(constituents: int) -> int:
    """What no tree of so many constituents exceeds."""
    return max(1, int(constituents).bit_length() - 1)


def tree_programs(trees: MergingTrees, steps: int) -> TreePrograms:
    """Programs of all jets.

    Args:
        trees: The trees.
        steps: Length of each program.

    Raises:
        InputError: A jet has more constituents than `steps` + 1, or there is no step.
    """
    inner = trees.constituents - 1
    if steps < 1 or inner.max() > steps:
        raise InputError(f"programs of {steps} steps are too short for a jet of {inner.max() + 1} constituents")
    jet = np.arange(len(trees))
    first, second = _children(trees, steps)
    need, size = _sizes(first, second)
    swapped = need[jet[:, None], second] > need[jet[:, None], first]
    first, second = np.where(swapped, second, first), np.where(swapped, first, second)

    place = np.full(
        (len(trees), steps + 1), NOTHING
    )  # step of each inner node; the last column stands for constituents
    register = np.full((len(trees), steps + 1), CONSTITUENT)
    root = inner > 0
    place[jet[root], inner[root] - 1] = inner[root] - 1
    register[jet[root], inner[root] - 1] = 0
    for k in range(steps - 1, -1, -1):
        used = k < inner
        a, b = first[:, k], second[:, k]
        both = (a < steps) & (b < steps)
        for child, later, held in ((b, np.zeros(len(jet), dtype=np.int64), both), (a, size[jet, b], False)):
            ours = used & (child < steps)
            place[jet[ours], child[ours]] = (place[:, k] - 1 - later)[ours]
            register[jet[ours], child[ours]] = (register[:, k] + held)[ours]
    return _ordered(trees, place[:, :steps], register)


def _children(trees: MergingTrees, steps: int) -> tuple[Indices, Indices]:
    """Inner nodes' children among the inner nodes of their jet, `steps` for constituents, shape `(jets, steps)` each."""
    n = trees.constituents
    step = np.arange(steps)
    used = step < (n - 1)[:, None]
    row = np.where(used, trees.offsets[:-1, None] + n[:, None] + step, 0)
    inner = [np.where(used, column[row] - n[:, None], -1) for column in (trees.first, trees.second)]
    return np.where(inner[0] < 0, steps, inner[0]), np.where(inner[1] < 0, steps, inner[1])


def _sizes(first: Indices, second: Indices) -> tuple[Indices, Indices]:
    """Registers that each inner node needs, and how many inner nodes it holds; the last column stands for constituents."""
    jets, steps = first.shape
    jet = np.arange(jets)
    need, size = np.zeros((jets, steps + 1), dtype=np.int64), np.zeros((jets, steps + 1), dtype=np.int64)
    for k in range(steps):
        a, b = need[jet, first[:, k]], need[jet, second[:, k]]
        need[:, k] = np.maximum(1, np.maximum(a, b) + ((a == b) & (a > 0)))
        size[:, k] = 1 + size[jet, first[:, k]] + size[jet, second[:, k]]
    return need, size


def _ordered(trees: MergingTrees, place: Indices, register: Indices) -> TreePrograms:
    jets, steps = place.shape
    jet, k = np.nonzero(place >= 0)
    step, n = place[jet, k], trees.constituents[jet]
    row = trees.offsets[:-1][jet] + n + k
    pt = np.hypot(trees.nodes[:, 0], trees.nodes[:, 1])
    pair = np.stack([trees.first[row], trees.second[row]], axis=1)
    rows = trees.offsets[:-1][jet, None] + pair
    swapped = pt[rows[:, 1]] > pt[rows[:, 0]]
    pair[swapped], rows[swapped] = pair[swapped, ::-1], rows[swapped, ::-1]
    shape = (jets, steps)
    node, target = np.full(shape, NOTHING), np.full(shape, NOTHING)
    children, registers = np.full((*shape, 2), NOTHING), np.full((*shape, 2), CONSTITUENT)
    node[jet, step], children[jet, step], target[jet, step] = row, rows, register[jet, k]
    held = pair - n[:, None]
    registers[jet, step] = np.where(held < 0, CONSTITUENT, register[jet[:, None], np.maximum(held, 0)])
    alone = np.flatnonzero(trees.constituents == 1)
    node[alone, 0], target[alone, 0] = trees.offsets[:-1][alone], 0
    return TreePrograms(node, children, registers, target)


def node_features(momentum: Floats, jet_energy_gev: Floats) -> Floats:
    """The seven numbers of a node of arXiv:1702.00748: p, eta, theta, phi, E, E over that of the jet, and pT.

    Momenta and energies in GeV; eta is 0 for a node without pT, as in the published code.

    Args:
        momentum: `px, py, pz, E` in GeV of all nodes, shape `(nodes, 4)`.
        jet_energy_gev: Energy of each node's jet, shape `(nodes,)`.

    Returns:
        Shape `(nodes, 7)`.

    Raises:
        InputError: A jet has no energy.
    """
    if not (jet_energy_gev > 0).all():
        raise InputError(f"{np.count_nonzero(jet_energy_gev <= 0)} of {len(momentum)} nodes are of jets without energy")
    px, py, pz, energy = momentum.T
    pt = np.hypot(px, py)
    eta = np.where(pt > 0, np.arcsinh(pz / np.where(pt > 0, pt, 1.0)), 0.0)
    theta = 2 * np.arctan(np.exp(-eta))
    return np.stack([np.hypot(pt, pz), eta, theta, np.arctan2(py, px), energy, energy / jet_energy_gev, pt], axis=1)


def leading_constituents(momentum: Floats, offsets: Indices, most: int) -> tuple[Floats, Indices]:
    """At most so many constituents of each jet, those of highest pT, by falling pT; equal ones stay in order.

    Args:
        momentum: `px, py, pz, E` in GeV of all constituents, shape `(constituents, 4)`.
        offsets: Jet `j` is rows `offsets[j]` to `offsets[j + 1]`, shape `(jets + 1,)`.
        most: How many are kept.

    Returns:
        Momenta and offsets of those that are kept.
    """
    counts = np.diff(offsets)
    jet = np.repeat(np.arange(len(counts)), counts)
    order: NDArray[np.int64] = np.lexsort((-np.hypot(momentum[:, 0], momentum[:, 1]), jet))
    kept = order[np.arange(len(order)) - offsets[:-1][jet] < most]
    return momentum[kept], np.concatenate([[0], np.cumsum(np.minimum(counts, most))])
