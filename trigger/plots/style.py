"""The look of all figures: the field's own, by mplhep."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trigger.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by colour-blind readers and in print (jfly.uni-koeln.de/color).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
LINES = ("-", "--", "-.", ":")
SUFFIXES = (".svg", ".png")
"""Of the files of each figure."""


@contextmanager
def styled() -> Iterator[None]:
    """The style within the block; nothing global is changed and no display is needed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fonts that are not there, of which mplhep warns
        import matplotlib as mpl
        import mplhep

        with mpl.rc_context(mplhep.style.CMS):
            mpl.rcParams.update(
                {
                    "figure.figsize": (9, 8),
                    "font.size": 20,
                    "legend.fontsize": 16,
                    "svg.hashsalt": "jetgate",
                    "font.family": "DejaVu Sans",
                    "mathtext.fontset": "dejavusans",
                }
            )
            yield


def _figure() -> Figure:
    """Empty, and without any display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_panels(down: int, across: int, size: tuple[float, float], shared: bool = False) -> tuple[Figure, NDArray[Any]]:
    """A figure of several panels, without labels.

    Args:
        down: Rows of panels.
        across: Columns.
        size: Width and height of the figure in inches.
        shared: Whether all panels have the same axes.

    Returns:
        The figure and the axes of its panels, shape `(down, across)`.
    """
    figure = _figure()
    figure.set_size_inches(*size)
    panels: NDArray[Any] = figure.subplots(down, across, squeeze=False, sharex=shared, sharey=shared)
    return figure, panels


def label(axes: Any, simulated: bool, fontsize: float | None = None) -> None:
    """Write above the axes whose figure it is, and whether the data are simulated."""
    import mplhep

    mplhep.label.exp_label(exp="jetgate", data=not simulated, text="", loc=0, rlabel="", ax=axes, fontsize=fontsize)


def labelled_axes(simulated: bool) -> tuple[Figure, Any]:
    """A figure and its axes, with the label above."""
    figure = _figure()
    axes = figure.add_subplot()
    label(axes, simulated)
    return figure, axes


def histogram(
    axes: Any, values: NDArray[np.float64], weights: NDArray[np.float64], bins: NDArray[np.float64], name: str | None,
    colour: int, line: str = "-",
) -> None:  # fmt: skip
    """Draw the share of the weights in each bin; all values count in the sum, also those outside of the bins.

    Args:
        axes: Where it is drawn.
        values: Shape `(rows,)`.
        weights: Shape `(rows,)`.
        bins: Edges.
        name: In the legend; `None` leaves it out.
        colour: Number of the colour.
        line: Style of the line.
    """
    import mplhep

    shares, _ = np.histogram(values, bins, weights=weights / weights.sum())
    mplhep.histplot(
        shares, bins, ax=axes, label=name, color=COLOURS[colour % len(COLOURS)], linestyle=line, linewidth=2
    )


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG and as PNG; `path` has no suffix.

    Raises:
        InputError: It cannot be written.
    """
    with styled():
        for suffix in SUFFIXES:
            with replacing(path.with_suffix(suffix)) as fresh:
                figure.savefig(fresh, format=suffix[1:], dpi=100, metadata={"Date": None} if suffix == ".svg" else None)
