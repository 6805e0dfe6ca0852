"""RobustDARTS's early stopping: the rule on made series, and a search that ends early."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.records.collect import collect
from drnas_ray.config import EarlyStopSettings
from drnas_ray.jobs import checkpoint
from drnas_ray.jobs.single import SingleJob
from drnas_ray.search import diagnostics
from drnas_ray.search.diagnostics.earlystop import before_growth
from drnas_ray.search.loop import SearchJob
from drnas_ray.sweeps.local import run_search
from drnas_ray.sweeps.spec.sweep import SweepConfig
from tests.stepping import step

STOP = {"first_epoch": 1, "back": 2, "window": 1}


def answer(values, every: int = 1, **over) -> tuple[int, int] | None:
    """(epoch of the stop, epoch of its cell) of eigenvalues measured every so many epochs."""
    settings = EarlyStopSettings(**over)
    series = []
    for number, value in enumerate(values, start=1):
        series.append((number * every, value, f"cell {number * every}"))
        found = before_growth(series, every, settings)
        if found is not None:
            assert found[2] == f"cell {found[0]}"
            return number * every, found[0]
    return None


# --- the rule -----------------------------------------------------------------------------------


def test_without_growth_the_search_goes_on():
    assert answer([1.0] * 50) is None
    assert answer(np.linspace(2, 1, 50)) is None
    assert answer(1.04 ** np.arange(50)) is None  # 1.22 in five epochs


def test_growth_by_more_than_the_factor_stops():
    """1.06^5 = 1.338: the first pair of epochs that may be compared is 10 and 15, known at 17."""
    assert answer(1.06 ** np.arange(50)) == (17, 10)
    assert answer(1.06 ** np.arange(50), factor=1.34) is None


def test_a_jump_by_hand():
    """1 up to epoch 20, then 2. The mean of 5 around 19 is (4 + 2) / 5 = 1.2, around 20 it is 1.4
    against 1 around 15, and the window of 20 ends at 22."""
    values = [1.0] * 20 + [2.0] * 30
    assert answer(values) == (22, 15)
    assert answer(values, factor=1.5) == (23, 16)
    assert answer(values, window=1) == (21, 16)
    assert answer(values, first_epoch=16) == (23, 16)
    assert answer(values, first_epoch=21) is None


def test_measured_less_often_the_window_is_still_in_epochs():
    assert answer([1.0] * 4 + [2.0] * 4, every=5) == (25, 20)
    # Around 20 lie 18, 20 and 22 with mean 4/3; around 16 all are 1.
    values = [1.0] * 10 + [2.0] * 10
    assert answer(values, every=2, back=4) == (22, 16)
    assert answer(values, every=2, back=4, factor=1.4) == (24, 18)


def test_a_mean_that_is_not_positive_stops_nothing():
    assert answer([-1.0] * 20 + [2.0] * 5, window=1, back=4) is None
    assert answer([0.0] * 30 + [2.0] * 4, window=1, back=4) is None


@pytest.mark.parametrize("every", [1, 2, 3])
def test_it_is_the_papers_rule_on_any_series(every):
    """Smoothed over the window around i, stop where l(i - k) / l(i) < 1 / factor; by search."""
    rng = np.random.default_rng(every)
    stops = 0
    for _ in range(200):
        values = np.exp(np.cumsum(0.12 * rng.standard_normal(40)))
        half, back, first = int(rng.integers(0, 4)), 6, int(rng.integers(1, 12))
        epochs = every * np.arange(1, 41)

        def smooth(i, values=values, epochs=epochs, half=half):
            return values[np.abs(epochs - i) <= half].mean()

        expected = None
        for i in epochs:
            seen = epochs[epochs >= i + half - every + 1][:1]  # no measurement in the window after
            fits = i - back >= first and i - back in epochs
            if fits and len(seen) and smooth(i - back) / smooth(i) < 1 / 1.3:
                expected = (int(seen[0]), int(i - back))
                break
        settings = {"window": 2 * half + 1, "back": back, "first_epoch": first}
        assert answer(values, every, **settings) == expected
        stops += expected is not None
    assert 20 < stops < 200


# --- a search -----------------------------------------------------------------------------------


@pytest.fixture
def eigenvalues(monkeypatch):
    """Made eigenvalues, by epoch, in place of measured ones."""

    def put(values):
        def made(run, batch):
            return {"hessian_max_eigenvalue": values[run.epoch - 1], "hessian_trace": 0.0}

        monkeypatch.setattr(diagnostics, "curvature", made)

    return put


def stopping(tiny_run, **over):
    settings = {
        "hessian": 1, "early_stop": STOP, "landscape": "last", "images": 8, "landscape_points": 3,
    }  # fmt: skip
    return tiny_run("darts", **{"epochs": 8, "arch": {"lr": 0.3}, "diagnostics": settings, **over})


def finish(run) -> list[dict]:
    records = []
    while not records or records[-1]["status"] == "running":
        records.append(step(run))
    return records


GROWS = [1.0, 1.0, 1.0, 1.1, 2.0, 9.0, 9.0, 9.0]


@pytest.mark.long
def test_a_search_ends_with_the_cell_from_before_the_growth(tiny_run, eigenvalues):
    eigenvalues(GROWS)
    records = finish(stopping(tiny_run))
    last = records[-1]
    assert len(records) == last["epoch"] == 5
    assert last["status"] == "done"
    assert last["answer_epoch"] == 3
    assert last["genotype"] == records[2]["genotype"] != records[3]["genotype"]
    assert last["skip_count"] == records[2]["skip_count"]
    assert "landscape_loss" in last  # `last` is after the last epoch that there is
    assert all("answer_epoch" not in record for record in records[:-1])


@pytest.mark.long
def test_a_search_that_does_not_stop_is_the_search_without(tiny_run, eigenvalues):
    eigenvalues([1.0] * 8)
    records = finish(stopping(tiny_run))
    plain = finish(tiny_run("darts", epochs=8, arch={"lr": 0.3}))
    assert [{key: r[key] for key in p} for r, p in zip(records, plain, strict=True)] == plain


@pytest.mark.long
def test_a_stop_survives_a_kill_before_and_after_it(tiny_run, eigenvalues, tmp_path):
    eigenvalues(GROWS)
    whole = stopping(tiny_run)
    expected = []
    for k in range(5):
        checkpoint.save(whole.state_dict(), tmp_path / f"{k}.pt")
        record = SearchJob(whole).step()
        expected.append({key: v for key, v in record.items() if not key.endswith("_s")})
    for k in range(1, 5):
        run = stopping(tiny_run)
        run.load_state_dict(checkpoint.load(tmp_path / f"{k}.pt", run.config.canonical_json()))
        assert finish(run) == expected[k:]
    job = SingleJob(whole.config, SearchJob(whole), {})
    job.records = [{**expected[-1], "wall_s": 1.0}]
    job.save(tmp_path / "ended.pt")
    again = SingleJob(whole.config, SearchJob(stopping(tiny_run)), {})
    again.load(tmp_path / "ended.pt")
    assert again.ended
    assert again.step() == job.records[-1]
    assert again.computation.epoch == 5
    assert again.computation.run.finished


@pytest.mark.long
def test_epochs_of_the_warm_up_and_of_earlier_stages_are_not_compared(tiny_run, eigenvalues):
    grows = [1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 16.0]
    eigenvalues(grows)
    assert finish(stopping(tiny_run))[-1]["answer_epoch"] == 1
    warm = stopping(tiny_run, arch={"lr": 0.3, "warmup_epochs": 1})
    assert finish(warm)[-1]["answer_epoch"] == 2
    stages = {"stages": [{"epochs": 2}, {"epochs": 6, "keep_ops": 3}]}
    records = finish(stopping(tiny_run, **stages))
    assert (records[-1]["epoch"], records[-1]["answer_epoch"]) == (5, 3)
    stages = {"stages": [{"epochs": 4}, {"epochs": 4}], "arch": {"lr": 0.3, "warmup_epochs": 1}}
    eigenvalues([1.0, 1.0, 1.0, 1.0, 8.0, 8.0, 8.0, 16.0])
    records = finish(stopping(tiny_run, **stages))
    assert (records[-1]["epoch"], records[-1]["answer_epoch"]) == (8, 6)
    assert records[-1]["genotype"] == records[5]["genotype"]


@pytest.mark.long
def test_a_folder_of_a_search_that_ended_early(tiny_run, eigenvalues, tmp_path):
    """Recorded, resumed when it has ended, and collected: done, with fewer epochs than planned."""
    eigenvalues(GROWS)
    config = {
        "epochs": 8,
        "batch_size": 16,
        "supernet": {"channels": 4, "cells": 1},
        "arch": {"lr": 0.3},
        "diagnostics": {"hessian": 1, "images": 8, "early_stop": STOP},
    }
    sweep = SweepConfig(
        name="tiny",
        methods=("darts",),
        datasets=({"name": "digits", "train_images": 64},),
        seeds=(0,),
        config=config,
    )
    seen: list[dict] = []
    for resume in (False, True):
        last = run_search(
            sweep,
            tmp_path / "out",
            data_root=None,
            resume=resume,
            report=lambda record, epochs: seen.append(record),
        )
        assert (last["status"], last["epoch"]) == ("done", 5)
    assert len(seen) == 5
    collected = collect(tmp_path / "out")
    assert not collected.warnings
    (run,) = collected.runs.to_dict("records")
    assert (run["status"], run["epochs_done"], run["epochs_total"]) == ("done", 5, 8)
    assert run["genotype"] == seen[2]["genotype"]
    for figure in ("val_acc_pct", "val_mean_acc_pct", "entropy_nats"):
        assert run[figure] == seen[2][figure]
    assert run["search_s"] == pytest.approx(sum(record["wall_s"] for record in seen))
    epochs = collected.epochs
    assert epochs["hessian_max_eigenvalue"].tolist() == GROWS[:5]
    assert epochs["answer_epoch"].dropna().tolist() == [3]
    assert (epochs["diagnostics_s"] > 0).all()
