"""The notes under a table: what was measured, how, over which runs, and which are left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.records.benchmark import BenchmarkTable
from analysis.stats.summary import metrics, recipe_epochs
from drnas_ray.benchmarks.columns import CELLS
from drnas_ray.results.status import NOT_DONE, Status

_PROTOCOLS = {
    "search": "search (each data set has its own search)",
    "transfer": "transfer (the cell found on {}, looked up on every data set)",
}


def listed(values: Sequence[object], most: int = 6) -> str:
    """`a, b, c`; after `most` values, only how many more there are."""
    texts = [str(value) for value in values]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _span(values: pd.Series[int]) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def _protocol(runs: pd.DataFrame) -> str:
    found = listed(list(dict.fromkeys(runs["dataset"][runs["protocol"] == "transfer"])))
    names = [_PROTOCOLS.get(name, name).format(found) for name in dict.fromkeys(runs["protocol"])]
    return f"Protocol: {listed(names)}."


def _value(runs: pd.DataFrame, benchmark: BenchmarkTable | None) -> str:
    if benchmark is not None:
        text = (
            f"Validation and test accuracy in % of the derived cell, looked up in "
            f"{benchmark.label}: {benchmark.epochs}-epoch entries, each the mean over the "
            "benchmark's own seeds."
        )
        if benchmark.cells < CELLS:
            text += f" The table has {benchmark.cells:,} of {CELLS:,} cells."
        text += " optimal: the highest accuracy in that file, per column."
        if "cifar10" in set(runs["dataset"]) or "transfer" in set(runs["protocol"]):
            text += (
                " cifar10: validation after training on half of the training images, test after"
                " training on all."
            )
        return text
    if runs["retrain_id"].isna().all():
        return (
            "No cell has been trained from scratch: `drnas table DIR --benchmark FILE` looks cells "
            "up in a NAS-Bench-201 table."
        )
    epochs = recipe_epochs([{"retrain_epochs": value} for value in runs["retrain_epochs"]])
    recipe = f" for {' or '.join(map(str, epochs))} epochs" if epochs else ""
    return f"Test accuracy in % of the derived cell, retrained from scratch{recipe}."


def _spread(frame: pd.DataFrame, metric: str) -> str:
    counts = frame[f"{metric}_n"]
    counts = counts[counts > 0]
    if counts.empty:
        return "No run has a result yet."
    done = frame[frame["n_done"] > 0]
    what = "seeds" if (done["n_seeds"] == done["n_done"]).all() else "runs"
    return (
        f"Mean ± sample standard deviation (n - 1 in the denominator) over n = {_span(counts)} "
        f"{what}; n in brackets, no ± for n = 1."
    )


def _budgets(runs: pd.DataFrame) -> list[str]:
    """What methods without a supernet queried, and how often; empty if there are none."""
    if "queries" not in runs:
        return []
    asked = runs[(runs["status"] == Status.done) & runs["queries"].notna()]
    sentences = []
    for source, here in asked.groupby(asked["config"].map(_asked), sort=False):
        labels = listed(list(dict.fromkeys(here["label"])))
        sentences.append(f"{labels}: {_span(here['queries'])} cells queried, each {source}.")
    return sentences


def _asked(config: str) -> str:
    settings = json.loads(config)
    benchmark = settings["benchmark"]
    if benchmark["table"] is not None:
        text = f"rated by its 12-epoch validation accuracy in {Path(benchmark['table']).name}"
        if settings["budget_s"] is not None:
            text += f", within {settings['budget_s']:g} simulated seconds"
        return text
    recipe = benchmark["train"]
    return (
        f"trained for {recipe['epochs']} epochs (C={recipe['channels']}, N={recipe['cells']}) on "
        "half of the training images and rated on the other half"
    )


def _left_out(frame: pd.DataFrame, metric: str, benchmark: BenchmarkTable | None) -> str:
    parts = []
    # A transferred run has a row for each data set, but is one run.
    once = ["protocol", "label", "variant", "retrain_epochs"]
    transferred = frame["protocol"].str.startswith("transfer") & frame.duplicated(once)
    frame = frame[~transferred]
    for status in NOT_DONE:
        count = int(frame[f"n_{status}"].sum())
        if count:
            parts.append(f"{count} {status.word}")
    valueless = int((frame["n_done"] - frame[f"{metric}_n"]).sum())
    if valueless:
        parts.append(
            f"{valueless} {'not retrained yet' if benchmark is None else 'without an accuracy'}"
        )
    total = int(frame["n_runs"].sum())
    if not parts:
        return f"All {total} runs are counted."
    return f"Left out of {total} runs: {', '.join(parts)}."


def notes(
    runs: pd.DataFrame, frame: pd.DataFrame, benchmark: BenchmarkTable | None
) -> tuple[str, ...]:
    """The sentences under a table; frame: `summary(runs, benchmark)`."""
    last = metrics(benchmark)[-1]
    devices = sorted({str(name) for name in runs["device"][runs["status"] == Status.done].dropna()})
    sentences = [
        _protocol(runs),
        _value(runs, benchmark),
        _spread(frame, last),
        _left_out(frame, last, benchmark),
    ]
    sentences += _budgets(runs)
    if devices:
        sentences.append(f"Searched on: {listed(devices)}.")
    return tuple(sentences)
