"""Whether two states are equal to the last bit."""

from __future__ import annotations

import torch


def same(a, b) -> bool:
    """Equal to the last bit, through mappings and lists."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
