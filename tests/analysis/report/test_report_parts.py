"""Numbers, spans and charts, each against values worked out by hand."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest

from analysis.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Style, chart
from analysis.report.page_tables import (
    MOST_ROWS,
    absent,
    duration,
    moment,
    number,
    page_table,
    ranges,
    words,
)
from analysis.report.run_list import chosen

STYLE = Style("c0")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (59.7, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3600, "1 h 00 min"),
        (18_150, "5 h 02 min"),
        (86_399, "1 d 0 h"),
        (90_000, "1 d 1 h"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_ranges():
    assert ranges([]) == ""
    assert ranges([3, 1, 2, 0, 5, 9, 8, 8]) == "0 to 3, 5, 8 to 9"
    assert ranges(range(0, 30, 2)) == "0, 2, 4, 6, 8, 10 and 9 more"


def test_figures_and_gaps():
    assert number(1234.567).text == "1,234.57"
    assert number(1234.567).order == 1234.567
    for nothing in (None, math.nan, pd.NA):
        assert absent(nothing)
        assert number(nothing).missing
        assert words(nothing).missing
    assert number(math.inf).missing
    assert not words(0).missing
    assert moment(1_700_000_000) == "2023-11-14 22:13 UTC"


def test_a_long_grid_is_cut():
    made = page_table("t", ["a", "b"], [[words(i), number(i)] for i in range(MOST_ROWS + 7)])
    assert (len(made.rows), made.left_out) == (MOST_ROWS, 7)
    assert made.numeric == (False, True)


def points(path: str) -> list[tuple[str, float, float]]:
    return [
        (command, float(x), float(y)) for command, x, y in re.findall(r"([ML])(\S+) ([\d.]+)", path)
    ]


def test_a_chart_puts_points_where_their_values_are():
    made = chart("t", [1, 2, 5], {"a": (STYLE, [0.0, 5.0, 10.0])})
    assert made is not None
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    assert points(made.lines[0].path) == [
        ("M", LEFT, bottom),
        ("L", LEFT + (right - LEFT) / 4, (bottom + TOP) / 2),
        ("L", right, TOP),
    ]
    assert [(tick.text, tick.at) for tick in made.y_ticks] == [
        (text, pytest.approx(bottom - float(text) / 10 * (bottom - TOP)))
        for text in ("0", "5", "10")
    ]
    assert made.alt == "t, epochs 1 to 5. Last: a 10."


def test_a_curve_is_broken_where_values_are_missing():
    made = chart("t", [1, 2, 3, 4, 5], {"a": (STYLE, [1.0, None, 2.0, 3.0, math.nan])})
    assert made is not None
    assert [command for command, _, _ in points(made.lines[0].path)] == ["M", "M", "L"]
    assert made.lines[0].path.count("h0") == 1  # the lone point is a dot
    assert "Last: a 3." in made.alt


def test_limits_are_shared_and_constant_curves_have_a_scale():
    low = chart("t", [1, 2], {"a": (STYLE, [1.0, 1.0])}, limits=(0.0, 4.0))
    assert low is not None
    bottom = HEIGHT - BOTTOM
    assert {y for _, _, y in points(low.lines[0].path)} == {bottom - (bottom - TOP) / 4}
    flat = chart("t", [7], {"a": (STYLE, [3.0])})
    assert flat is not None
    assert [y for _, _, y in points(flat.lines[0].path)] == [(bottom + TOP) / 2]
    assert chart("t", [1, 2], {"a": (STYLE, [None, math.nan])}) is None


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    values = [float(i) for i in range(1000)]
    made = chart("t", list(range(1, 1001)), {"a": (STYLE, values)})
    assert made is not None
    drawn = points(made.lines[0].path)
    assert len(drawn) == 100
    assert drawn[0][1:] == (LEFT, HEIGHT - BOTTOM)
    assert drawn[-1][1:] == (WIDTH - RIGHT, TOP)


def runs_of(statuses: dict[str, list[str]]) -> pd.DataFrame:
    rows = [
        {
            "protocol": "search",
            "label": label,
            "variant": "{}",
            "dataset": "digits",
            "seed": seed,
            "status": status,
        }
        for label, states in statuses.items()
        for seed, status in enumerate(states)
    ]
    return pd.DataFrame(rows)


def test_every_method_has_its_turn():
    runs = runs_of({"A": ["done"] * 6, "B": ["done"] * 2, "C": ["pending"] * 3})
    assert chosen(runs, 100) == list(range(8))  # nothing to tell of what has not begun
    assert chosen(runs, 5) == [0, 1, 2, 6, 7]
    assert chosen(runs, 0) == []


def test_failures_have_a_quarter_of_the_places():
    runs = runs_of({"A": ["done"] * 8 + ["error"] * 4, "B": ["diverged"] * 4 + ["done"] * 8})
    assert chosen(runs, 8) == [0, 1, 2, 8, 12, 16, 17, 18]
    # Places that nobody else wants are theirs too.
    assert chosen(runs, 23) == [*range(11), *range(12, 24)]
