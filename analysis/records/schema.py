"""The Parquet files of an export: Arrow schemas, and reading a file of any version.

The columns come from `results.export_schema`. Units are in the names: `_pct` percent, `_s`
seconds, `_unix_s` seconds since 1970, `_mib` MiB, `_nats` nats, `_m` millions. A column is null if
the run did not report it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from drnas_ray.core.errors import UserError
from drnas_ray.results import kinds
from drnas_ray.results.export_schema import FILES, SCHEMA_VERSION, Files, schema_version
from drnas_ray.results.trial import Row

VERSION_KEY = b"drnas_ray.schema_version"

_TEXT, _REAL = pa.string(), pa.float64()
_INT = pa.int64()
SEQUENCE = pa.list_(_REAL)
GRID = pa.list_(SEQUENCE)
STRENGTHS = pa.list_(GRID)
"""(cell types, edges, ops), as nested lists."""
ARROW: Mapping[kinds.Kind, pa.DataType] = {
    kinds.TEXT: _TEXT,
    kinds.INTEGER: _INT,
    kinds.REAL: _REAL,
    kinds.TEXTS: pa.list_(_TEXT),
    kinds.LIST: SEQUENCE,
    kinds.GRID: GRID,
    kinds.STRENGTHS: STRENGTHS,
}


def schemas(files: Files) -> dict[str, pa.Schema]:
    """The Arrow schemas of these files, which carry the schema version."""
    version = {VERSION_KEY: str(schema_version(files)).encode()}
    return {
        name: pa.schema([(column.name, ARROW[column.kind]) for column in columns], version)
        for name, columns in files.items()
    }


SCHEMAS: Mapping[str, pa.Schema] = schemas(FILES)
"""File name without .parquet -> its schema."""


def as_table(kind: str, rows: Sequence[Row]) -> pa.Table:
    """The rows as an Arrow table with exactly the columns and types of `SCHEMAS[kind]`."""
    return pa.Table.from_pylist(rows, schema=SCHEMAS[kind])


def as_frame(table: pa.Table) -> pd.DataFrame:
    """The table for pandas; integers stay integers even if some are missing (Int64)."""
    frame: pd.DataFrame = table.to_pandas(types_mapper={_INT: pd.Int64Dtype()}.get)
    return frame


def read_frame(kind: str, path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """An exported file, or only some of its columns; columns that its version lacks are null.

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
    """The error for an export that can't be read."""
    reason = (str(err).splitlines() or [type(err).__name__])[0]
    return UserError(f"{path} can't be read ({reason}): export it again")


def _check(kind: str, path: Path, found: pa.Schema) -> set[str]:
    """The columns that the file's version lacks. Raises UserError if it is not an export."""
    version = (found.metadata or {}).get(VERSION_KEY, b"none").decode(errors="replace")
    if version not in map(str, range(1, SCHEMA_VERSION + 1)):
        raise UserError(
            f"{path} has schema version {version}, this drnas-ray reads 1 to {SCHEMA_VERSION}: "
            "export it again, or use a newer drnas-ray"
        )
    later = {column.name for column in FILES[kind] if column.since > int(version)}
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
