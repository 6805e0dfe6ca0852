"""SDARTS (Chen & Hsieh, ICML 2020, arXiv:2002.05283): shares perturbed before each weight step.

A setting of the run, so it works with any method that mixes operations. The perturbation applies to
the shares themselves (after the softmax or the draw), stays in an L-infinity ball, and is dropped
after the step: the architecture never sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from drnas_ray.config import PerturbSettings
from drnas_ray.core.archsample import ArchSample

Loss = Callable[[ArchSample], Tensor]


def radius(settings: PerturbSettings, epoch: int, epochs: int) -> float:
    """The ball's radius in an epoch (from 0): linear from `epsilon_first` towards `epsilon`."""
    first, last = settings.epsilon_first, settings.epsilon
    return first + (last - first) * epoch / epochs


def perturbed(
    sample: ArchSample, loss: Loss, settings: PerturbSettings, epsilon: float
) -> ArchSample:
    """The sample with weights (T, E, O) moved by at most `epsilon` each; pruned ones stay.

    random: uniform noise. adversarial: projected gradient ascent on `loss` from a random start,
    `steps` steps of sign gradient, each 2 * epsilon / steps long; kept only if the loss rose.
    """
    centre = sample.weights.detach()
    noise = _kept(torch.empty_like(centre).uniform_(-epsilon, epsilon), sample)
    if settings.kind == "random":
        return replace(sample, weights=centre + noise)
    delta = noise
    for _ in range(settings.steps):
        weights = (centre + delta).requires_grad_()
        (gradient,) = torch.autograd.grad(
            loss(replace(sample, weights=weights)),
            [weights],
            allow_unused=True,
            materialize_grads=True,
        )
        step = 2 * epsilon / settings.steps * gradient.sign()
        delta = _kept((delta + step).clamp(-epsilon, epsilon), sample)
    with torch.no_grad():
        before = loss(sample)
        rose = loss(replace(sample, weights=centre + delta)) > before
        # Chosen on the device: reading the comparison would make the host wait.
        return replace(sample, weights=torch.where(rose, centre + delta, centre))


def _kept(delta: Tensor, sample: ArchSample) -> Tensor:
    if sample.active is None:
        return delta
    return delta * sample.active.to(delta.device)
