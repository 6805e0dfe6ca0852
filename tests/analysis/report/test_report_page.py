from __future__ import annotations

import base64
import re
from dataclasses import replace
from itertools import pairwise

import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import parse, table

from analysis.paper.table import paper_table
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.records.load import load
from analysis.report import pictures, render, write
from analysis.stats.pairs import paired
from analysis.stats.statistics import statistics
from analysis.tables.comparison import table as comparison
from analysis.tables.statistics import paired_table, statistics_table
from drnas_ray.core.errors import UserError
from drnas_ray.spaces import SPACES

NB201 = SPACES["nb201"]
RUNS = "Every run"
RESULTS = "Methods: test accuracy in %, cells retrained from scratch"
pytestmark = pytest.mark.usefixtures("quick_figures")


@pytest.fixture
def collected(mixed) -> Collected:
    return load([mixed.write()])


def test_the_page_is_sound_html(collected):
    html = render(collected)
    assert html.startswith("<!DOCTYPE html>\n")
    page = parse(html)
    ids = [element.attrs["id"] for element in page.all() if "id" in element.attrs]
    assert len(ids) == len(set(ids))
    assert page.one("html").attrs["lang"] == "en"
    assert page.one("head").one("title").text == page.one("h1").text == "results"
    for link in page.all("a"):
        assert (link.attrs["href"] or "").removeprefix("#") in ids
    for element in page.all():
        assert element.attrs.get("aria-labelledby") in (None, *ids)
    assert page.one("main")
    assert page.one("nav").attrs["aria-label"] == "Contents"


