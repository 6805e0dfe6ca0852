"""The progress of a sweep as plain values, for JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from analysis.progress.gpu_share import GpuShare
from analysis.progress.status import SweepProgress


def as_plain(
    progress: SweepProgress, gpus: Sequence[GpuShare], warnings: Sequence[str]
) -> dict[str, Any]:
    """One mapping of everything; NaN becomes None."""
    plain = dataclasses.asdict(progress) | {"groups": progress.groups.to_dict("records")}
    plain |= {"gpus": [dataclasses.asdict(gpu) for gpu in gpus], "warnings": list(warnings)}
    found: dict[str, Any] = _without_nan(plain)
    return found


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
