"""What methods that relax or draw a choice of operations share: plain functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from drnas_ray.archsample import ArchSample
from drnas_ray.methods.base import RunView


def masked(logits: Tensor, mask: Tensor | None) -> Tensor:
    """The logits with pruned operations (mask False) at -inf."""
    return logits if mask is None else logits.masked_fill(~mask, float("-inf"))


def gumbel_like(logits: Tensor) -> Tensor:
    """Standard Gumbel noise, -log(Exp(1)), of the logits' shape; always finite."""
    tiny = torch.finfo(logits.dtype).tiny
    return -torch.empty_like(logits).exponential_().clamp_min(tiny).log()


def linear(first: float, last: float, epoch: int, epochs: int) -> float:
    """From `first` in epoch 0 to `last` in the last one (epochs - 1), and there it stays."""
    return first + (last - first) * min(epoch / max(epochs - 1, 1), 1.0)


def one_hot(chosen: Tensor, ops: int, dtype: torch.dtype) -> Tensor:
    """(T, E, O) of chosen operations (T, E)."""
    return torch.nn.functional.one_hot(chosen, ops).to(dtype)


def draw_choice(probabilities: Tensor) -> Tensor:
    """(T, E): one operation for each edge from probabilities (T, E, O)."""
    flat = probabilities.detach().flatten(0, -2)
    return torch.multinomial(flat, 1).view(probabilities.shape[:-1])


def path(chosen: Tensor, weights: Tensor) -> ArchSample:
    """A sample that runs only the chosen operations (T, E), with the weights (T, E, O) given.

    Which operations run must be known on the host, so here a GPU is waited for, once a pass.
    """
    return ArchSample(weights, one_hot(chosen.cpu(), weights.shape[-1], torch.bool))


def one_path(chosen: Tensor, run: RunView) -> ArchSample:
    """Chosen operations (T, E) with weight 1, and nothing else."""
    dtype = next(run.arch.parameters(), torch.empty(0)).dtype
    return path(chosen, one_hot(chosen, run.space.shape[-1], dtype))
