"""Line charts of one run as drawing instructions for inline SVG.

Hundreds of small charts on one page: as SVG of the page itself they follow its colours, light or
dark, and cost a few kilobytes each, where a matplotlib picture costs fifty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

WIDTH, HEIGHT = 300, 160
LEFT, RIGHT, TOP, BOTTOM = 38, 8, 8, 22
MOST_POINTS = 100
"""Points of a curve; a longer one is thinned evenly, and keeps its first and last epoch."""

Values = Sequence[float | None]


@dataclass(frozen=True)
class Curve:
    """One curve: its name, CSS class of its colour, SVG dash pattern, and SVG path."""

    name: str
    colour: str
    dash: str
    path: str


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its position in the SVG, and its label."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A small chart; `alt` describes it in words."""

    title: str
    alt: str
    lines: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Style:
    """How a curve is recognised: by colour, and by dashes for those who can't see colours."""

    colour: str
    dash: str = "none"


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _thinned(count: int) -> list[int]:
    """At most MOST_POINTS of 0 .. count - 1, evenly spaced, with the first and the last."""
    return sorted(set(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int)))


def _path(xs: Sequence[float], ys: Sequence[float | None]) -> str:
    """Move and line commands, interrupted where a value is missing; a lone point is a dot."""
    parts, drawing = [], False
    for place, (x, y) in enumerate(zip(xs, ys, strict=True)):
        if y is None:
            drawing = False
            continue
        alone = not drawing and (place + 1 == len(ys) or ys[place + 1] is None)
        parts.append(f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}" + ("h0" if alone else ""))
        drawing = True
    return "".join(parts)


def _ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    locator = MaxNLocator(nbins=most, integer=whole, steps=[1, 2, 5, 10])
    slack = (high - low) * 1e-9
    return [float(t) for t in locator.tick_values(low, high) if low - slack <= t <= high + slack]


def _label(value: float, step: float) -> str:
    digits = max(0, -math.floor(math.log10(step))) if step > 0 else 0
    return f"{value:.{min(digits, 6)}f}".replace("-0", "-0" if value < 0 else "0")


def _scale(low: float, high: float, start: float, stop: float) -> tuple[float, float]:
    factor = (stop - start) / (high - low)
    return factor, start - low * factor


def chart(
    title: str,
    epochs: Sequence[int],
    curves: Mapping[str, tuple[Style, Values]],
    limits: tuple[float, float] | None = None,
) -> Chart | None:
    """A chart of curves over epochs, None if no curve has a finite value.

    curves: name to (style, one value per epoch; None or not finite makes a gap). limits: of the
    vertical axis, so that charts side by side can share one; by default, the range of the values.
    """
    values = [float(v) for _, line in curves.values() for v in line if v is not None and _finite(v)]
    if not values:
        return None
    low, high = limits or (min(values), max(values))
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    a, b = _scale(low, high, HEIGHT - BOTTOM, TOP)
    first, last = min(epochs), max(*epochs, min(epochs) + 1)
    c, d = _scale(first, last, LEFT, WIDTH - RIGHT)
    kept = _thinned(len(epochs))
    xs = [c * epochs[i] + d for i in kept]
    lines = []
    for name, (style, line) in curves.items():
        points = [line[i] for i in kept]
        ys = [None if v is None or not _finite(v) else a * v + b for v in points]
        lines.append(Curve(name, style.colour, style.dash, _path(xs, ys)))
    y_ticks = _ticks(low, high, 4)
    step = y_ticks[1] - y_ticks[0] if len(y_ticks) > 1 else 1.0
    return Chart(
        title,
        _words(title, epochs, curves),
        tuple(line for line in lines if line.path),
        tuple(Tick(c * t + d, f"{t:.0f}") for t in _ticks(first, last, 6, whole=True)),
        tuple(Tick(a * t + b, _label(t, step)) for t in y_ticks),
    )


def _words(title: str, epochs: Sequence[int], curves: Mapping[str, tuple[Style, Values]]) -> str:
    """The chart in words, for those who can't see it: where every curve ends."""
    ends = []
    for name, (_, line) in curves.items():
        known = [v for v in line if v is not None and _finite(v)]
        if known:
            ends.append(f"{name} {known[-1]:.3g}")
    return f"{title}, epochs {min(epochs)} to {max(epochs)}. Last: {', '.join(ends)}."
