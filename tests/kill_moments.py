"""Random kill moments of a tiny sweep; after each, nothing is lost and no number is another.

    python tests/kill_moments.py --moments 20 --seed 0

A moment kills a worker or the driver: somewhere in the sweep, just as a checkpoint lands in the
results folder (Tune has not noted it yet), or while the sweep exports. A killed driver's sweep is
gone on with by --resume. Then every run must be there once and done, every figure the same to the
last bit as in a sweep that nobody disturbed, and no run may have done more than one epoch again.

Called again with the same --out it goes on behind the moments that are done.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweep_runs import Driver, assert_same, driver, drnas, final_strengths, rows, write_sweep

KINDS = ("worker", "driver", "worker at checkpoint", "driver at checkpoint", "driver in export")
SMALL: dict[str, Any] = {
    "datasets": [{"name": "digits", "train_images": 100}],
    "config": {
        "epochs": 6,
        "batch_size": 32,
        "supernet": {"channels": 4, "cells": 1},
        "arch": {"lr": 0.05},
    },
    "grid": {},
    "retrain": {"epochs": 2, "batch_size": 64, "channels": 4, "cells": 1},
}


@dataclass(frozen=True)
class Moment:
    """What is killed, after which share of all reports, and how long after the sign."""

    kind: str
    share: float
    delay_s: float


@dataclass
class Outcome:
    """What came of a moment. problem: empty where all is as it should be."""

    moment: Moment
    reports: int = 0
    epochs_again: int = 0
    problem: str = ""
    wall_s: float = 0.0


def moments(count: int, seed: int) -> list[Moment]:
    """As many, the kinds in turn; the first ones are the same for every count."""
    rng = random.Random(seed)
    return [
        Moment(KINDS[n % len(KINDS)], rng.uniform(0.02, 0.98), rng.uniform(0.0, 0.05))
        for n in range(count)
    ]


def undisturbed(folder: Path) -> Path:
    """The sweep that all others must equal, made once."""
    out = folder / "undisturbed"
    if not (out / "runs.parquet").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_sweep(folder, **SMALL)
        again = ["--resume"] if (out / "sweep.json").exists() else []
        code, text = drnas(folder, "sweep", "tiny.yaml", "--out", out.name, *again)
        assert code == 0, text
    return out


def reports_of(out: Path) -> int:
    """Reports of all trials of a finished sweep."""
    files = out.glob("*/*/result.json")
    return sum(len(path.read_text().splitlines()) for path in files)


def reported(running: Driver) -> int:
    """Reports of all trials so far."""
    return sum(len(lines) for lines in running.records("*").values())


def came(running: Driver, sign: Callable[[], Any], timeout_s: float = 300) -> bool:
    """Wait for the sign; False where the sweep ends before."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if sign():
            return True
        if running.process.poll() is not None:
            return False
        time.sleep(0.005)
    raise AssertionError(f"no sign after {timeout_s} s:\n{running.text()}")


def strike(running: Driver, moment: Moment, out: Path, total: int) -> bool:
    """Wait for the moment and kill; False where the sweep ended before."""
    if moment.kind == "driver in export":
        there = came(running, lambda: glob.glob(f"{out}/.export-*"))  # noqa: PTH207
    else:
        there = came(running, lambda: reported(running) >= max(1, moment.share * total))
    if there and moment.kind.endswith("checkpoint"):
        known = set(_checkpoints(out))
        there = came(running, lambda: set(_checkpoints(out)) - known)
    elif there:
        time.sleep(moment.delay_s)
    if not there:
        return False
    victim = running.process.pid
    if moment.kind.startswith("worker"):
        lines = [lines[-1] for lines in running.records("*").values() if lines]
        victim = int(max(lines, key=lambda line: line["timestamp"])["pid"])
    if victim not in running.pids():
        return False
    running.kill(victim)
    return True


def _checkpoints(out: Path) -> list[str]:
    return glob.glob(f"{out}/*/*/checkpoint_*/*")  # noqa: PTH207


