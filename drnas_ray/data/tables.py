"""Parquet files of images: finding them, their columns, reading them with one-line errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from drnas_ray.core.errors import UserError
from drnas_ray.data.files import one_line

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("fine_label", "labels")
"""Used where there is no `label`; CIFAR-100's coarse_label is ignored."""
SPLITS = {
    "train": "train", "test": "test", "valid": None, "validation": None, "val": None,
}  # fmt: skip
"""Words in split columns and file names -> the part they mean; None is ignored."""


@dataclass(frozen=True)
class ImageTable:
    """One Parquet file whose schema fits."""

    path: Path
    rows: int
    image_column: str
    label_column: str
    label_type: pa.DataType
    columns: frozenset[str]
    class_names: tuple[str, ...] | None
    """From a Hugging Face ClassLabel, where the file has one."""

    def column(self, name: str) -> list[Any]:
        """All values of one column. Raises UserError where the file is damaged."""
        with _readable(self.path), pq.ParquetFile(self.path) as file:
            values: list[Any] = file.read(columns=[name]).column(0).to_pylist()
        return values

    def batches(self, name: str, size: int) -> Iterator[Any]:
        """One column as arrays of up to `size` rows. Raises UserError where it is damaged."""
        with _readable(self.path), pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=size, columns=[name]):
                yield batch.column(0)

    @property
    def split_in_name(self) -> str | None:
        """The split with which the file's name begins: train-00000-of-00002.parquet."""
        found = re.match(r"([a-z]+)(?![a-z])", self.path.stem)
        return found[1] if found and found[1] in SPLITS else None


def table_files(path: Path) -> list[Path]:
    """The file itself, or the sorted *.parquet files of a folder. Raises UserError if none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"data.path={path} doesn't exist: give a Parquet file or a folder of them")
    # A Hugging Face repository keeps its files in data/.
    files = sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
    if not files:
        raise UserError(f"data.path={path} contains no *.parquet file: give the folder that does")
    return files


def open_table(path: Path) -> ImageTable:
    """Read a file's footer. Raises UserError where it is damaged or lacks a column."""
    with _readable(path), pq.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    columns = frozenset(schema.names)
    image = next((name for name in IMAGE_COLUMNS if name in columns), None)
    if image is None:
        raise _lacks(path, schema, "image column: expected 'image' or 'img'")
    _check_image_type(path, image, schema.field(image).type)
    others = [name for name in LABEL_COLUMNS if name in columns]
    label = "label" if "label" in columns else others[0] if len(others) == 1 else None
    if label is None:
        raise _lacks(path, schema, "label column: expected 'label'")
    kind = schema.field(label).type
    return ImageTable(path, rows, image, label, kind, columns, _class_names(path, schema, label))


def _check_image_type(path: Path, column: str, kind: pa.DataType) -> None:
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not pa.types.is_binary(kind) and not pa.types.is_large_binary(kind):
        raise UserError(
            f"column '{column}' of {path} is {kind}: expected binary, or struct<bytes: binary, "
            f"path: string>"
        )


def _class_names(path: Path, schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None:
        return None
    try:
        feature = json.loads(text)["info"]["features"][label]
        names = feature.get("names")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} has schema metadata 'huggingface' that doesn't describe '{label}': expected "
            f"the JSON that the datasets library writes, or none"
        ) from error
    return tuple(str(name) for name in names) if names else None


def _lacks(path: Path, schema: pa.Schema, what: str) -> UserError:
    return UserError(f"{path} has no {what}; its columns are {', '.join(schema.names)}")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn Arrow's errors on truncated files, or files that are not Parquet, into one line."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{path} can't be read as Parquet ({one_line(error)}): it is truncated, damaged or "
            f"another kind of file"
        ) from error
