"""Filling a cache of trained cells through Ray: a few long-lived actors, each writing its own.

An actor holds the data and trains cell after cell; each goes into the cache the moment it is done,
so whatever is killed loses the cells in flight and nothing else. The driver only hands out keys.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from drnas_ray.benchmarks.cache import CellCache, Key, Row
from drnas_ray.config import CellRecipe
from drnas_ray.config.base import absolute
from drnas_ray.core.errors import UserError
from drnas_ray.data.catalog import load_train, search_halves
from drnas_ray.search.device import pick_device, use_threads
from drnas_ray.search.ondemand import train_cell
from drnas_ray.sweeps.ray_tune.session import cluster, places, trial_resources
from drnas_ray.sweeps.spec.sweep import Resources
from drnas_ray.sweeps.train_cells.view import BuildState

Train = Callable[[str, int], Row]
"""Canonical cell and seed to a row of the cache."""
SHORT_S = 0.25
CALLS_IN_FLIGHT = 4
"""Calls that wait at an actor while cells take less than `SHORT_S`; longer ones wait at the driver,
or the last of them would queue behind one another while other actors idle."""
TRIES = 3
BUSY_PAUSE_S = 0.2


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
        """Returns once the actor has a place and its data."""

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


@dataclass
class _Worker:
    actor: Any
    calls: dict[Any, Key | None]
    """In the order they were sent; the key of `ready` is None."""


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
    """Train each cell under each seed unless `out`, a folder or a URI, knows it; how it ended.

    workers: at most so many at once; None: as many as fit. make: what trains in an actor, if not
    the recipe. Raises UserError for data, a folder, or resources that can't be had.
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
            _Build(start, max(1, count), todo, state, report).run()
    cache.compact()
    return state


class _Build:
    """The driver's loop: which worker has which calls, what is left, what to try again."""

    def __init__(
        self,
        start: Callable[[], Any],
        count: int,
        todo: list[Key],
        state: BuildState,
        report: Callable[[BuildState], None],
    ) -> None:
        self.start, self.state, self.report = start, state, report
        self.todo = deque(todo)
        self.later: list[Key] = []  # what other processes have, asked for again after a pause
        self.ask_again_at = 0.0
        self.tries: dict[Key, int] = {}
        self.spent_s = 0.0
        self.begun: float | None = None
        self.suspects: set[Key] = set()  # were in flight when a process died: now sent alone
        self.failed_starts = 0
        self.workers = [self._worker() for _ in range(count)]

    def _worker(self) -> _Worker:
        actor = self.start()
        return _Worker(actor, {actor.ready.remote(): None})

    def run(self) -> None:
        """Until nothing is left to do."""
        while self.todo or self.later or any(any(w.calls.values()) for w in self.workers):
            calls = {call: worker for worker in self.workers for call in worker.calls}
            if calls:
                done, _ = ray.wait(list(calls), num_returns=1, timeout=1.0)
            else:
                done = []
                time.sleep(BUSY_PAUSE_S)
            for call in done:
                self._take(calls[call], call)
            now = time.perf_counter()
            if self.later and now >= self.ask_again_at:
                self.todo.extend(self.later)
                self.later.clear()
            for worker in self.workers:
                self._send(worker)
            if self.begun is not None:
                self.state.wall_s = now - self.begun
            self.report(self.state)

    def _send(self, worker: _Worker) -> None:
        """Give calls to a worker that has started; one that waits would only hold them up."""
        if None in worker.calls.values():
            return
        mean_s = self.spent_s / self.state.done if self.state.done else SHORT_S
        wanted = CALLS_IN_FLIGHT if mean_s < SHORT_S else 1
        while self.todo and len(worker.calls) < wanted:
            if worker.calls and self.suspects & {self.todo[0], *worker.calls.values()}:
                return
            key = self.todo.popleft()
            worker.calls[worker.actor.fill.remote(key)] = key

    def _take(self, worker: _Worker, call: Any) -> None:
        key = worker.calls[call]
        try:
            answer = ray.get(call)
        except RayTaskError as error:
            del worker.calls[call]
            assert key is not None
            self._failed(key, str(error.cause).strip() or type(error.cause).__name__)
            return
        except RayError as error:
            self._replace_worker(worker, error)
            return
        del worker.calls[call]
        if key is None:
            self.begun = self.begun or time.perf_counter()
            return
        outcome, took_s = answer
        if outcome == "trained":
            self.state.done += 1
            self.spent_s += took_s
        elif outcome == "known":
            self.state.known += 1
        else:
            self.later.append(key)
            self.ask_again_at = time.perf_counter() + BUSY_PAUSE_S

    def _replace_worker(self, worker: _Worker, error: RayError) -> None:
        """Start a new worker in place of one whose process died.

        Any of several calls in flight may be the cause, and the answer of one that ended may be
        lost with the process: each is tried again alone.
        """
        keys = [key for key in worker.calls.values() if key is not None]
        if len(keys) == 1:
            self._failed(keys[0], "the process that trained it died")
        elif keys:
            self.suspects.update(keys)
            self.todo.extendleft(reversed(keys))
        else:
            self.failed_starts += 1
            if self.failed_starts > TRIES:
                why = str(error).strip().splitlines()[-1]
                raise UserError(f"the workers can't start: {why}")
        ray.kill(worker.actor)
        fresh = self._worker()
        worker.actor, worker.calls = fresh.actor, fresh.calls

    def _failed(self, key: Key, why: str) -> None:
        self.tries[key] = self.tries.get(key, 0) + 1
        if self.tries[key] < TRIES:
            self.todo.append(key)
        else:
            self.state.failed[key] = why.splitlines()[-1]
