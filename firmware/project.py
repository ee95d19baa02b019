"""A firmware project: a folder that holds a network as sources, and everything needed to prove that it is the network.

```
vivado_projects/<model>-<target>-<digest>/
  manifest.json      digests, versions, formats, order of inputs and outputs
  contract.yaml      the inputs
  target.yaml        part, clock, backend
  model.keras        the reference
  firmware/          the sources that synthesis reads, with jetgate_contract.h: order and formats for C++
  rtl/               Verilog, pipelined for the target's clock, and the program it was written from
  jetgate_*          codes in, codes out, and taps on layers, for emulation; the test bench
  tb_data/           the test bench's vectors
  tcl/               every step of the vendors' tools, with hls_config.cfg for the unified flow
  reports/           what the tools said, with the digest of the sources it was said of
  vectors/           physics events in codes, where there are any
  build/             libraries, named by the digest of the sources they were built from
  decision/          accept bits for integer thresholds, where somebody chose some; not a part of the project's digest
```
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from firmware import scripts
from firmware.keywords import CPP, VERILOG
from firmware.precision import typedefs
from firmware.target import Io, Target
from trigger import config
from trigger.digest import SHORT, digest, file_digest, network_digest
from trigger.errors import InputError, UnsupportedError
from trigger.files import read_json, replacing, write_json
from trigger.fixed_point import Codes, FixedPoint
from trigger.inputs.contract import InputSpec

if TYPE_CHECKING:
    import keras

    from firmware.backends.hls import Port

PROJECT_FORMAT = 5
"""Part of every project's digest; raised when the same network gives other sources than before."""


PHYSICS = "vectors/physics.npz"
SEALED = ("model.keras", "contract.yaml", "target.yaml", PHYSICS)
"""What the manifest has digests of besides the sources."""
HLS4ML_OWN = (
    "keras_model.keras", "hls4ml_config.yml", "build_lib.sh", "{top}_bridge.cpp", "build_prj.tcl", "build_opt.tcl",
    "project.tcl", "vivado_synth.tcl", "{top}_test.cpp",
)  # fmt: skip
"""What hls4ml writes and ours replaces."""
RESERVED = (
    "parameters", "defines", "main", "nnet", "weights", "jetgate_contract",
    "shift_adder", "ternary_adder", "mux", "multiplier", "negative", "binop", "top", *VERILOG, *CPP,
)  # fmt: skip
"""Names that generated files or their languages have already taken."""


class PortRecord(BaseModel):
    """A port of the firmware: its C++ name and type, the format of its elements, and their names in order; of a stream how
    many of them a word has.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    cpp_type: str
    format: str
    elements: tuple[str, ...]
    word: int | None = None

    @property
    def words(self) -> int:
        """In how many words an event comes, one a clock; 1 where all elements come at once."""
        return len(self.elements) // (self.word or len(self.elements))

    @property
    def fixed_point(self) -> FixedPoint:
        """The format of each element."""
        return FixedPoint.parse(self.format)


class Wire(BaseModel):
    """One element of a port of the Verilog: a number without any bit that cannot differ."""

    model_config = ConfigDict(frozen=True)

    signed: bool
    integer: int
    fraction: int

    @property
    def width(self) -> int:
        """Bits in all; 0 for a number that is always 0."""
        return max(0, self.signed + self.integer + self.fraction)


class Rtl(BaseModel):
    """What the Verilog says of itself.

    Attributes:
        top: Name of the top module.
        latency_cycles: Declared latency: clock edges between the one that takes an event and the one that shows its outputs.
        clock_ns: Clock period that it was pipelined for.
        cost: alkaid's estimate of the look-up tables, of the pipelined logic.
        registers: Bits of its registers.
        inputs: Elements of the input port, the first one in the lowest bits.
        outputs: Elements of the output port.
    """

    model_config = ConfigDict(frozen=True)

    top: str
    latency_cycles: int
    clock_ns: float
    cost: float
    registers: int
    inputs: tuple[Wire, ...]
    outputs: tuple[Wire, ...]


class Manifest(BaseModel):
    """What a project says of itself.

    Attributes:
        name: Name of the model.
        top: Name of the top function.
        target: Name of the target.
        key: Digest of what the project was made from.
        network: Digest of the reference network.
        inputs: The input port.
        outputs: The output port.
        versions: Versions of the libraries that wrote it.
        files: Digest of every source and of `SEALED`, by path in the project.
        rtl: The Verilog; `None` where there is none, for a reason that the target's backend gives.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    top: str
    target: str
    key: str
    network: str
    inputs: PortRecord
    outputs: PortRecord
    versions: dict[str, str]
    files: dict[str, str]
    rtl: Rtl | None = None


