"""One whole run of a method without a supernet, stepped like a search: one step, one record."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from drnas_ray.blackbox import BLACKBOX
from drnas_ray.config import BlackBoxConfig
from drnas_ray.spaces import space_named


class BlackBoxRun:
    """Asks once and answers with that cell; deterministic in the seed."""

    def __init__(self, config: BlackBoxConfig) -> None:
        self.config = config
        self.space = space_named(config.space)
        self.method = BLACKBOX[config.method.name](config.method)
        self.epoch = 0

    def step(self) -> dict[str, Any]:
        """The record of the only step."""
        begun = time.perf_counter()
        genotype = self.method.ask(self.space, np.random.default_rng(self.config.seed))
        self.epoch = 1
        return {
            "epoch": 1,
            "status": "done",
            "genotype": genotype,
            "skip_count": self.space.op_count(genotype, self.space.skip_op),
            "wall_s": time.perf_counter() - begun,
        }

    def state_dict(self) -> dict[str, Any]:
        """Nothing but the settings: the step is done again from the seed."""
        return {"config": self.config.canonical_json(), "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.epoch = state["epoch"]
