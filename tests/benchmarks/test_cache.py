"""The cache of trained cells: parts, merging, damage, and many processes at once."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from drnas_ray.benchmarks import cache as module
from drnas_ray.benchmarks.cache import SCHEMA, CellCache
from drnas_ray.benchmarks.parts import FolderParts
from drnas_ray.core.errors import UserError
from drnas_ray.spaces.nb201 import NB201

SPACE = NB201()
ROOT = Path(__file__).resolve().parents[2]


def key(number: int, recipe: str = "r", seed: int = 0):
    return recipe, SPACE.cell(number), seed


def row(number: int, recipe: str = "r", seed: int = 0, **over):
    fixed = {"recipe_id": recipe, "arch": SPACE.cell(number), "seed": seed, "status": "done"}
    return {**fixed, "val_acc_pct": number / 7, "finished_unix_s": 1.0, "host": "h", **over}


def never():
    raise AssertionError("trained again")


def test_the_next_process_sees_an_added_row(tmp_path):
    one = CellCache(tmp_path / "a" / "b")
    assert one.get(key(3)) is None
    got = one.figure(key(3), lambda: row(3))
    assert got["val_acc_pct"] == 3 / 7
    again = CellCache(tmp_path / "a" / "b")
    assert again.figure(key(3), never)["val_acc_pct"] == 3 / 7
    for other in (key(3, "other"), key(3, seed=1), key(4)):
        assert again.get(other) is None
    frame = pd.read_parquet(tmp_path / "a" / "b")
    assert list(frame.columns) == SCHEMA.names and len(frame) == 1


def test_a_view_sees_the_rows_of_another(tmp_path):
    one, two = CellCache(tmp_path), CellCache(tmp_path)
    one.add(row(1))
    assert two.get(key(1)) is None
    assert two.figure(key(1), never)["val_acc_pct"] == 1 / 7


def test_parts_are_merged_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PARTS_KEPT", 5)
    one, reader = CellCache(tmp_path), CellCache(tmp_path)
    for number in range(23):
        one.add(row(number))
        assert len(pq.read_table(tmp_path)) == number + 1
    assert len(list(tmp_path.glob("part-*"))) == 4 + 3
    one.compact()
    assert len(list(tmp_path.glob("part-*"))) == 1
    reader.refresh()
    for view in (one, reader, CellCache(tmp_path)):
        assert all(view.get(key(number))["val_acc_pct"] == number / 7 for number in range(23))


def test_who_merges_others_parts_knows_them(tmp_path):
    one, two = CellCache(tmp_path), CellCache(tmp_path)
    for number in range(3):
        two.add(row(number))
    one.compact()
    assert one.figure(key(1), never)["val_acc_pct"] == 1 / 7


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_trainings_the_first_finished_counts(tmp_path, turned):
    rows = [row(1, val_acc_pct=10.0, finished_unix_s=5.0), row(1, finished_unix_s=6.0)]
    for one in reversed(rows) if turned else rows:
        CellCache(tmp_path).add(one)
    merging = CellCache(tmp_path)
    assert merging.get(key(1))["val_acc_pct"] == 10.0
    merging.compact()
    assert pd.read_parquet(tmp_path)["val_acc_pct"].tolist() == [10.0]


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "column", "null"])
def test_a_damaged_part_is_named_and_left_out(tmp_path, damage, caplog):
    one = CellCache(tmp_path)
    one.add(row(1))
    (part,) = tmp_path.glob("part-*")
    one.add(row(2))
    if damage == "column":
        pq.write_table(pq.read_table(part).drop_columns("val_acc_pct"), part)
    elif damage == "null":
        frame = pd.read_parquet(part).assign(arch=None)
        frame.to_parquet(part)
    else:
        whole = part.read_bytes()
        part.write_bytes({"cut": whole[:-50], "empty": b"", "text": b"hello" * 99}[damage])
    with caplog.at_level(logging.WARNING):
        fresh = CellCache(tmp_path)
        fresh.refresh()
        fresh.compact()
    assert len(caplog.messages) == 1 and part.name in caplog.messages[0]
    assert "\n" not in caplog.messages[0]
    assert fresh.get(key(1)) is None and fresh.get(key(2)) is not None
    assert part.exists()  # nobody throws away what they couldn't read
    assert fresh.figure(key(1), lambda: row(1))["val_acc_pct"] == 1 / 7


def test_a_part_that_is_merged_while_it_is_read(tmp_path, monkeypatch):
    """The folder is listed, then another process merges and deletes all that was listed."""
    one = CellCache(tmp_path)
    for number in range(4):
        one.add(row(number))
    listed, times = FolderParts.names, []

    def names(self):
        found = listed(self)
        if self is not one.parts and not times:
            times.append(1)
            one.compact()
        return found

    monkeypatch.setattr(FolderParts, "names", names)
    late = CellCache(tmp_path)
    assert all(late.get(key(number)) is not None for number in range(4))


def test_old_temporary_files_of_killed_processes_are_deleted(tmp_path):
    old, new = tmp_path / ".part-old.parquet", tmp_path / ".part-new.parquet"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 9999,) * 2)
    one = CellCache(tmp_path)
    one.compact()
    assert not old.exists() and new.exists()


def test_folders_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"benchmark cache .*file.* can't be written"):
            CellCache(folder)


# --- processes ----------------------------------------------------------------------------------

WORK = """
import os, random, sys, time
from pathlib import Path
from drnas_ray.benchmarks import cache as module
from drnas_ray.benchmarks.cache import CellCache
from drnas_ray.spaces.nb201 import NB201
module.PARTS_KEPT = 4
folder, log = sys.argv[1:3]
cells, pause_s, wait = map(float, sys.argv[3:])
cells = [NB201().cell(number) for number in range(int(cells))]
random.Random(os.getpid()).shuffle(cells)
cache = CellCache(Path(folder))
def train(cell):
    with open(log, "a") as file:
        file.write(f"{NB201().index(cell)}\\n")
    time.sleep(pause_s)
    return {"val_acc_pct": NB201().index(cell) / 7, "finished_unix_s": time.time()}
