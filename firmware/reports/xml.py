"""Reading vendors' XML: safely, and saying where it was cut off."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from trigger.errors import ReportError


def parse_xml(text: str) -> Element:
    """The root of an XML report.

    Raises:
        ReportError: It is not complete XML, or it declares entities, which no report does.
    """
    if re.search(r"<!(DOCTYPE|ENTITY)", text):
        raise ReportError("it declares entities or a document type, which no report does")
    parser = XMLPullParser(("start", "end"))
    path: list[str] = []
    root: Element | None = None
    try:
        parser.feed(text.strip())
        parser.close()
        problem = None
    except ParseError as error:
        problem = error
    for event, element in parser.read_events():
        if event == "start":
            path.append(element.tag)
            root = element if root is None else root
        else:
            path.pop()
    if problem is not None or root is None:
        where = f"it was cut off within {'/'.join(path[-3:])}" if path else "there is no element in it"
        raise ReportError(f"not complete XML: {where} ({problem or 'it is empty'})")
    return root


def text_at(element: Element, path: str) -> str | None:
    """The text of an element below another; `None` where there is none or it is empty."""
    return (element.findtext(path) or "").strip() or None


def required_text(element: Element, path: str) -> str:
    """The same, of an element that must be there.

    Raises:
        ReportError: It is missing; the message names it.
    """
    found = text_at(element, path)
    if found is None:
        raise ReportError(f"the element {element.tag}/{path} is missing or empty")
    return found
