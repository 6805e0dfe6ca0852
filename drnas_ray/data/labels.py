"""The label and split columns of Parquet files as class numbers from 0, with the classes' names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from drnas_ray.core.errors import UserError
from drnas_ray.data.images import Labels
from drnas_ray.data.tables import SPLITS, ImageTable


@dataclass(frozen=True)
class Rows:
    """The labels of all rows of several files; rows of other splits (validation) are not `used`."""

    tables: list[ImageTable]
    values: list[Any]
    names: list[Any] | None
    used: npt.NDArray[np.bool_]
    is_test: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, tables: list[ImageTable]) -> Rows:
        """Read the small columns of all files. Raises UserError where they don't fit together."""
        first = tables[0]
        by_name = [table.split_in_name for table in tables] if len(tables) > 1 else [None]
        values: list[Any] = []
        names: list[Any] = []
        splits: list[str | None] = []
        for table, named in zip(tables, by_name, strict=True):
            if (named is None) != (by_name[0] is None):
                raise UserError(
                    f"{table.path} and {first.path}: name every file of the folder by its split "
                    f"(train-*.parquet, test-*.parquet), or none"
                )
            if table.label_type != first.label_type or table.columns != first.columns:
                raise UserError(
                    f"{table.path} has different columns from {first.path}: give them one schema"
                )
            values += table.column(table.label_column)
            if "label_name" in table.columns:
                names += table.column("label_name")
            splits += [named] * table.rows if named else _split_column(table)
        parts = np.array([SPLITS[split] if split else "train" for split in splits], dtype=object)
        rows = cls(tables, values, names or None, parts != None, parts == "test")  # noqa: E711
        rows._check()
        return rows

    def where(self, row: int | np.integer[Any]) -> str:
        """A row, counted over all files, as errors name it: "row 3 of x.parquet"."""
        for table in self.tables:
            if row < table.rows:
                return f"row {row} of {table.path}"
            row -= table.rows
        raise IndexError(row)

    def _check(self) -> None:
        if not (self.used & ~self.is_test).any():
            raise UserError(
                f"{self.tables[0].path} contains no training rows: mark some as split=train"
            )
        for row in np.flatnonzero(self.used):
            value = self.values[row]
            if not isinstance(value, (int, str)):
                raise UserError(
                    f"{self.where(row)} has label {value!r}: expected a whole number or text"
                )


def _split_column(table: ImageTable) -> list[str | None]:
    """The split of each row of one file; None, which means train, where there is no such column."""
    if "split" not in table.columns:
        return [None] * table.rows
    splits = table.column("split")
    for row, split in enumerate(splits):
        if not isinstance(split, str | None) or split not in SPLITS:
            raise UserError(
                f"row {row} of {table.path} has split {split!r}: expected train, test or validation"
            )
    return splits


def class_numbers(rows: Rows) -> tuple[tuple[str, ...], Labels]:
    """Class names, and class numbers (rows,), -1 for rows that aren't used.

    Names come from the file's metadata, else from `label_name`, else from the labels. With names
    in the metadata a label is an index into them; otherwise classes are the sorted distinct labels
    of the training rows. Raises UserError for a label outside of these.
    """
    known = rows.tables[0].class_names
    trained = np.flatnonzero(rows.used & ~rows.is_test)
    if known is not None and not isinstance(rows.values[trained[0]], str):
        numbers: dict[Any, int] = {number: number for number in range(len(known))}
    else:
        numbers = {value: i for i, value in enumerate(sorted({rows.values[i] for i in trained}))}
        known = _names(rows, numbers)
    labels = np.full(len(rows.values), -1, dtype=np.int64)
    for row in np.flatnonzero(rows.used):
        value = rows.values[row]
        if value not in numbers:
            raise UserError(
                f"{rows.where(row)} has label {value!r}, which is not a class of the training set: "
                f"expected one of {len(numbers)}, such as {next(iter(numbers))!r}"
            )
        labels[row] = numbers[value]
    if len(known) < 2:
        raise UserError(f"{rows.tables[0].path} has one class, {known[0]!r}: expected 2 or more")
    return known, labels


def _names(rows: Rows, numbers: dict[Any, int]) -> tuple[str, ...]:
    """One name per class: from the column `label_name` if there is one, else the label itself."""
    if rows.names is None:
        return tuple(str(value) for value in numbers)
    found: dict[Any, Any] = {}
    for row in np.flatnonzero(rows.used & ~rows.is_test):
        value, name = rows.values[row], rows.names[row]
        if found.setdefault(value, name) != name:
            raise UserError(
                f"{rows.where(row)} has label_name {name!r} for label {value!r}, which was "
                f"{found[value]!r} before: give each label one name"
            )
    return tuple(str(found[value]) for value in numbers)
