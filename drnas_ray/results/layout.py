"""The layout of a results folder: every name that this program or Ray Tune uses there.

sweep.json                      the sweep, its runs, versions, commit         (manifest.py)
retrain.json                    which cells are trained from scratch          (manifest.py)
points.jsonl                    of a tuning: its points, as asked for           (journal.py)
search/TRIAL/                   a run; `search-1` and so on of later drivers of a tuning
retrain/TRIAL/                  a training from scratch; `retrain-1` ... of cells that came later
packed/TRIAL/                   a batch of short runs
    params.json                 the trial's config                             (trial.py)
    result.json                 its reports, a line each
    error.txt                   its failures
    passed_over.jsonl           checkpoints that were damaged
    checkpoint_*/run.pt         the whole state
    checkpoint_*/epochs.jsonl   all reports up to that epoch, for readers without torch
runs.parquet, epochs.parquet, retrains.parquet    an export of all this
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

SWEEP_FILE = "sweep.json"
RETRAIN_FILE = "retrain.json"
JOURNAL_FILE = "points.jsonl"

SEARCH, RETRAIN, BATCHES = "search", "retrain", "packed"
"""Kinds of trials, named as their experiments' folders."""

PARAMS_FILE = "params.json"
REPORTS_FILE = "result.json"
ERROR_FILE = "error.txt"
PASSED_OVER_FILE = "passed_over.jsonl"
CHECKPOINT_FILE = "run.pt"
RECORDS_FILE = "epochs.jsonl"
_CHECKPOINT = "checkpoint_"

# The one definition of what an analysis reads: `sources` lists it, `is_source` recognises it, and
# what a store copies and what makes an export stale follow from them.
_PLANS = (SWEEP_FILE, RETRAIN_FILE, JOURNAL_FILE)
_KINDS = (SEARCH, RETRAIN, BATCHES)
_TRIAL_FILES = (PARAMS_FILE, REPORTS_FILE, ERROR_FILE, PASSED_OVER_FILE)
_CHECKPOINT_FILES = (RECORDS_FILE,)


def experiment(kind: str, number: int = 0) -> str:
    """The folder of the experiment of this number: `search`, `search-1`, and so on."""
    return f"{kind}-{number}" if number else kind


def export_file(folder: Path, table: str) -> Path:
    """The file of an export that has the table: runs, epochs or retrains."""
    return folder / f"{table}.parquet"


def trial_folders(results: Path, kind: str, name: str = "*") -> list[Path]:
    """The trials' folders of all experiments of a kind; `name` may be a pattern."""
    return sorted([*results.glob(f"{kind}/{name}"), *results.glob(f"{kind}-*/{name}")])


def checkpoint_files(trial: Path, name: str) -> list[Path]:
    """The file of this name (CHECKPOINT_FILE or RECORDS_FILE) of each checkpoint of a trial."""
    return sorted(trial.glob(f"{_CHECKPOINT}*/{name}"))


def sources(results: Path) -> Iterator[str]:
    """Paths below `results` of every file that an export may be made of; not all need exist."""
    yield from _PLANS
    for kind in _KINDS:
        for folder in (results / kind, *results.glob(f"{kind}-*")):
            if folder.is_dir():
                yield from _trial_sources(results, folder.name)


def _trial_sources(results: Path, experiment_name: str) -> Iterator[str]:
    # scandir, not glob: a large sweep has ten thousand trials.
    with os.scandir(results / experiment_name) as trials:
        for trial in trials:
            if not trial.is_dir():
                continue
            here = f"{experiment_name}/{trial.name}"
            yield from (f"{here}/{name}" for name in _TRIAL_FILES)
            with os.scandir(trial.path) as entries:
                for entry in entries:
                    if entry.name.startswith(_CHECKPOINT):
                        yield from (f"{here}/{entry.name}/{name}" for name in _CHECKPOINT_FILES)


def is_trial_file(name: str) -> bool:
    """Whether the path below a results folder is one of `sources` that a trial writes."""
    folder, _, rest = name.partition("/")
    if not any(folder == kind or folder.startswith(f"{kind}-") for kind in _KINDS):
        return False
    _, _, file = rest.partition("/")
    return file in _TRIAL_FILES or any(
        file.count("/") == 1 and fnmatchcase(file, f"{_CHECKPOINT}*/{one}")
        for one in _CHECKPOINT_FILES
    )


def is_source(name: str) -> bool:
    """Whether the path below a results folder is one of `sources`."""
    return name in _PLANS or is_trial_file(name)


def is_read(name: str) -> bool:
    """Whether a command may read the file: a source, an export, or a part of a cache of cells."""
    return is_source(name) or name.endswith(".parquet")
