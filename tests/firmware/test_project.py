"""A project says what it is, notices what was done to it, and its proof can fail."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from firmware import vectors
from firmware.emulation import EmulationResult, emulate
from firmware.engines import cpp, rtl
from firmware.engines import keras as reference
from firmware.project import FirmwareProject, convert
from firmware.target import load_target
from trigger.errors import InputError, ToolError, UnsupportedError
from trigger.fixed_point import FixedPoint
from trigger.inputs.contract import InputSpec


@pytest.fixture
def copy(project, tmp_path):
    """A copy of the project somewhere else, without its library."""
    shutil.copytree(project.folder, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "build")
    return FirmwareProject.load(tmp_path / "copy")


def edit_weight(project):
    """Change the first weight of the second layer, in the array that synthesis reads."""
    path = sorted((project.folder / "firmware" / "weights").glob("w*.h"))[1]
    text = path.read_text()
    first = re.search(r"= \{(-?[0-9.]+)", text)
    path.write_text(text.replace(first[0], f"= {{{float(first[1]) + (0.5 if float(first[1]) < 0 else -0.5)}", 1))
    return str(path.relative_to(project.folder))


def test_no_bit_differs(project):
    result = emulate(project, random_vectors=20_000, threads=2)
    events = {one.vectors: one.events for one in result.agreements}
    assert events.keys() == {"physics", "boundary", "saturation", "ties", "random"}
    assert (events["physics"], events["boundary"], events["ties"], events["random"]) == (400, 385, 10_000, 20_000)
    assert {one.engine for one in result.agreements} == {"integer", "cpp", "rtl"}
    assert sum(one.codes for one in result.agreements) == 3 * 3 * sum(events.values())
    assert sum(one.differing_codes for one in result.agreements) == 0
    assert result.verdict().overall == "PASS"
    assert result.physics.shape == (400, 3)


def test_the_reference_is_what_a_slow_hand_would_compute(project, network):
    """The network in rational steps: integers, ties to even, saturation, one neuron at a time."""
    codes = np.random.default_rng(1).integers(-500, 500, (30, 6))
    relu = FixedPoint.parse("ap_ufixed<5,2,AP_RND_CONV,AP_SAT>")
    x = project.contract.values(codes)
    for layer in ("dense1", "dense2", "logits"):
        one = network.get_layer(layer)
        kernel, bias = (
            np.asarray(q(w), dtype=float) for q, w in zip(one.quantizers, (one.kernel, one.bias), strict=True)
        )
        x = np.array(
            [[sum(row[i] * kernel[i, j] for i in range(len(row))) + bias[j] for j in range(len(bias))] for row in x]
        )
        x = x if layer == "logits" else relu.values(relu.codes(x))
    expected = project.manifest.outputs.fixed_point.codes_of_exact(x)
    found = reference.run(project, reference.load_reference(project), project.contract.values(codes))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(cpp.run(project, codes), expected)


def test_an_edited_weight_is_found_also_in_a_copy(copy):
    assert copy.edited() == []
    path = edit_weight(copy)
    assert copy.edited() == [path]
    result = emulate(copy, random_vectors=12_000, threads=2)
    # The integer walk still agrees with the network: it is the C++ that was changed.
    by_name = {one.name: one for one in result.requirements()}
    assert by_name["bits:integer"].status == by_name["bits:rtl"].status == "PASS"
    requirement = by_name["bits:cpp"]
    physics = next(one for one in result.agreements if one.engine == "cpp" and one.vectors == "physics")
    assert physics.differing_codes > 0
    assert physics.first is not None
    assert requirement.status == "FAIL"
    assert requirement.figure == sum(one.differing_codes for one in result.agreements)
    (parting,) = result.divergences
    assert (parting["engine"], parting["layer"]) == ("cpp", "dense2")
    assert parting["causes"][0].startswith("weight from 0 to neuron 0: ")
    assert "first difference in physics event" in requirement.note
    assert path in requirement.note


def test_a_library_of_other_sources_is_never_taken(copy):
    library = cpp.build(copy)
    edit_weight(copy)
    assert cpp.library_path(copy) != library
    assert not cpp.library_path(copy).exists()


def test_threads_change_nothing(project):
    codes = np.random.default_rng(2).integers(-512, 512, (1001, 6))
    np.testing.assert_array_equal(cpp.run(project, codes, threads=1), cpp.run(project, codes, threads=4))


def test_converting_again_finds_the_project_and_never_overwrites_an_edit(network, contract, tmp_path):
    target = load_target("vx690t")
    first = convert(network, contract, target, "again", tmp_path)
    assert (first.folder / "tcl" / "settings.tcl").read_text().count("xc7vx690tffg1927-2") == 1
    stamp = (first.folder / "manifest.json").stat().st_mtime_ns
    assert convert(network, contract, target, "again", tmp_path).folder == first.folder
    assert (first.folder / "manifest.json").stat().st_mtime_ns == stamp
    other = convert(network, contract, target, "again", tmp_path / "elsewhere")
    assert other.digest() == first.digest()
    edit_weight(first)
    with pytest.raises(InputError, match=r"sources were edited after the conversion"):
        convert(network, contract, target, "again", tmp_path)


def test_the_contract_travels(project):
    header = (project.folder / "firmware" / "jetgate_contract.h").read_text()
    for number, one in enumerate(project.contract.inputs):
        assert f'{{"{one.name}", "GeV", "{one.format}", {one.offset!r}, 0.5}},  // {number}' in header
    assert project.manifest.inputs.elements == project.contract.names
    assert project.manifest.outputs.elements == ("a", "b", "c")
    assert project.manifest.inputs.fixed_point == project.contract.common_format


def test_weights_are_in_the_headers_alone(project):
    assert not list((project.folder / "firmware" / "weights").glob("*.txt"))
    assert str(project.folder) not in "".join(
        path.read_text() for path in project.folder.rglob("*.[ch]*") if path.is_file()
    )


def test_broken_projects(copy, tmp_path):
    with pytest.raises(InputError, match="not a firmware project"):
        FirmwareProject.load(tmp_path / "nothing")
    text = (copy.folder / "contract.yaml").read_text()
    (copy.folder / "contract.yaml").write_text(text.replace("x0", "y0"))
    with pytest.raises(InputError, match=r"the contract has y0, x1"):
        FirmwareProject.load(copy.folder)
    (copy.folder / "contract.yaml").write_text(text.replace("scale: 0.5", "scale: 0.25"))
    assert FirmwareProject.load(copy.folder).edited() == ["contract.yaml"]
    physics = copy.folder / "vectors" / "physics.npz"
    physics.write_bytes(physics.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"physics.npz: these are not the physics vectors that came with the project"):
        copy.physics_codes()
    physics.unlink()
    with pytest.raises(InputError, match=r"physics.npz: the physics vectors are missing"):
        copy.physics_codes()
    physics.touch()
    (copy.folder / "firmware" / "defines.h").unlink()
    with pytest.raises(InputError, match=r"1 files of the project are missing: firmware/defines.h"):
        FirmwareProject.load(copy.folder)
    (copy.folder / "manifest.json").write_text('{"name": "x"}')
    with pytest.raises(InputError, match="entries are missing or wrong"):
        FirmwareProject.load(copy.folder)


def test_another_network_is_not_the_reference(copy, network):
    import keras

    other = keras.models.clone_model(network)
    other.save(copy.folder / "model.keras")
    with pytest.raises(InputError, match=r"not the network that the project was made from"):
        reference.load_reference(copy)


def test_a_failing_compiler_is_quoted(copy):
    source = copy.folder / "firmware" / "tiny.cpp"
    source.write_text(source.read_text().replace("nnet::dense<", "nnet::dens<", 1))
    with pytest.raises(ToolError, match=r"(?s)g\+\+ failed with exit status 1: .*error.*dens.*log: .*\.log"):
        cpp.build(copy)
    assert not cpp.library_path(copy).exists()


def test_no_compiler(copy, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        ToolError, match=r"g\+\+ is not installed or not on the PATH \(Debian and Ubuntu: apt install g\+\+"
    ):
        cpp.build(copy)


def test_what_does_not_fit_together(network, contract, tmp_path):
    five = InputSpec(inputs=contract.inputs[:5], outputs=contract.outputs)
    with pytest.raises(InputError, match=r"input has shape \(6,\), the contract describes \(5,\)"):
        convert(network, five, load_target("vu13p"), "x", tmp_path)
    two = InputSpec(inputs=contract.inputs, outputs=("a", "b"))
    with pytest.raises(InputError, match="3 outputs, the contract names 2"):
        convert(network, two, load_target("vu13p"), "x", tmp_path)
    wide = FixedPoint.parse("ap_fixed<12,5,AP_RND_CONV,AP_SAT>")
    other = InputSpec(
        inputs=tuple(one.model_copy(update={"format": wide}) for one in contract.inputs), outputs=contract.outputs
    )
    with pytest.raises(InputError, match="the network casts its input to"):
        convert(network, other, load_target("vu13p"), "x", tmp_path)
    assert not list(tmp_path.iterdir())


def test_layer_options(network, contract, tmp_path):
    target = load_target("vu13p", ("backend.strategy=resource", "backend.layers.dense1.reuse_factor=6"))
    made = convert(network, contract, target, "x", tmp_path)
    text = (made.folder / "firmware" / "parameters.h").read_text()
    assert re.findall(r"reuse_factor = (\d+)", text) == ["6", "1", "1"]
    assert "resource" in text
    with pytest.raises(InputError, match=r"'dense1' \(6 x 8\) cannot have a reuse factor of 7; nearest: \d+"):
        convert(
            network,
            contract,
            load_target("vu13p", ("backend.layers.dense1.reuse_factor=7", "backend.strategy=resource")),
            "x",
            tmp_path,
        )
    with pytest.raises(InputError, match="layer 'dens1' that is not there; nearest: 'dense1'"):
        convert(network, contract, load_target("vu13p", ("backend.layers.dens1.reuse_factor=2",)), "x", tmp_path)


def test_reuse_of_a_layer_on_particles(tmp_path):
    import keras
    from qkeras import QActivation, QDense, quantized_bits

    from trigger.inputs.contract import Input

    q = {"kernel_quantizer": quantized_bits(5, 1, alpha=1.0), "bias_quantizer": quantized_bits(5, 1, alpha=1.0)}
    start = keras.Input((8, 3))
    x = keras.layers.GlobalAveragePooling1D()(
        QDense(4, name="phi", **q)(QActivation(quantized_bits(10, 3, alpha=1.0))(start))
    )
    form = FixedPoint.parse("ap_fixed<10,4,AP_RND_CONV,AP_SAT>")
    spec = InputSpec(
        inputs=tuple(Input(name=f"p{k}", format=form) for k in range(24)), outputs=tuple("abcd"), shape=(8, 3)
    )
    target = load_target("vu13p", ("backend.strategy=resource", "backend.layers.phi.reuse_factor=7"))
    with pytest.raises(InputError, match=r"'phi' \(3 x 4\) cannot have a reuse factor of 7; nearest: "):
        convert(keras.Model(start, x), spec, target, "x", tmp_path)


@pytest.mark.parametrize("name", ["parameters", "1digit", "small", "shift_adder"])
def test_names_that_would_not_compile(network, contract, tmp_path, name):
    made = convert(network, contract, load_target("vu13p"), name, tmp_path)
    cpp.build(made)
    rtl.build(made)


@pytest.mark.parametrize("name", ["my-layer", "1st", "dense.1", "n", "result"])
def test_layers_whose_names_are_no_cpp(contract, tmp_path, name):
    import keras
    from qkeras import QActivation, QDense, quantized_bits

    start = keras.Input((6,))
    x = QActivation(quantized_bits(10, 4, alpha=1.0))(start)
    six = {"kernel_quantizer": quantized_bits(6, 0, alpha=1.0), "bias_quantizer": quantized_bits(6, 0, alpha=1.0)}
    with pytest.raises(UnsupportedError, match=f"layer '{re.escape(name)}': hls4ml makes C.. of a layer's name"):
        convert(keras.Model(start, QDense(3, name=name, **six)(x)), contract, load_target("vu13p"), "x", tmp_path)
    assert not list(tmp_path.iterdir())


def test_vectors(contract):
    edge = vectors.boundary(contract, 1)
    form = contract.common_format
    for column in edge.codes.T:
        assert {form.min_code, form.max_code, 0, 1, -1, form.min_code + 1, form.max_code - 1} <= set(column.tolist())
    tie = vectors.ties(contract, 500, 1)
    assert (np.abs(tie.values / form.step % 1) == 0.5).all()
    np.testing.assert_array_equal(tie.codes, form.codes(tie.values))
    drawn = vectors.random(contract, 4000, 1)
    assert (np.abs(drawn.codes) < 8).mean() > 0.1
    assert drawn.codes.min() < 0.99 * form.min_code
    np.testing.assert_array_equal(drawn.codes, vectors.random(contract, 4000, 1).codes)
    with pytest.raises(InputError, match=r"code 512 of input 'x3' in event 1 is outside \[-512, 511\]; 1 codes are"):
        bad = np.zeros((2, 6), dtype=int)
        bad[1, 3] = 512
        vectors.from_codes("physics", bad, contract)


def test_result_file(project, tmp_path):
    result = emulate(project, random_vectors=100)
    assert result.verdict().overall == "INCOMPLETE"  # 65,536 random codes are needed
    result.save(tmp_path / "emulation.json")
    assert EmulationResult.load(tmp_path / "emulation.json").agreements == result.agreements


def test_sequences_with_an_exact_average(tmp_path):
    """Dense layers on each of eight particles, their mean over a power of two, and a rectifier inside the dense layer."""
    import keras
    from qkeras import QActivation, QDense, quantized_bits, quantized_relu

    from trigger.fixed_point import Overflow, Rounding
    from trigger.inputs.contract import Input

    form = FixedPoint(True, 3, 6, Rounding.RND_CONV, Overflow.SAT)
    spec = InputSpec(
        inputs=tuple(Input(name=f"p{k}", format=form) for k in range(24)), outputs=("y0", "y1"), shape=(8, 3)
    )
    q = {"kernel_quantizer": quantized_bits(5, 1, alpha=1.0), "bias_quantizer": quantized_bits(5, 1, alpha=1.0)}
    x = start = keras.Input((8, 3))
    x = QActivation(quantized_bits(10, 3, alpha=1.0), name="cast")(x)
    x = QDense(4, name="phi", activation=quantized_relu(6, 2), **q)(x)
    x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
    x = QDense(2, name="rho", **q)(x)
    model = keras.Model(start, x)
    generator = np.random.default_rng(3)
    model.set_weights([generator.normal(0, 0.7, w.shape) for w in model.get_weights()])
    made = convert(model, spec, load_target("vu13p"), "sets", tmp_path)
    result = emulate(made, random_vectors=5000, threads=2)
    assert sum(one.differing_codes for one in result.agreements) == 0