while cells:
    cell = cells.pop(0)
    if cache.figure(("r", cell, 0), lambda: train(cell), wait=bool(wait)) is None:
        cells.append(cell)
    if random.random() < 0.1:
        cache.compact()
cache.compact()
"""


def worker(folder: Path, log: Path, cells: int, pause_s: float, wait: int = 0):
    args = [sys.executable, "-c", WORK, folder, log, cells, pause_s, wait]
    return subprocess.Popen(
        list(map(str, args)), cwd=ROOT, stderr=subprocess.PIPE, env={**os.environ}, text=True
    )


@pytest.mark.process
@pytest.mark.parametrize("wait", [0, 1])
def test_processes_at_once_train_each_cell_once(tmp_path, wait):
    folder, log, cells = tmp_path / "cache", tmp_path / "log", 60
    stop, torn = threading.Event(), []

    def watch():
        """A reader all the while: it never sees fewer cells than before."""
        most = 0
        while not stop.is_set():
            seen = len(CellCache(folder)._rows)
            if seen < most:
                torn.append((most, seen))
            most = max(most, seen)

    watcher = threading.Thread(target=watch)
    running = [worker(folder, log, cells, 0.01, wait) for _ in range(3)]
    watcher.start()
    errors = [process.communicate(timeout=120)[1] for process in running]
    stop.set()
    watcher.join()
    assert [process.returncode for process in running] == [0, 0, 0] and errors == [""] * 3
    assert not torn
    assert Counter(map(int, log.read_text().split())) == dict.fromkeys(range(cells), 1)
    # Whoever merges last leaves one part, and each cell in it once.
    assert len(list(folder.glob("part-*"))) == 1
    assert len(pd.read_parquet(folder)) == cells
    final = CellCache(folder)
    assert all(final.get(key(number))["val_acc_pct"] == number / 7 for number in range(cells))


@pytest.mark.process
def test_killed_processes_lose_the_cell_in_flight_and_its_lock(tmp_path):
    folder, log, cells = tmp_path / "cache", tmp_path / "log", 40
    lost = 0
    for _ in range(4):
        process = worker(folder, log, cells, 0.03, 1)
        before = len(log.read_text().split()) if log.exists() else 0
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if log.exists() and len(log.read_text().split()) >= before + 5:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        lost += 1
    last = worker(folder, log, cells, 0.0, 1)
    assert last.communicate(timeout=60)[1] == "" and last.returncode == 0
    counts = Counter(map(int, log.read_text().split()))
    assert set(counts) == set(range(cells))
    assert cells <= sum(counts.values()) <= cells + lost
    assert all(CellCache(folder).get(key(number)) for number in range(cells))
