"""A record of a job: what its epoch reported, checked, and facts about the job."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from drnas_ray.config import RunSettings, Settings
from drnas_ray.core.errors import UserError, did_you_mean
from drnas_ray.results.columns import EPOCH, STATUS, Column
from drnas_ray.results.metrics import METRICS, Metric

REGISTRY = "drnas_ray/results/metrics.py"


def completed(
    reported: dict[str, Any], config: Settings, facts: Mapping[str, Any], restarts: int
) -> dict[str, Any]:
    """The record with `facts`, how often the job had been restarted by then, and the time.

    Raises UserError as `check_record` does.
    """
    if isinstance(config, RunSettings):
        check_record(reported, f"method {config.method.name}", training=False)
    else:
        check_record(reported, "the training of a cell", training=True)
    # Tune's own time stamp is of the report, which a resumed trial may repeat.
    return {**reported, **facts, "restarts": restarts, "reported_unix_s": time.time()}


def check_record(
    reported: Mapping[str, Any],
    source: str,
    *,
    training: bool,
    metrics: Sequence[Metric] = METRICS,
) -> None:
    """Raises UserError for a metric without an entry in the registry, or of another type than its
    entry's. Readers would drop the former, and skip the whole record for the latter. source: who
    reported it.
    training: the epoch is one of a training from scratch, not of a run.
    """
    known: dict[str, Column] = {EPOCH.name: EPOCH, STATUS.name: STATUS}
    known |= {m.name: m for m in metrics if (m.training if training else m.searching)}
    for name, value in reported.items():
        if name not in known:
            raise UserError(
                f"{source} reports '{name}', which has no entry in {REGISTRY}: "
                f"{did_you_mean(name, known)}add an entry"
            )
        kind = known[name].kind
        try:
            if value is not None:
                kind.read(value)
        except (TypeError, ValueError, OverflowError):
            raise UserError(
                f"{source} reports {name}={value!r}, a {type(value).__name__}; its entry in "
                f"{REGISTRY} says {kind.name}"
            ) from None
