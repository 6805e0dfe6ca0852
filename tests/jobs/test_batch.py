"""Many short runs as one job: the same records as one by one, however it is divided into steps."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch

from drnas_ray.core.errors import UserError
from drnas_ray.jobs import group as module
from drnas_ray.jobs.start import Place, batch_job, single_job
from drnas_ray.parsing import run_config

HERE = Place(torch.device("cpu"))
RUNS = {
    config.id(): config
    for config in (run_config({"method": "uniform", "seed": seed}) for seed in range(7))
}
TIMES = ("wall_s", "reported_unix_s")


def plain(records):
    return [{k: v for k, v in record.items() if k not in TIMES} for record in records]


@pytest.fixture
def three_a_step(monkeypatch):
    """The clock gains 0.35 steps at each look, so that a step is three runs."""
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(ticks) * 0.35 * module.STEP_S)
    monkeypatch.setattr(module, "time", clock)


def steps(job):
    found = []
    while not job.ended:
        found.append(job.step())
    return found


def test_the_records_are_those_of_single_runs(three_a_step):
    found = steps(batch_job(RUNS, HERE))
    assert [step["epoch"] for step in found] == [3, 6, 7]
    assert [step["status"] for step in found] == ["running", "running", "done"]
    assert [len(step["runs"]) for step in found] == [3, 3, 7]  # the last holds all of them
    alone = [single_job(config, {"run_id": i}, HERE).step() for i, config in RUNS.items()]
    assert plain(found[-1]["runs"]) == plain(alone)
    assert all("reported_unix_s" in record for record in found[0]["runs"])


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_it_goes_on_where_it_was_saved(three_a_step, tmp_path, cut):
    job = batch_job(RUNS, HERE)
    for _ in range(cut):
        job.step()
    job.save(tmp_path / "run.pt")
    again = batch_job(RUNS, HERE)
    again.load(tmp_path / "run.pt")
    kept = list(again.records)
    if again.ended:
        assert plain(again.step()["runs"]) == plain(job.records)
    else:
        last = steps(again)[-1]
        assert last["runs"][: len(kept)] == kept  # not run again, times and all
        assert [r["run_id"] for r in last["runs"]] == list(RUNS)


def test_another_batchs_checkpoint_is_refused(tmp_path):
    batch_job(RUNS, HERE).save(tmp_path / "run.pt")
    fewer = dict(itertools.islice(RUNS.items(), 3))
    with pytest.raises(UserError, match="other settings"):
        batch_job(fewer, HERE).load(tmp_path / "run.pt")
