"""YAML to checked objects: every fault of a file is named in one answer."""

from __future__ import annotations

import json
import math
import re
import types
import typing
from collections.abc import Hashable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from trigger.errors import InputError, nearest
from trigger.fixed_point import FixedPoint, Overflow, Rounding


class Settings(BaseModel):
    """Base of everything that is written in YAML: immutable, strict, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


SettingsT = TypeVar("SettingsT", bound=Settings)


def _spelled(rounding: Rounding, overflow: Overflow) -> BeforeValidator:
    """Reads a format, with modes for one that names none."""

    def read(spelling: object) -> FixedPoint:
        if isinstance(spelling, FixedPoint):
            return spelling
        try:
            return FixedPoint.parse(str(spelling), rounding, overflow)
        except InputError as error:
            raise ValueError(str(error)) from error

    return BeforeValidator(read)


Format = Annotated[FixedPoint, _spelled(Rounding.RND_CONV, Overflow.SAT), PlainSerializer(str)]
"""A format in YAML, `ap_fixed<16,7>`. Unlike in C++, one that names no modes rounds to nearest, ties to even, and
saturates (`AP_RND_CONV, AP_SAT`): what quantisers do."""

CppType = Annotated[FixedPoint, _spelled(Rounding.TRN, Overflow.WRAP), PlainSerializer(str)]
"""A type in YAML as C++ reads it: `ap_fixed<16,6>` truncates and wraps."""


def load(path: Path, kind: type[SettingsT], overrides: Sequence[str] = ()) -> SettingsT:
    """Read a YAML file into `kind`.

    Args:
        path: The file.
        kind: What the file describes.
        overrides: `key.sub=value` each, applied before the check; the value is read as YAML.

    Raises:
        InputError: The file is missing or wrong; the message has one line for each fault.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return parse(text, kind, str(path), overrides)


def parse(text: str, kind: type[SettingsT], name: str, overrides: Sequence[str] = ()) -> SettingsT:
    """Read YAML text into `kind`; `name` is what messages call it. See `load`."""
    content, faults = _read_yaml(text, name)
    if not isinstance(content, dict):
        raise InputError(f"{name}: a mapping of keys to values is expected, found {type(content).__name__}")
    for override in overrides:
        faults += _apply(content, override)
    try:
        # Through JSON, because strict mode then still takes a list for a tuple and a name for an enumeration.
        checked = kind.model_validate_json(json.dumps(content))
    except ValidationError as error:
        # A default that depends on a wrong key is no fault of its own.
        found = [one for one in error.errors() if one["type"] != "default_factory_not_called"]
        # Of a list whose items are wrong pydantic says too that it is short of items.
        inner = {fault["loc"][:length] for fault in found for length in range(len(fault["loc"]))}
        faults += [_sentence(kind, one) for one in found if not (one["type"] == "too_short" and one["loc"] in inner)]
    except (TypeError, ValueError, RecursionError) as error:  # an anchor that contains itself, for example
        faults.append(str(error))
    if faults:
        raise InputError("\n".join(f"{name}: {fault}" for fault in faults))
    return checked


def dump(settings: Settings) -> str:
    """The YAML of `settings`, which `parse` reads back."""
    return yaml.dump(settings.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, width=120)


def packaged(package: str, folder: str) -> dict[str, Path]:
    """The YAML files that came with a package: name to path."""
    found = Path(str(files(package) / folder))
    return {path.stem: path for path in sorted(found.glob("*.yaml"))}


def find(name: str, package: str, folder: str, what: str = "") -> Path:
    """The file that `name` means: a path where it looks like one, else a packaged name.

    Args:
        name: What was asked for.
        package: The package that has such files.
        folder: Where in it.
        what: What such a file is called in messages; the folder's name without its last s if not given.

    Raises:
        InputError: There is neither; the nearest packaged names are shown.
    """
    known = packaged(package, folder)
    looks_like_path = "/" in name or name.endswith((".yaml", ".yml"))
    if not looks_like_path and name in known:
        return known[name]
    if looks_like_path or Path(name).is_file():
        if not Path(name).is_file():
            raise InputError(f"{name}: no such file")
        return Path(name)
    called = what or folder.rstrip("s")
    raise InputError(f"there is no packaged {called} {name!r} and no such file; nearest: {nearest(name, known)}")


