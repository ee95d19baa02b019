"""Reading vendors' XML: safely, and saying where it was cut off."""

from __future__ import annotations

import re
from io import StringIO
from xml.etree.ElementTree import Element, ParseError, iterparse

from trigger.errors import ReportError


def parse_xml(text: str) -> Element:
    """The root of an XML report.

    Raises:
        ReportError: It is not complete XML, or it declares entities, which no report does.
    """
    if re.search(r"<!(DOCTYPE|ENTITY)", text):
        raise ReportError("it declares entities or a document type, which no report does")
    path: list[str] = []
    root: Element | None = None
    try:
        for event, element in iterparse(StringIO(text.strip()), ("start", "end")):
            if event == "start":
                path.append(element.tag)
                root = element if root is None else root
            else:
                path.pop()
    except ParseError as error:
        where = f"it is cut off or wrong within {'/'.join(path[-3:])}" if path else "its elements are missing"
        raise ReportError(f"not complete XML: {where} ({error})") from error
    assert root is not None  # an empty text is an error of the parser's
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
