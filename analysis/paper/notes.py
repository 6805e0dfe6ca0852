"""The notes under a table of the paper, and which runs belong to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.records.benchmark import BenchmarkTable
from analysis.tables.notes import listed
from analysis.tables.notes import notes as table_notes
from drnas_ray.benchmarks.published import PublishedTable

_AS_FILES = {"folder:imagenet": "imagenet", "parquet:imagenet.parquet": "imagenet"}
"""Data sets that users bring as files: the name in runs -> the name in the paper's tables."""


def kept_runs(paper: PublishedTable, runs: pd.DataFrame | None) -> pd.DataFrame:
    """The runs of the table's space on its data sets, in full and with the default augmentation."""
    if runs is None or runs.empty:
        return pd.DataFrame()
    datasets = runs["dataset"].replace(_AS_FILES)
    wanted = {column.dataset for column in paper.columns}
    here = (runs["space"] == paper.space) & datasets.isin(wanted)
    return runs[here].assign(dataset=datasets[here]).reset_index(drop=True)


def paper_notes(
    paper: PublishedTable,
    kept: pd.DataFrame,
    runs: pd.DataFrame | None,
    frame: pd.DataFrame | None,
    benchmark: BenchmarkTable | None,
) -> tuple[str, ...]:
    """The sentences under the table.

    kept: those of `runs` that belong to it; frame: their summary, None if there are none.
    """
    sentences = [f"Published: {paper.source}, as printed there.", *paper.notes]
    total = 0 if runs is None else len(runs)
    if frame is None:
        given = (
            "no runs were given" if not total else f"none of the {total} runs belongs to this table"
        )
        return (*sentences, f"Ours: {given}.", *_left_out(paper, kept, runs))
    if any(column.key.endswith("_error") for column in paper.columns):
        sentences.append("Ours: test error is 100 minus the test accuracy.")
    sentences += table_notes(kept, frame, benchmark)
    sentences += _scale(kept)
    sentences.append(
        "Search cost of ours: seconds of the search's epochs / 86,400, mean over runs."
    )
    asked = kept["config"].str.contains('"benchmark":{') & kept["queries"].notna()
    if asked.any():
        labels = listed(list(dict.fromkeys(kept["label"][asked])))
        sentences.append(
            f"For {labels} it leaves out the training of cells that were looked up in a table."
        )
    return (*sentences, *_left_out(paper, kept, runs))


def _left_out(
    paper: PublishedTable, kept: pd.DataFrame, runs: pd.DataFrame | None
) -> Sequence[str]:
    """A sentence about runs that belong to another table."""
    if runs is None or len(runs) == len(kept):
        return ()
    other = runs[runs["space"] != paper.space]
    same = runs[runs["space"] == paper.space]
    wanted = {column.dataset for column in paper.columns}
    away = same[~same["dataset"].replace(_AS_FILES).isin(wanted)]
    parts = []
    if len(other):
        spaces = listed(sorted(set(other["space"])))
        parts.append(f"{len(other)} of space {spaces}")
    if len(away):
        parts.append(f"{len(away)} on {listed(sorted(set(away['dataset'])))}")
    return (f"Not in this table: runs {' and '.join(parts)}.",)


def _scale(kept: pd.DataFrame) -> list[str]:
    """For how long our supernets were searched, and how large they were."""
    sizes: dict[str, list[str]] = {}
    # One sweep's runs of a row differ in their seeds alone.
    row = [name for name in ("sweep", "label", "variant", "dataset") if name in kept]
    once = kept.drop_duplicates(row)
    for label, config in zip(once["label"], once["config"], strict=True):
        text = _size(json.loads(config))
        if text and label not in sizes.setdefault(text, []):
            sizes[text].append(label)
    parts = [f"{text}: {listed(labels, 12)}" for text, labels in sizes.items()]
    return [f"Searched for {'; '.join(parts)}."] if parts else []


def _size(config: dict[str, Any]) -> str:
    supernet = config.get("supernet")
    if not isinstance(supernet, dict) or "epochs" not in config:
        return ""
    images = config.get("data", {}).get("train_images")
    cut = "" if images is None else f", {images} images"
    return (
        f"{config['epochs']} epochs (C={supernet.get('channels')}, N={supernet.get('cells')}{cut})"
    )
