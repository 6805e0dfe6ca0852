"""Cost of diagnostics: seconds of each, and their ratio to an epoch without them.

Each is measured in a DrNAS search in one process; medians over epochs after the first.
Run: python benchmarks/diagnostics.py [--channels 16 --cells 5 --images 128]
"""

from __future__ import annotations

import argparse
import statistics

import torch
from rich.console import Console
from rich.table import Table

from drnas_ray.config import SearchConfig
from drnas_ray.jobs.start import start
from drnas_ray.parsing import run_config
from drnas_ray.search.device import device_name, pick_device

EACH = ("hessian", "proposition1", "landscape")


def seconds(raw: dict, key: str | None, epochs: int) -> list[float]:
    """Seconds of the diagnostic (None: the search itself) at each epoch after the first."""
    settings = {**raw["diagnostics"], **({} if key is None else {key: 1})}
    config = run_config({**raw, "epochs": epochs, "diagnostics": settings})
    assert isinstance(config, SearchConfig)
    job = start(config, None, pick_device())
    records = [job.step() for _ in range(epochs)]
    return [record["wall_s" if key is None else "diagnostics_s"] for record in records[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    raw = {
        "method": "drnas",
        "data": {"name": args.dataset},
        "batch_size": args.batch,
        "supernet": {"channels": args.channels, "cells": args.cells},
        "diagnostics": {"images": args.images},
    }
    epoch = statistics.median(seconds(raw, None, args.epochs))
    table = Table(
        title=f"{args.dataset}, C={args.channels} N={args.cells}, batch {args.batch}, "
        f"{args.images} images, {args.threads} thread(s), {device_name(pick_device())}"
    )
    for column in ("diagnostic", "seconds", "ratio to an epoch"):
        table.add_column(column, justify="right")
    table.add_row("none: the epoch", f"{epoch:.2f}", "1.00")
    for key in EACH:
        taken = statistics.median(seconds(raw, key, args.epochs))
        table.add_row(key, f"{taken:.2f}", f"{taken / epoch:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
