"""`drnas bench import`: any known file to one Parquet table, complete or not at all."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from drnas_ray import __version__
from drnas_ray.benchmarks.columns import CELLS, SCHEMA_VERSION
from drnas_ray.core.errors import UserError
from drnas_ray.core.files import atomic_replacement
from drnas_ray.importers.collect import CURVES, Collector
from drnas_ray.importers.official import Report, is_official, read_official
from drnas_ray.importers.tidy import tidy_columns
from drnas_ray.importers.trained import is_trained, trained_columns
from drnas_ray.spaces.nb201 import NB201

_SPACE = NB201()
_SUM_IN_NAME = re.compile(r"-v\d_\d-([0-9a-f]{5,6})(?=[-.]|$)")


@dataclass(frozen=True)
class Imported:
    """What was written. checksum: the file's checksum compared with the digits in its name.

    numbered: values that a single official file numbers; see `read_official`.
    """

    table: Path
    curves: Path | None
    cells: int
    columns: int
    checksum: str
    numbered: int = 0


def import_benchmark(
    source: Path,
    target: Path,
    curves: Path | None = None,
    report: Report | None = None,
    recipe: str | None = None,
) -> Imported:
    """Read any official or tidy file, or a folder of trained cells, and write one table.

    curves: gets every epoch of official files. recipe: which one, for a folder of trained
    cells that has several. Raises UserError, with nothing written, if the source is missing,
    damaged or of another kind.
    """
    if not source.exists():
        raise UserError(f"benchmark file {source} does not exist")
    trained = is_trained(source)
    if recipe is not None and not trained:
        raise UserError(
            f"--recipe applies to folders that `drnas bench build` filled: {source} is not one"
        )
    official = not trained and is_official(source)
    if not official and not trained and source.suffix not in (".csv", ".parquet"):
        raise UserError(
            f"benchmark file {source}: give a .pth, .pickle.pbz2, .tar, .csv or .parquet file, "
            "or a folder of .pickle.pbz2 files or of trained cells"
        )
    if curves is not None and not official:
        raise UserError(f"--curves needs an official file: a table such as {source} has no epochs")
    sha256, checksum = (
        ("", "trained here: parts have no checksum") if trained else _checksums(source)
    )
    facts = {
        "drnas_bench_schema": str(SCHEMA_VERSION),
        "source": source.name,
        "source_sha256": sha256,
        "source_checksum": checksum,
        "importer": f"drnas-ray {__version__}",
    }
    numbered = 0
    with ExitStack() as files:
        new_table = files.enter_context(_aside(target))
        new_curves = None if curves is None else files.enter_context(_aside(curves))
        if official:
            columns, cells, numbered = _official(source, new_curves, facts, report or _silent)
        elif trained:
            columns, cells, more = trained_columns(source, recipe)
            facts |= more
        else:
            columns, cells = tidy_columns(source)
        facts["cells"] = str(cells)
        whole = pa.table({**_cell_columns(), **columns}).replace_schema_metadata(facts)
        # Columns are read one by one, for which one row group is best.
        pq.write_table(whole, new_table, compression="zstd", row_group_size=CELLS)
    return Imported(target, curves, cells, len(columns), checksum, numbered)


def _silent(done: int, total: int) -> None:
    pass


def _official(
    source: Path, curves: Path | None, facts: dict[str, str], report: Report
) -> tuple[dict[str, pa.Array], int, int]:
    if curves is None:
        collector = Collector()
        numbered = read_official(source, collector.take, report)
        return collector.columns(), collector.cells, numbered
    with pq.ParquetWriter(curves, CURVES.with_metadata(facts), compression="zstd") as writer:
        collector = Collector(writer)
        numbered = read_official(source, collector.take, report)
        collector.flush()
    return collector.columns(), collector.cells, numbered


def _cell_columns() -> dict[str, pa.Array]:
    """The columns that name a cell. unique_group: the same number for isomorphic cells."""
    cells = [_SPACE.cell(index) for index in range(CELLS)]
    groups: dict[str, int] = {}
    numbers = [groups.setdefault(_SPACE.canonical(cell), len(groups)) for cell in cells]
    return {
        "arch_index": pa.array(np.arange(CELLS, dtype=np.int32)),
        "arch": pa.array(cells),
        "unique_group": pa.array(numbers, pa.int32()),
    }


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """As `atomic_replacement`. Raises UserError where no file can be written under this name."""
    if not path.parent.is_dir():
        raise UserError(f"folder {path.parent}, for {path.name}, does not exist")
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a file name such as {path / 'nb201.parquet'}")
    with atomic_replacement(path) as aside:
        yield aside


def _checksums(source: Path) -> tuple[str, str]:
    """sha256, and whether the digits in an official file's name agree with its checksums.

    Names contain the first or last digits of a checksum; which one is not documented, so either end
    of md5 and sha256 counts as agreement.
    """
    if source.is_dir():
        return "", "a folder has no checksum; those inside its files were right"
    with source.open("rb") as file:
        sums = {"md5": hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256()}
        while block := file.read(1 << 20):
            for one in sums.values():
                one.update(block)
    digests = {kind: one.hexdigest() for kind, one in sums.items()}
    named = _SUM_IN_NAME.search(source.name)
    if named is None or "-simple" in source.name:
        return digests["sha256"], f"md5 {digests['md5']}; its name has no checksum to compare with"
    digits = named.group(1)
    for kind, digest in digests.items():
        if digest.startswith(digits) or digest.endswith(digits):
            return digests["sha256"], f"{kind} {digest} agrees with {digits} in its name"
    return (
        digests["sha256"],
        f"WARNING: md5 {digests['md5']} does not have the {digits} of its name: it was renamed "
        "or is not the file as published",
    )
