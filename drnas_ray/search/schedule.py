"""The learning rate as a function of progress: nothing to checkpoint, so a resume can't bend it."""

from __future__ import annotations

import math


def cosine(lr: float, lr_min: float, progress: float) -> float:
    """SGDR's cosine without restarts (arXiv:1608.03983): lr at progress 0, lr_min at 1."""
    return lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * progress))
