"""A benchmark that trains the cells it is asked for: short trainings on the weights' half."""

from __future__ import annotations

import platform
import time
from typing import ClassVar

import torch

from drnas_ray import __version__
from drnas_ray.benchmarks.base import Answer, Benchmark
from drnas_ray.benchmarks.cache import CellCache, Row
from drnas_ray.config import CellRecipe, QueryConfig, RetrainConfig
from drnas_ray.data.images import DataInfo, ImageSet
from drnas_ray.results.status import Status
from drnas_ray.search.device import device_name
from drnas_ray.search.training import Training
from drnas_ray.spaces import space_named

Halves = tuple[DataInfo, ImageSet, ImageSet]
"""The data set's facts, the weights' half, and the half that cells are evaluated on."""


def train_cell(
    recipe: CellRecipe, cell: str, seed: int, halves: Halves, device: torch.device
) -> Row:
    """Train a cell from scratch with the seed and evaluate it; a row of a `CellCache`."""
    begun = time.perf_counter()
    config = RetrainConfig(
        genotype=cell,
        space=recipe.space,
        data=recipe.data,
        seed=seed,
        **recipe.train.model_dump(),
    )
    training = Training(config, halves, device)
    while (record := training.step())["status"] == Status.running:
        pass
    done = record["status"] == Status.done
    return {
        "recipe_id": recipe.id(),
        "arch": cell,
        "seed": seed,
        "space": recipe.space,
        "dataset": recipe.data.label,
        "epochs": recipe.train.epochs,
        "recipe": recipe.canonical_json(),
        "status": record["status"],
        # Training calls its second set of images test; here it is the other half.
        "val_acc_pct": record.get("test_acc_pct"),
        "val_loss": record.get("test_loss"),
        "train_acc_pct": record["train_acc_pct"] if done else None,
        "train_loss": record["train_loss"] if done else None,
        "params_m": record["params_m"],
        "train_s": time.perf_counter() - begun,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "host": platform.node(),
        "drnas_ray_version": __version__,
        "torch_version": str(torch.__version__),
        "finished_unix_s": time.time(),
    }


class TrainOnDemand(Benchmark):
    """Cells are trained on one half of the training set and evaluated on the other, without test
    images.

    A canonical cell is trained once per run, with the run's seed, so an answer depends on settings
    alone; with `benchmark.cache`, once for all runs of that recipe and seed.
    """

    cheap: ClassVar[bool] = False

    def __init__(self, config: QueryConfig, halves: Halves, device: torch.device) -> None:
        train, cache = config.benchmark.train, config.benchmark.cache
        assert train is not None
        self.recipe = CellRecipe(space=config.space, data=config.data, train=train)
        self.seed, self.halves, self.device = config.seed, halves, device
        self.space = space_named(config.space)
        self.cache = None if cache is None else CellCache(cache)
        self.known: dict[str, Answer] = {}

    def query(self, genotype: str) -> Answer:
        """Train the cell, unless an isomorphic one was trained."""
        cell = self.space.canonical(genotype)
        if cell not in self.known:
            self.known[cell] = _answer(self._row(cell))
        return self.known[cell]

    def _row(self, cell: str) -> Row:
        if self.cache is None:
            return self._train(cell)
        key = (self.recipe.id(), cell, self.seed)
        row = self.cache.figure(key, lambda: self._train(cell))
        assert row is not None  # a cache waits for other processes that train the same cell
        return row

    def _train(self, cell: str) -> Row:
        return train_cell(self.recipe, cell, self.seed, self.halves, self.device)


def _answer(row: Row) -> Answer:
    """A training that diverged counts as accuracy 0, and the search continues."""
    accuracy = row["val_acc_pct"]
    return Answer(0.0 if accuracy is None else float(accuracy))
