"""The Hessian of the validation loss with respect to the architecture parameter.

What RobustDARTS (Zela et al., ICLR 2020, arXiv:1909.09656) follows over a search: its largest
eigenvalue. Exact, by double backward, a row at a time: besides the matrix itself, only the graph of
one gradient is held, however many parameters there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from drnas_ray.methods.base import Batch
from drnas_ray.search.diagnostics.fixed import finite, kept_of, loss_of

if TYPE_CHECKING:
    from drnas_ray.search.run import Run


def hessian(loss: Tensor, of: Sequence[Tensor], kept: Sequence[Tensor]) -> Tensor:
    """(n, n) float64 on the CPU, symmetric: second derivatives of a scalar with its graph.

    of: tensors in that graph. kept: for each, a mask of its shape on the CPU; the n numbers kept
    make rows and columns, in order.
    """
    where = torch.cat([mask.flatten() for mask in kept]).nonzero().flatten()
    result = torch.zeros(len(where), len(where), dtype=torch.float64)
    if not loss.requires_grad:
        return result
    places = where.to(of[0].device)
    slope = _gradient(loss, of, create_graph=True)
    if slope.requires_grad:
        for row, place in enumerate(where.tolist()):
            result[row] = _gradient(slope[place], of)[places].double().cpu()
    return (result + result.T) / 2  # what rounding makes of two equal numbers


def _gradient(value: Tensor, of: Sequence[Tensor], *, create_graph: bool = False) -> Tensor:
    """d value / d of, flat, 0 where they are not connected; the graph is kept."""
    parts = torch.autograd.grad(
        value,
        of,
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return torch.cat([part.flatten() for part in parts])


def curvature(run: Run, batch: Batch) -> dict[str, Any]:
    """Largest eigenvalue and trace at the mean of what is learnt, over operations not pruned."""
    parameters = list(run.arch.parameters())
    with torch.enable_grad():
        loss = loss_of(run, run.method.mean(run), batch)
        matrix = hessian(loss, parameters, [kept_of(p, run.active) for p in parameters])
    if not matrix.isfinite().all():
        return {"hessian_max_eigenvalue": None, "hessian_trace": None}
    return {
        "hessian_max_eigenvalue": finite(float(torch.linalg.eigvalsh(matrix)[-1])),
        "hessian_trace": finite(float(matrix.trace())),
    }
