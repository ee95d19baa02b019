"""Figures as part of a page: SVG that stands alone, made to stand beside others in one document."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from trigger.errors import InputError

_LEFT_OUT = ("metadata", "script", "foreignObject", "style", "title")
"""Elements that a page does not take over: what a program says of itself, code, and rules that would hold for all of it."""
_REFERENCE = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")
_LOOK = "stroke-linejoin: round; stroke-linecap: butt"
"""What matplotlib's rule for all elements says; inherited where nothing else is."""


def inlined(path: Path, prefix: str, label: str) -> str:
    """The `<svg>` element of a figure, for a page with others.

    All its ids begin with `prefix`, and what refers to them; namespaces, prolog, scripts and everything that would be loaded
    are left out; it scales with the page.

    Args:
        path: The SVG file.
        prefix: Begins every id; another one for each figure of a page.
        label: What it shows, for readers who cannot see it.

    Raises:
        InputError: It is missing, is no SVG, or has no size.
    """
    try:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise InputError(f"{path}: cannot be read as an SVG figure: {error}") from error
    if _local(root.tag) != "svg" or "viewBox" not in root.attrib:
        raise InputError(f"{path}: an <svg> with a viewBox would be right, found <{_local(root.tag)}>")
    _cleaned(root, prefix)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": label, "style": _LOOK}
    return ElementTree.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _cleaned(element: ElementTree.Element, prefix: str) -> None:
    """Strip an element and all in it of namespaces, code and outer references, and make its ids its own."""
    element.tag = _local(element.tag)
    attributes = {_local(name): value for name, value in element.attrib.items()}
    element.attrib.clear()
    for name, value in attributes.items():
        if name == "href":
            if value.startswith("#"):
                element.set(name, f"#{prefix}{value[1:]}")
            elif value.startswith("data:image/"):
                element.set(name, value)
        elif name == "id":
            element.set(name, prefix + value)
        elif not name.startswith("on") and name != "src" and "url(" not in _REFERENCE.sub("", value):
            element.set(name, _REFERENCE.sub(rf"url(#{prefix}\1)", value))
    for child in list(element):
        if not isinstance(child.tag, str) or _local(child.tag) in _LEFT_OUT:
            element.remove(child)
        else:
            _cleaned(child, prefix)
