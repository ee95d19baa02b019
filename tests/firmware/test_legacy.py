"""Declared types: what the circuit of a legacy network computes is what hls4ml's C++ computes, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from firmware.backends import keras_layers
from firmware.emulation import emulate, engines_of
from firmware.project import convert
from tests.firmware.legacy import differing, target_with
from trigger.errors import InputError, UnsupportedError
from trigger.fixed_point import FixedPoint
from trigger.inputs.contract import Input, InputSpec

WIRE = FixedPoint.parse("ap_fixed<10,4>")
SPEC = InputSpec(inputs=tuple(Input(name=f"x{k}", format=WIRE) for k in range(4)), outputs=("a", "b"))


def small(activation="relu", name="hidden", seed=1):
    import keras

    start = keras.Input((4,), name="inputs")
    x = keras.layers.Dense(6, activation, name=name)(start)
    model = keras.Model(start, keras.layers.Dense(2, name="outputs")(x))
    generator = np.random.default_rng(seed)
    model.set_weights([generator.normal(0, 1, one.shape) for one in model.get_weights()])
    return model


def test_twenty_random_networks_in_one_library(tmp_path):
    counts = differing(0, 20, tmp_path, "twenty")
    assert len(counts) == 20
    assert {seed: wrong for seed, (wrong, _) in counts.items() if wrong} == {}
    assert sum(varying for _, varying in counts.values()) >= 40  # layers with more than ten different outputs


def test_narrow_accumulators_are_emulated_counted_and_named(tmp_path):
    types = {"default": "ap_fixed<16,6>", "layers": {"outputs": {"accum": "ap_fixed<9,3>", "result": "ap_fixed<9,3>"}}}
    made = convert(small(), SPEC, target_with(types), "narrow", tmp_path)
    assert made.manifest.rtl is None
    result = emulate(made, random_vectors=20_000, threads=2)
    by_name = {one.name: one for one in result.requirements()}
    assert by_name.keys() == {"bits:cpp", "bits:rtl", "overflow:accumulators"}
    assert (by_name["bits:rtl"].status, by_name["bits:rtl"].required) == ("NOT MEASURED", False)
    assert by_name["bits:cpp"].status == "PASS"  # the C++ wraps exactly as declared
    overflow = by_name["overflow:accumulators"]
    assert overflow.status == "FAIL"
    assert "outputs: neuron" in overflow.note
    node = next(one for one in result.nodes if one["layer"] == "outputs" and one["kind"] == "accumulator")
    assert (node["safety"], node["declared"]) == ("unsafe", "ap_fixed<9,3,AP_TRN,AP_WRAP>")
    assert node["below"] + node["above"] > 0
    # With the type that the report asks for nothing is lost any more.
    types["layers"]["outputs"] = {"accum": node["safe"], "result": "ap_fixed<24,12>"}
    wider = emulate(convert(small(), SPEC, target_with(types), "safe", tmp_path), random_vectors=20_000, threads=2)
    again = next(one for one in wider.nodes if one["layer"] == "outputs" and one["kind"] == "accumulator")
    assert (again["safety"], again["spare_bits"]) == ("proven", 0)


def test_products_are_cast_before_they_are_added():
    types = {"default": "ap_fixed<8,4>"}
    circuit = keras_layers.circuit(small("linear"), WIRE, target_with(types).backend.types)
    kernel, accum = circuit.steps[0].kernel, circuit.steps[0].form
    codes = np.array([[3, -5, 7, 11]])
    products = codes[0][:, None] * kernel  # 6 + 4 fraction bits, of which the accumulator keeps 4
    cast_first = (products >> 6).sum(axis=0) + circuit.steps[0].bias
    cast_last = (products.sum(axis=0) >> 6) + circuit.steps[0].bias
    assert (cast_first != cast_last).any()
    np.testing.assert_array_equal(circuit.steps[0](codes)[0], accum.cast(cast_first, FixedPoint(True, 30, 4)))


def test_edits_are_traced_to_their_layer(tmp_path):
    made = convert(small("sigmoid"), SPEC, target_with({"default": "ap_fixed<16,6>"}), "edited", tmp_path)
    table = made.folder / "firmware" / "nnet_utils" / "nnet_activation.h"
    text = table.read_text()
    place = text.index("table_out[ii] = real_val;", text.index("void init_sigmoid_table"))
    changed = "if (ii == 512) table_out[ii] = 0.25; else table_out[ii] = real_val;"
    table.write_text(text[:place] + changed + text[place + len("table_out[ii] = real_val;") :])
    result = emulate(made, random_vectors=20_000, threads=2)
    (parting,) = result.divergences
    assert (parting["engine"], parting["layer"]) == ("cpp", "hidden_sigmoid")
    assert list(parting["causes"]) == ["table entry 512: 256 instead of 512"]


@pytest.mark.parametrize(
    ("model", "types", "message"),
    [
        (lambda: small(name="t"), {}, "layer 't': hls4ml changes this name"),
        (lambda: small("elu"), {}, "layer 'hidden': activation 'elu'; there are linear, relu"),
        (small, {"layers": {"hiden": {}}}, "declared for a layer 'hiden' that is not there; nearest: 'hidden'"),
        (
            small,
            {"layers": {"hidden": {"accum": "ap_fixed<4,30,AP_RND,AP_SAT>"}}},
            "rounds away more bits than there are",
        ),
        (small, {"default": "ap_fixed<40,20>"}, r"its products have \d+ bits, 60 are the most"),
    ],
)
def test_what_is_not_defined_is_refused(model, types, message, tmp_path):
    with pytest.raises(UnsupportedError, match=message):
        convert(model(), SPEC, target_with({"default": "ap_fixed<16,6>", **types}), "x", tmp_path)
    assert not list(tmp_path.iterdir())


def one_layer(layer):
    import keras

    start = keras.Input((4,), name="inputs")
    return keras.Model(start, layer(start))


def refusal(layer, wire, declared, tmp_path):
    spec = InputSpec(
        inputs=tuple(Input(name=f"x{k}", format=FixedPoint.parse(wire)) for k in range(4)), outputs=tuple("abcd")
    )
    with pytest.raises(UnsupportedError) as refused:
        convert(
            one_layer(layer),
            spec,
            target_with({"default": "ap_fixed<16,6>", "layers": {"one": declared}}),
            "x",
            tmp_path,
        )
    return str(refused.value)


def test_casts_on_which_the_headers_abort_are_refused(tmp_path):
    """A positive number is cast from its own type, and that has to be one which the headers can round."""
    import keras

    for layer, wire, declared in (
        (keras.layers.Dense(4, use_bias=False, name="one"), "ap_fixed<10,4>", {"accum": "ap_fixed<8,10,AP_RND>"}),
        (keras.layers.ReLU(name="one"), "ap_fixed<4,-2>", {"result": "ap_fixed<8,7,AP_RND,AP_SAT>"}),
        (
            keras.layers.LeakyReLU(0.25, name="one"),
            "ap_fixed<4,-1>",
            {"slope": "ap_fixed<12,6>", "result": "ap_fixed<8,9,AP_RND>"},
        ),
    ):
        assert "rounds away more bits than there are" in refusal(layer, wire, declared, tmp_path)


def test_softmax_tables_are_a_power_of_two(tmp_path):
    import keras

    text = refusal(keras.layers.Softmax(name="one"), "ap_fixed<10,4>", {"table_size": 100}, tmp_path)
    assert text == "layer 'one': a softmax has tables of a power of two of entries, not 100"


def test_slopes_without_fraction_bits(tmp_path):
    import keras

    types = {"default": "ap_fixed<16,6>", "layers": {"one": {"slope": "ap_fixed<6,7>", "result": "ap_fixed<16,9>"}}}
    spec = InputSpec(inputs=SPEC.inputs, outputs=tuple("abcd"))
    made = convert(one_layer(keras.layers.LeakyReLU(3.0, name="one")), spec, target_with(types), "steep", tmp_path)
    result = emulate(made, random_vectors=20_000, threads=2)
    assert result.agrees


def test_an_engine_that_is_not_there(tmp_path):
    made = convert(small(), SPEC, target_with({"default": "ap_fixed<16,6>"}), "x", tmp_path)
    assert engines_of(made) == ("cpp",)
    with pytest.raises(InputError, match="there is no engine 'rtl' for it; there are cpp"):
        emulate(made, engines=("rtl",), random_vectors=100)