def try_moment(folder: Path, name: str, moment: Moment, reference: Path) -> Outcome:
    """One sweep, disturbed at that moment and held against the reference."""
    outcome, begun = Outcome(moment), time.monotonic()
    out = folder / name
    before: dict[str, int] = {}
    with driver(folder, "sweep", "tiny.yaml", "--out", name) as running:
        try:
            struck = strike(running, moment, out, reports_of(reference))
            at = time.time()
            for lines in running.records().values():
                done = (line for line in lines if line["reported_unix_s"] < at)
                before |= {line["run_id"]: line["epoch"] for line in done}
            outcome.reports = reported(running)
            code = running.process.wait(300)
            text = running.text()
        except AssertionError as error:
            outcome.problem = str(error)
            return outcome
    try:
        if struck and not moment.kind.startswith("worker"):
            assert code == -9, text
        if code != 0:
            code, text = drnas(folder, "sweep", "tiny.yaml", "--out", name, "--resume")
        assert code == 0, text
        check(out, reference)
        outcome.epochs_again = epochs_again(out, before, at)
        assert outcome.epochs_again <= 1, f"{outcome.epochs_again} epochs done again"
        assert struck, "the sweep ended before the moment came"
    except AssertionError as error:
        outcome.problem = str(error) or "an assertion without text"
    outcome.wall_s = time.monotonic() - begun
    return outcome


def check(out: Path, reference: Path) -> None:
    """Every run once and done, and all figures those of the reference."""
    runs = rows(out, "runs")
    planned = [run["run_id"] for run in json.loads((out / "sweep.json").read_text())["runs"]]
    assert [run["run_id"] for run in runs] == planned, "the export lacks runs, or has some twice"
    statuses = {(run["status"], run["retrain_status"]) for run in runs}
    assert statuses == {("done", "done")}, f"statuses of runs and retrainings: {statuses}"
    assert final_strengths(out) == final_strengths(reference), "other final strengths"
    assert_same(out, reference)


def epochs_again(out: Path, before: dict[str, int], at_unix_s: float) -> int:
    """The most epochs that a run had reported before a kill and did once more after it."""
    first: dict[str, int] = {}
    for row in rows(out, "epochs", times=True):
        if row["reported_unix_s"] > at_unix_s:
            first.setdefault(row["run_id"], row["epoch"])
    return max((before.get(run, 0) - epoch + 1 for run, epoch in first.items()), default=0)


def known_outcomes(path: Path) -> dict[int, Outcome]:
    """The moments of an earlier call that went well, by number."""
    found = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        entry = json.loads(line)
        outcome = Outcome(**{**entry["outcome"], "moment": Moment(**entry["outcome"]["moment"])})
        if not outcome.problem:
            found[entry["number"]] = outcome
    return found


def run_moments(folder: Path, count: int, seed: int) -> list[Outcome]:
    """All of them, one after another, with a line each."""
    reference = undisturbed(folder)
    log = folder / f"moments-seed{seed}.jsonl"
    known = known_outcomes(log)
    outcomes: list[Outcome] = []
    for number, moment in enumerate(moments(count, seed)):
        outcome = known.get(number)
        if outcome is None or outcome.moment != moment:
            name = f"seed{seed}-{number:03d}-{os.getpid()}"
            outcome = try_moment(folder, name, moment, reference)
            with log.open("a") as file:
                file.write(json.dumps({"number": number, "outcome": asdict(outcome)}) + "\n")
        outcomes.append(outcome)
        took = [each.wall_s for each in outcomes]
        left = sum(took) / len(took) * (count - len(outcomes))
        print(f"{_line(number, outcome)}; about {left:.0f} s left", file=sys.stderr, flush=True)
    return outcomes


def _line(number: int, outcome: Outcome) -> str:
    said = outcome.problem.strip().splitlines()
    return (
        f"{number:3d}  {outcome.moment.kind:<21}{outcome.reports:8d}{outcome.epochs_again:13d}"
        f"{outcome.wall_s:8.0f} s  {said[-1] if said else 'same'}"
    )


def main() -> int:
    """Exit code 1 where anything was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/kill-moments"))
    given = parser.parse_args()
    outcomes = run_moments(given.out.resolve(), given.moments, given.seed)
    print(f"{'':5}{'killed':<21}{'reports':>8}{'epochs again':>13}{'took':>10}")
    for number, outcome in enumerate(outcomes):
        print(_line(number, outcome))
    bad = sum(bool(outcome.problem) for outcome in outcomes)
    print(f"{len(outcomes) - bad} of {len(outcomes)} moments: nothing lost, every figure the same")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
