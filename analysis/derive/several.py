"""Cells derived from several runs at once: the network of each, what was refused, and cautions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from analysis.derive.derive import Derived, derive
from analysis.derive.searched_run import SearchedRun
from analysis.records.benchmark import BenchmarkTable
from drnas_ray.benchmarks.costs import NetSize
from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError
from drnas_ray.data.facts import shape_of


def network_size(
    run: SearchedRun,
    data: DataSettings | None = None,
    *,
    channels: int | None = None,
    cells: int | None = None,
    classes: int | None = None,
) -> NetSize:
    """The network that a cell of the run goes into: that of its retraining, or as given.

    data: another data set than the run's own. classes: of a data set of the user's own files.
    Raises UserError where the number of classes is not known.
    """
    recipe = run.retrains[0].config if run.retrains and data is None else {}
    images = shape_of(data or run.data, classes)
    sizes = {"channels": channels, "cells": cells}
    given = {name: size or recipe.get(name) for name, size in sizes.items()}
    return NetSize(images, **{name: size for name, size in given.items() if size})


def derive_all(
    runs: Iterable[tuple[SearchedRun, NetSize]], **how: Any
) -> tuple[list[Derived], list[UserError]]:
    """What `derive(run, size, **how)` gives for each run, and the errors of those that it refused.

    Raises UserError, that of the first run, where it refused them all.
    """
    derived, refused = [], []
    for run, size in runs:
        try:
            derived.append(derive(run, size, **how))
        except UserError as error:
            refused.append(error)
    if not derived and refused:
        raise refused[0]
    return derived, refused


def cautions(derived: Sequence[Derived], benchmark: BenchmarkTable | None) -> Iterator[str]:
    """What readers of the cells should know: unfinished runs, no ranking, no benchmark figures."""
    for one in derived:
        run = one.run
        if not run.ended:
            yield f"run {run.run_id} has not ended: these are the strengths of epoch {run.epoch}"
        if (run.means.max(-1) - run.means.min(-1)).max() < 1e-12:
            yield f"run {run.run_id} ({run.method}) ranks no operations: the order means nothing"
    if benchmark is not None:
        for name in dict.fromkeys(one.data.name for one in derived):
            if name not in benchmark.datasets:
                yield f"{benchmark.label} has no figures for '{name}': give --dataset"