@dataclass(frozen=True)
class FirmwareProject:
    """A project folder with what its files say.

    Attributes:
        folder: Where it is.
        manifest: What it says of itself.
        contract: Its inputs.
        target: What it was made for.
    """

    folder: Path
    manifest: Manifest
    contract: InputSpec
    target: Target

    @classmethod
    def load(cls, folder: Path) -> FirmwareProject:
        """Open a project.

        Raises:
            InputError: The folder is not a project, or files of it are missing.
        """
        if not (folder / "manifest.json").is_file():
            raise InputError(f"{folder}: not a firmware project: it has no manifest.json")
        try:
            manifest = Manifest.model_validate(read_json(folder / "manifest.json"))
        except ValidationError as error:
            raise InputError(
                f"{folder / 'manifest.json'}: {error.error_count()} entries are missing or wrong"
            ) from error
        missing = [name for name in manifest.files if not (folder / name).is_file()]
        if missing:
            raise InputError(f"{folder}: {len(missing)} files of the project are missing: {', '.join(missing[:3])}")
        contract = InputSpec.load(folder / "contract.yaml")
        _check_port(manifest.inputs, contract.names, contract.common_format, f"{folder}: the contract")
        _check_port(manifest.outputs, contract.outputs, None, f"{folder}: the contract")
        return cls(folder, manifest, contract, config.load(folder / "target.yaml", Target))

    def source_digests(self, part: str = "") -> dict[str, str]:
        """Digest of every source as it is now, by its path in the project; those of `cpp`, `rtl` or `tool` alone where given."""
        return _seals(self.folder, source_files(self.folder, part))

    def edited(self) -> list[str]:
        """Files that are not what the conversion wrote: changed, added or taken away."""
        now, then = self.source_digests() | _seals(self.folder, SEALED), self.manifest.files
        return sorted(path for path in now.keys() | then.keys() if now.get(path) != then.get(path))

    def require_unedited(self) -> None:
        """Refuse to go on with, or to overwrite, what somebody edited.

        Raises:
            InputError: Names the files and what can be done.
        """
        if edited := self.edited():
            raise InputError(
                f"{self.folder}: sources were edited after the conversion ({', '.join(edited[:3])}); judge them with "
                f"'jetgate emulate {self.folder}', or move the folder away to have it written anew"
            )

    def digest(self) -> str:
        """Digest of the content: sources, network and contract, as they are now."""
        return digest(self.source_digests(), self.manifest.network, self.contract)

    def accumulators(self) -> dict[str, FixedPoint]:
        """Declared type of each layer's accumulator, as the sources are now."""
        declared = typedefs((self.folder / "firmware" / "defines.h").read_text(encoding="utf-8"))
        end = "_accum_t"
        return {name.removesuffix(end): form for name, form in declared.items() if name.endswith(end)}

    def physics_codes(self) -> Codes | None:
        """The physics events that came with the project, shape `(events, inputs)`; `None` where none did.

        Raises:
            InputError: They are missing, cut short or changed.
        """
        if PHYSICS not in self.manifest.files:
            return None
        path = self.folder / PHYSICS
        if not path.is_file():
            raise InputError(f"{path}: the physics vectors are missing; convert the network again")
        if file_digest(path) != self.manifest.files[PHYSICS]:
            raise InputError(f"{path}: these are not the physics vectors that came with the project; convert it again")
        try:
            with np.load(path, allow_pickle=False) as stored:
                codes: Codes = stored["codes"].astype(np.int64)
                return codes
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error


def source_files(folder: Path, part: str = "") -> list[str]:
    """Paths, below `folder`, of everything that is compiled or synthesised: all, or those of one part: the C++ (`cpp`), the
    Verilog (`rtl`), or what tells vendors' tools what to do (`tool`).
    """
    files = {
        "cpp": [path for path in (folder / "firmware").rglob("*") if path.suffix in (".h", ".hpp", ".cpp")]
        + [path for path in folder.glob("jetgate_*") if path.name != scripts.TEST_BENCH],
        "rtl": [path for path in (folder / "rtl").rglob("*") if path.suffix in (".v", ".xdc", ".sdc", ".gz")],
        "tool": [
            *(folder / scripts.TCL).glob("*"), *(folder / scripts.VECTORS).glob("*"), folder / scripts.CONFIGURATION,
            folder / scripts.TEST_BENCH,
        ],
    }  # fmt: skip
    chosen = files[part] if part else [*files["cpp"], *files["rtl"], *files["tool"]]
    return sorted(str(path.relative_to(folder)) for path in chosen if path.is_file())


