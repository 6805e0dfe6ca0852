"""What diagnostics keep fixed (batch, directions, draws), and how they leave no trace."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from drnas_ray.core.archsample import ArchSample
from drnas_ray.data.batches import normalise
from drnas_ray.methods.base import Batch
from drnas_ray.search.steps import Run


def seed_of(run: Run, *purpose: object) -> int:
    """A seed that follows from the run's seed and the purpose alone, and differs from the run's."""
    text = "/".join(map(str, ("diagnostics", run.config.seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def generator(run: Run, *purpose: object) -> torch.Generator:
    """A generator for one purpose, on the CPU so that all devices get the same numbers."""
    return torch.Generator().manual_seed(seed_of(run, *purpose))


def fixed_batch(run: Run) -> Batch:
    """`diagnostics.images` images of the architecture's half, or all, not augmented; the same ones
    at every epoch of a run."""
    order = torch.randperm(len(run.val), generator=generator(run, "batch"))
    chosen = order[: run.config.diagnostics.images].to(run.device)
    return normalise(run.val.images[chosen], run.info, run.dtype), run.val.labels[chosen]


def loss_of(run: Run, sample: ArchSample, batch: Batch) -> Tensor:
    """Validation loss with its graph to the sample, but none to the supernet's weights.

    Normalised by the batch's own statistics, as the architecture step sees it; running statistics
    stay as they are.
    """
    weights = {name: weight.detach() for name, weight in run.weights().items()}
    training = run.net.training
    run.net.train()
    try:
        return run.loss_at(weights, sample, batch)
    finally:
        run.net.train(training)


def kept_mask(parameter: Tensor, active: Tensor | None) -> Tensor:
    """Bool on the CPU, in a parameter's shape: the numbers that belong to operations not pruned."""
    if active is None or parameter.shape != active.shape:
        return torch.ones(parameter.shape, dtype=torch.bool)
    return active


@contextmanager
def restored(arch: nn.Module) -> Iterator[list[nn.Parameter]]:
    """The architecture's parameters, free to be changed within; restored bit for bit afterwards."""
    parameters = list(arch.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        yield parameters
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)


def finite(value: float) -> float | None:
    """The number, or None if it is not finite: records hold finite numbers only."""
    return value if math.isfinite(value) else None
