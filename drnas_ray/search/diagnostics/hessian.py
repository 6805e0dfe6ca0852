"""The Hessian of the validation loss with respect to the architecture parameter.

RobustDARTS (Zela et al., ICLR 2020, arXiv:1909.09656) tracks its largest eigenvalue over a search.
Exact, by double backward, a row at a time: besides the matrix itself, only the graph of one
gradient is held, however many parameters there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from drnas_ray.core.derivatives import gradient
from drnas_ray.methods.base import Batch
from drnas_ray.search.diagnostics.fixed import finite, kept_mask, loss_of
from drnas_ray.search.steps import Run


def hessian(loss: Tensor, of: Sequence[Tensor], kept: Sequence[Tensor]) -> Tensor:
    """(n, n) float64 on the CPU, symmetric: second derivatives of a scalar with its graph.

    of: tensors in that graph. kept: for each, a mask of its shape on the CPU; the n numbers kept
    make rows and columns, in order.
    """
    where = torch.cat([mask.flatten() for mask in kept]).nonzero().flatten()
    result = torch.zeros(len(where), len(where), dtype=torch.float64)
    places = where.to(of[0].device)
    slope = gradient(loss, of, create_graph=True)
    for row, place in enumerate(where.tolist()):
        result[row] = gradient(slope[place], of)[places].double().cpu()
    return (result + result.T) / 2  # equal but for rounding


def curvature(run: Run, batch: Batch) -> dict[str, Any]:
    """Largest eigenvalue and trace at the mean of what is learnt, over operations not pruned."""
    parameters = list(run.arch.parameters())
    with torch.enable_grad():
        loss = loss_of(run, run.method.mean(run), batch)
        matrix = hessian(loss, parameters, [kept_mask(p, run.active) for p in parameters])
    if not matrix.isfinite().all():
        return {"hessian_max_eigenvalue": None, "hessian_trace": None}
    return {
        "hessian_max_eigenvalue": finite(float(torch.linalg.eigvalsh(matrix)[-1])),
        "hessian_trace": finite(float(matrix.trace())),
    }
