"""From a sweep to its runs: every combination once, nothing silently dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drnas_ray.config import BlackBoxConfig, SearchConfig, validated
from drnas_ray.core.errors import UserError
from drnas_ray.spaces import SPACES
from drnas_ray.sweeps.plan.check import checked_plan, prepare_runs
from drnas_ray.sweeps.plan.retrains import plan_retrains, retrain_of
from drnas_ray.sweeps.plan.runs import PlannedRun, plan_runs
from drnas_ray.sweeps.spec.sweep import SweepConfig, load_sweep

SPACE = SPACES["nb201"]
# The same network: the skip on edge 0 -> 1 makes node 1 a copy of the input.
CELL = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"
TWIN = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"
OTHER = "|none~0|+|nor_conv_1x1~0|none~1|+|none~0|none~1|skip_connect~2|"


def sweep_of(**over: Any) -> SweepConfig:
    base = {"name": "s", "methods": ["drnas"], "datasets": ["digits"], "seeds": [0, 1]}
    return validated(SweepConfig, {**base, **over})


def plan(**over: Any) -> list[PlannedRun]:
    return plan_runs(sweep_of(**over))


def test_every_combination_once_in_order() -> None:
    runs = plan(methods=["drnas", "darts"], datasets=["digits", "svhn"], grid={"arch.lr": [0.1, 1]})
    seen = [
        (run.config.method.name, run.config.data.name, run.variant["arch.lr"], run.config.seed)
        for run in runs
    ]
    assert seen == [
        (method, data, lr, seed)
        for method in ("drnas", "darts")
        for data in ("digits", "svhn")
        for lr in (0.1, 1)
        for seed in (0, 1)
    ]
    assert len({run.run_id for run in runs}) == len({run.folder for run in runs}) == 16


def test_grid_reaches_the_config_and_the_variant() -> None:
    runs = plan(seeds=[3], grid={"supernet.channels": [4, 8], "method.penalty": ["l2", "kl"]})
    assert [run.variant for run in runs] == [
        {"supernet.channels": channels, "method.penalty": penalty}
        for channels in (4, 8)
        for penalty in ("l2", "kl")
    ]
    for run in runs:
        config = run.config
        assert isinstance(config, SearchConfig)
        assert config.supernet.channels == run.variant["supernet.channels"]
        assert config.method.model_dump()["penalty"] == run.variant["method.penalty"]


def test_an_axis_is_left_out_for_methods_that_lack_it() -> None:
    runs = plan(
        methods=["drnas", "darts", "uniform"],
        seeds=[0],
        grid={"method.penalty": ["l2", "kl"], "arch.lr": [0.1, 0.2]},
    )
    axes = [(run.config.method.name, tuple(run.variant)) for run in runs]
    assert axes == (
        [("drnas", ("method.penalty", "arch.lr"))] * 4
        + [("darts", ("arch.lr",))] * 2
        + [("uniform", ())]
    )


def test_uniform_runs_take_one_step_and_only_what_they_have() -> None:
    (run,) = plan(methods=["uniform"], seeds=[2], config={"epochs": 7, "arch": {"lr": 0.1}})
    assert isinstance(run.config, BlackBoxConfig)
    assert (run.epochs, run.label) == (1, "uniform cell")
    assert "epochs" not in run.config.model_dump()


def test_settings_of_one_method_go_to_the_methods_that_have_them() -> None:
    drnas, darts = plan(
        methods=["drnas", "darts"], seeds=[0], config={"method": {"order": 2}, "epochs": 3}
    )
    assert "order" not in drnas.config.method.model_dump()
    assert darts.label == "DARTS (2nd)"


def test_published_defaults_of_a_method_hold_unless_set() -> None:
    (run,) = plan(methods=["darts"], seeds=[0])
    (set_,) = plan(methods=["darts"], seeds=[0], config={"weights": {"nesterov": False}})
    (own,) = plan(
        methods=[{"name": "darts", "config": {"weights": {"weight_decay": 0.25}}}], seeds=[0]
    )
    configs = [each.config for each in (run, set_, own)]
    assert all(isinstance(config, SearchConfig) for config in configs)
    weights = [config.weights for config in configs if isinstance(config, SearchConfig)]
    assert [w.nesterov for w in weights] == [True, False, True]
    assert [w.weight_decay for w in weights] == [5e-4, 5e-4, 0.25]


def test_ids_depend_on_settings_alone() -> None:
    one = plan(config={"epochs": 3})
    two = plan(name="other", config={"epochs": 3}, max_concurrent=1, resources={"cpu": 2})
    labelled = plan(methods=[{"name": "drnas", "label": "ours"}], config={"epochs": 3})
    other = plan(config={"epochs": 4})
    ids = [[run.run_id for run in runs] for runs in (one, two, labelled, other)]
    assert ids[0] == ids[1] == ids[2]
    assert not set(ids[0]) & set(ids[3])
    assert [run.label for run in labelled] == ["ours", "ours"]


@pytest.mark.parametrize(
    ("over", "named"),
    [
        ({"config": {"epohs": 3}}, "unknown setting 'epohs': did you mean 'epochs'?"),
        ({"config": {"arch": {"lrr": 3}}}, "unknown setting 'arch.lrr': did you mean 'arch.lr'?"),
        ({"config": {"arch.lr": 3}}, "config 'arch.lr': write groups as {'arch': {'lr'"),
        ({"config": {"arch": {"a.b": 3}}}, "config 'a.b'"),
        ({"config": {"seed": 3}}, "config 'seed'"),
        ({"config": {"data": {"name": "svhn"}}}, "config 'data.name'"),
        ({"config": {"method": {"order": 2}}}, "'method.order'"),
        ({"config": {"method": {"penalty": "l3"}}}, "method.penalty='l3'"),
        ({"config": {"epochs": "x"}}, "epochs='x'"),
        ({"config": {"arch": {"warmup_epochs": 100}}}, "warmup_epochs=100 leaves no epoch of"),
        ({"config": {"weights": {"lr_min": 1}}}, "lr_min=1.0 is above lr=0.025"),
        ({"config": {"weights": {"nesterov": True, "momentum": 0}}}, "needs momentum above 0"),
        ({"config": {"supernet": {"partial": 3}}}, "channels=16 can't be split into partial=3"),
        ({"grid": {"arch.lrr": [1]}}, "grid over unknown setting 'arch.lrr': did you mean"),
        ({"grid": {"arch": [1]}}, "grid over unknown setting 'arch'"),
        ({"grid": {"seed": [1]}}, "grid over 'seed'"),
        ({"grid": {"arch.lr": ["x"]}}, "arch.lr='x'"),
        ({"grid": {"arch.lr": [0.1, 0.1]}}, "is planned twice"),
        ({"grid": {"arch.lr": [1, 1.0]}}, "is planned twice"),
        ({"methods": ["drnass"]}, "unknown method 'drnass': did you mean 'drnas'?"),
        ({"methods": ["drnas", "drnas"]}, "is planned twice"),
        ({"methods": [{"name": "drnas", "penalti": "kl"}]}, "did you mean 'penalty'?"),
        ({"methods": [{"name": "drnas", "config": 3}]}, "config=3 of method drnas"),
        ({"methods": [{"name": "drnas", "label": 3}]}, "label=3 of method drnas"),
        ({"methods": [{"name": "drnas", "label": " "}]}, "label=' ' of method drnas"),
        ({"methods": [{"name": "drnas", "config": {"epohs": 3}}]}, "did you mean 'epochs'?"),
        ({"datasets": ["digit"]}, "unknown data set 'digit': did you mean 'digits'?"),
        ({"datasets": ["digits", "digits"]}, "is planned twice"),
        ({"datasets": [{"name": "digits", "trian_images": 9}]}, "did you mean 'train_images'?"),
        ({"datasets": [{"name": "folder", "path": "/no/where"}]}, "/no/where doesn't exist"),
        ({"config": {"space": "nb20"}}, "unknown space 'nb20': did you mean 'nb201'?"),
    ],
)
def test_the_first_thing_wrong_is_named(over: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(**over)
    assert named in str(caught.value)


def test_two_methods_never_share_a_row_of_the_table() -> None:
    both = [{"name": "drnas", "penalty": "kl"}, {"name": "drnas", "penalty": "none"}]
    with pytest.raises(UserError, match="would both be the row 'DrNAS' of the table"):
        plan(methods=both)
    runs = plan(methods=[both[0], {**both[1], "label": "DrNAS, no penalty"}])
    assert [run.label for run in runs] == ["DrNAS"] * 2 + ["DrNAS, no penalty"] * 2


def test_equal_cells_under_one_seed_are_trained_once() -> None:
    assert SPACE.canonical(CELL) == SPACE.canonical(TWIN) != SPACE.canonical(OTHER)
    sweep = sweep_of(grid={"arch.lr": [0.1, 0.2, 0.3]}, retrain={"epochs": 2})
    runs = plan_runs(sweep)
    cells = [CELL, CELL, TWIN, TWIN, OTHER, CELL]  # lr 0.1: seeds 0 and 1; lr 0.2: ...
    finished = {run.run_id: cell for run, cell in zip(runs, cells, strict=True)}
    jobs = plan_retrains(sweep, finished, runs)
    waiting = {
        (config.seed, config.genotype): [runs.index(run) for run in runs if run.run_id in ids]
        for config, ids in jobs.values()
    }
    same, other = SPACE.canonical(CELL), SPACE.canonical(OTHER)
    assert waiting == {(0, same): [0, 2], (1, same): [1, 3, 5], (0, other): [4]}
    assert all(config.id() == key for key, (config, _) in jobs.items())
    assert all(config.epochs == 2 for config, _ in jobs.values())


def test_unfinished_runs_and_sweeps_without_a_recipe_train_nothing() -> None:
    sweep = sweep_of(retrain={})
    runs = plan_runs(sweep)
    jobs = plan_retrains(sweep, {runs[1].run_id: CELL}, runs)
    assert [ids for _, ids in jobs.values()] == [[runs[1].run_id]]
    assert plan_retrains(sweep_of(), {run.run_id: CELL for run in runs}, runs) == {}


def test_a_cell_is_retrained_on_the_images_it_was_searched_on_unless_told() -> None:
    data = {"name": "digits", "train_images": 64}
    sweep = sweep_of(datasets=[data], retrain={"data": {"train_images": None, "cutout": 4}})
    config = retrain_of(sweep, plan_runs(sweep)[1].config, CELL)
    assert (config.data.name, config.data.train_images, config.data.cutout) == ("digits", None, 4)
    assert config.seed == 1


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ({"epochs": 0}, "retrain.epochs=0"),
        ({"epoch": 1}, "unknown setting 'retrain.epoch': did you mean 'epochs'?"),
        ({"genotype": CELL}, "retrain.genotype follows from each run"),
        ({"seed": 1}, "retrain.seed follows"),
        ({"space": "nb201"}, "retrain.space follows"),
        ({"lr": "fast"}, "retrain.lr='fast'"),
        ({"data": {"cutout": 99}}, "data.cutout=99 is wider than the 8 pixels"),
    ],
)
def test_a_wrong_recipe_is_found_before_anything_runs(recipe: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError) as caught:
        checked_plan(sweep_of(retrain=recipe))
    assert named in str(caught.value)


def test_set_wins_over_what_methods_and_data_sets_set_themselves() -> None:
    overrides = ["weights.nesterov=true", "methods=[{name: darts, config: {weights: {lr: 0.1}}}]"]
    sweep = load_sweep("nb201-mini", [overrides[0]])
    runs = [run for run in plan_runs(sweep) if isinstance(run.config, SearchConfig)]
    assert {run.config.weights.nesterov for run in runs} == {True}
    sweep = load_sweep(
        "demo", [*overrides, "datasets=[{name: digits, flip: false}]", "data.flip=true"]
    )
    runs = plan_runs(sweep)
    assert {(run.config.weights.lr, run.config.data.flip) for run in runs} == {(0.1, True)}


def test_transfer_searches_one_data_set_and_trains_no_cell() -> None:
    with pytest.raises(UserError, match="2 are listed"):
        plan(protocol="transfer", datasets=["cifar10", "cifar100"])
    with pytest.raises(UserError, match="protocol transfer with retrain"):
        plan(protocol="transfer", retrain={"epochs": 1})
    assert len(plan(protocol="transfer", datasets=["cifar10"])) == 2


def test_settings_of_a_benchmark_reach_only_who_asks_one() -> None:
    runs = plan(
        methods=["rea", "uniform", "drnas"],
        datasets=["cifar10"],
        seeds=[0],
        config={"benchmark": {"table": "any.parquet"}},
        grid={"queries": [5, 6]},
    )
    asked = [(run.config.method.name, run.variant.get("queries")) for run in runs]
    assert asked == [("rea", 5), ("rea", 6), ("uniform", None), ("drnas", None)]
    assert [run.epochs for run in runs[:2]] == [1, 1]
    trains = {"queries": 7, "benchmark": {"train": {"epochs": 1}}}
    (trained,) = plan(methods=["rea"], seeds=[0], config=trains)
    assert trained.epochs == 7


def test_a_missing_table_is_found_before_anything_runs(tmp_path: Path) -> None:
    runs = plan(
        methods=["rea"],
        datasets=["cifar10"],
        seeds=[0],
        config={"benchmark": {"table": str(tmp_path / "gone.parquet")}},
    )
    with pytest.raises(UserError, match=r"gone\.parquet"):
        prepare_runs(runs, None, retrained=False)