def project_key(model: keras.Model, contract: InputSpec, target: Target, physics: Codes | None) -> str:
    """Digest of everything that a project is made from."""
    return digest(network_digest(model), contract, target, physics, writers())


def convert(
    model: keras.Model, contract: InputSpec, target: Target, name: str, folder: Path, physics: Codes | None = None
) -> FirmwareProject:
    """Make a firmware project of a network, or find the one made before.

    Args:
        model: A quantised network whose first layer casts its input to the contract's format.
        contract: Its inputs.
        target: What to make it for.
        name: Name of the model; begins the name of the project's folder.
        folder: Where projects are kept, `vivado_projects/`.
        physics: Events that it will be compared on, in codes, shape `(events, inputs)`.

    Raises:
        UnsupportedError: The network cannot be represented bit for bit.
        InputError: Network and contract do not fit each other.
    """
    from firmware import unrolling
    from firmware.backends import hls, keras_layers, qkeras_layers, rtl

    if target.backend.types is None:
        qkeras_layers.check_network(model)
        model = qkeras_layers.folded(model)  # the reference from here on
        _check_fit(model, contract, qkeras_layers.input_format(model))
        circuit = qkeras_layers.circuit(model, contract.common_format)
    else:
        circuit = keras_layers.circuit(model, contract.common_format, target.backend.types)
        _check_fit(model, contract, contract.common_format)
    key = project_key(model, contract, target, physics)
    home = folder / f"{name}-{target.name}-{key[:SHORT]}"
    if (home / "manifest.json").is_file():
        project = FirmwareProject.load(home)
        project.require_unedited()
        return project
    if target.backend.without_verilog is None:
        unrolling.require_unrollable(model, target)
    top = re.sub(r"\W", "_", name)
    if not re.match(r"[A-Za-z]", top) or top in RESERVED or re.fullmatch(r"logic\d+", top):  # alkaid's names of stages
        top = f"network_{top}"
    with replacing(home) as fresh:
        ports = hls.write(model, contract.common_format, target, top, fresh)
        verilog = None
        if target.backend.without_verilog is None:
            verilog = rtl.write(model, contract.common_format, target, top, fresh / "rtl")
        for leftover in HLS4ML_OWN:  # its own emulation, by absolute paths, and its own build, which hides what failed
            (fresh / leftover.format(top=top)).unlink(missing_ok=True)
        scripts.write(fresh, top, target, verilog is not None)
        scripts.write_vectors(fresh, contract, circuit, ports[1].format, physics)
        if physics is not None:
            (fresh / "vectors").mkdir()
            np.savez_compressed(fresh / PHYSICS, codes=physics)
        manifest = _finish(fresh, model, contract, target, name, top, key, ports, verilog)
        write_json(fresh / "manifest.json", manifest.model_dump(mode="json"))
    return FirmwareProject.load(home)


def _finish(
    folder: Path, model: keras.Model, contract: InputSpec, target: Target, name: str, top: str, key: str,
    ports: tuple[Port, Port], verilog: Rtl | None,
) -> Manifest:  # fmt: skip
    """Write our own files beside hls4ml's and describe the project."""
    source, result = ports
    if source.size != len(contract.inputs) or result.size != len(contract.outputs):
        raise InputError(
            f"the firmware has {source.size} inputs and {result.size} outputs, the contract "
            f"{len(contract.inputs)} and {len(contract.outputs)}"
        )
    if source.format != contract.common_format:
        raise UnsupportedError(
            f"the firmware's input port is of {source.format}, the contract of {contract.common_format}"
        )
    model.save(folder / "model.keras")
    contract.save(folder / "contract.yaml")
    (folder / "target.yaml").write_text(config.dump(target), encoding="utf-8")
    (folder / "firmware" / "jetgate_contract.h").write_text(_contract_header(contract), encoding="utf-8")
    for template, file in (("bridge.cpp", "jetgate_bridge.cpp"), ("testbench.cpp", scripts.TEST_BENCH)):
        filled = _filled(template, top, source, result, target.backend.io)
        (folder / file).write_text(filled, encoding="utf-8")
    for header in ("tap.h", "ports.h", "stream.h"):
        (folder / f"jetgate_{header}").write_text(_engine_source(header), encoding="utf-8")
    return Manifest(
        name=name, top=top, target=target.name, key=key, network=network_digest(model),
        inputs=_record(source, contract.names),
        outputs=_record(result, contract.outputs),
        versions=writers(),
        files=_seals(folder, [*source_files(folder), *SEALED]),
        rtl=verilog,
    )  # fmt: skip


