"""What a page is made of: sections of tables and figures, as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

Cell = str | int | float | bool | None | dict[str, float | None]
"""Of a table: a text, a number, a number with its uncertainty (`value`, `uncertainty`), or `None` where it is not known."""


class Table(BaseModel):
    """One table.

    Attributes:
        title: What it is of.
        columns: Heads; none where the first column names what the second says.
        rows: Cells, as many in each row as there are columns.
        note: What a reader needs to judge it.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


class Figure(BaseModel):
    """One figure.

    Attributes:
        file: Its name in `plots/`.
        caption: What it shows.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    caption: str


class Section(BaseModel):
    """One section.

    Attributes:
        name: Short and stable.
        title: Its heading.
        notes: Sentences above everything else.
        tables: Its tables.
        figures: Its figures.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    notes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


def flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Cell]]:
    """Key and value of every setting, nested keys joined by dots; lists of plain values as one text."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
            for number, one in enumerate(value, 1):
                yield from flattened({str(number): one}, f"{name}.")
        elif isinstance(value, list | Mapping):
            yield name, ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in value) or "none"
        else:
            yield name, "not set" if value is None else value
