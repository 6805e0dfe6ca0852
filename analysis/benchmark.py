"""NAS-Bench-201 figures (Dong & Yang, ICLR 2020, arXiv:2001.00326) from a table in Parquet.

Only the 200-epoch entries, each a mean over the benchmark's own training seeds. CIFAR-10
validation is `cifar10-valid` (trained on 25,000 images, judged on the other 25,000), CIFAR-10 test
the network trained on all 50,000: the pair that papers print.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drnas_ray.errors import UserError, unknown_name

CELLS = 15_625
SPLITS = ("valid", "test")
_PREFIX = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet16"}


def _column(dataset: str, split: str) -> str:
    return f"{_PREFIX[dataset]}_{split}_acc_200"


def _read(path: Path) -> pd.DataFrame:
    columns = ["arch", *(_column(data, split) for data in _PREFIX for split in SPLITS)]
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise UserError(f"{path} is no NAS-Bench-201 table: it lacks '{missing[0]}'")
            frame: pd.DataFrame = file.read(columns=columns).to_pandas()
    except (pa.ArrowException, OSError) as err:
        reason = str(err).splitlines()[0]
        raise UserError(f"{path} can't be read ({reason}): give a Parquet table") from err
    return frame


@dataclass(frozen=True)
class BenchmarkTable:
    """Accuracies in percent of all 15,625 cells. Made by `open`."""

    label: str
    """File name and the first 12 digits of its sha256: which table a number came from."""
    rows: Mapping[str, int]
    """The official string of a cell, to its place in the columns."""
    columns: Mapping[tuple[str, str], NDArray[np.float64]]
    """(data set, split) to (15625,) accuracies in percent, nan where the table has none."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that can be looked up."""
        return tuple(_PREFIX)

    @classmethod
    def open(cls, path: Path) -> BenchmarkTable:
        """Read a table. Raises UserError if it is missing, damaged, or not the whole benchmark."""
        path = Path(path)
        if not path.is_file():
            raise UserError(f"no benchmark table {path}: give a NAS-Bench-201 Parquet file")
        frame = _read(path)
        rows = {arch: place for place, arch in enumerate(frame["arch"])}
        if len(frame) != CELLS or len(rows) != CELLS:
            raise UserError(
                f"{path} has {len(frame)} rows of {len(rows)} cells: a NAS-Bench-201 table has "
                f"one row for each of the {CELLS:,} cells"
            )
        columns = {
            (data, split): frame[_column(data, split)].to_numpy(np.float64)
            for data in _PREFIX
            for split in SPLITS
        }
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        return cls(f"{path.name} (sha256 {digest})", rows, columns)

    def best(self, dataset: str, split: str) -> float:
        """The largest accuracy in percent of any cell, nan for a data set that it has not."""
        values = self.columns.get((dataset, split))
        return math.nan if values is None else float(np.nanmax(values))

    def lookup(self, genotypes: Sequence[str], dataset: str, split: str) -> NDArray[np.float64]:
        """(len(genotypes),) accuracies in percent after 200 epochs, nan where there is none.

        Raises UserError on a data set or split that the table has not, or a genotype that is none.
        """
        if dataset not in _PREFIX:
            raise UserError(
                f"{self.label} has no figures for '{dataset}': it has {', '.join(_PREFIX)}"
            )
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        for genotype in genotypes:
            if genotype not in self.rows:
                raise UserError(f"{self.label} has no cell '{genotype}': give official strings")
        places = [self.rows[genotype] for genotype in genotypes]
        return self.columns[dataset, split][np.array(places, dtype=np.intp)]
