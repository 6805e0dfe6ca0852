"""The validation loss around the learnt architecture parameter, on a grid of two directions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from drnas_ray.methods.base import Batch
from drnas_ray.search.diagnostics.fixed import finite, generator, kept_mask, restored
from drnas_ray.search.steps import Run


def directions(run: Run) -> tuple[list[Tensor], list[Tensor]]:
    """Two random directions, one tensor for each architecture parameter: orthogonal, of length 1.

    Uniform over the sphere of all numbers that are not pruned; the same at every epoch of a stage.
    """
    parameters = list(run.arch.parameters())
    kept = torch.cat([kept_mask(p, run.active).flatten() for p in parameters]).double()
    random = generator(run, "directions")
    first, second = (
        torch.randn(len(kept), generator=random, dtype=torch.float64) * kept for _ in range(2)
    )
    first = first / first.norm()
    second = second - (second @ first) * first
    second = second / second.norm()
    sizes = [p.numel() for p in parameters]

    def parts(direction: Tensor) -> list[Tensor]:
        pieces = zip(direction.split(sizes), parameters, strict=True)
        return [piece.view(p.shape).to(p.device, p.dtype) for piece, p in pieces]

    return parts(first), parts(second)


@torch.no_grad()
def landscape(run: Run, batch: Batch) -> dict[str, Any]:
    """Offsets along either direction, and loss and accuracy (%) at each pair of them.

    Row i, column j is at offset i of the first direction and j of the second.
    """
    settings = run.config.diagnostics
    radius, points = settings.landscape_radius, settings.landscape_points
    offsets = torch.linspace(-radius, radius, points, dtype=torch.float64).tolist()
    offsets[points // 2] = 0.0
    first, second = directions(run)
    losses, accuracies = [], []
    with restored(run.arch) as parameters:
        centre = [parameter.clone() for parameter in parameters]
        for a in offsets:
            for b in offsets:
                for parameter, at, d, e in zip(parameters, centre, first, second, strict=True):
                    parameter.copy_(at + a * d + b * e)
                loss, accuracy = run.score(run.method.mean(run), batch, "batch")
                losses.append(loss)
                accuracies.append(accuracy)
    return {
        "landscape_offsets": offsets,
        "landscape_loss": _grid(losses, points),
        "landscape_acc_pct": _grid([100 * accuracy for accuracy in accuracies], points),
    }


def _grid(values: list[Tensor], side: int) -> list[list[float | None]]:
    rows = torch.stack(values).double().view(side, side).tolist()
    return [[finite(value) for value in row] for row in rows]
