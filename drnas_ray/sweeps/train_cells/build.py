"""Filling a cache of trained cells through Ray: a few long-lived actors, each writing its own part.

An actor holds the data and trains cell after cell; each goes into the cache as soon as it is done,
so a kill loses only the cells in flight. The driver only hands out keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray

from drnas_ray.benchmarks.cache import CellCache, Key, Row
from drnas_ray.config import CellRecipe
from drnas_ray.config.base import absolute
from drnas_ray.data.catalog import load_train, search_halves
from drnas_ray.search.device import pick_device, use_threads
from drnas_ray.search.ondemand import train_cell
from drnas_ray.sweeps.ray_tune.session import cluster, places, trial_resources
from drnas_ray.sweeps.spec.sweep import Resources
from drnas_ray.sweeps.train_cells.driver import Driver
from drnas_ray.sweeps.train_cells.view import BuildState

Train = Callable[[str, int], Row]
"""Canonical cell and seed to a row of the cache."""


def trainer(recipe: CellRecipe, data_root: Path | None) -> Train:
    """What trains cells in this process. Raises UserError for data that can't be read."""
    halves, device = search_halves(recipe.data, data_root), pick_device()
    return partial(_train, recipe, halves, device)


def _train(recipe: CellRecipe, halves: Any, device: Any, cell: str, seed: int) -> Row:
    return train_cell(recipe, cell, seed, halves, device)


class Builder:
    """One actor: trains what the cache lacks."""

    def __init__(self, folder: str, threads: int, make: Callable[[], Train]) -> None:
        use_threads(threads)
        self.cache, self.train = CellCache(folder), make()

    def ready(self) -> None:
        """Returns once the actor has its resources and data."""

    def fill(self, key: Key) -> tuple[str, float]:
        """`trained`, `known` by now, or `busy`: another process has it. With the seconds spent."""
        begun, trained = time.perf_counter(), False

        def train() -> Row:
            nonlocal trained
            trained = True
            return self.train(*key[1:])

        row = self.cache.figure(key, train, wait=False)
        outcome = "busy" if row is None else "trained" if trained else "known"
        return outcome, time.perf_counter() - begun


def build(
    cells: list[str],
    seeds: tuple[int, ...],
    recipe: CellRecipe,
    out: Path | str,
    *,
    resources: Resources,
    workers: int | None = None,
    data_root: Path | None = None,
    address: str | None = None,
    report: Callable[[BuildState], None] = lambda state: None,
    make: Callable[[], Train] | None = None,
) -> BuildState:
    """Train each cell under each seed unless it is in `out`, a folder or URI; returns the final
    state.

    workers: the most at once; None: as many as fit. make: what trains in an actor, if not the
    recipe. Raises UserError for data that can't be read, a folder that can't be written, or
    resources that no node has.
    """
    place = absolute(str(out))
    assert place is not None
    data_root = None if data_root is None else data_root.expanduser().absolute()
    cache = CellCache(place)
    keys = [(recipe.id(), cell, seed) for seed in seeds for cell in cells]
    todo = [key for key in keys if cache.get(key) is None]
    state = BuildState(len(keys), len(keys) - len(todo))
    if todo:
        if make is None:
            load_train(recipe.data, data_root)  # downloads once, and errors show now
            make = partial(trainer, recipe, data_root)
        with cluster(address):
            asked = trial_resources(resources)
            fits = places(asked)
            count = min(len(todo), fits if workers is None else min(workers, fits))
            remote = ray.remote(
                num_cpus=asked["cpu"], num_gpus=asked.get("gpu", 0), max_restarts=0
            )(Builder)
            start = partial(remote.remote, place, resources.threads, make)
            Driver(start, max(1, count), todo, state, report).run()
    cache.compact()
    return state
