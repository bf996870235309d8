"""A matplotlib figure as a PNG file, without pyplot and without a window."""

from __future__ import annotations

import io
import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.disk.files import write_atomic
from d2lrun.report.layout import measuring, settle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
INK = "#222222"
GREY = "#999999"
RED = "#C0271D"
# Colours for colour-blind readers (Okabe and Ito, without yellow, which is invisible on white, and two more).
PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"),
    *("#E69F00", "#000000", "#7F3C8D", "#A5671A", "#888888"),
)


def import_matplotlib() -> None:
    """Import matplotlib with its own defaults, before any other import of it.

    Its import reads MPLBACKEND and a file matplotlibrc: from the working directory, else from MATPLOTLIBRC, else from
    the user. These are settings for other pictures, and an invalid file raises an error. So during the import,
    MATPLOTLIBRC names matplotlib's own file, and the process leaves a folder that has a file matplotlibrc.
    """
    if "matplotlib" in sys.modules:
        return
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # else it reports that it builds a font cache
    spec = find_spec("matplotlib")
    assert spec and spec.origin, "matplotlib is always installed"
    defaults = Path(spec.origin).with_name("mpl-data") / "matplotlibrc"
    before = {name: os.environ.pop(name, None) for name in ("MPLBACKEND", "MATPLOTLIBRC")}
    os.environ["MATPLOTLIBRC"] = str(defaults)
    folder = os.getcwd() if os.path.exists("matplotlibrc") else None
    try:
        if folder is not None:
            os.chdir(defaults.parent)
        import matplotlib  # noqa: F401
    finally:
        if folder is not None:
            os.chdir(folder)
        del os.environ["MATPLOTLIBRC"]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def new_figure(width: float, height: float) -> Figure:
    """Return an empty white figure of ``width`` × ``height`` pixels."""
    import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Arrange the texts of the figure so that none overlap, and write it to ``path``, completely or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    png = io.BytesIO()
    with measuring():
        settle(figure)
        FigureCanvasAgg(figure).print_png(png)  # savefig would draw it twice, to measure what is settled
    write_atomic(path, png.getvalue())
