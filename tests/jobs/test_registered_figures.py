"""Everything that an epoch reports is registered, else the first epoch fails and says so."""

from __future__ import annotations

import pytest
import torch

from drnas_ray.benchmarks.base import Answer, Benchmark
from drnas_ray.blackbox import BLACKBOX
from drnas_ray.blackbox.run import BlackBoxRun
from drnas_ray.core.errors import UserError
from drnas_ray.jobs.group import BatchJob
from drnas_ray.jobs.records import check_record
from drnas_ray.jobs.single import SingleJob
from drnas_ray.jobs.start import Place, single_job
from drnas_ray.methods import METHODS
from drnas_ray.parsing import retrain_config, run_config
from drnas_ray.results.export_schema import RETRAIN_COLUMNS, SEARCH_COLUMNS
from drnas_ray.results.metrics import RunKind, tunable
from drnas_ray.search.loop import SearchJob
from drnas_ray.spaces import SPACES

PLACE = Place(torch.device("cpu"))
IN_A_TABLE = {"benchmark": {"table": "/nowhere.parquet"}, "queries": 3}
TOLD = sorted(set(BLACKBOX) - {"uniform", "fixed"})


class Invented(Benchmark):
    cheap = True

    def query(self, genotype: str) -> Answer:
        return Answer(SPACES["nb201"].index(genotype) / 200, 1.0)


def notes(monkeypatch, run, **figures):
    monkeypatch.setattr(run.method, "notes", lambda run: figures)
    return SingleJob(run.config, SearchJob(run), {"run_id": "x"})


# --- refused -------------------------------------------------------------------------------------


def test_a_figure_nobody_registered_fails_at_the_first_epoch(monkeypatch, tiny_run):
    job = notes(monkeypatch, tiny_run("gdas"), temperatur=1.0)
    with pytest.raises(UserError) as caught:
        job.step()
    (line,) = str(caught.value).splitlines()
    assert line == (
        "method gdas reports 'temperatur', which has no entry in drnas_ray/results/metrics.py: "
        "did you mean 'temperature'? add an entry"
    )
    assert job.records == []


@pytest.mark.parametrize(
    ("value", "kind"),
    [("warm", "str"), (torch.ones(()), "Tensor"), (True, "bool"), ([1.0], "list")],
)
def test_a_figure_of_another_type_fails_at_the_first_epoch(monkeypatch, tiny_run, value, kind):
    job = notes(monkeypatch, tiny_run("gdas"), temperature=value)
    with pytest.raises(UserError, match=rf"temperature=.*, a {kind}; its entry in .* says real"):
        job.step()


@pytest.mark.parametrize("name", ["host", "device", "restarts", "run_id", "test_acc_pct"])
def test_a_search_does_not_report_what_others_say(name):
    with pytest.raises(UserError, match=f"reports '{name}'"):
        check_record({name: None}, "method x", training=False)


def test_runs_in_a_batch_are_checked_too():
    class Odd:
        def step(self):
            return {"epoch": 1, "status": "done", "luck": 7}

    config = run_config({"method": "uniform"})
    with pytest.raises(UserError, match="method uniform reports 'luck'"):
        BatchJob({"a": lambda: SingleJob(config, Odd(), {})}).step()


# --- what is reported ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_methods_notes_are_registered(tiny_run, method):
    run = tiny_run(method)
    run.epoch = 1  # notes are of the epoch that ended
    check_record(run.method.notes(run), f"method {method}", training=False)


def test_a_search_reports_every_metric_that_it_can_be_tuned_by(tiny_run):
    run = tiny_run(diagnostics={"hessian": 1, "landscape": 1, "landscape_points": 3})
    record = SingleJob(run.config, SearchJob(run), {}).step()
    for name in tunable(RunKind.supernet):
        assert isinstance(record[name], int | float), name
    assert "landscape_loss" in record


@pytest.mark.parametrize("method", TOLD)
def test_a_multi_trial_run_reports_every_metric_that_it_can_be_tuned_by(method):
    config = run_config({"method": method, **IN_A_TABLE})
    record = SingleJob(config, BlackBoxRun(config, Invented()), {}).step()
    for name in tunable(RunKind.multi_trial):
        assert isinstance(record[name], int | float), name


def test_a_run_without_feedback_reports_every_metric_that_it_can_be_tuned_by():
    record = single_job(run_config({"method": "uniform"}), {"run_id": "x"}, PLACE).step()
    for name in tunable(RunKind.no_feedback):
        assert isinstance(record[name], int | float), name
    assert set(record) - {"hostname", "run_id"} < set(SEARCH_COLUMNS)


def test_a_training_reports_what_is_read_of_it():
    raw = {
        "genotype": SPACES["nb201"].cell(9930),
        "data": {"name": "digits", "train_images": 64},
        "epochs": 1,
        "channels": 4,
        "cells": 1,
        "batch_size": 32,
    }
    record = single_job(retrain_config(raw), {"retrain_id": "x"}, PLACE).step()
    assert record["status"] == "done"
    assert set(record) - {"hostname", "retrain_id"} == set(RETRAIN_COLUMNS) - {"host"}
