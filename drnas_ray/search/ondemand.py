"""A benchmark that trains the cells it is asked for: short trainings on the weights' half."""

from __future__ import annotations

from typing import ClassVar

import torch

from drnas_ray.bench.base import Answer, Benchmark
from drnas_ray.config import QueryConfig, RetrainConfig
from drnas_ray.data.images import DataInfo, ImageSet
from drnas_ray.search.retrain import Training
from drnas_ray.spaces import space_named


class TrainOnDemand(Benchmark):
    """Trained on one half of the training set, judged on the other; test images are not there.

    A canonical cell is trained once a run, under the run's seed, so an answer depends on nothing
    but the settings.
    """

    cheap: ClassVar[bool] = False

    def __init__(
        self,
        config: QueryConfig,
        halves: tuple[DataInfo, ImageSet, ImageSet],
        device: torch.device,
    ) -> None:
        self.config, self.halves, self.device = config, halves, device
        self.space = space_named(config.space)
        self.known: dict[str, Answer] = {}

    def query(self, genotype: str) -> Answer:
        """Train the cell, unless one isomorphic to it was."""
        cell = self.space.canonical(genotype)
        if cell not in self.known:
            self.known[cell] = self._train(cell)
        return self.known[cell]

    def _train(self, cell: str) -> Answer:
        recipe = self.config.benchmark.train
        assert recipe is not None
        config = RetrainConfig(
            genotype=cell,
            space=self.config.space,
            data=self.config.data,
            seed=self.config.seed,
            **recipe.model_dump(),
        )
        training = Training(config, self.halves, self.device)
        while (record := training.step())["status"] == "running":
            pass
        # A training that diverged is worth nothing, and the search goes on.
        return Answer(float(record.get("test_acc_pct", 0.0)))
