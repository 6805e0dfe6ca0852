"""One whole run of a method without a supernet, stepped like a search.

With a table the run is one step of milliseconds. Where cells are trained each query is a step, so
that a kill costs at most one training.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from drnas_ray.benchmarks.base import Benchmark
from drnas_ray.blackbox import BLACKBOX
from drnas_ray.blackbox.base import History
from drnas_ray.config import BlackBoxConfig, QueryConfig
from drnas_ray.core.errors import UserError
from drnas_ray.results.status import step_status
from drnas_ray.spaces import space_named


class BlackBoxRun:
    """Its cells follow from the seed and the benchmark's answers; without one, it asks once."""

    def __init__(self, config: BlackBoxConfig, benchmark: Benchmark | None = None) -> None:
        self.config, self.benchmark = config, benchmark
        self.space = space_named(config.space)
        self._begin()

    def _begin(self) -> None:
        self.method = BLACKBOX[self.config.method.name](self.config.method, self.space)
        self.rng = np.random.default_rng(self.config.seed)
        self.history: History = []
        self.epoch = 0

    def step(self) -> dict[str, Any]:
        """The record of the step."""
        begun = time.perf_counter()
        self.epoch += 1
        record: dict[str, Any] = {"epoch": self.epoch, "status": step_status(finished=True)}
        if self.benchmark is None:
            record["genotype"] = self.method.ask(self.rng)
        else:
            record |= self._search(self.benchmark)
        genotype = record["genotype"]
        record["skip_count"] = self.space.op_count(genotype, self.space.skip_op)
        return {**record, "wall_s": time.perf_counter() - begun}

    def _search(self, benchmark: Benchmark) -> dict[str, Any]:
        """One query, or all of them where they are cheap."""
        assert isinstance(self.config, QueryConfig)
        finished = False
        while not finished:
            finished = self._query(benchmark, self.config)
            if not benchmark.cheap:
                break
        if not self.history:
            raise UserError(
                f"budget_s={self.config.budget_s:g} is less than the first cell's training takes: "
                "give more"
            )
        genotype = self.method.answer(self.history)
        costs = [cost for _, _, cost in self.history if cost is not None]
        return {
            "status": step_status(finished=finished),
            "genotype": genotype,
            "val_acc_pct": max(accuracy for _, accuracy, _ in self.history),
            "queries": len(self.history),
            "simulated_s": sum(costs) if costs else None,
        }

    def _query(self, benchmark: Benchmark, config: QueryConfig) -> bool:
        """Ask and tell once; whether the budget is spent, not counting a cell beyond it."""
        genotype = self.method.ask(self.rng)
        answer = benchmark.query(genotype)
        if config.budget_s is not None:
            spent = sum(cost or 0.0 for _, _, cost in self.history) + (answer.cost_s or 0.0)
            if spent > config.budget_s:
                return True
        self.method.tell(genotype, answer.val_acc_pct)
        self.history.append((genotype, answer.val_acc_pct, answer.cost_s))
        return config.queries is not None and len(self.history) >= config.queries

    def state_dict(self) -> dict[str, Any]:
        """The settings and the history, from which the method's own state follows."""
        return {
            "config": self.config.canonical_json(),
            "epoch": self.epoch,
            "history": [list(entry) for entry in self.history],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken; UserError if other cells are now asked for."""
        self._begin()
        for genotype, accuracy, cost in state["history"]:
            asked = self.method.ask(self.rng)
            if asked != genotype:
                raise UserError(
                    f"the checkpoint's run asked for {genotype}, this version asks for {asked}: "
                    "start the run again"
                )
            self.method.tell(genotype, accuracy)
            self.history.append((genotype, accuracy, cost))
        self.epoch = state["epoch"]
