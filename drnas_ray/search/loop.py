"""The search loop of every weight-sharing method: architecture step, then weight step.

DrNAS (arXiv:2006.10355), algorithm of section 2, first-order and bilevel as its authors run it:
for each training batch a fresh random batch of the other half moves the architecture, then the
training batch moves the weights, each under its own sample.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from drnas_ray.core.archsample import ArchSample
from drnas_ray.data.batches import batch_count, eval_batches, train_batches
from drnas_ray.results.status import step_status
from drnas_ray.search.clock import Clock
from drnas_ray.search.diagnostics import diagnose
from drnas_ray.search.stages import enter_stage
from drnas_ray.search.steps import Run
from drnas_ray.search.tally import Tally

# Validation has no gradients to hold, so larger batches fit where a training batch does.
EVAL_BATCH_FACTOR = 4


class SearchJob:
    """A weight-sharing search as a job: a run stepped epoch by epoch."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return self.run.epoch

    def step(self) -> dict[str, Any]:
        """Search for one epoch; its record."""
        return search_epoch(self.run)

    def state_dict(self) -> dict[str, Any]:
        """The run's."""
        return self.run.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.run.load_state_dict(state)

    def adopt_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from another run's state, under the settings of this one."""
        self.run.adopt_state_dict(state)


def search_epoch(run: Run) -> dict[str, Any]:
    """Train for one epoch and validate; returns the epoch's record, a row of `epochs.parquet`.

    A loss or strength that is no longer finite ends the run with status `diverged`.
    """
    clock = Clock(run.device)
    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(run.device)
    with run.random.in_use():
        enter_stage(run)
        lr = _train(run, clock)
        run.method.end_epoch(run)
        run.epoch += 1
        train_loss, train_acc = run.tally.read()
        with clock.part("val"):
            drawn, mean = _validate(run)
        architecture = _architecture(run)
    record: dict[str, Any] = {
        "epoch": run.epoch,
        "train_loss": train_loss,
        "train_acc_pct": train_acc,
        "val_loss": drawn[0],
        "val_acc_pct": drawn[1],
        "val_mean_loss": mean[0],
        "val_mean_acc_pct": mean[1],
        "lr": lr,
        "stage": run.stage,
        **run.method.notes(run),
        **architecture,
        **clock.seconds(),
        **_gpu_memory(run.device),
    }
    diverged = not math.isfinite(train_loss) or architecture["entropy_nats"] is None
    if not diverged:
        record |= diagnose(run)  # after the time and memory of the search itself are taken
    record["status"] = step_status(finished=run.finished, diverged=diverged)
    return record


def _gpu_memory(device: torch.device) -> dict[str, float]:
    """Peak of the epoch, and the total, in MiB; empty on a CPU."""
    if device.type != "cuda":
        return {}
    return {
        "gpu_peak_mib": torch.cuda.max_memory_allocated(device) / 2**20,
        "gpu_total_mib": torch.cuda.get_device_properties(device).total_memory / 2**20,
    }


def _train(run: Run, clock: Clock) -> float:
    config = run.config
    searching = run.searching and run.method.arch_hook == "arch_step"
    steps = batch_count(len(run.train), config.batch_size)
    batches = train_batches(run.train, config.batch_size, run.info, dtype=run.dtype)
    run.net.train()
    lr = config.weights.lr
    for step in range(steps):
        lr = run.set_lr(step, steps)
        with clock.part("data"):
            train = next(batches)
            if searching:
                val = run.val_batch()
        if searching:
            with clock.part("arch_step"):
                run.method.arch_step(run, train, val)
        with clock.part("weight_step"):
            run.method.weight_step(run, train)
    return lr


@torch.no_grad()
def _validate(run: Run) -> tuple[tuple[float, float], tuple[float, float]]:
    """Loss and accuracy (%) on the architecture's half: a draw for each batch, and at the mean."""
    run.net.eval()
    drawn, at_mean = Tally(run.device), Tally(run.device)
    mean = run.method.mean(run)
    size = EVAL_BATCH_FACTOR * run.config.batch_size
    for images, labels in eval_batches(run.val, size, run.info, dtype=run.dtype):
        for tally, sample in ((drawn, run.method.sample(run)), (at_mean, mean)):
            _count(run, tally, sample, images, labels)
    return drawn.read(), at_mean.read()


def _count(
    run: Run, tally: Tally, sample: ArchSample, images: torch.Tensor, labels: torch.Tensor
) -> None:
    logits = run.net(images, sample)
    tally.add(torch.nn.functional.cross_entropy(logits, labels), logits, labels)


@torch.no_grad()
def _architecture(run: Run) -> dict[str, Any]:
    """What the architecture module holds now: strengths, and what follows from them.

    The rest is None where strengths are no longer finite. Before the end the genotype is also None
    while nothing is ranked, because all operations of an edge are equally strong.
    """
    strengths = run.method.strengths(run).double().cpu()
    record: dict[str, Any] = {
        "strengths": strengths.tolist(),
        "genotype": None,
        "entropy_nats": None,
        "skip_count": None,
    }
    if strengths.isfinite().all():
        shares = strengths / strengths.sum(-1, keepdim=True)
        record["entropy_nats"] = float(torch.special.entr(shares).sum(-1).mean())
        genotype = None
        if run.finished:
            genotype = run.method.derive(run)
        elif _ranked(strengths, run.active):
            genotype = run.space.discretise(strengths.numpy())
        if genotype is not None:
            record["genotype"] = genotype
            record["skip_count"] = run.space.op_count(genotype, run.space.skip_op)
    return record


def _ranked(strengths: torch.Tensor, active: torch.Tensor | None) -> bool:
    """Whether each edge with a choice left has operations of unequal strength."""
    kept = torch.ones_like(strengths, dtype=torch.bool) if active is None else active
    least = strengths.masked_fill(~kept, math.inf).amin(-1)
    return bool(((strengths.amax(-1) > least) | (kept.sum(-1) == 1)).all())
