"""The architecture gradient through one step of SGD (DARTS, arXiv:1806.09055, eqs. 7 and 8)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Weights = dict[str, Tensor]


def unrolled_gradient(
    train_loss: Callable[[Weights], Tensor],
    val_loss: Callable[[Weights], Tensor],
    weights: Weights,
    arch: list[Tensor],
    stepped: Callable[[Weights], tuple[Weights, float]],
    *,
    radius: float = 0.01,
) -> tuple[Tensor, ...]:
    """d L_val(w - xi * dL_train/dw) / d alpha, one tensor for each of `arch`.

    train_loss, val_loss: losses at given weights, graphs reaching `arch`.
    stepped: the weights after an SGD step with these gradients, and the factor xi on them.
    radius: the mixed second derivative times v is a central difference of width radius / |v|.
    """
    names = list(weights)
    here = [w.detach().requires_grad_() for w in weights.values()]
    loss = train_loss(dict(zip(names, here, strict=True)))
    # A pruned operation has no part in the loss: its gradient is set to 0.
    gradients = torch.autograd.grad(loss, here, materialize_grads=True)
    ahead, xi = stepped(dict(zip(names, gradients, strict=True)))
    there = [ahead[name].detach().requires_grad_() for name in names]
    loss = val_loss(dict(zip(names, there, strict=True)))
    both = torch.autograd.grad(loss, arch + there, materialize_grads=True)
    direct, v = both[: len(arch)], both[len(arch) :]

    # No `.item()`: the width stays on the device. A vanishing v makes the term vanish as well.
    norm = torch.stack([t.norm() for t in v]).norm().clamp_min(torch.finfo(v[0].dtype).tiny)
    width = radius / norm
    sides = []
    for sign in (1.0, -1.0):
        moved = {
            n: w + sign * width * t for n, w, t in zip(names, weights.values(), v, strict=True)
        }
        moved = {n: w.detach() for n, w in moved.items()}
        loss = train_loss(moved) + 0.0 * sum(a.sum() for a in arch)  # a graph even if all is pruned
        sides.append(torch.autograd.grad(loss, arch))
    return tuple(
        d - xi * (up - down) / (2 * width) for d, up, down in zip(direct, *sides, strict=True)
    )
