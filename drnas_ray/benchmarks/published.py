"""The published tables (`published.yaml`): every figure as printed, with its source."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from drnas_ray.core.errors import unknown_name

NAMES = ("nb201", "cifar10", "imagenet")
"""Names of the tables."""
_FIGURE = re.compile(r"(?:~ )?(\d+(?:\.\d+)?)(?: ± (\d+\.\d+))?")
_KINDS = ("manual", "RL", "evolution", "SMBO", "gradient")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Part):
    """One cell of a published table."""

    text: str
    """As printed: `2.54 ± 0.03`, `~ 5`, `-` for none, or a word such as `gradient`."""

    @property
    def mean(self) -> float | None:
        """The number; None for a word or `-`."""
        match = _FIGURE.fullmatch(self.text)
        return None if match is None else float(match[1])

    @property
    def std(self) -> float | None:
        """The number after ±; None where none is printed."""
        match = _FIGURE.fullmatch(self.text)
        return None if match is None or match[2] is None else float(match[2])


class Column(_Part):
    """One column. `key` names the figure, `dataset` its data set."""

    key: str
    heading: str
    dataset: str | None = None


class Row(_Part):
    """One row of a published table."""

    label: str
    cite: str = ""
    marks: str = ""
    """Footnote marks printed after the name."""
    cost_mark: str = ""
    """The mark printed after the search cost."""
    figures: tuple[Figure, ...]
    ours: tuple[str, ...] = ()
    """Labels of our runs that belong to this row."""
    searched_on: str | None = None
    """The data set searched on; None: the table's own."""

    @model_validator(mode="before")
    @classmethod
    def _texts(cls, raw: dict[str, object]) -> dict[str, object]:
        texts = raw.get("figures")
        return {**raw, "figures": [{"text": t} for t in texts]} if isinstance(texts, list) else raw


class PublishedTable(_Part):
    """One table of the paper."""

    title: str
    source: str
    space: str
    """Its rows are compared with runs on this space."""
    columns: tuple[Column, ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for row in self.rows:
            if len(row.figures) != len(self.columns):
                raise ValueError(
                    f"row {row.label}: {len(row.figures)} figures for {len(self.columns)} columns"
                )
            for column, figure in zip(self.columns, row.figures, strict=True):
                word = figure.text in _KINDS
                if word != (column.key == "kind") or not (
                    word or figure.text == "-" or figure.mean is not None
                ):
                    raise ValueError(f"row {row.label}: '{figure.text}' under '{column.heading}'")
        for names in ([row.label for row in self.rows], [column.key for column in self.columns]):
            _distinct(names)
        return self

    def row(self, label: str) -> Row:
        """The row with this label. Raises UserError if there is none."""
        for row in self.rows:
            if row.label == label:
                return row
        raise unknown_name(f"row of the {self.title} table", label, [r.label for r in self.rows])

    def numbers(self, label: str) -> tuple[float, ...]:
        """The figures of a row without their deviations; for tables of numbers only."""
        return tuple(f.mean for f in self.row(label).figures if f.mean is not None)


def _distinct(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"'{name}' is given twice")
        seen.add(name)


@cache
def published(name: str) -> PublishedTable:
    """A table by its name (`NAMES`). Raises UserError for another name."""
    if name not in NAMES:
        raise unknown_name("paper table", name, NAMES)
    text = files("drnas_ray.benchmarks").joinpath("published.yaml").read_text(encoding="utf-8")
    # BaseLoader keeps every figure as the text it is: 2.50 must not become 2.5.
    return PublishedTable.model_validate(yaml.load(text, Loader=yaml.BaseLoader)[name])
