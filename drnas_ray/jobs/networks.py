"""The network of a derived cell: freshly initialised, or with the weights of its retraining."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from drnas_ray.benchmarks.costs import NetSize
from drnas_ray.config import DataSettings, RetrainConfig
from drnas_ray.core.errors import UserError
from drnas_ray.data.catalog import load_train
from drnas_ray.data.facts import facts_of
from drnas_ray.jobs import checkpoint
from drnas_ray.networks import NETWORKS
from drnas_ray.results.layout import CHECKPOINT_FILE, checkpoint_files
from drnas_ray.search.rng import RandomState


def fresh(space: str, genotype: str, size: NetSize, seed: int) -> nn.Module:
    """The network as a retraining with that seed starts it, on the CPU."""
    with RandomState(seed, torch.device("cpu")).in_use():
        return NETWORKS[space](
            genotype,
            channels=size.channels,
            cells=size.cells,
            in_channels=size.images.channels,
            classes=size.images.classes,
        )


def trained(config: RetrainConfig, size: NetSize, folders: Iterable[Path]) -> tuple[nn.Module, int]:
    """The network of a retraining at its newest checkpoint that can be read, and its epoch.

    folders: of its trials. Raises UserError where there is no such checkpoint, or its network is of
    another size.
    """
    states, problem = [], UserError(f"no checkpoint of {config.genotype} is left")
    for path in sorted(f for folder in folders for f in checkpoint_files(folder, CHECKPOINT_FILE)):
        try:
            states.append(checkpoint.load(path, config.canonical_json()))
        except UserError as error:
            problem = error
    if not states:
        raise problem
    state: dict[str, Any] = max(states, key=lambda one: one["epoch"])
    net = fresh(config.space, config.genotype, size, config.seed)
    try:
        net.load_state_dict(state["net"])
    except RuntimeError as error:
        raise UserError(
            f"the retraining's network does not have C={size.channels}, N={size.cells}, "
            f"{size.images.channels} channels and {size.images.classes} classes"
        ) from error
    return net, int(state["epoch"])


def normalisation(
    data: DataSettings, data_root: Path | None, *, measure: bool
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and standard deviation of each channel, of pixels in 0..1, with which the network's
    images are normalised; None where they are not known without reading images.

    measure: read the training images where that is needed. Raises UserError where it fails.
    """
    known = facts_of(data.name).statistics
    if known is not None or not measure:
        return known
    info, _ = load_train(data, data_root)
    return info.mean, info.std
