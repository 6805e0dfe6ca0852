"""RobustDARTS's early stopping (Zela et al., ICLR 2020, arXiv:1909.09656).

Once the largest eigenvalue of the validation loss's Hessian grows fast, cells generalise ever
worse: the search ends, and its answer is the cell from before the growth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drnas_ray.config import EarlyStopSettings
from drnas_ray.search.state import Measurement
from drnas_ray.search.steps import Run


def before_growth(
    series: Sequence[Measurement], every: int, stop: EarlyStopSettings
) -> Measurement | None:
    """The measurement to go back to, None while the search goes on.

    series: one measurement every `every` epochs, in order. The last epoch whose whole window has
    been measured is compared with the one `back` before it; a window that begins before the series
    is cut. A mean that is not positive can't grow by a factor, so the search goes on.
    """
    half = stop.window // 2

    def smoothed(epoch: int) -> float:
        near = [value for at, value, _ in series if abs(at - epoch) <= half]
        return sum(near) / len(near)

    whole = [one for one in series if one[0] + half < series[-1][0] + every]
    if not whole:
        return None
    now = whole[-1][0]
    earlier = next((one for one in whole if one[0] == now - stop.back), None)
    if earlier is None or earlier[0] < stop.first_epoch:
        return None
    past = smoothed(earlier[0])
    return earlier if past > 0 and smoothed(now) > stop.factor * past else None


def stop_early(run: Run, stop: EarlyStopSettings, eigenvalue: float) -> dict[str, Any]:
    """Note the eigenvalue of the epoch that ended; entries for its record if the search ends.

    Only epochs of the current stage that moved the architecture are compared: another stage has
    another supernet, and a warm-up has nothing to answer with.
    """
    every = run.config.diagnostics.hessian
    assert isinstance(every, int)
    run.watched.append((run.epoch, eigenvalue, run.method.derive(run)))
    first = run.epoch - run.stage_epoch + run.config.arch.warmup_epochs
    found = before_growth([one for one in run.watched if one[0] > first], every, stop)
    if found is None:
        return {}
    run.answer_epoch, _, genotype = found
    return {
        "answer_epoch": run.answer_epoch,
        "genotype": genotype,
        "skip_count": run.space.op_count(genotype, run.space.skip_op),
    }
