"""What a sweep will take, from measured epochs: GPU hours, and wall time on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from drnas_ray.core.errors import UserError

if TYPE_CHECKING:
    from drnas_ray.cluster.capacity import Workers
    from drnas_ray.sweeps.plan.estimate import Estimate
    from drnas_ray.sweeps.spec.sweep import Resources, SweepConfig


def estimate(sweep: SweepConfig, measured: Sequence[Path]) -> Estimate:
    """The estimate of a sweep from the epoch times of these results folders.

    Raises UserError for a sweep that can't be run, or a folder without a measured epoch.
    """
    from analysis.progress.epoch_times import epoch_times
    from drnas_ray.sweeps.plan.check import checked_plan
    from drnas_ray.sweeps.plan.estimate import estimate as estimated

    known = [run for folder in measured for run in epoch_times(folder)]
    return estimated(sweep, checked_plan(sweep), known)


def check_gpu_hours(result: Estimate, name: str, limit: float) -> None:
    """Raise UserError where the sweep takes more GPU hours, or an unknown number."""
    if result.gpu_hours is None:
        raise UserError(f"--gpu-hours {limit:g}: not every row was measured on a GPU")
    if result.gpu_hours > limit:
        raise UserError(f"{name} takes {result.gpu_hours:.1f} GPU hours, more than {limit:g}")


@dataclass(frozen=True)
class Places:
    """workers: the node types of a cluster file. at_once: trials that fit, None if not known."""

    workers: tuple[Workers, ...]
    at_once: int | None


def places_on(cluster_file: Path, resources: Resources, node: str | None = None) -> Places:
    """How many trials fit on a cluster file's workers at once.

    node: `CPUS,GPUS` of a worker, where the file doesn't say. Raises UserError where none fits.
    """
    from drnas_ray.cluster.capacity import workers

    found = workers(cluster_file)
    if node is not None:
        cpus, gpus = _size(node)
        found = [replace(w, cpus=cpus, gpus=gpus) if w.cpus is None else w for w in found]
    slots = [group.slots(resources.cpu, resources.gpu if group.gpus else 0) for group in found]
    if None in slots:
        return Places(tuple(found), None)
    total = sum(count or 0 for count in slots)
    if total == 0:
        raise UserError(
            f"a trial asks for {resources.cpu:g} CPUs and {resources.gpu:g} GPUs, which no worker "
            f"of {cluster_file} has: lower resources"
        )
    return Places(tuple(found), total)


def _size(node: str) -> tuple[float, float]:
    try:
        cpus, gpus = (float(part) for part in node.split(","))
    except ValueError:
        raise UserError(f"--node {node}: write CPUs,GPUs of one worker, such as 8,1") from None
    return cpus, gpus
