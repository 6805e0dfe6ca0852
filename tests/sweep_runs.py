"""Real, tiny sweeps through the command line, in processes that a test can kill and account for."""

from __future__ import annotations

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

DRNAS = Path(sys.executable).with_name("drnas")

# penalty_scale means nothing without a penalty: both grid values give the same search, so each
# seed's two DrNAS runs end with the same cell, which must be trained from scratch once.
SWEEP: dict[str, Any] = {
    "name": "tiny",
    "methods": [{"name": "drnas", "penalty": "none"}, "darts", "uniform"],
    "datasets": [{"name": "digits", "train_images": 200}],
    "seeds": "0:2",
    "config": {
        "epochs": 10,
        "batch_size": 64,
        "supernet": {"channels": 4, "cells": 1},
        "arch": {"lr": 0.05},
    },
    "grid": {"method.penalty_scale": [0.001, 0.01]},
    "retrain": {"epochs": 1, "batch_size": 64, "channels": 4, "cells": 1},
}
RUNS, EPOCHS = 8, 10

# What two sweeps of the same file may differ in, one of which was disturbed. Everything else is
# equal to the last bit.
TIMES = {
    # The commit is the checkout's at that moment; somebody may commit between two sweeps.
    "runs": {"restarts", "search_s", "retrain_s", "finished_unix_s", "git_commit"},
    "epochs": {
        "wall_s",
        "data_s",
        "arch_step_s",
        "weight_step_s",
        "val_s",
        "restarts",
        "reported_unix_s",
    },
    "retrains": {"retrain_s", "finished_unix_s"},
}  # fmt: skip


@dataclass(frozen=True)
class Driver:
    """A `drnas` process, leader of its own session: what it starts can be told by that."""

    process: subprocess.Popen[bytes]
    log: Path
    ray_dir: Path

    def text(self) -> str:
        """Standard output and error so far."""
        return self.log.read_text()

    def pids(self) -> list[int]:
        """Every living process of this driver's session."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # gone since
            if int(fields[3]) == self.process.pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
        return found

    def records(self, kind: str = "search") -> dict[str, list[dict[str, Any]]]:
        """Trial folder -> lines reported so far, from where Tune's driver writes them first.

        kind: search, retrain, packed, or * for all.
        """
        found = {}
        form = f"ray/session_2*/artifacts/*/{kind}/driver_artifacts/*/result.json"
        # Not Path.glob, which fails where a folder goes while it looks.
        for name in glob.glob(str(self.ray_dir / form)):  # noqa: PTH207
            path = Path(name)
            try:
                lines = path.read_text().split("\n")[:-1]  # the last may be half written
            except FileNotFoundError:
                continue
            found[path.parent.name] = [json.loads(line) for line in lines]
        return found

    def wait_for(self, sign: Callable[[], Any], timeout_s: float = 120) -> Any:
        """What `sign` returns once it is true; fails if the driver ends before."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if found := sign():
                return found
            assert self.process.poll() is None, self.text()
            time.sleep(0.02)
        raise AssertionError(f"nothing after {timeout_s} s:\n{self.text()}")

    def ended(self, timeout_s: float = 10) -> bool:
        """Whether nothing of this session lives, now or soon."""
        end = time.monotonic() + timeout_s
        while self.pids() and time.monotonic() < end:
            time.sleep(0.1)
        return not self.pids()

    def kill(self, pid: int) -> None:
        """SIGKILL to one process of this session and no other."""
        assert pid in self.pids(), f"{pid} is not a process of ours"
        os.kill(pid, signal.SIGKILL)


@contextmanager
def driver(
    folder: Path, *args: object, program: tuple[object, ...] = (DRNAS,), **more_env: str
) -> Iterator[Driver]:
    """`drnas ARGS` running in `folder`; whatever it leaves behind is ended and removed."""
    # A short path of its own: sockets have short names, and sessions would pile up in /tmp/ray.
    ray_dir = Path(tempfile.mkdtemp(prefix="drnas-", dir="/tmp"))
    env = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "DRNAS_DATA_ROOT")}
    log = folder / f"log-{ray_dir.name}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*map(str, program), *map(str, args)],
            cwd=folder,
            env={**env, "RAY_TMPDIR": str(ray_dir), "COLUMNS": "200", **more_env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Driver(process, log, ray_dir)
    try:
        yield running
    finally:
        deadline = time.monotonic() + 20
        while (left := running.pids()) and time.monotonic() < deadline:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            process.poll()
            time.sleep(0.05)
        process.wait()
        shutil.rmtree(ray_dir, ignore_errors=True)


def drnas(folder: Path, *args: object, timeout_s: float = 240, **more: Any) -> tuple[int, str]:
    """Run to the end: (exit code, what it printed on both streams)."""
    with driver(folder, *args, **more) as running:
        code = running.process.wait(timeout_s)
        return code, running.text()


def write_sweep(folder: Path, **over: Any) -> Path:
    """`SWEEP` with top-level keys replaced, as a file."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**SWEEP, **over}))
    return path


_reference: list[Path] = []


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed sweep's results folder, made once for all test files; look, don't touch."""
    if not _reference:
        folder = tmp_path_factory.mktemp("reference")
        write_sweep(folder)
        code, text = drnas(folder, "sweep", "tiny.yaml", "--out", "out")
        assert code == 0, text
        _reference.append(folder / "out")
    return _reference[0]


def rows(out: Path, kind: str, *, times: bool = False) -> list[dict[str, Any]]:
    """The rows of an exported file, without `TIMES` unless asked for."""
    left_out = set() if times else TIMES[kind]
    table = pq.read_table(out / f"{kind}.parquet")
    assert TIMES[kind] <= set(table.column_names)
    return table.drop_columns(sorted(left_out)).to_pylist()


def assert_same(out: Path, other: Path) -> None:
    """All three files equal, cell by cell and in order, but for `TIMES`."""
    for kind in TIMES:
        ours, theirs = rows(out, kind), rows(other, kind)
        assert len(ours) == len(theirs), kind
        for mine, yours in zip(ours, theirs, strict=True):
            differ = {k: (mine[k], yours[k]) for k in mine if mine[k] != yours[k]}
            assert not differ, (kind, mine.get("run_id"), mine.get("epoch"), differ)


def final_strengths(out: Path) -> dict[str, Any]:
    """Run id -> strengths of its last epoch."""
    return {row["run_id"]: row["strengths"] for row in rows(out, "epochs")}


def trial_lines(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Run id -> all lines of its result.json, repeated epochs included."""
    found = {}
    for path in sorted(out.glob("search/*/result.json")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found[lines[0]["run_id"]] = lines
    return found
