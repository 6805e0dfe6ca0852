"""Both sides of proposition 1 of DrNAS (Chen et al., ICLR 2021, arXiv:2006.10355), measured.

By the Laplace approximation of a Dirichlet in the softmax basis, the expected validation loss is
about the loss at the mean plus half the trace of Sigma H: minimising it keeps the curvature small.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.base import Batch
from drnas_ray.search.diagnostics.fixed import finite, loss_of
from drnas_ray.search.diagnostics.hessian import hessian
from drnas_ray.search.steps import Run


def laplace(beta: Tensor) -> tuple[Tensor, Tensor]:
    """mu (K,) and Sigma (K, K) of Dir(beta) in the softmax basis; beta: (K,), above 0.

    mu_k = log beta_k - mean(log beta); Sigma_kl = [k = l] / beta_k - (1/beta_k + 1/beta_l) / K
    + sum_i (1/beta_i) / K^2 (MacKay 1998; Srivastava & Sutton 2017, arXiv:1703.01488).
    """
    logs, inverse, count = beta.log(), 1 / beta, len(beta)
    cross = (inverse[:, None] + inverse[None, :]) / count
    return logs - logs.mean(), inverse.diag() - cross + inverse.sum() / count**2


def proposition1(run: Run, batch: Batch) -> dict[str, Any]:
    """Left: mean and standard error of the loss over draws. Right: at mu, and with the trace."""
    left, error = sampled(run, batch)
    at_mean, half_trace = approximated(run, batch)
    return {
        "proposition1_sampled": finite(left),
        "proposition1_sampled_se": finite(error),
        "proposition1_laplace": finite(at_mean + half_trace),
        "proposition1_at_mean": finite(at_mean),
    }


@torch.no_grad()
def sampled(run: Run, batch: Batch) -> tuple[float, float]:
    """E_q[L_val]: mean over draws from the learnt Dirichlet, and its standard error.

    Draws as the search does, from torch's global generators.
    """
    draws = run.config.diagnostics.proposition1_draws
    losses = [run.score(run.method.sample(run), batch, "batch")[0] for _ in range(draws)]
    values = torch.stack(losses).double()
    return float(values.mean()), float(values.std()) / draws**0.5


def approximated(run: Run, batch: Batch) -> tuple[float, float]:
    """L~(mu), and tr(Sigma H) / 2 with H the Hessian at mu of L~(mu) = L_val(w, softmax(mu)).

    Edges are independent, so Sigma has a block for each; a pruned operation is in none of them.
    """
    beta = run.method.strengths(run).detach().double().cpu()
    kept = torch.ones_like(beta, dtype=torch.bool) if run.active is None else run.active
    mu = torch.full_like(beta, float("-inf"))
    blocks = []
    for edge in torch.cartesian_prod(*map(torch.arange, beta.shape[:2])).tolist():
        place = tuple(edge)
        mu[place][kept[place]], sigma = laplace(beta[place][kept[place]])
        blocks.append(sigma)
    with torch.enable_grad():
        point = mu.to(run.device, run.dtype).requires_grad_()
        loss = loss_of(run, ArchSample(point.softmax(-1), run.active), batch)
        matrix = hessian(loss, [point], [kept])
    return float(loss.detach()), 0.5 * float((torch.block_diag(*blocks) * matrix).sum())
