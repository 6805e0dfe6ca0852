"""The published figures against the slides' own text, and what the loader refuses."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from drnas_ray.benchmarks.published import NAMES, Figure, PublishedTable, published
from drnas_ray.core.errors import UserError

ROWS = {"nb201": 13, "cifar10": 19, "imagenet": 22}
_START = {"nb201": "Method\tCIFAR-10", "cifar10": "Architecture\tTest Error (%)\tParams",
          "imagenet": "Architecture\tTest Error(%)\t\tParams"}  # fmt: skip


def slides() -> str:
    """The slides as text, or a skip that says why."""
    named = os.environ.get("DRNAS_SLIDES")
    here = Path(__file__).resolve()
    found = [Path(named)] if named else sorted(here.parents[3].glob("shared/seeds/*.txt"))
    for path in found:
        text = path.read_text(encoding="utf-8")
        if all(start in text for start in _START.values()):
            return text
    pytest.skip("no text of the DrNAS slides: set DRNAS_SLIDES to a file of it")


def printed(text: str, name: str) -> list[list[str]]:
    """The rows of a table of the slides: name, then figures, without mark-up."""
    plain = re.sub(r"</?(?:b|sup)>", "", text)
    lines = plain[plain.index(_START[name]) :].splitlines()[2 - (name == "cifar10") :]
    rows = []
    for line in lines:
        if "\t" not in line:
            break
        rows.append([part.strip() for part in line.split("\t")])
    return rows


@pytest.mark.parametrize("name", NAMES)
def test_every_row_and_column_as_the_slides_print_them(name):
    ours = []
    for row in published(name).rows:
        cite = f" ({row.cite})" if row.cite else ""
        space = " " if row.marks in ("†",) else ""
        figures = [figure.text for figure in row.figures]
        if row.cost_mark:
            figures[-2] += f" {row.cost_mark}"
        ours.append([f"{row.label}{cite}{space}{row.marks}", *figures])
    assert ours == printed(slides(), name)


@pytest.mark.parametrize("name", NAMES)
def test_shape(name):
    table = published(name)
    assert len(table.rows) == ROWS[name]
    assert "DrNAS" in table.rows[-2 if name == "nb201" else -1].label
    assert {row.searched_on for row in table.rows} <= {None, "cifar10", "cifar100"}


def test_figures():
    assert (Figure(text="2.50 ± 0.06").mean, Figure(text="2.50 ± 0.06").std) == (2.5, 0.06)
    assert (Figure(text="~ 5").mean, Figure(text="~ 5").std) == (5.0, None)
    assert Figure(text="-").mean is None
    assert Figure(text="gradient").mean is None
    assert published("nb201").numbers("optimal") == (91.61, 94.37, 73.49, 73.51, 46.77, 47.31)


def test_wrong_names_and_damage():
    with pytest.raises(UserError, match="unknown paper table 'nb202': did you mean 'nb201'"):
        published("nb202")
    with pytest.raises(UserError, match="did you mean 'DrNAS'"):
        published("nb201").row("DrNSA")
    good = {"title": "t", "source": "s", "space": "nb201"}
    columns = [{"key": "a", "heading": "A"}, {"key": "kind", "heading": "K"}]
    row = {"label": "x", "figures": ["1.0 ± 0.1", "RL"]}
    assert PublishedTable.model_validate({**good, "columns": columns, "rows": [row]})
    for change, message in (
        ({"figures": ["1.0"]}, "1 figures for 2 columns"),
        ({"figures": ["1,0", "RL"]}, "'1,0' under 'A'"),
        ({"figures": ["RL", "RL"]}, "'RL' under 'A'"),
        ({"figures": ["1.0", "2.0"]}, "'2.0' under 'K'"),
        ({"colour": "red"}, "Extra inputs"),
    ):
        with pytest.raises(ValidationError, match=re.escape(message)):
            PublishedTable.model_validate({**good, "columns": columns, "rows": [row | change]})
    with pytest.raises(ValidationError, match="'x' is given twice"):
        PublishedTable.model_validate({**good, "columns": columns, "rows": [row, row]})
