"""Tables and statistics of many runs: seconds and peak memory, each in its own process.

`python benchmarks/analysis_scale.py [--runs 10000] [--epochs 100] [--trials 300] [--table FILE]`
generates an export of that many runs and a smaller folder of trials in Ray Tune's layout, and
reads both; times exclude imports. Without a NAS-Bench-201 table, a synthetic one of equal size is
used. Cells are random, so accuracies mean nothing, but the work is real.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.records.schema import SCHEMAS, as_table
from drnas_ray.benchmarks.columns import CELLS, PREFIXES, column_of
from drnas_ray.spaces.nb201 import NB201

SPACE = NB201()
LABELS = ["ResNet", "Random", "RSPS", "REINFORCE", "REA", "ENAS", "DARTS (1st)", "DARTS (2nd)",
          "GDAS", "SNAS", "DSNAS", "PC-DARTS", "DrNAS", "DrNAS (progressive)", "SDARTS-RS",
          "SDARTS-ADV", "GAEA + DARTS", "GAEA + PC-DARTS", "P-DARTS", "PARSEC"]  # fmt: skip
DATA = ("cifar10", "cifar100", "imagenet16-120")
CONFIG = {
    "method": {"name": "made-up"}, "space": "nb201", "epochs": 100, "batch_size": 64,
    "supernet": {"channels": 16, "cells": 5, "partial": 1}, "stages": [],
    "weights": {"lr": 0.025, "lr_min": 0.001, "momentum": 0.9, "weight_decay": 3e-4, "clip": 5.0},
    "arch": {"lr": 3e-4, "betas": [0.5, 0.999], "weight_decay": 1e-3, "warmup_epochs": 0},
    "perturb": {"kind": "none", "start": 0.03, "end": 0.3, "steps": 7},
}  # fmt: skip

CHILD = """
import sys, time, pathlib
from analysis.stats import statistics
from analysis.paper.table import table as paper
from analysis.stats import pairs
from analysis.tables import comparison as tables
from analysis.records import load
from analysis.records import collect
from analysis.records.benchmark import BenchmarkTable
def mib():
    with open("/proc/self/status") as file:
        return int(next(l for l in file if l.startswith("VmHWM")).split()[1]) / 1024
