"""The Parquet files of an export: column names, types and units, and the version they carry.

Units are in the names: `_pct` percent, `_s` seconds, `_unix_s` seconds since 1970, `_mib` MiB,
`_nats` nats, `_m` millions. A column is null where the run did not report the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from drnas_ray.core.errors import UserError
from drnas_ray.results.trial import Row

SCHEMA_VERSION = 2
VERSION_KEY = b"drnas_ray.schema_version"

_TEXT, _INT, _REAL = pa.string(), pa.int64(), pa.float64()
STRENGTHS = pa.list_(pa.list_(pa.list_(_REAL)))
"""(cell types, edges, ops), as nested lists."""
SEQUENCE = pa.list_(_REAL)
GRID = pa.list_(SEQUENCE)


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
        # Of a tuning: the point's number, its objective by now (the mean over its seeds), and the
        # `search` section of the sweep file as JSON.
        "point": _INT,
        "objective": _REAL,
        "tuning": _TEXT,
        "parent_run_id": _TEXT,  # the run whose state this one went on from, after that epoch
        "from_epoch": _INT,
        "status": _TEXT,  # done, diverged, stopped (by a tuning), error, running, pending
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
        "answer_epoch": _INT,  # of an early stop: the epoch whose cell is the answer
        "queries": _INT,
        "simulated_s": _REAL,
        "wall_s": _REAL,
        "data_s": _REAL,
        "arch_step_s": _REAL,
        "weight_step_s": _REAL,
        "val_s": _REAL,
        "diagnostics_s": _REAL,  # not part of wall_s
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
ADDED: Mapping[str, Mapping[int, Sequence[str]]] = {
    "epochs": {
        2: [
            name
            for name in EPOCHS.names
            if name.startswith(("hessian_", "proposition1_", "landscape_"))
            or name in ("answer_epoch", "diagnostics_s", "restarts")
        ]
    },
    "runs": {
        2: ["restarts", "point", "objective", "tuning", "parent_run_id", "from_epoch"],
    },
}
"""File and schema version, to the columns that came with it: null where a file is older."""


def as_table(kind: str, rows: Sequence[Row]) -> pa.Table:
    """The rows as an Arrow table with exactly the columns and types of `SCHEMAS[kind]`."""
    return pa.Table.from_pylist(rows, schema=SCHEMAS[kind])


def as_frame(table: pa.Table) -> pd.DataFrame:
    """The table for pandas; whole numbers stay whole where some are missing (Int64)."""
    frame: pd.DataFrame = table.to_pandas(types_mapper={_INT: pd.Int64Dtype()}.get)
    return frame


def read_frame(kind: str, path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """An exported file, or only some of its columns; those its version had not yet are null.

    Raises UserError if it is missing, damaged or of a version that this program does not know.
    """
    if not path.is_file():
        raise UserError(f"no file {path}: export the results folder first (drnas export)")
    schema = SCHEMAS[kind]
    wanted = schema.names if columns is None else list(columns)
    try:
        with pq.ParquetFile(path) as file:
            later = _check(kind, path, file.schema_arrow)
            table = file.read(columns=[name for name in wanted if name not in later])
    except (pa.ArrowException, OSError) as err:
        raise damaged(path, err) from err
    for name in later & set(wanted):
        table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
    return as_frame(table.select(wanted))


def damaged(path: Path, err: Exception) -> UserError:
    """What to say of an export that Parquet's reader stumbles over."""
    reason = (str(err).splitlines() or [type(err).__name__])[0]
    return UserError(f"{path} can't be read ({reason}): export it again")


def _check(kind: str, path: Path, found: pa.Schema) -> set[str]:
    """The columns that the file's version had not yet. Raises UserError for what is no export."""
    version = (found.metadata or {}).get(VERSION_KEY, b"none").decode(errors="replace")
    if version not in map(str, range(1, SCHEMA_VERSION + 1)):
        raise UserError(
            f"{path} has schema version {version}, this drnas-ray reads 1 to {SCHEMA_VERSION}: "
            "export it again, or use a newer drnas-ray"
        )
    later = {
        name
        for since, names in ADDED.get(kind, {}).items()
        if since > int(version)
        for name in names
    }
    for field in SCHEMAS[kind]:
        if field.name not in found.names:
            if field.name in later:
                continue
            raise UserError(
                f"{path} lacks the column '{field.name}' of {kind}.parquet: export again"
            )
        if found.field(field.name).type != field.type:
            raise UserError(
                f"{path}: column '{field.name}' is {found.field(field.name).type}, not "
                f"{field.type}: export again"
            )
    return later - set(found.names)
