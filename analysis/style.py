"""How figures look, and how they are saved: the same data give the same bytes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from drnas_ray.core.errors import UserError
from drnas_ray.core.files import atomic_replacement

P = ParamSpec("P")
T = TypeVar("T")

FORMATS = ("png", "svg", "pdf")
INK, GREY, FAINT = "#333333", "#767676", "#D0D0D0"
# Okabe & Ito's palette, with a grey instead of its yellow, which is hard to see on white.
PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#767676",
)  # fmt: skip
DASHES: tuple[Any, ...] = (
    "-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1)), (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)), (0, (2, 2)),
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")
_DPI = 150
_DROPPED: dict[str, dict[str, None]] = {
    # Metadata that would differ from one day or machine to the next.
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def style() -> AbstractContextManager[None]:
    """Context with the settings of matplotlib for drawing and saving figures."""
    return mpl.rc_context(
        {
            "svg.fonttype": "none",  # text stays text: searchable, and the file is smaller
            "svg.hashsalt": "drnas-ray",  # fixed instead of random ids
            "pdf.fonttype": 42,  # TrueType: journals reject Type 3
            "font.family": "DejaVu Sans",
            "text.parse_math": False,  # a label with dollar signs is not a formula
        }
    )


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Decorator: runs the function under `style`."""

    @functools.wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with style():
            return draw(*args, **kwargs)

    return wrapped


def line_style(place: int) -> dict[str, Any]:
    """Colour, dashes and marker of line number `place` (from 0): 88 differ in two or more."""
    return {
        "color": PALETTE[place % len(PALETTE)],
        "linestyle": DASHES[(place + place // len(PALETTE)) % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
    }


def save(
    figure: Figure, path: Path, title: str, formats: Sequence[str] = ("png", "svg")
) -> tuple[Path, ...]:
    """Write path.png and so on, each atomically.

    The suffix is appended, even if the name has a dot (arch.lr=0.01). Raises UserError if a file
    can't be written.
    """
    FigureCanvasAgg(figure)
    paths = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for form in formats:
            target = path.with_name(f"{path.name}.{form}")
            with atomic_replacement(target) as aside, style():
                figure.savefig(
                    aside, format=form, dpi=_DPI, metadata={**_DROPPED[form], "Title": title}
                )
            paths.append(target)
    except OSError as err:
        raise UserError(f"can't write {path}: {err}") from err
    return tuple(paths)
