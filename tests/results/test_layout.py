"""One list of what an analysis reads: what a store copies and what makes an export stale."""

from __future__ import annotations

from pathlib import Path

import pytest

from drnas_ray.core.stores import Store
from drnas_ray.results import layout

READ = {
    "sweep.json", "retrain.json", "points.jsonl",
    "search/t/params.json", "search/t/result.json", "search/t/error.txt",
    "search/t/passed_over.jsonl", "search/t/checkpoint_000001/epochs.jsonl",
    "search-1/t/result.json", "retrain-2/t/checkpoint_000000/epochs.jsonl",
    "packed/pack-0000/params.json",
}  # fmt: skip
UNREAD = {
    "table.md", "search/tuner.pkl", "search/t/progress.csv", "search/t/checkpoint_000001/run.pt",
    "searching/t/result.json", "result.json", "search/result.json", "cells/one.png",
    "derived/t/params.json",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*READ, *UNREAD, "runs.parquet"):
        path = tmp_path / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "results"


def test_what_is_listed_is_what_is_recognised(folder: Path) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == READ | UNREAD | {"runs.parquet"}
    assert {name for name in layout.sources(folder) if (folder / name).is_file()} == READ
    assert {name for name in names if layout.is_source(name)} == READ
    assert {name for name in names if layout.is_read(name)} == READ | {"runs.parquet"}


def test_a_store_copies_exactly_that(folder: Path, tmp_path: Path) -> None:
    store = Store.open(f"file://{folder}")
    here = tmp_path / "here"
    store.pull(here, layout.is_read)
    got = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()}
    assert got == READ | {"runs.parquet"}


def test_what_trials_write_is_never_pushed_back(folder: Path, tmp_path: Path) -> None:
    store = Store.open(f"file://{folder}")
    here = tmp_path / "here"
    store.pull(here, layout.is_read)
    for path in here.rglob("*.*"):
        if path.is_file():
            path.write_text("of the copy")
    store.push(here, leave=layout.is_trial_file)
    changed = {name for name in READ if (folder / name).read_text() == "of the copy"}
    assert changed == {"sweep.json", "retrain.json", "points.jsonl"}


def test_trials_of_every_experiment(folder: Path) -> None:
    found = [path.relative_to(folder).as_posix() for path in layout.trial_folders(folder, "search")]
    assert found == ["search/result.json", "search/t", "search/tuner.pkl", "search-1/t"]
    assert layout.trial_folders(folder, "search", "t*")[0] == folder / "search" / "t"
    assert [layout.experiment("search", n) for n in range(3)] == ["search", "search-1", "search-2"]
    states = layout.checkpoint_files(folder / "search" / "t", layout.CHECKPOINT_FILE)
    assert [path.parent.name for path in states] == ["checkpoint_000001"]