def test_the_page_can_be_heard(collected):
    """Headings in order, every picture in words, every heading cell with its direction."""
    page = parse(render(collected))
    levels = [int(e.tag[1]) for e in page.all() if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(now <= before + 1 for before, now in pairwise(levels))
    pictures = page.all("img")
    assert len(pictures) >= 7
    assert all(len(picture.attrs["alt"] or "") > 20 for picture in pictures)
    charts = page.all("svg", role="img")
    assert charts
    assert all(len(chart.attrs["aria-label"] or "") > 20 for chart in charts)
    assert all(cell.attrs.get("scope") in ("col", "row") for cell in page.all("th"))
    for row in page.one("section", id="runs").one("tbody").all("tr"):
        assert row.one("th", scope="row").text in ("DrNAS", "DARTS")


def test_the_page_loads_nothing(collected):
    html = render(collected)
    assert not re.search(r"https?://", html)
    page = parse(html)
    for element in page.all():
        for name in ("src", "data", "poster", "srcset", "action"):
            assert (element.attrs.get(name) or "data:").startswith("data:")
    assert [link.attrs["href"] for link in page.all("link")] == ["data:,"]
    style = page.one("style").text
    assert "url(" not in style
    assert "@import" not in style
    assert all("src" not in script.attrs for script in page.all("script"))
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attrs["content"]
    assert (policy or "").startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in (policy or "")


HOSTILE = "<script>alert(1)</script>\"'&amp;<img src=x onerror=alert(1)>"


def test_hostile_names_stay_text(fake):
    fake.complete("d0", label=HOSTILE, variant={"a<b>": HOSTILE})
    fake.run("d1", label=HOSTILE, seed=1, variant={"a<b>": HOSTILE})
    fake.trial("d1", [fake.epoch("d1", 1, device=HOSTILE, hostname=HOSTILE)], error=HOSTILE)
    fake.run("</style></details>", label="]]>", seed=0, dataset="--><h1>x")
    html = render(load([fake.write(git_commit=HOSTILE)]))
    page = parse(html)
    assert len(page.all("script")) == 1
    assert "alert" not in page.one("script").text
    assert len(page.all("h1")) == 1
    assert all("onerror" not in element.attrs for element in page.all())
    assert HOSTILE in page.one("section", id="warnings").text
    assert table(page, RUNS)[1][0][0] == f"{HOSTILE}, a<b>={HOSTILE}"
    assert "<h1>x" not in html


def test_all_runs_are_listed(collected):
    head, rows = table(parse(render(collected)), RUNS)
    assert head[:8] == [
        *("Method", "Data set", "Seed", "Status", "Epochs"),
        *("Validation acc. %", "Test acc. % (retrained)", "Cell"),
    ]
    assert [row[:8] for row in rows] == [
        ["DrNAS", "digits", "0", "done", "3 of 3", "43.00", "97.25", "9930"],
        ["DrNAS", "digits", "1", "done", "3 of 3", "43.00", "97.25", "9930"],
        ["DrNAS", "digits", "2", "done", "3 of 3", "43.00", "96.50", "11472"],
        ["DrNAS", "digits", "3", "not begun", "0 of 3", "—", "—", "—"],
        ["DARTS", "digits", "0", "done", "3 of 3", "43.00", "60.12", "1835"],
        ["DARTS", "digits", "1", "diverged", "2 of 3", "42.00", "—", "9930"],
        ["DARTS", "digits", "2", "failed", "1 of 3", "41.00", "—", "9930"],
        ["DARTS", "digits", "3", "unfinished", "2 of 3", "12.50", "—", "77"],
    ]


def test_the_results_are_those_of_the_table(collected):
    head, rows = table(parse(render(collected)), RESULTS)
    want = comparison(collected.runs)
    assert head == ["Method", *want.columns]
    assert rows == [[label, *(cell.text() for cell in cells)] for label, cells in want.rows]


def test_a_benchmark_adds_its_table(fake, made_up_table):
    for seed, cell in enumerate((9930, 500)):
        fake.complete(f"d{seed}", cell=cell, seed=seed, dataset="cifar10")
    collected = load([fake.write()])
    benchmark = BenchmarkTable.open(made_up_table)
    page = parse(render(collected, benchmark))
    title = f"Methods: accuracy in % of the derived cells in {benchmark.label}"
    _, rows = table(page, title)
    want = comparison(collected.runs, benchmark)
    assert rows[0] == [want.rows[0][0], *(cell.text() for cell in want.rows[0][1])]
    assert rows[-1][0] == "optimal"
    assert (
        f"{500 / 200:.2f} % validation, {500 / 200 + 1:.2f} % test"
        in page.all("details", class_="run")[1].text
    )
    assert RESULTS not in page.text


@pytest.mark.long
def test_the_papers_table_stands_beside_runs_of_its_data_sets(fake, made_up_table, collected):
    assert "ours beside the paper's" not in parse(render(collected)).text  # those were the digits
    fake.complete("c0", dataset="cifar10")
    benchmark = BenchmarkTable.open(made_up_table)
    runs = load([fake.write()])
    page = parse(render(runs, benchmark))
    head, rows = table(page, "NAS-Bench-201, ours beside the paper's")
    want = paper_table("nb201", runs.runs, benchmark)
    assert head == [want.first, *want.columns]
    assert len(rows) == len(want.rows)
    for row, (label, cells) in zip(rows, want.rows, strict=True):
        assert row == [label, *(cell.text() or "—" for cell in cells)]
    groups = page.one("section", id="results").all("th", scope="colgroup")
    spans = [(group.text, int(group.attrs["colspan"] or 0)) for group in groups]
    assert spans == [(heading, span) for heading, span in want.groups if heading]


def test_cells_trained_here_are_not_put_beside_the_papers(fake, made_up_table):
    fake.complete("c0", dataset="cifar10")
    ours = replace(BenchmarkTable.open(made_up_table), epochs=12, cells=7)
    page = parse(render(load([fake.write()]), ours))
    _, rows = table(page, "NAS-Bench-201, ours beside the paper's")
    (drnas,) = [row for row in rows if row[0] == "DrNAS"]
    assert f"{9930 / 200:.2f} (1)" not in drnas
    _, rows = table(page, f"Methods: accuracy in % of the derived cells in {ours.label}")
    assert f"{9930 / 200:.2f} (1)" in rows[0]


def test_statistics_and_pairs(collected):
    page = parse(render(collected))
    what = "test accuracy in %, cells retrained from scratch"
    for title, want in (
        (f"Over seeds: {what}", statistics_table(statistics(collected.runs), None)),
        (f"Pairs of methods over common seeds: {what}", paired_table(paired(collected.runs), None)),
    ):
        head, rows = table(page, title)
        assert head == [want.first, *want.columns]
        assert rows == [[text or "—" for text in line] for line in want.lines()]
        assert " ".join(want.notes) in page.one("section", id="statistics").text


@pytest.mark.long
def test_too_many_pairs_are_left_out_with_the_reason(fake):
    for place in range(61):
        fake.complete(f"d{place}", label=f"M{place}")
    text = parse(render(load([fake.write()]), most_runs=0)).one("section", id="statistics").text
    assert "Left out: 61 methods and variants on digits make 1,830 pairs" in text


def test_figures_and_why_one_is_missing(collected):
    section = parse(render(collected)).one("section", id="figures")
    assert section.one("img").attrs["alt"] == "A line of so many points as there are runs."
    source = section.one("img").attrs["src"] or ""
    svg = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode()
    assert "<svg" in svg
    assert "<text" not in svg  # letters are paths: no font of the reader's is needed
    assert [section.one(tag).text for tag in ("dt", "dd")] == ["nothing", "nothing was <measured>"]


@pytest.mark.long
def test_a_heavy_figure_goes_in_as_a_png(collected):
    figure = Figure(figsize=(2, 2))
    axes = figure.add_subplot()
    axes.scatter(range(8000), [i * 37 % 101 for i in range(8000)], c=range(8000))
    made = pictures.picture(figure, "dots")
    assert made.src.startswith("data:image/png;base64,")
    assert (made.width, made.height) == (192, 192)


def test_a_run_shown_in_full(collected):
    page = parse(render(collected))
    detail = page.all("details", class_="run")[0]
    text = detail.text
    assert "DrNAS on digits, seed 0" in text
    assert "97.25 % test" in text
    assert NB201.cell(9930) in [code.text for code in detail.all("code")]
    words = detail.one("img").attrs["alt"] or ""
    assert "0 to 1 nor_conv_3x3" in words
    assert "0 to 3 skip_connect" in words
    charts = detail.all("svg", role="img")
    assert len(charts) == 6 + 3  # edges; accuracy, loss, entropy
    first = charts[0].attrs["aria-label"] or ""
    # The fake's strengths: 0.1 o + e + epoch, here of edge 0 after epoch 3.
    assert first == (
        "node 0 → node 1, epochs 1 to 3. Last: none 3, skip_connect 3.1, nor_conv_1x1 3.2, "
        "nor_conv_3x3 3.3, avg_pool_3x3 3.4."
    )
    failed = page.all("details", class_="run")[5]
    assert "DARTS on digits, seed 2" in failed.text
    assert "x: out of memory" in failed.text


def test_a_space_without_pictures_says_so(fake):
    fake.complete("d0")
    fake.runs[0]["space"] = "nowhere"
    page = parse(render(load([fake.write()])))
    detail = page.one("details", class_="run")
    assert "unknown space 'nowhere'" in detail.text
    assert detail.all("img") == []


@pytest.mark.long
def test_equal_data_give_an_equal_page(mixed):
    folder = mixed.write()
    assert render(load([folder])) == render(load([folder]))


def test_no_runs_is_refused(fake):
    with pytest.raises(UserError, match="no runs to report on"):
        render(load([fake.write()]))


# In the order of the data, where each copy has two seeds of both methods.
SIX = [(0, "DrNAS"), (1, "DrNAS"), (0, "DARTS"), (1, "DARTS"), (2, "DrNAS"), (2, "DARTS")]


@pytest.mark.long
def test_many_runs_give_a_page_of_bounded_size(fake):
    """Two methods with 600 seeds each: what does not fit is named."""
    for label in ("DrNAS", "DARTS"):
        for seed in range(2):
            fake.complete(f"{label}{seed}", label=label, seed=seed)
    one = load([fake.write()])
    copies = []
    for copy in range(300):
        runs = one.runs.copy()
        runs["seed"] += 2 * copy
        runs["run_id"] += f"-{copy}"
        copies.append(runs)
    epochs = one.epochs.assign(run_id=one.epochs["run_id"] + "-0")
    many = Collected(pd.concat(copies, ignore_index=True), epochs, one.retrains, ())
    html = render(many, most_runs=6)
    page = parse(html)
    assert len(html) < 600_000
    titles = [detail.one("h4").text for detail in page.all("details", class_="run")]
    assert titles == [f"{label} on digits, seed {seed}" for seed, label in SIX]
    assert len(table(page, RUNS)[1]) == 500
    assert "The first 500 rows; 700 more are not shown." in page.text
    head, rows = table(page, "Runs by method and data set")
    assert [row[head.index("Shown in full")] for row in rows] == ["3", "3"]
    assert [row[head.index("Not in full")] for row in rows] == ["3 to 599"] * 2
    assert "6 of 1,200 runs" in page.text


def test_all_that_have_begun_are_shown(collected):
    page = parse(render(collected))
    assert len(page.all("details", class_="run")) == 7
    assert "All 7 runs that have begun." in page.text


def test_none_shown_in_full(collected):
    page = parse(render(collected, most_runs=0))
    assert page.all("details", class_="run") == []
    assert len(table(page, RUNS)[1]) == 8


def test_write_puts_the_whole_page_there(tmp_path):
    path = tmp_path / "new" / "page.html"
    write("<p>ü</p>", path)
    assert path.read_bytes() == "<p>ü</p>".encode()
    write("again", path)
    assert [entry.name for entry in path.parent.iterdir()] == ["page.html"]
    assert path.read_text() == "again"
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't write"):
        write("x", tmp_path / "file" / "page.html")
