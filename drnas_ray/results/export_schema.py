"""Which columns each file of an export has, in order, and which a trial's records have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drnas_ray.results.columns import (
    ARCH_INDEX,
    CANONICAL,
    DEVICE,
    EPOCH,
    HOST,
    REPORTED,
    RESTARTS,
    RUN_HEAD,
    RUN_ID,
    RUN_TAIL,
    STATUS,
    THREADS,
    TRAINING_HEAD,
    TRAINING_TAIL,
    Column,
)
from drnas_ray.results.kinds import Kind
from drnas_ray.results.metrics import METRICS, Metric

Files = Mapping[str, tuple[Column, ...]]
"""File name without .parquet, to its columns in order."""

_RECORD_HEAD = (EPOCH, STATUS)
_RECORD_TAIL = (DEVICE, THREADS, HOST, RESTARTS, REPORTED)
_RUN_FIGURES = (
    "genotype", "canonical", "arch_index", "skip_count", "val_acc_pct", "val_mean_acc_pct",
    "queries", "simulated_s", "entropy_nats", "search_s", "gpu_peak_mib",
)  # fmt: skip
"""Their order in runs.parquet since version 1; metrics of later versions follow."""


def file_columns(metrics: Sequence[Metric] = METRICS) -> Files:
    """The three files of an export. Raises ValueError where two columns share a name."""
    sums = [CANONICAL, ARCH_INDEX, *(m.in_runs.column(m) for m in metrics if m.in_runs)]
    places = {name: place for place, name in enumerate(_RUN_FIGURES)}
    sums.sort(key=lambda column: places.get(column.name, len(places)))
    files = {
        "runs": (*RUN_HEAD, *sums, *RUN_TAIL),
        "epochs": (
            RUN_ID, *_RECORD_HEAD, *(m for m in metrics if m.searching), *_RECORD_TAIL,
        ),
        "retrains": (
            *TRAINING_HEAD, *(m.in_retrains.column(m) for m in metrics if m.in_retrains),
            *TRAINING_TAIL,
        ),
    }  # fmt: skip
    for file, columns in files.items():
        names = [column.name for column in columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"column '{twice[0]}' occurs twice in {file}.parquet")
    return files


def schema_version(files: Files) -> int:
    """That of the newest column."""
    return max(column.since for columns in files.values() for column in columns)


def record_columns(*, training: bool, metrics: Sequence[Metric] = METRICS) -> dict[str, Kind]:
    """The columns to read from a run's or a training's records: name to type."""
    figures = (m for m in metrics if (m.training if training else m.searching))
    return {c.name: c.kind for c in (*_RECORD_HEAD, *figures, *_RECORD_TAIL)}


FILES = file_columns()
SCHEMA_VERSION = schema_version(FILES)
SEARCH_COLUMNS: Mapping[str, Kind] = record_columns(training=False)
RETRAIN_COLUMNS: Mapping[str, Kind] = record_columns(training=True)
ALIASES: Mapping[str, str] = {c.name: c.key for c in _RECORD_TAIL if c.key}
"""Our column, to the key that Tune writes for it; a record's own key of that name wins."""
