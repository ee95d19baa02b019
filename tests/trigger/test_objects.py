from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trigger.config import parse
from trigger.data.toy import ToyEventData, toy_events
from trigger.errors import InputError
from trigger.inputs.objects import OBJECT_INPUTS, EventObjectInputs, RegionInputs, single_cuts

OBJECTS = parse('kind: event_objects\nformat: "ap_fixed<10,5>"\n', EventObjectInputs, "test")
REGIONS = parse('kind: regions\nformat: "ap_ufixed<10,6>"\n', RegionInputs, "test")


@pytest.fixture(scope="module")
def events():
    (made,) = toy_events(ToyEventData(kind="toy_events", crossings=600, events_per_signal=100), seed=4)
    return made


def test_the_57_inputs_are_the_objects_in_order(events):
    table = OBJECTS.table(events)
    assert table.values.shape == (800, 57)
    assert (table.column("met_eta") == 0).all()
    for event in (0, 333, 799):
        row = [events.met[event, 0], 0, events.met[event, 1]]
        for objects in (events.egammas, events.muons, events.jets):
            row += [number for one in objects[event] for number in one]
        assert table.values[event].tolist() == row
    assert table.names[3:6] == ("egamma0_pt", "egamma0_eta", "egamma0_phi")
    assert table.names[-1] == "jet9_phi"


def test_units_name_the_steps():
    assert OBJECT_INPUTS["jet3_eta"] == ("jets_eta", "0.0435")
    assert OBJECT_INPUTS["muon0_eta"] == ("muons_eta", "0.010875")
    assert OBJECT_INPUTS["muon1_phi"] == ("muons_phi", "2pi/576")
    assert OBJECT_INPUTS["met_pt"] == ("met_pt", "0.5 GeV")


def test_contract_subtracts_whole_numbers_and_shifts(events):
    table = OBJECTS.table(events)
    contract = OBJECTS.contract(table)
    kinds: dict[str, set[tuple[float, float]]] = {}
    for one in contract.inputs:
        assert one.offset == int(one.offset)
        assert np.log2(one.scale) == int(np.log2(one.scale))
        kinds.setdefault(OBJECT_INPUTS[one.name][0], set()).add((one.offset, one.scale))
    assert len(kinds) == 3 + 9
    assert all(len(scaling) == 1 for scaling in kinds.values()), "inputs of one kind share offset and shift"
    assert kinds["met_eta"] == {(0.0, 1.0)}
    # By hand, for the pT of the jets that are there.
    pt = np.concatenate([table.column(f"jet{k}_pt") for k in range(10)])
    pt = pt[pt > 0]
    ((offset, scale),) = kinds["jets_pt"]
    assert offset == round(pt.mean())
    assert 2**-0.5 <= pt.std() * scale <= 2**0.5
    # What the board does: subtract and shift right, in integers.
    shift, fraction = -int(np.log2(scale)), 5
    codes = contract.codes(table.values)[:, contract.names.index("jet0_pt")]
    exact = (table.column("jet0_pt").astype(int) - int(offset)) * 2**fraction
    rounded = np.array([round(int(u) / 2**shift) for u in exact])  # ties to even, as AP_RND_CONV
    np.testing.assert_array_equal(codes, np.clip(rounded, -512, 511))


def test_contract_is_of_the_training_rows_alone(events):
    table = OBJECTS.table(events)
    background = table.take(table.labels == 0)
    assert OBJECTS.contract(background) != OBJECTS.contract(table)
    doubled = OBJECTS.contract(background.take(np.tile(np.arange(len(background)), 2)))
    assert doubled == OBJECTS.contract(background)


def test_regions_are_an_image_with_one_scale(events):
    table = REGIONS.table(events)
    assert table.values[5, 3 * 14 + 2] == events.regions[5, 3, 2]
    contract = REGIONS.contract(table)
    assert contract.network_shape == (18, 14, 1)
    assert {(one.offset, one.scale) for one in contract.inputs} == {(0.0, contract.inputs[0].scale)}
    image = contract.network_input(contract.codes(table.values))
    assert image.shape == (800, 18, 14, 1)
    quiet = events.regions < 64 / contract.inputs[0].scale
    np.testing.assert_array_equal(
        image[..., 0][quiet], np.rint(events.regions * contract.inputs[0].scale * 16)[quiet] / 16
    )


def test_signed_regions_have_an_offset(events):
    signed = parse('kind: regions\nformat: "ap_fixed<11,7>"\n', RegionInputs, "test")
    assert signed.contract(signed.table(events)).inputs[0].offset == round(events.regions.mean())


def test_single_cuts(events):
    cuts = single_cuts(events)
    assert list(cuts) == ["muon_pt_gev", "egamma_pt_gev", "jet_pt_gev", "met_gev", "ht_gev", "total_et_gev"]
    np.testing.assert_array_equal(cuts["muon_pt_gev"], events.muons[:, :, 0].max(axis=1) / 2)
    np.testing.assert_array_equal(cuts["total_et_gev"], events.sums[:, 0] / 2)
    muons = events.labels == 1
    assert np.median(cuts["muon_pt_gev"][muons]) > 3 * np.median(
        cuts["muon_pt_gev"][~muons & (events.muons[:, 0, 0] > 0)]
    )


def test_no_muons_is_said(events):
    silent = replace(events, muons=np.zeros_like(events.muons))
    with pytest.raises(InputError, match=r"none of 800 events \(toy_events\) has any muon: "):
        OBJECTS.contract(OBJECTS.table(silent))


def test_no_regions_is_said(events):
    with pytest.raises(InputError, match="have no calorimeter regions; right would be"):
        REGIONS.table(replace(events, regions=None))
    with pytest.raises(InputError, match="no calorimeter region has any energy"):
        REGIONS.contract(REGIONS.table(replace(events, regions=np.zeros_like(events.regions))))


def test_other_tables_and_formats_are_refused(events):
    with pytest.raises(InputError, match="57 columns 'met_pt' to 'jet9_phi' are needed; the table has 252"):
        OBJECTS.contract(REGIONS.table(events))
    unsigned = parse('kind: event_objects\nformat: "ap_ufixed<10,5>"\n', EventObjectInputs, "test")
    with pytest.raises(InputError, match="eta has a sign"):
        unsigned.contract(unsigned.table(events))
