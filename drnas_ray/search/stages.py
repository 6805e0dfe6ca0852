"""The change from one stage of a progressive search to the next (DrNAS, section 3.4).

Prune to the strongest operations of each edge, then widen the partial channels. What was learnt is
kept: alphas with Adam's state, weights with batch statistics and SGD's momentum. P-DARTS
(arXiv:1904.12760) restarts instead, and keeps only which operations are left.
"""

from __future__ import annotations

import torch
from torch import Tensor

from drnas_ray.search.steps import Run
from drnas_ray.supernets.nb201.widen import draw_channels, widened


def enter_stage(run: Run) -> None:
    """Prune, widen or restart if the next epoch is the first of a later stage."""
    starts = [sum(run.stages[:number]) for number in range(len(run.stages))]
    due = max(number for number, start in enumerate(starts) if run.epoch >= start)
    while run.stage < due:
        _change(run, run.stage + 1)


def _change(run: Run, stage: int) -> None:
    """Move the run to a stage (from 0), the one after its own; draws from its random state."""
    settings = run.config.stages[stage]
    if settings.keep_ops is not None:
        run.active = strongest(run.method.strengths(run), run.active, settings.keep_ops)
    if settings.restart:
        run.build(stage)
        return
    before = run.config.supernet_at(stage - 1).partial
    run.stage = stage
    now = run.config.supernet_at(stage).partial
    if now != before:
        _widen(run, before, now)


def strongest(strengths: Tensor, active: Tensor | None, keep: int) -> Tensor:
    """(T, E, O) bool on the CPU: the `keep` strongest active operations of each edge.

    Ties go to the earlier operation. An edge with fewer left keeps those.
    """
    ranked = strengths.detach().double().cpu()
    if active is not None:
        ranked = ranked.masked_fill(~active, -1.0)
    first = ranked.argsort(dim=-1, descending=True, stable=True)[..., :keep]
    kept = torch.zeros_like(ranked, dtype=torch.bool).scatter_(-1, first, True)
    return kept if active is None else kept & active


def _widen(run: Run, before: int, now: int) -> None:
    fused = run.config.supernet.fused
    old_net, old_optimizer = run.net, run.weight_optimizer
    state = old_net.state_dict()
    channels = draw_channels(state, before, now, fused=fused)
    run.net = run.make_net(run.stage)
    run.net.load_state_dict(widened(state, channels, fused=fused))
    run.weight_optimizer = run.make_weight_optimizer()
    momentum = {
        name: buffer
        for name, weight in old_net.named_parameters()
        if (buffer := old_optimizer.state.get(weight, {}).get("momentum_buffer")) is not None
    }
    if not momentum:
        return
    moved = widened(momentum, channels, fused=fused)
    for name, weight in run.net.named_parameters():
        run.weight_optimizer.state[weight]["momentum_buffer"] = moved[name].clone()
