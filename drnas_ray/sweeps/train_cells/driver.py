"""The driver's loop of `drnas bench build`: hands cells to workers and replaces those that die."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from drnas_ray.benchmarks.cache import Key
from drnas_ray.core.errors import UserError
from drnas_ray.sweeps.train_cells.view import BuildState

SHORT_S = 0.25
CALLS_IN_FLIGHT = 4
"""Calls sent ahead to an actor while cells take less than `SHORT_S`. Longer ones stay with the
driver, or the last of them would queue at one actor while others idle."""
TRIES = 3
BUSY_PAUSE_S = 0.2


@dataclass
class _Worker:
    actor: Any
    calls: dict[Any, Key | None]
    """In the order they were sent; the key of `ready` is None."""


class Driver:
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
        self.later: list[Key] = []  # other processes train them; asked for again after a pause
        self.ask_again_at = 0.0
        self.tries: dict[Key, int] = {}
        self.spent_s = 0.0
        self.begun: float | None = None
        self.suspects: set[Key] = set()  # in flight when a process died: sent alone from then on
        self.failed_starts = 0
        self.workers = [self._worker() for _ in range(count)]

    def _worker(self) -> _Worker:
        actor = self.start()
        return _Worker(actor, {actor.ready.remote(): None})

    def run(self) -> None:
        """Run until nothing is left to do."""
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
