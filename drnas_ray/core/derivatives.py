"""Autograd derivatives, possibly of higher order, also for tensors that are not in the graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def gradient(value: Tensor, of: Sequence[Tensor], *, create_graph: bool = False) -> Tensor:
    """The derivative of a scalar with respect to all elements of `of`, flattened, in order.

    0 for elements that are not in the graph: once all but `none` is pruned, a loss has no graph to
    the architecture. The graph is kept; create_graph: the result can itself be differentiated.
    """
    if not value.requires_grad:
        return torch.cat([torch.zeros_like(tensor).flatten() for tensor in of])
    parts = torch.autograd.grad(
        value,
        of,
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return torch.cat([part.flatten() for part in parts])
