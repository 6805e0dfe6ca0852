"""Which of our runs stand in which row of a paper table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from analysis.records.labels import variant_text
from analysis.stats.summary import Group, RunRow
from drnas_ray.benchmarks.published import PublishedTable, Row


@dataclass(frozen=True)
class Line:
    """One line of the table: a published row, runs of ours, or both."""

    row: Row | None
    ours: str = ""
    """Label and variant of our runs; empty where there are none."""
    protocol: str = ""
    epochs: int | None = None
    """Of retraining, where runs of several recipes are at hand."""
    records: Mapping[str, Sequence[RunRow]] = field(default_factory=dict)
    """By data set."""

    def done(self, dataset: str) -> list[RunRow]:
        """The finished runs on a data set."""
        return [r for r in self.records.get(dataset, ()) if r["status"] == "done"]

    def searched(self, dataset: str) -> list[RunRow]:
        """Those that were searched there, and not only looked up."""
        return [r for r in self.done(dataset) if r["searched_on"] == dataset]

    @property
    def devices(self) -> list[str]:
        """Where its finished runs were searched."""
        found = {str(r["device"]) for data in self.records for r in self.done(data) if r["device"]}
        return sorted(found)


def lines_of(paper: PublishedTable, groups: Mapping[Group, Sequence[RunRow]]) -> Iterator[Line]:
    """The paper's rows in its order, each with our runs of it; then the runs that are none."""
    mine: dict[tuple[str, str, str, int | None], dict[str, Sequence[RunRow]]] = {}
    for group, records in groups.items():
        key = (group.label, group.variant, group.protocol, group.retrain_epochs)
        mine.setdefault(key, {})[group.dataset] = records
    taken = set()
    for row in paper.rows:
        fits = [
            key for key in mine if key[0] in row.ours and key[1] == "{}" and not row.searched_on
        ]
        taken |= set(fits)
        yield from [_line(row, key, mine[key]) for key in fits] or [Line(row)]
    yield from (_line(None, key, records) for key, records in mine.items() if key not in taken)


def _line(
    row: Row | None,
    key: tuple[str, str, str, int | None],
    records: Mapping[str, Sequence[RunRow]],
) -> Line:
    label, variant, protocol, epochs = key
    name = ", ".join(filter(None, (label, variant_text(variant))))
    return Line(row, name, protocol, epochs, records)


def _name(line: Line, several: bool) -> str:
    """The first column: the paper's name for the row, and ours where it takes telling apart."""
    if line.row is None:
        name = line.ours
    else:
        cite = f" ({line.row.cite})" if line.row.cite else ""
        name = f"{line.row.label}{line.row.marks}{cite}"
        if several:
            name += f" [{line.ours}]"
    return name if line.epochs is None else f"{name} [retrained {line.epochs} epochs]"


def names_of(lines: Sequence[Line]) -> list[str]:
    """The first column: the paper's names, with ours where several of ours are one row."""
    ours: dict[str, set[str]] = {}
    for line in lines:
        if line.row is not None:
            ours.setdefault(line.row.label, set()).add(line.ours)
    return [_name(line, line.row is not None and len(ours[line.row.label]) > 1) for line in lines]
