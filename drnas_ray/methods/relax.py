"""Tensor functions shared by methods that relax or draw a choice of operations."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.base import RunView, Statistics, alpha_of
from drnas_ray.spaces.space import Space


def masked(logits: Tensor, mask: Tensor | None) -> Tensor:
    """The logits with pruned operations (mask False) at -inf."""
    return logits if mask is None else logits.masked_fill(~mask, float("-inf"))


def softmax_shares(run: RunView) -> Tensor:
    """(T, E, O): softmax of alpha over the kept operations; a pruned one has share 0."""
    return masked(alpha_of(run), run.mask).softmax(-1)


def kept_shares(shares: Tensor, mask: Tensor | None) -> Tensor:
    """Shares (T, E, O) over the kept operations, renormalised to sum to 1 on each edge."""
    if mask is None:
        return shares
    kept = shares * mask
    return kept / kept.sum(-1, keepdim=True)


def scaled(sample: ArchSample) -> Tensor:
    """(T, E, O): weights times the weight of their edge, which is 1 in a sample without `scale`."""
    return sample.weights if sample.scale is None else sample.weights * sample.scale[..., None]


def same_target(space: Space) -> Tensor:
    """(E, E) bool: whether two edges enter the same node."""
    targets = torch.tensor([target for target, _ in space.edges])
    return targets[:, None] == targets[None, :]


def incoming_softmax(logits: Tensor, same: Tensor) -> Tensor:
    """(T, E): softmax of (T, E) logits over the incoming edges of each node (`same_target`)."""
    rows = masked(logits[:, None, :].expand(-1, len(same), -1), same)
    return rows.softmax(-1).diagonal(dim1=-2, dim2=-1)


def gumbel_like(logits: Tensor) -> Tensor:
    """Standard Gumbel noise, -log(Exp(1)), of the logits' shape; always finite."""
    tiny = torch.finfo(logits.dtype).tiny
    return -torch.empty_like(logits).exponential_().clamp_min(tiny).log()


def gumbel_softmax(logits: Tensor, temperature: float) -> Tensor:
    """(T, E, O): the Concrete distribution (arXiv:1611.00712), reparameterised; soft shares.

    Its largest share falls on an operation with probability softmax(logits) at any temperature.
    """
    return ((logits + gumbel_like(logits)) / temperature).softmax(-1)


def linear(first: float, last: float, epoch: int, epochs: int) -> float:
    """From `first` in epoch 0 to `last` in the last one (epochs - 1), and `last` after it."""
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

    The host must know which operations run, so this waits for the GPU, once a pass.
    """
    return ArchSample(weights, one_hot(chosen.cpu(), weights.shape[-1], torch.bool))


def one_path(chosen: Tensor, like: Tensor) -> ArchSample:
    """Chosen operations (T, E) with weight 1, and nothing else; shape and dtype as `like`."""
    return path(chosen, one_hot(chosen, like.shape[-1], like.dtype))


def most_probable(strengths: Tensor) -> ArchSample:
    """The path of the strongest operation of each edge, as `discretise` chooses it."""
    strengths = strengths.detach()
    return one_path(strengths.argmax(-1), strengths)


def best_scored(samples: Iterable[ArchSample], run: RunView, images: int, bn: Statistics) -> str:
    """The genotype of the one-path sample with the best accuracy, each on a fresh batch.

    The first wins a tie.
    """
    scored = [(sample, run.score(sample, run.val_batch(images), bn)[1]) for sample in samples]
    best = int(torch.stack([accuracy for _, accuracy in scored]).argmax())
    return run.space.discretise(scored[best][0].weights.detach().double().cpu().numpy())
