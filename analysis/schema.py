"""The Parquet files of an export: column names, types and units, and the version they carry.

Units are in the names: `_pct` percent, `_s` seconds, `_unix_s` seconds since 1970, `_mib` MiB,
`_nats` nats, `_m` millions. A column is null where the run did not report the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from drnas_ray.errors import UserError

SCHEMA_VERSION = 2
VERSION_KEY = b"drnas_ray.schema_version"

_TEXT, _INT, _REAL = pa.string(), pa.int64(), pa.float64()
STRENGTHS = pa.list_(pa.list_(pa.list_(_REAL)))
"""(cell types, edges, ops), as nested lists."""
SEQUENCE = pa.list_(_REAL)
GRID = pa.list_(SEQUENCE)

Row = dict[str, Any]
"""One row on its way into a file: column name to value; a missing column is null."""


def _schema(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    return pa.schema(list(columns.items()), metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()})


RUNS = _schema(
    {
        "run_id": _TEXT,
        "label": _TEXT,
        "method": _TEXT,
        "space": _TEXT,
        "dataset": _TEXT,
        "protocol": _TEXT,
        "seed": _INT,
        "variant": _TEXT,  # JSON, keys sorted
        "config": _TEXT,  # JSON, keys sorted
        "status": _TEXT,  # done, diverged, error, running, pending
        "restarts": _INT,  # after a failure, or by a resume
        "epochs_done": _INT,
        "epochs_total": _INT,
        "genotype": _TEXT,
        "canonical": _TEXT,
        "arch_index": _INT,
        "skip_count": _INT,
        "val_acc_pct": _REAL,
        "val_mean_acc_pct": _REAL,
        "queries": _INT,  # of a multi-trial method, with the seconds they would have taken
        "simulated_s": _REAL,
        "entropy_nats": _REAL,
        "search_s": _REAL,
        "gpu_peak_mib": _REAL,
        "device": _TEXT,
        "threads": _INT,
        "host": _TEXT,
        "retrain_id": _TEXT,
        "retrain_status": _TEXT,
        "retrain_epochs": _INT,  # of the recipe, not those done so far
        "retrain_train_acc_pct": _REAL,
        "retrain_test_acc_pct": _REAL,
        "retrain_params_m": _REAL,
        "retrain_s": _REAL,
        "drnas_ray_version": _TEXT,
        "python_version": _TEXT,
        "torch_version": _TEXT,
        "ray_version": _TEXT,
        "git_commit": _TEXT,
        "error": _TEXT,
        "trial_dir": _TEXT,
        "finished_unix_s": _REAL,
    }
)
EPOCHS = _schema(
    {
        "run_id": _TEXT,
        "epoch": _INT,
        "status": _TEXT,
        "train_loss": _REAL,
        "train_acc_pct": _REAL,
        "val_loss": _REAL,
        "val_acc_pct": _REAL,
        "val_mean_loss": _REAL,
        "val_mean_acc_pct": _REAL,
        "genotype": _TEXT,
        "strengths": STRENGTHS,
        "entropy_nats": _REAL,
        "skip_count": _INT,
        "lr": _REAL,
        "stage": _INT,  # from 0
        "temperature": _REAL,
        # Diagnostics (drnas_ray.search.diagnostics): null where the epoch had none.
        "hessian_max_eigenvalue": _REAL,
        "hessian_trace": _REAL,
        "proposition1_sampled": _REAL,  # left side: mean validation loss over draws,
        "proposition1_sampled_se": _REAL,  # its standard error,
        "proposition1_laplace": _REAL,  # right side: loss at mu + tr(Sigma H) / 2,
        "proposition1_at_mean": _REAL,  # and its first term alone
        "landscape_offsets": SEQUENCE,  # along each of two directions; the grids are square
        "landscape_loss": GRID,
        "landscape_acc_pct": GRID,
        "queries": _INT,
        "simulated_s": _REAL,
        "wall_s": _REAL,
        "data_s": _REAL,
        "arch_step_s": _REAL,
        "weight_step_s": _REAL,
        "val_s": _REAL,
        "gpu_peak_mib": _REAL,
        "gpu_total_mib": _REAL,  # what the GPU has
        "device": _TEXT,
        "threads": _INT,
        "host": _TEXT,
        "restarts": _INT,  # before this epoch
        "reported_unix_s": _REAL,
    }
)
RETRAINS = _schema(
    {
        "retrain_id": _TEXT,
        "genotype": _TEXT,
        "space": _TEXT,
        "dataset": _TEXT,
        "seed": _INT,
        "config": _TEXT,
        "run_ids": pa.list_(_TEXT),
        "status": _TEXT,
        "epochs_done": _INT,
        "epochs_total": _INT,
        "train_loss": _REAL,  # the figures are null until the training is done
        "train_acc_pct": _REAL,
        "test_loss": _REAL,
        "test_acc_pct": _REAL,
        "params_m": _REAL,
        "retrain_s": _REAL,
        "device": _TEXT,
        "threads": _INT,
        "host": _TEXT,
        "error": _TEXT,
        "trial_dir": _TEXT,
        "finished_unix_s": _REAL,
    }
)
SCHEMAS: Mapping[str, pa.Schema] = {"runs": RUNS, "epochs": EPOCHS, "retrains": RETRAINS}
"""File name without .parquet, to what it holds."""


def as_table(kind: str, rows: Sequence[Row]) -> pa.Table:
    """The rows as an Arrow table with exactly the columns and types of `SCHEMAS[kind]`."""
    return pa.Table.from_pylist(rows, schema=SCHEMAS[kind])


def as_frame(table: pa.Table) -> pd.DataFrame:
    """The table for pandas; whole numbers stay whole where some are missing (Int64)."""
    frame: pd.DataFrame = table.to_pandas(types_mapper={_INT: pd.Int64Dtype()}.get)
    return frame


def read_frame(kind: str, path: Path) -> pd.DataFrame:
    """An exported file. Raises UserError if it is missing, damaged or of another version."""
    if not path.is_file():
        raise UserError(f"no file {path}: export the results folder first (drnas export)")
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as err:
        reason = str(err).splitlines()[0]
        raise UserError(f"{path} can't be read ({reason}): export it again") from err
    found = (table.schema.metadata or {}).get(VERSION_KEY, b"none").decode(errors="replace")
    if found != str(SCHEMA_VERSION):
        raise UserError(
            f"{path} has schema version {found}, this drnas-ray reads {SCHEMA_VERSION}: "
            f"export it again"
        )
    missing = [name for name in SCHEMAS[kind].names if name not in table.schema.names]
    if missing:
        raise UserError(f"{path} lacks the column '{missing[0]}' of {kind}.parquet: export again")
    return as_frame(table)
