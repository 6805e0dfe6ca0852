"""Each run in full: what is known about it, its cell, its curves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.report.charts import Chart
from analysis.report.curves import OpKey, accuracy_charts, legend, strength_charts
from analysis.report.names import run_title
from analysis.report.page_tables import Entry, absent, number, span, words
from analysis.report.pictures import Picture, cell_picture
from analysis.report.provenance import flat
from analysis.report.run_list import status_entry
from drnas_ray.core.errors import UserError


@dataclass(frozen=True)
class RunDetail:
    """One run, as the page shows it in full."""

    anchor: str
    title: str
    status: Entry
    accuracy: str
    """The accuracy in the heading, empty if there is none."""
    facts: tuple[tuple[str, str], ...]
    genotype: str | None
    picture: Picture | None
    no_picture: str
    key: tuple[OpKey, ...]
    strengths: tuple[Chart, ...]
    curves: tuple[Chart, ...]
    error: str | None
    config: tuple[tuple[str, str], ...]


def _fact(name: str, value: object, digits: int | None = None, unit: str = "") -> tuple[str, str]:
    entry = words(value) if digits is None else number(value, digits, unit)
    return name, "" if entry.missing else entry.text


def _benchmark_facts(row: pd.Series[Any], table: BenchmarkTable | None) -> list[tuple[str, str]]:
    """The cell's accuracies in the table: on its own data set; for a transfer, on every one."""
    if table is None or absent(row["genotype"]):
        return []
    name = json.loads(row["config"])["data"]["name"]
    targets = table.datasets if row["protocol"] == "transfer" else (name,)
    facts = []
    for target in targets:
        if target in table.datasets:
            known = [
                number(table.lookup([row["genotype"]], target, split)[0], 2, f" % {word}")
                for split, word in (("valid", "validation"), ("test", "test"))
            ]
            text = ", ".join(figure.text for figure in known if not figure.missing)
            facts.append((f"{table.label}: {target}", text))
    return facts


def _facts(row: pd.Series[Any], table: BenchmarkTable | None) -> tuple[tuple[str, str], ...]:
    """What is known about a run; unknown values are left out."""
    recipe = "" if absent(row["retrain_epochs"]) else f" ({row['retrain_epochs']} epochs)"
    facts = [
        ("Epochs", f"{row['epochs_done']} of {row['epochs_total']}"),
        _fact("Validation accuracy", row["val_acc_pct"], 2, " %"),
        _fact("Validation accuracy, mean architecture", row["val_mean_acc_pct"], 2, " %"),
        _fact(f"Test accuracy, retrained{recipe}", row["retrain_test_acc_pct"], 2, " %"),
        *_benchmark_facts(row, table),
        _fact("Retraining", row["retrain_status"]),
        _fact("Parameters of the retrained network", row["retrain_params_m"], 3, " M"),
        _fact("Cell number", row["arch_index"]),
        _fact("Skip connections", row["skip_count"]),
        _fact("Entropy of the shares", row["entropy_nats"], 3, " nats"),
        _fact("Cells queried", row["queries"]),
        ("Simulated time", "" if (t := span(row["simulated_s"])).missing else t.text),
        ("Search time", "" if (t := span(row["search_s"])).missing else t.text),
        ("Retraining time", "" if (t := span(row["retrain_s"])).missing else t.text),
        _fact("Peak GPU memory", row["gpu_peak_mib"], 0, " MiB"),
        _fact("Device", row["device"]),
        _fact("Threads", row["threads"]),
        _fact("Host", row["host"]),
        _fact("Protocol", row["protocol"]),
        _fact("Run", row["run_id"]),
        _fact("Folder", None if absent(row["trial_dir"]) else f"{row['sweep']}/{row['trial_dir']}"),
    ]
    return tuple((name, text) for name, text in facts if text)


def _cell(row: pd.Series[Any]) -> tuple[Picture | None, str]:
    if absent(row["genotype"]):
        return None, "No cell yet."
    try:
        return cell_picture(str(row["space"]), str(row["genotype"])), ""
    except UserError as reason:
        return None, str(reason)


def _run_detail(
    row: pd.Series[Any], epochs: pd.DataFrame, anchor: str, table: BenchmarkTable | None
) -> RunDetail:
    picture, reason = _cell(row)
    accuracy = number(row["retrain_test_acc_pct"], 2, " % test")
    if accuracy.missing:
        accuracy = number(row["val_acc_pct"], 2, " % validation")
    return RunDetail(
        anchor=anchor,
        title=run_title(row),
        status=status_entry(row["status"]),
        accuracy="" if accuracy.missing else accuracy.text,
        facts=_facts(row, table),
        genotype=None if absent(row["genotype"]) else str(row["genotype"]),
        picture=picture,
        no_picture=reason,
        key=legend(str(row["space"])),
        strengths=strength_charts(str(row["space"]), epochs),
        curves=accuracy_charts(epochs),
        error=None if absent(row["error"]) else str(row["error"]),
        config=tuple(flat(json.loads(row["config"]))),
    )


def run_details(
    collected: Collected,
    links: Mapping[int, str],
    table: BenchmarkTable | None,
    progress: Callable[[str], None],
) -> list[RunDetail]:
    """The runs in `links` (position in the runs, to HTML id), each with its curves.

    progress: called with a text before each run.
    """
    runs = collected.runs
    wanted = runs.iloc[list(links)][["sweep", "run_id"]]
    epochs = collected.epochs.merge(wanted.drop_duplicates(), on=["sweep", "run_id"])
    parts = dict(list(epochs.groupby(["sweep", "run_id"], sort=False)))
    found = []
    for count, (place, anchor) in enumerate(links.items()):
        progress(f"run {count + 1} of {len(links)}")
        row = runs.iloc[place]
        here = parts.get((row["sweep"], row["run_id"]), epochs.iloc[:0])
        found.append(_run_detail(row, here, anchor, table))
    return found
