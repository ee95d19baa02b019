"""Every fault is caught, by a comparison that would also say so if it were blind."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest

from firmware import mutation, vectors
from firmware.backends import qkeras_layers
from firmware.circuit import Cast, Circuit, Dense, Gather, Table
from firmware.emulation import Truth
from firmware.equivalence import equivalent
from firmware.faults import Kind, Mutant, sites_of
from firmware.mutation import Fate, mutate
from firmware.project import FirmwareProject, convert
from firmware.target import load_target
from trigger.errors import InputError
from trigger.fixed_point import FixedPoint, Overflow, Rounding


@pytest.fixture(scope="module")
def result(project):
    return mutate(project, count=11, threads=2, locate=True)


def test_every_kind_of_fault_is_caught(result):
    assert {one.mutant.kind for one in result.outcomes} == set(Kind)
    assert result.count(Fate.SURVIVED) == 0
    assert result.count(Fate.CAUGHT) >= 10
    assert result.score == 1.0
    requirement = result.requirement()
    assert (requirement.name, requirement.status, requirement.figure) == ("mutation", "PASS", 1.0)
    assert "table entry 1" in requirement.note


def test_the_divergence_report_names_the_layer_of_every_fault(result):
    caught = [one for one in result.outcomes if one.fate is Fate.CAUGHT]
    assert {one.mutant.what: one.named for one in caught} == {one.mutant.what: one.mutant.layer for one in caught}


@pytest.mark.parametrize("strategy", ["latency", "resource"])
def test_a_weight_is_where_the_network_has_it(network, contract, tmp_path, strategy):
    """Shared multipliers have their weights transposed in the header."""
    made = convert(network, contract, load_target("vu13p", (f"backend.strategy={strategy}",)), "x", tmp_path)
    truth = Truth.of(made)
    steps = {step.layer: step for step in truth.circuit.steps if isinstance(step, Dense)}
    before = dict(zip([one.layer for one in truth.circuit.steps[1:]], truth.circuit.steps, strict=False))
    for kind in (Kind.WEIGHT, Kind.BIAS):
        sites = sites_of(kind, truth, np.random.default_rng(1))
        for one in sites:
            step = steps[one.layer]
            code, fraction = (
                (step.kernel[one.index], step.fraction - before[one.layer].fraction)
                if kind is Kind.WEIGHT
                else (step.bias[one.index], step.fraction)
            )
            assert float(one.before) == code * 2.0**-fraction
        everything = {
            (layer, *index)
            for layer, step in steps.items()
            for index in np.ndindex(step.kernel.shape if kind is Kind.WEIGHT else step.bias.shape)
        }
        assert {(one.layer, *one.index) for one in sites} == everything


def test_what_is_called_equivalent_is_so_for_every_code(result, network, contract):
    circuit = qkeras_layers.circuit(network, contract.common_format)
    equal = [one.mutant for one in result.outcomes if one.fate is Fate.EQUIVALENT]
    assert all(one.kind is Kind.SATURATION for one in equal)
    for one in equal:
        at = next(k for k, step in enumerate(circuit.steps) if step.layer == one.layer) + 1
        cast = circuit.steps[at]
        codes = np.arange(-60_000, 60_000)
        np.testing.assert_array_equal(cast(codes), replace(cast, form=one.form)(codes))


def test_a_blind_comparison_survives_its_mutants(project, monkeypatch):
    """With vectors that reach nothing, faults are not found, and that is a failure."""

    def nothing(project, circuit, count, seed):
        return [
            vectors.from_codes("random", np.zeros((50, len(project.contract.inputs)), dtype=np.int64), project.contract)
        ]

    monkeypatch.setattr(mutation, "emulation_groups", nothing)
    monkeypatch.setattr(mutation.vectors, "random", lambda contract, count, seed: vectors.from_codes(
        "random", np.zeros((5, len(contract.inputs)), dtype=np.int64), contract))  # fmt: skip
    blind = mutate(project, count=8, threads=2)
    assert blind.count(Fate.SURVIVED) > 1
    requirement = blind.requirement()
    assert requirement.status == "FAIL"
    assert requirement.figure < 1
    assert "survived: " in requirement.note


def test_a_project_that_differs_anyway_is_not_mutated(project, tmp_path):
    shutil.copytree(project.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("build"))
    path = tmp_path / "copy" / "firmware" / "weights" / "w5.h"
    text = path.read_text()
    path.write_text(text.replace("= {0.", "= {-0.", 1) if "= {0." in text else text.replace("= {-0.", "= {0.", 1))
    with pytest.raises(InputError, match=r"the C\+\+ differs without any fault; emulate it first"):
        mutate(FirmwareProject.load(tmp_path / "copy"), count=2)


def test_the_project_itself_is_left_alone(project, result):
    assert result.outcomes
    assert project.edited() == []
    assert not list((project.folder / "build").glob("mutants-*"))


WIRE = FixedPoint(False, 3, 0)
RELU = FixedPoint(False, 2, 2, Rounding.RND_CONV, Overflow.SAT)


WIDE = {"d": FixedPoint(True, 20, 2)}


def small(kernel, bias, last=((1,), (1,))):
    dense = Dense("d", np.array(kernel), np.array(bias), 2)
    cast = Cast("r", FixedPoint(True, 10, 2), RELU)
    return Circuit((2,), WIRE, (dense, cast, Dense("o", np.array(last), np.zeros(1, dtype=np.int64), 4)))


def weight(index, change):
    return Mutant(Kind.WEIGHT, "d", "w.h", "", index=index, change=change, form=FixedPoint(True, 3, 2))


def test_proofs_of_equivalence():
    off = small([[-4, 4], [-4, 4]], [-9, 0])
    assert equivalent(off, weight((0, 0), 1), WIDE) == "neuron 0 gives 0 whatever comes, with the fault and without"
    assert equivalent(off, weight((0, 1), 1), WIDE) is None
    assert equivalent(off, weight((0, 0), 64), WIDE) is None  # now it may be switched on
    # With a declared accumulator that the changed sums overflow, nothing is proven; nor through another shape.
    assert equivalent(off, weight((0, 0), 1), {"d": FixedPoint(True, 2, 2)}) is None
    unread = small([[4, 4], [4, 4]], [0, 0], last=((0,), (1,)))
    assert equivalent(unread, weight((1, 0), 3), WIDE) == "nothing reads neuron 0"
    assert equivalent(unread, weight((1, 1), 3), WIDE) is None


def test_proofs_of_equivalence_in_a_convolution():
    """Its layer is two steps, of which the first picks the windows."""
    windows = Gather("d", np.array([[0, 1], [1, -1]]), 0)
    dense = Dense("d", np.array([[-4, 4], [-4, 4]]), np.array([-9, 0]), 2)
    circuit = Circuit((2,), WIRE, (windows, dense, Cast("r", FixedPoint(True, 10, 2), RELU)))
    assert equivalent(circuit, weight((0, 0), 1), WIDE) == "neuron 0 gives 0 whatever comes, with the fault and without"
    assert equivalent(circuit, weight((0, 1), 1), WIDE) is None
    bias = Mutant(Kind.BIAS, "d", "b.h", "", index=(1,), change=1, form=FixedPoint(False, 31, -30))
    assert "lies left of all bits" in (equivalent(circuit, bias, WIDE) or "")


def test_a_fault_left_of_the_accumulator_is_lost():
    """hls4ml puts the one bit of biases that are all 0 anywhere."""
    circuit, far = small([[4, 4], [4, 4]], [0, 0]), FixedPoint(False, 31, -30)
    bias = Mutant(Kind.BIAS, "d", "b.h", "", index=(1,), change=1, form=far)
    assert "lies left of all bits of ap_fixed<23,21," in (equivalent(circuit, bias, WIDE) or "")
    assert equivalent(circuit, bias, {"d": FixedPoint(True, 40, 2)}) is None
    assert equivalent(circuit, bias, {"d": FixedPoint(True, 20, 2, Rounding.TRN, Overflow.SAT)}) is None


def test_casts_are_enumerated_over_what_can_come():
    def other(**modes):
        return Mutant(Kind.ROUNDING, "d", "defines.h", "", form=replace(coarse, **modes))

    coarse = FixedPoint(False, 4, 1, Rounding.RND_CONV, Overflow.SAT)
    cast = Cast("r", FixedPoint(True, 10, 2), coarse)
    even = Circuit((2,), WIRE, (Dense("d", np.array([[2], [4]]), np.array([0]), 2), cast))
    odd = Circuit((2,), WIRE, (Dense("d", np.array([[2], [3]]), np.array([0]), 2), cast))
    assert "sums that can come were cast both ways" in (
        equivalent(even, other(rounding=Rounding.RND), WIDE) or ""
    )  # never a tie
    assert equivalent(odd, other(rounding=Rounding.RND), WIDE) is None
    assert equivalent(even, other(overflow=Overflow.WRAP), WIDE) is not None  # 21 is the most that comes, 31 would fit
    assert equivalent(even, other(integer=2), WIDE) is None


def test_entries_that_are_never_looked_up():
    table = Table("t", "sigmoid", np.arange(16), FixedPoint(False, 4, 0), 1, 1, 0, 4)
    circuit = Circuit((2,), WIRE, (table,))
    for entry, proof in (
        (3, "entry 3 is never looked up: only 4 to 11 are"),
        (4, None),
        (11, None),
        (12, "only 4 to 11"),
    ):
        found = equivalent(circuit, Mutant(Kind.TABLE, "t", "a.h", "", index=(entry, 1)), {})
        assert (found is None) == (proof is None)
        assert (proof or "") in (found or "")


def test_bits_of_entries_that_no_cast_keeps():
    form, kept = (
        FixedPoint(True, 5, 4),
        FixedPoint(True, 2, 2),
    )  # ap_fixed<10,6> and ap_fixed<5,3>, which wraps and truncates
    table = Table("t", "sigmoid", np.arange(-8, 8) * 30, form, 1, 1, 0, 4)
    circuit = Circuit((2,), WIRE, (table, Cast("t", form, kept)))
    for entry, bit in itertools.product((4, 6, 11), range(10)):
        before = table.entries[entry]
        after = (int(before) + 512 ^ (1 << bit)) - 512 if bit < 9 else int(before) + (512 if before < 0 else -512)
        same = kept.codes(form.values(np.array([before]))) == kept.codes(form.values(np.array([after])))
        found = equivalent(circuit, Mutant(Kind.TABLE, "t", "a.h", "", index=(entry, bit)), {})
        assert (found is not None) == bool(same[0]), (entry, bit, before, after)
    assert not equivalent(Circuit((2,), WIRE, (table,)), Mutant(Kind.TABLE, "t", "a.h", "", index=(6, 9)), {})