def _record(port: Port, elements: tuple[str, ...]) -> PortRecord:
    return PortRecord(
        name=port.name, cpp_type=port.cpp_type, format=str(port.format), elements=elements, word=port.word
    )


def _check_fit(model: keras.Model, contract: InputSpec, cast: FixedPoint) -> None:
    shape = tuple(model.inputs[0].shape[1:])
    if shape != contract.network_shape:
        raise InputError(f"the network's input has shape {shape}, the contract describes {contract.network_shape}")
    if int(np.prod(model.outputs[0].shape[1:])) != len(contract.outputs):
        raise InputError(
            f"the network has {model.outputs[0].shape[-1]} outputs, the contract names {len(contract.outputs)}"
        )
    if contract.common_format != cast:
        raise InputError(f"the contract's inputs are {contract.common_format}, the network casts its input to {cast}")


def writers() -> dict[str, str]:
    """Versions of everything that decides what the sources of a project are."""
    return {"project": str(PROJECT_FORMAT)} | {
        name: version(name) for name in ("hls4ml", "alkaid", "qkeras-v3", "keras", "numpy")
    }


def _seals(folder: Path, paths: Iterable[str]) -> dict[str, str]:
    return {path: file_digest(folder / path) for path in paths if (folder / path).is_file()}


def _check_port(port: PortRecord, names: tuple[str, ...], form: FixedPoint | None, what: str) -> None:
    if port.elements != names:
        raise InputError(f"{what} has {', '.join(names)}, the firmware's port {port.name!r} {', '.join(port.elements)}")
    if form is not None and port.fixed_point != form:
        raise InputError(f"{what} has inputs of {form}, the firmware's port {port.name!r} is of {port.fixed_point}")


def _contract_header(contract: InputSpec) -> str:
    """The input contract for C++: order, formats and scaling."""
    inputs = "\n".join(
        f'    {{{json.dumps(one.name)}, {json.dumps(one.unit)}, "{one.format}", {one.offset!r}, {one.scale!r}}},  // {index}'
        for index, one in enumerate(contract.inputs)
    )
    outputs = ", ".join(json.dumps(name) for name in contract.outputs)
    return f"""// Written by jetgate from contract.yaml: what the inputs and outputs of this firmware are, in order.
#ifndef JETGATE_CONTRACT_H_
#define JETGATE_CONTRACT_H_

namespace jetgate {{

// code = format((physical - offset) * scale)
struct Input {{
    const char *name, *unit, *format;
    double offset, scale;
}};

const unsigned n_inputs = {len(contract.inputs)};
const Input inputs[n_inputs] = {{
{inputs}
}};

const unsigned n_outputs = {len(contract.outputs)};
const char *const outputs[n_outputs] = {{{outputs}}};

}}  // namespace jetgate

#endif
"""


def _filled(template: str, top: str, source: Port, result: Port, io: Io) -> str:
    """C++ that takes and gives integer codes, so that no decimal text and no float lies between us and the firmware."""

    def declared(port: Port, name: str) -> str:
        if io == "stream":
            return f'hls::stream<{port.cpp_type}> {name}("{name}")'
        return f"{port.cpp_type} {name}[{port.size}]"

    names = {
        "TOP": top, "INPUTS": declared(source, "inputs"), "INPUT_BITS": source.format.width, "N_INPUTS": source.size,
        "OUTPUTS": declared(result, "outputs"), "OUTPUT_BITS": result.format.width, "N_OUTPUTS": result.size,
        "OUTPUT_RAW": "ap_int" if result.format.signed else "ap_uint",
    }  # fmt: skip
    return filled(_engine_source(template), names)


def filled(template: str, names: Mapping[str, object]) -> str:
    """A template with what stands for every `@NAME@` in it."""
    return re.sub(r"@(\w+)@", lambda match: str(names[match[1]]), template)


def _engine_source(name: str) -> str:
    return (Path(__file__).parent / "engines" / name).read_text(encoding="utf-8")
