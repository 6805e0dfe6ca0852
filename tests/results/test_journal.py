"""points.jsonl as the driver writes it and as an analysis reads it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from drnas_ray.core.errors import UserError
from drnas_ray.results.journal import Journal, PointStatus
from drnas_ray.results.manifest import RunEntry


def entry(run_id: str) -> RunEntry:
    return RunEntry(
        run_id=run_id, label="DrNAS", method="drnas", space="nb201", dataset="digits", seed=0,
        epochs=9, config={"seed": 0, "arch": None},
    )  # fmt: skip


def filled(path: Path) -> Journal:
    journal = Journal(path)
    journal.add({"a": 1}, [entry("r0")])
    journal.report(0, 1, 50.0)
    journal.report(0, 2, 60.0)
    journal.end(0, "done")
    journal.add({"a": 2}, [entry("r1")])
    journal.report(1, 1, math.nan)
    journal.add({"a": 1}, same_as=0)
    return journal


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = filled(tmp_path / "points.jsonl")
    read = Journal(tmp_path / "points.jsonl")
    assert read.points == written.points
    first, second, third = read.points
    assert (first.objective, first.ended, first.folder) == (60.0, True, "point-0000-r0")
    assert (second.objective, second.ended) == (None, False)
    assert third.ended
    assert [read.loss(point, -1.0) for point in read.points] == [-60.0, None, -60.0]
    assert (read.first_with({"a": 2}), read.first_with({"a": 3})) == (1, None)


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_line_cut_short_is_dropped_and_written_anew(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "points.jsonl"
    filled(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    journal = Journal(path)
    assert len(journal.points) == 2
    journal.add({"a": 1}, same_as=0)
    assert path.read_bytes() == whole


def test_a_damaged_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "points.jsonl"
    filled(path)
    path.write_text(path.read_text().replace('{"point": 0, "epoch": 1', '{"point": 9, "epoch": 1'))
    with pytest.raises(UserError, match=r"line 2 of .*points\.jsonl is damaged"):
        Journal(path)


def test_reading_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "points.jsonl"
    assert Journal(path).points == [] and not path.exists()
    filled(path)
    path.write_bytes(path.read_bytes()[:-9])
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    assert len(Journal(path).points) == 2
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_lines_say_what_was_set_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "points.jsonl"
    journal = Journal(path)
    journal.add({"a": 1}, [entry("r0"), entry("r1").forked("r2", "r1", 4)], fork={"member": 3})
    (line,) = path.read_text().splitlines()
    plain = {
        "run_id": "r0", "label": "DrNAS", "method": "drnas", "space": "nb201", "dataset": "digits",
        "seed": 0, "epochs": 9, "config": {"seed": 0, "arch": None},
    }  # fmt: skip
    fork = {**plain, "run_id": "r2", "parent_run_id": "r1", "from_epoch": 4}
    assert json.loads(line) == {
        "point": 0, "values": {"a": 1}, "runs": [plain, fork], "folder": "point-0000-r0",
        "fork": {"member": 3},
    }  # fmt: skip


def test_only_known_statuses(tmp_path: Path) -> None:
    path = tmp_path / "points.jsonl"
    journal = filled(path)
    with pytest.raises(ValueError, match="'finished' is not a valid PointStatus"):
        journal.end(1, "finished")
    journal.end(1, PointStatus.paused, at=8)
    assert (Journal(path).points[1].status, Journal(path).points[1].at) == (PointStatus.paused, 8)
    text = path.read_text().replace('"paused"', '"finished"')
    path.write_text(text)
    with pytest.raises(UserError, match=r"line 8 of .*points\.jsonl is damaged .*'finished'"):
        Journal(path)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "damaged"),
        ("[1]", "damaged"),
        ('{"point": 7, "values": {}}', "point 7, expected 3"),
        ('{"point": 3, "values": {}, "runs": [{"run_id": "r9"}]}', "label is missing"),
    ],
)
def test_a_damaged_line_is_named(line: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "points.jsonl"
    filled(path)
    count = len(path.read_text().splitlines())
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=f"line {count + 1} of .*{why}") as caught:
        Journal(path)
    assert "\n" not in str(caught.value)
