"""Small benchmark files in the official formats, built with the real packages' own classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from drnas_ray.spaces.nb201 import NB201

SPACE = NB201()
ARCHS = [SPACE.cell(index) for index in range(SPACE.size)]
SETS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}
SEEDS = (777, 888, 999)


def trial(package: Any, rng: np.random.Generator, index: int, data: str, seed: int, epochs: int):
    """A `ResultsCount` of random figures."""

    def curve() -> dict[int, float]:
        return {epoch: float(rng.uniform(0, 100)) for epoch in range(epochs)}

    result = package.ResultsCount(
        data, None, curve(), curve(), index / 1e4 + 0.1, index + 0.5,
        {"channel": 16, "num_cells": 5, "arch_str": ARCHS[index], "class_num": 10},
        seed, epochs, [float(rng.uniform(0.01, 0.05)) for _ in range(2)],
    )  # fmt: skip
    result.update_train_info(curve(), curve(), curve(), curve())
    names = [f"{name}@{epoch}" for name in SETS[data] for epoch in range(epochs)]
    figures = rng.uniform(0, 100, (3, len(names)))
    result.update_eval(*(dict(zip(names, map(float, row), strict=True)) for row in figures))
    return result


def cell(package: Any, index: int, *, short: str = "12", long: str = "200", runs: int = 0):
    """Both schedules' `ArchResults` as a dictionary; some cells have one seed, some three."""
    rng = np.random.default_rng(index)
    made = {}
    for key, epochs in ((short, 12), (long, 200)):
        results = package.ArchResults(index, ARCHS[index])
        for data in SETS:
            for seed in SEEDS[: runs or 1 + (index + epochs) % 3]:
                results.update(data, seed, trial(package, rng, index, data, seed, epochs))
        made[key] = results.state_dict()
    return made


def whole(package: Any, indices: tuple[int, ...], **names: str) -> dict[str, Any]:
    """What the single-file format holds."""
    return {
        "meta_archs": ARCHS,
        "arch2infos": {index: cell(package, index, **names) for index in indices},
        "evaluated_indexes": set(indices),
    }


def folder(package: Any, path: Path, indices: tuple[int, ...], save: Any) -> Path:
    """The folder format: meta, and one file per cell."""
    path.mkdir()
    save({"meta_archs": ARCHS, "evaluated_indexes": set(indices)}, path / "meta.pickle")
    for index in indices:
        save(cell(package, index), path / f"{index:06d}.pickle")
    return path
