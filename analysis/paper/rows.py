"""Which of our runs belong to which row of a table of the paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from analysis.records.labels import full_label
from analysis.stats.summary import Group, RunRow
from drnas_ray.benchmarks.published import PublishedTable, Row
from drnas_ray.results.status import Status


@dataclass(frozen=True)
class ComparedRow:
    """A row of the table: a published row, runs of ours, or both."""

    published: Row | None
    ours: str = ""
    """Label and variant of our runs; empty if there are none."""
    protocol: str = ""
    epochs: int | None = None
    """Of the retraining, if our runs have several recipes; else None."""
    run_rows: Mapping[str, Sequence[RunRow]] = field(default_factory=dict)
    """Our runs by data set."""

    def done(self, dataset: str) -> list[RunRow]:
        """The finished runs on a data set."""
        return [r for r in self.run_rows.get(dataset, ()) if r["status"] == Status.done]

    def searched(self, dataset: str) -> list[RunRow]:
        """Those that were searched on it, not only looked up."""
        return [r for r in self.done(dataset) if r["searched_on"] == dataset]

    @property
    def devices(self) -> list[str]:
        """The devices on which its finished runs were searched."""
        found = {str(r["device"]) for data in self.run_rows for r in self.done(data) if r["device"]}
        return sorted(found)


def compared_rows(
    paper: PublishedTable, groups: Mapping[Group, Sequence[RunRow]]
) -> Iterator[ComparedRow]:
    """The paper's rows in order, each with our runs of that method; then our other runs."""
    mine: dict[tuple[str, str, str, int | None], dict[str, Sequence[RunRow]]] = {}
    for group, run_rows in groups.items():
        key = (group.label, group.variant, group.protocol, group.retrain_epochs)
        mine.setdefault(key, {})[group.dataset] = run_rows
    taken = set()
    for row in paper.rows:
        fits = [
            key for key in mine if key[0] in row.ours and key[1] == "{}" and not row.searched_on
        ]
        taken |= set(fits)
        yield from [_compared(row, key, mine[key]) for key in fits] or [ComparedRow(row)]
    yield from (
        _compared(None, key, run_rows) for key, run_rows in mine.items() if key not in taken
    )


def _compared(
    published: Row | None,
    key: tuple[str, str, str, int | None],
    run_rows: Mapping[str, Sequence[RunRow]],
) -> ComparedRow:
    label, variant, protocol, epochs = key
    return ComparedRow(published, full_label(label, variant), protocol, epochs, run_rows)


def _name(row: ComparedRow, several: bool) -> str:
    """The first column: the paper's name of the row, with ours if it is needed as well."""
    if row.published is None:
        name = row.ours
    else:
        cite = f" ({row.published.cite})" if row.published.cite else ""
        name = f"{row.published.label}{row.published.marks}{cite}"
        if several:
            name += f" [{row.ours}]"
    return name if row.epochs is None else f"{name} [retrained {row.epochs} epochs]"


def names_of(rows: Sequence[ComparedRow]) -> list[str]:
    """The first column: the paper's names, with ours where several of ours share a row."""
    ours: dict[str, set[str]] = {}
    for row in rows:
        if row.published is not None:
            ours.setdefault(row.published.label, set()).add(row.ours)
    return [
        _name(row, row.published is not None and len(ours[row.published.label]) > 1) for row in rows
    ]
