"""Runs of the multi-trial methods on a NAS-Bench-201 table: seeds per second in one process.

    python benchmarks/blackbox_seeds.py TABLE.parquet [SEEDS]

The baseline, in the same process, is the same number of look-ups without a search: the ratio shows
what a method costs beyond its queries.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from drnas_ray.benchmarks.tabular import TabularBenchmark
from drnas_ray.jobs.start import start
from drnas_ray.parsing import run_config
from drnas_ray.spaces.nb201 import NB201

QUERIES = 100


def main() -> None:
    path, seeds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200
    torch.set_num_threads(1)
    table, space = TabularBenchmark(path, "cifar10"), NB201()
    rng = np.random.default_rng(0)
    begun = time.perf_counter()
    for _ in range(seeds * QUERIES):
        table.query(space.random(rng))
    bare = time.perf_counter() - begun
    print(f"{seeds} seeds of {QUERIES} queries; bare look-ups: {seeds / bare:,.0f} seeds/s")
    for method in ("random", "rea", "reinforce"):
        begun = time.perf_counter()
        for seed in range(seeds):
            raw = {
                "method": method,
                "data": {"name": "cifar10"},
                "seed": seed,
                "queries": QUERIES,
                "benchmark": {"table": str(path)},
            }
            start(run_config(raw), None, torch.device("cpu")).step()
        took = time.perf_counter() - begun
        print(f"{method:10} {seeds / took:8,.0f} seeds/s, {took / bare:5.1f} times the look-ups")


if __name__ == "__main__":
    main()
