"""Every status of a run is counted, and named, wherever runs are counted."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from pages import parse, table

import analysis.report
from analysis.figures import FIGURES
from analysis.progress.status import sweep_progress
from analysis.records.collect import Collected, collect
from analysis.records.load import load
from analysis.report import render
from analysis.report.warnings import report_warnings
from analysis.stats.summary import summary
from analysis.tables.comparison import table as comparison
from analysis.tuning.results import tuning_notes, tunings
from drnas_ray.results.status import ENDED, NOT_DONE, Status, counts_text

each_status = pytest.mark.parametrize("status", Status)
each_not_done = pytest.mark.parametrize("status", NOT_DONE)


def add_run(fake, ident: str, status: Status, seed: int, **run) -> None:
    """A run with this status, in the form in which a sweep and Ray leave it."""
    fake.run(ident, seed=seed, **run)
    if status is Status.pending:
        return
    last = fake.epoch(ident, 2, status=status if status in ENDED else "running")
    error = "Failure # 1\nOOM\n" if status is Status.error else None
    fake.trial(ident, [fake.epoch(ident, 1), last], error=error)


@pytest.fixture
def tuning_runs() -> pd.DataFrame:
    """Twelve points of two seeds, all done."""
    search = {
        "space": {"arch.lr": {"uniform": [0.0, 12.0]}},
        "metric": "val_loss", "mode": "min", "trials": 12, "n_initial_points": 4,
        "points": [], "seed": 0, "scheduler": "asha",
    }  # fmt: skip
    runs = [
        {
            "run_id": f"{point}-{seed}", "label": "DrNAS", "dataset": "digits", "seed": seed,
            "point": point, "objective": float(point), "status": "done", "epochs_done": 3,
            "tuning": json.dumps(search), "variant": json.dumps({"arch.lr": float(point)}),
        }
        for point in range(12)
        for seed in range(2)
    ]  # fmt: skip
    return pd.DataFrame(runs)


@pytest.fixture
def folder(fake, status):
    """Two done runs, and two with this status."""
    for seed in range(2):
        add_run(fake, f"d{seed}", Status.done, seed)
        add_run(fake, f"x{seed}", status, seed + 2)
    return fake.write()


@each_status
def test_summaries_and_progress_count_it(folder, status):
    runs = collect(folder)
    count = 4 if status is Status.done else 2
    assert summary(runs.runs)[f"n_{status}"].tolist() == [count]
    assert sweep_progress(runs).groups[status].tolist() == [count]


@each_not_done
def test_the_note_under_a_table_names_it(folder, status):
    notes = " ".join(comparison(load([folder]).runs).notes)
    assert f"Left out of 4 runs: 2 {status.word}" in notes


@each_status
@pytest.mark.usefixtures("quick_figures")
def test_the_report_counts_it_in_tiles_overview_and_list(folder, status):
    page = parse(render(load([folder]), most_runs=0))
    tile = page.one("dl", class_="tiles").all("dd")[0].text
    done = 4 if status is Status.done else 2
    rest = "" if status is Status.done else f"2 {status.word}"
    assert tile == f"{done} of 4{rest}"
    heads, ((*row,),) = table(page, "Runs by method and data set")
    counts = {one: int(row[heads.index(one.word.capitalize())]) for one in Status}
    assert counts == dict.fromkeys(Status, 0) | {Status.done: 2} | {status: done if not rest else 2}
    _, rows = table(page, "Every run")
    assert [line[3] for line in rows].count(status.word) == (4 if status is Status.done else 2)


@each_not_done
def test_the_report_warns_of_it(folder, status):
    warnings = report_warnings(load([folder]))
    about = [
        w for w in warnings if w.title in ("Failed", "Diverged", "Stopped early", "Unfinished")
    ]
    assert len(about) == 1
    assert "2" in about[0].text


def test_the_style_sheet_marks_every_status():
    style = (Path(analysis.report.__file__).parent / "templates" / "report.css").read_text()
    assert [status for status in Status if f".status.{status}::before" not in style] == []


@each_not_done
def test_a_tuning_counts_its_points(tuning_runs, status):
    tuning_runs.loc[tuning_runs["point"] == 1, "status"] = str(status)
    (tuning,) = tunings(tuning_runs)
    assert tuning.points["status"].tolist()[1] == status
    assert f"Not ranked, of 12 points: 1 {status.word}." in tuning_notes(tuning)


@each_not_done
def test_a_point_is_done_only_if_all_its_runs_are(tuning_runs, status):
    tuning_runs.loc[2, "status"] = str(status)
    assert tunings(tuning_runs)[0].points["status"].tolist()[:2] == ["done", status]


def test_counts_in_words():
    assert counts_text([]) == counts_text(["done"]) == ""
    assert counts_text([*Status, "error"]) == (
        "1 diverged, 1 stopped early, 1 unfinished, 2 failed, 1 not begun"
    )


def test_the_tuning_figure_names_every_line_that_is_not_done(tuning_runs):
    for point, status in enumerate(NOT_DONE):
        tuning_runs.loc[tuning_runs["point"] == point, "status"] = str(status)
    figure = FIGURES["tuning-parallel"].draw(
        Collected(tuning_runs, pd.DataFrame(), pd.DataFrame(), ()), None
    )
    assert "7 points; dashed: " + counts_text(NOT_DONE) in figure.axes[0].get_title()
