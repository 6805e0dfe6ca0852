"""Encoded images in Parquet: one file or a folder of files, also in Hugging Face's layout.

Columns: `image` or `img` (bytes, or a struct with `bytes`), `label` (or `fine_label`, or
`labels`; numbers or text), and optionally `split` (train, test; valid and validation are ignored)
and `label_name`. In a folder, names such as train-00000-of-00001.parquet replace a split column.
Where no rows are marked as test, a fixed fifth of each class is held out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError
from drnas_ray.data.decode import DECODER, decode_all
from drnas_ray.data.facts import side_of
from drnas_ray.data.files import decode_once, fingerprint
from drnas_ray.data.images import ImageSet, Labels, Part, Pixels
from drnas_ray.data.labels import Rows, class_numbers
from drnas_ray.data.splits import halves_share_classes, held_out_split, mixed_order
from drnas_ray.data.tables import ImageTable, open_table, table_files

ROWS_AT_ONCE = 1024


def check_parquet(path: Path) -> None:
    """Raise UserError where `path` can't be such a data set; only the files' footers are read."""
    for file in table_files(path):
        open_table(file)


def read_parquet(
    settings: DataSettings, root: Path, part: Part
) -> tuple[tuple[str, ...], ImageSet]:
    """One part, RGB, resized to image_size x image_size, in the order of the rows.

    Only if half of the training set would lack a class that has 2 images or more, as in sorted
    rows, is the training set put into a fixed mixed order.
    """
    tables = [open_table(file) for file in table_files(Path(str(settings.path)))]
    rows = Rows.of(tables)
    names, labels = class_numbers(rows)
    chosen = _part(labels, rows.is_test, part)
    side = side_of(settings)
    files = [table.path for table in tables]
    images, labels = decode_once(
        root,
        ["parquet", part, str(side), DECODER, *fingerprint(files)],
        lambda: (_decode(tables, chosen, side), labels[chosen]),
    )
    data = ImageSet.from_arrays(images, labels)
    if part == "train" and not halves_share_classes(labels):
        order = mixed_order(labels)
        data = ImageSet.from_arrays(images[order], labels[order])
    return names, data


def _part(labels: Labels, is_test: npt.NDArray[np.bool_], part: Part) -> npt.NDArray[np.int64]:
    """Sorted positions of the rows of one part. labels: (rows,), -1 where a row is ignored."""
    train = np.flatnonzero((labels >= 0) & ~is_test)
    test = np.flatnonzero((labels >= 0) & is_test)
    if not len(test):
        kept, held_out = held_out_split(labels[train])
        train, test = train[kept], train[held_out]
    return train if part == "train" else test


def _decode(tables: list[ImageTable], chosen: npt.NDArray[np.int64], side: int) -> Pixels:
    """The images at the sorted positions `chosen`, counted over all tables."""
    wanted = np.zeros(sum(table.rows for table in tables), dtype=bool)
    wanted[chosen] = True
    images = np.empty((len(chosen), 3, side, side), dtype=np.uint8)
    done = first = 0
    for table in tables:
        for sources in _encoded(table, wanted[first : first + table.rows]):
            images[done : done + len(sources)] = decode_all(sources, side)
            done += len(sources)
        first += table.rows
    return images


def _encoded(table: ImageTable, wanted: npt.NDArray[np.bool_]) -> Iterator[list[tuple[str, bytes]]]:
    """Wanted rows as (where, bytes), some at a time to save memory."""
    if not wanted.any():
        return
    row = 0
    for column in table.batches(table.image_column, ROWS_AT_ONCE):
        if pa.types.is_struct(column.type):
            column = column.field("bytes")  # noqa: PLW2901
        sources = []
        for offset in np.flatnonzero(wanted[row : row + len(column)]):
            where, content = f"row {row + offset} of {table.path}", column[offset].as_py()
            if content is None:
                raise UserError(f"{where} has no image bytes: expected a complete PNG or JPEG file")
            sources.append((where, content))
        yield sources
        row += len(column)
