"""Short runs that share a trial's folder are rows like any other."""

from __future__ import annotations

import json

import pytest

from analysis.records.collect import collect


@pytest.fixture
def packed(fake):
    """`packed(lines, ...)` writes a pack of runs a0 to a3 with these result lines."""
    for seed in range(4):
        fake.run(f"a{seed}", label="Random", seed=seed, epochs=1)

    def write(lines, *, name="pack-0000", error=None, checkpoint=None, tail=""):
        folder = fake.root / "packed" / name
        folder.mkdir(parents=True)
        params = {"job": {"pack_id": name, "settings": {f"a{s}": {} for s in range(4)}}}
        (folder / "params.json").write_text(json.dumps(params))
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "result.json").write_text(text + tail)
        if error:
            (folder / "error.txt").write_text(error)
        if checkpoint:
            (folder / "checkpoint_000001").mkdir()
            rows = "".join(json.dumps(row) + "\n" for row in checkpoint)
            (folder / "checkpoint_000001" / "epochs.jsonl").write_text(rows)
        return fake.write()

    return write


def report(fake, *seeds, date="2024-01-02_00-00-00"):
    rows = [fake.epoch(f"a{seed}", 1, 100 + seed, "done") for seed in seeds]
    return {"runs": rows, "date": date, "epoch": max(seeds) + 1}


def test_every_run_of_a_pack_has_its_rows(packed, fake):
    got = collect(packed([report(fake, 0, 1), report(fake, 0, 1, 2, 3)]))
    assert not got.warnings
    assert got.runs["status"].tolist() == ["done"] * 4
    assert got.runs["arch_index"].tolist() == [100, 101, 102, 103]
    assert got.runs["trial_dir"].tolist() == ["packed/pack-0000"] * 4
    assert got.epochs["run_id"].tolist() == ["a0", "a1", "a2", "a3"]


def test_what_is_only_in_a_checkpoint_counts(packed, fake):
    rows = [fake.epoch(f"a{seed}", 1, 100 + seed, "done") for seed in range(3)]
    got = collect(packed([report(fake, 0)], checkpoint=rows))
    assert got.runs["status"].tolist() == ["done"] * 3 + ["pending"]


def test_a_failure_is_of_the_runs_that_are_not_done(packed, fake):
    text = "Failure # 1 (occurred at 2024-01-03_00-00-00)\nTraceback\nOSError: disk full\n"
    got = collect(packed([report(fake, 0, 1)], error=text))
    assert got.runs["status"].tolist() == ["done", "done", "error", "error"]
    assert got.runs["error"].tolist()[2:] == ["OSError: disk full"] * 2


def test_a_failure_before_the_last_report_is_over(packed, fake):
    text = "Failure # 1 (occurred at 2024-01-01_00-00-00)\nOSError: disk full\n"
    got = collect(packed([report(fake, 0, 1)], error=text))
    assert got.runs["status"].tolist() == ["done", "done", "pending", "pending"]


def test_a_cut_line_and_a_broken_report(packed, fake):
    broken = report(fake, 0)
    broken["runs"][0]["epoch"] = "one"
    got = collect(packed([report(fake, 1), broken], tail='{"runs": [{"run_id": "a2", "ep'))
    assert got.runs["status"].tolist() == ["pending", "done", "pending", "pending"]
    assert got.warnings == ("pack-0000: 1 of its reports can't be read: skipped",)


def test_a_run_of_two_packs_is_one_row(packed, fake):
    packed([report(fake, 0, 1)])
    got = collect(packed([report(fake, 2)], name="pack-0001"))
    assert got.runs["status"].tolist() == ["done"] * 3 + ["pending"]
    assert len(got.epochs) == 3
