"""Draws several figures and writes their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.figures import FIGURES, Missing
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.style import save


@dataclass(frozen=True)
class Drawn:
    """paths: the files written. missing: name of a figure -> what is missing to draw it."""

    paths: tuple[Path, ...]
    missing: Mapping[str, str]


def draw_figures(
    names: Iterable[str],
    collected: Collected,
    benchmark: BenchmarkTable | None,
    folder: Path,
    *,
    formats: Sequence[str] = ("png",),
    progress: Callable[[str], None] = lambda name: None,
) -> Drawn:
    """Draw the figures of these names (`FIGURES`) into `folder`, a file per figure and format.

    progress: called with each name before it is drawn. Raises UserError if files can't be written.
    """
    paths: list[Path] = []
    missing: dict[str, str] = {}
    for name in names:
        progress(name)
        try:
            picture = FIGURES[name].draw(collected, benchmark)
        except Missing as reason:
            missing[name] = str(reason)
            continue
        paths += save(picture, folder / name, FIGURES[name].about, formats)
    return Drawn(tuple(paths), missing)
