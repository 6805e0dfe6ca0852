"""The learning rate as a function of progress: with no state, a resume can't change it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from drnas_ray.config import WeightSettings


def cosine(lr: float, lr_min: float, progress: float) -> float:
    """SGDR's cosine without restarts (arXiv:1608.03983): lr at progress 0, lr_min at 1."""
    return lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * progress))


def weight_lr(settings: WeightSettings, progress: float, stages: Sequence[int]) -> float:
    """The learning rate `progress` epochs into a search whose stages have these lengths."""
    total, start = sum(stages), 0
    length = stages[0]
    for length in stages:
        if progress < start + length:
            break
        start += length
    if settings.at_stage == "anew":
        return cosine(settings.lr, settings.lr_min, (progress - start) / length)
    if settings.cycle_epochs is not None:
        cycle = min(settings.cycle_epochs, total)
        return cosine(settings.lr, settings.lr_min, progress % cycle / cycle)
    lr = cosine(settings.lr, settings.lr_min, progress / total)
    if start and settings.at_stage == "first_epoch" and progress < start + 1:
        return settings.lr
    if start and settings.at_stage == "chained":
        # The new optimiser starts at lr, and the cosine's later factors multiply that.
        nominal = cosine(settings.lr, settings.lr_min, start / total)
        span, reached = settings.lr - settings.lr_min, nominal - settings.lr_min
        return settings.lr_min + (lr - settings.lr_min) * span / reached if reached else lr
    return lr