class _Loader(yaml.SafeLoader):
    """Safe YAML of the 1.2 core schema: `1e-3` is a number, `no` and `2026-01-01` are text, keys are unique."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.faults: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first_line: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                self.faults.append(f"line {line}: the key {key!r} is not text")
            elif key in first_line:
                self.faults.append(f"line {line}: key {key!r} is given twice, first in line {first_line[key]}")
            first_line.setdefault(key if isinstance(key, Hashable) else str(key), line)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+.0123456789"),
):  # fmt: skip
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


class _Dumper(yaml.SafeDumper):
    """Quotes what the loader would not read as text."""


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers
_Loader.add_constructor(
    "tag:yaml.org,2002:int", lambda loader, node: int(str(node.value))
)  # decimal always: SafeLoader would read 010 as eight


def _read_yaml(text: str, name: str) -> tuple[Any, list[str]]:
    try:
        loader = _Loader(text)
        content = loader.get_single_data()
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:  # also what its constructors raise
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        raise InputError(f"{name}:{where} this is not YAML: {getattr(error, 'problem', None) or error}") from error
    return content, loader.faults


def _apply(content: dict[str, Any], override: str) -> list[str]:
    path, equals, value = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        return [f"--set {override!r}: right would be key.sub=value"]
    for key in keys[:-1]:
        inner = content.setdefault(key, {})
        if not isinstance(inner, dict):
            return [f"--set {override!r}: {key!r} is not a mapping but {inner!r}"]
        content = inner
    try:
        content[keys[-1]], faults = _read_yaml(value, f"--set {override!r}")
    except InputError as error:
        return [str(error)]
    return faults


def _sentence(kind: type[BaseModel], fault: Any) -> str:
    """One line for one pydantic error: where, what was found, what would be right."""
    location, context, found = fault["loc"], fault.get("ctx", {}), fault["input"]
    parents, _ = _walk(kind, location[:-1])
    where = ".".join(_walk(kind, location)[1]) or "the file"
    match fault["type"]:
        case "extra_forbidden":
            return f"{where}: there is no such key; nearest: {nearest(str(location[-1]), _keys(parents))}"
        case "missing":
            return f"{where}: this key is required and missing"
        case "union_tag_not_found":
            return f"{where}: the key 'kind' is required and missing"
        case "union_tag_invalid":
            choices = re.findall(r"'([^']+)'", context["expected_tags"])
            return f"{where}.kind: {context['tag']!r} is not known; nearest: {nearest(str(context['tag']), choices)}"
        case "literal_error" | "enum":
            choices = re.findall(r"'([^']+)'", str(context.get("expected", "")))
            return f"{where}: {found!r} is not known; nearest: {nearest(str(found), choices, 8)}"
    problem = re.sub(r"^(Value error|Assertion failed), ", "", fault["msg"])
    if isinstance(found, float) and math.isnan(found):
        return f"{where}: found NaN: {problem}"
    if isinstance(found, str | int | float | None):
        quoted = isinstance(found, str) and repr(found) in problem
        return f"{where}: {problem}" if quoted else f"{where}: found {found!r}: {problem}"
    return f"{where}: {problem}"


def _walk(kind: Any, location: Sequence[Any]) -> tuple[Any, list[str]]:
    """The annotation at `location`, and the location as the file has it: without the tags that pydantic adds."""
    found, shown = kind, []
    for part in location:
        fields = _fields(found)
        if isinstance(part, str) and part in fields:
            found = fields[part].annotation
        else:
            tagged = [
                member
                for member in _members(found)
                if "kind" in _fields(member) and part in typing.get_args(_fields(member)["kind"].annotation)
            ]
            if tagged and not fields:
                found = tagged[0]
                continue
            named = [member for member in _members(found) if member.__name__ == part]
            if named:
                found = named[0]
                continue
        shown.append(str(part))
    return found, shown


def _keys(annotation: Any) -> list[str]:
    return [name for member in _members(annotation) for name in _fields(member)]


def _members(annotation: Any) -> list[Any]:
    """The model classes in an annotation, through Annotated, unions, tuples and lists."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) is types.UnionType or typing.get_args(annotation):
        return [member for argument in typing.get_args(annotation) for member in _members(argument)]
    return []


def _fields(annotation: Any) -> dict[str, Any]:
    members = _members(annotation)
    return dict(members[0].model_fields) if len(members) == 1 else {}


__all__ = ["CppType", "Format", "Settings", "dump", "find", "load", "packaged", "parse"]