before, start, cpu = mib(), time.perf_counter(), time.process_time()
folders, table = [pathlib.Path(text) for text in sys.argv[2:]], sys.argv[1]
"""
STEPS = {
    "drnas table": "runs, _ = load.load_runs(folders)\n"
    "print(len(tables.to_markdown(tables.table(runs, BenchmarkTable.open(table)))))",
    "drnas table nb201": "runs, _ = load.load_runs(folders)\n"
    "print(len(tables.to_html(paper.paper_table('nb201', runs, BenchmarkTable.open(table)))))",
    "drnas stats": "runs, _ = load.load_runs(folders)\n"
    "print(len(statistics.statistics(runs, BenchmarkTable.open(table))))",
    "drnas stats --pairs": "runs, _ = load.load_runs(folders)\n"
    "print(len(pairs.paired(runs, BenchmarkTable.open(table))))",
    "one column of all epochs": "data = load.load(folders, epoch_columns=('val_acc_pct',))\n"
    "print(len(data.epochs))",
    "drnas export": "print(collect.export(folders[0]).runs)",
}
TAIL = "\nprint(time.perf_counter() - start, time.process_time() - cpu, before, mib())"


def invented_table(path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {"arch": [SPACE.cell(i) for i in range(CELLS)]}
    for data in PREFIXES:
        for split in ("valid", "test"):
            columns[column_of(data, split, 200)] = rng.uniform(10, 95, CELLS)
    pq.write_table(pa.table(columns), path)


def planned(count: int) -> list[dict]:
    """`count` runs of all labels and data sets, seeds from 0."""
    places = [(label, data) for label in LABELS for data in DATA]
    runs = []
    for i in range(count):
        label, data = places[i % len(places)]
        seed = i // len(places)
        config = CONFIG | {"data": {"name": data, "path": None}, "seed": seed}
        runs.append({"run_id": f"{i:016x}", "label": label, "method": "made-up", "space": "nb201",
                     "dataset": data, "seed": seed, "epochs": 100, "variant": {},
                     "config": config})  # fmt: skip
    return runs


def epoch_line(run_id: str, epoch: int, epochs: int, rng: np.random.Generator) -> dict:
    genotype = SPACE.random(rng)
    return {
        "run_id": run_id, "epoch": epoch, "status": "done" if epoch == epochs else "running",
        "train_loss": rng.random(), "train_acc_pct": 100 * rng.random(), "val_loss": rng.random(),
        "val_acc_pct": 100 * rng.random(), "genotype": genotype,
        "strengths": rng.random((1, 6, 5)).tolist(), "entropy_nats": rng.random(),
        "skip_count": SPACE.op_count(genotype, "skip_connect"), "lr": 0.025, "wall_s": 30.5,
        "data_s": 0.1, "arch_step_s": 15.0, "weight_step_s": 15.0, "val_s": 0.2,
        "device": "made-up GPU", "threads": 1,
    }  # fmt: skip


def make_export(folder: Path, count: int, epochs: int) -> None:
    rng = np.random.default_rng(1)
    folder.mkdir()
    runs, last = planned(count), {}
    with pq.ParquetWriter(folder / "epochs.parquet", SCHEMAS["epochs"], compression="zstd") as file:
        for start in range(0, count, 100):
            lines = [epoch_line(run["run_id"], e, epochs, rng) for run in runs[start : start + 100]
                     for e in range(1, epochs + 1)]  # fmt: skip
            last |= {line["run_id"]: line for line in lines}
            file.write_table(as_table("epochs", lines))
    rows = []
    for run in runs:
        line = last[run["run_id"]]
        rows.append({
            **{k: run[k] for k in ("run_id", "label", "method", "space", "dataset", "seed")},
            "protocol": "search", "variant": "{}", "config": json.dumps(run["config"]),
            "status": "done", "epochs_done": epochs, "epochs_total": epochs,
            "genotype": line["genotype"], "canonical": SPACE.canonical(line["genotype"]),
            "arch_index": SPACE.index(line["genotype"]), "skip_count": line["skip_count"],
            "search_s": 30.5 * epochs, "device": line["device"],
        })  # fmt: skip
    pq.write_table(as_table("runs", rows), folder / "runs.parquet")
    pq.write_table(as_table("retrains", []), folder / "retrains.parquet")


def make_trials(folder: Path, count: int, epochs: int) -> None:
    rng = np.random.default_rng(2)
    runs = planned(count)
    for run in runs:
        trial = folder / "search" / run["run_id"]
        trial.mkdir(parents=True)
        (trial / "params.json").write_text(json.dumps({"job": {"run_id": run["run_id"]}}))
        lines = [epoch_line(run["run_id"], e, epochs, rng) for e in range(1, epochs + 1)]
        text = "".join(json.dumps(line | {"config": run["config"]}) + "\n" for line in lines)
        (trial / "result.json").write_text(text)
    sweep = {"schema_version": 1, "name": "made-up", "protocol": "search", "runs": runs}
    (folder / "sweep.json").write_text(json.dumps(sweep))


def measure(name: str, table: Path, folder: Path) -> None:
    code = CHILD + STEPS[name] + TAIL
    done = subprocess.run(
        [sys.executable, "-c", code, str(table), str(folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, before, peak = map(float, done.stdout.split()[-3:])
    print(
        f"  {name:26} {seconds:7.2f} s   peak {peak:6.0f} MiB, {peak - before:6.0f} above imports"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        table = given.table or Path(place, "table.parquet")
        if given.table is None:
            invented_table(table)
        export, trials = Path(place, "export"), Path(place, "trials")
        make_export(export, given.runs, given.epochs)
        print(f"an export of {given.runs:,} runs x {given.epochs} epochs")
        for name in STEPS:
            if name != "drnas export":
                measure(name, table, export)
        make_trials(trials, given.trials, given.epochs)
        print(f"{given.trials:,} trial folders x {given.epochs} epochs, not exported")
        measure("drnas table", table, trials)
        measure("drnas export", table, trials)
        print("the same, exported")
        measure("drnas table", table, trials)


if __name__ == "__main__":
    main()
