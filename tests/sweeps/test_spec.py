"""Sweep files: what is read, and that the first thing wrong is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from drnas_ray.blackbox import BLACKBOX
from drnas_ray.config import validated
from drnas_ray.config.overrides import parse_overrides, parse_seeds
from drnas_ray.core.errors import UserError
from drnas_ray.methods import METHODS
from drnas_ray.sweeps.plan.check import checked_plan
from drnas_ray.sweeps.plan.runs import plan_runs
from drnas_ray.sweeps.spec.sweep import (
    Resources,
    SweepConfig,
    load_sweep,
    presets,
)

BASE = {"name": "s", "methods": ["drnas"], "datasets": ["digits"], "seeds": [0]}


@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        ("0:3", (0, 1, 2)),
        ("4:6", (4, 5)),
        ("7", (7,)),
        ("1,5,7", (1, 5, 7)),
        ("5, 1", (5, 1)),
        (3, (3,)),
        ([2, 1], (2, 1)),
        (range(2), (0, 1)),
        ("0:1", (0,)),
        (2**31 - 1, (2**31 - 1,)),
    ],
)
def test_seeds(given: object, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(given) == seeds


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("", "contains no seed"),
        ("3:3", "'3:3' contains no seed"),
        ("5:2", "'5:2' contains no seed"),
        ([], r"\[\] contains no seed"),
        ("x", "'x': write 0:10"),
        ("1:2:3", "'1:2:3': write 0:10"),
        (":", "':': write 0:10"),
        (None, "None: write 0:10"),
        (True, "True: write 0:10"),
        ({"a": 1}, "write 0:10"),
        ([1.5], "seed 1.5"),
        ([True], "seed True"),
        (["1"], "seed '1'"),
        (-1, "seed -1"),
        (2**31, "seed 2147483648"),
        ("1,1", "lists a seed twice"),
    ],
)
def test_bad_seeds(given: object, named: str) -> None:
    with pytest.raises(UserError, match=named):
        parse_seeds(given)


def load(tmp_path: Path, text: str, *args: Any) -> SweepConfig:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return load_sweep(str(path), *args)


def test_seeds_in_yaml_are_not_sexagesimal(tmp_path: Path) -> None:
    # YAML 1.1 reads 1:20 as 80.
    text = "name: s\nmethods: [drnas]\ndatasets: [digits]\nseeds: "
    assert load(tmp_path, text + "1:20").seeds == tuple(range(1, 20))
    assert load(tmp_path, text + "[3, 4]").seeds == (3, 4)
    assert load(tmp_path, text + "0", ["seeds=1:4"]).seeds == (1, 2, 3)


def overrides(texts: list[str]) -> dict[str, Any]:
    return parse_overrides(texts, SweepConfig.model_fields)


def test_numbers_as_people_write_them() -> None:
    given = overrides(["grid.arch.lr=[1e-3, 1E-2, 1.5e+2, .5, 3, -2, true, 1_0]"])
    assert given == {"grid": {"arch": {"lr": [1e-3, 1e-2, 150.0, 0.5, 3, -2, True, 10]}}}
    values = given["grid"]["arch"]["lr"]
    assert [type(value) for value in values] == [float] * 4 + [int] * 2 + [bool, int]


def test_a_key_twice_is_refused(tmp_path: Path) -> None:
    text = yaml.safe_dump(BASE) + "config: {epochs: 2}\nconfig: {batch_size: 8}\n"
    with pytest.raises(UserError, match=r"s\.yaml is not valid YAML: key 'config' is given twice"):
        load(tmp_path, text)
    with pytest.raises(UserError, match="key 'lr' is given twice"):
        load(tmp_path, yaml.safe_dump(BASE) + "config: {arch: {lr: 1, lr: 2}}\n")


def test_overrides_go_under_config_unless_they_name_a_part_of_a_sweep() -> None:
    assert overrides(["arch.lr=0.01", "epochs=3", "max_concurrent=2", "retrain={}"]) == {
        "config": {"arch": {"lr": 0.01}, "epochs": 3},
        "max_concurrent": 2,
        "retrain": {},
    }
    assert overrides(["name=a=b"]) == {"name": "a=b"}
    assert overrides(["epochs=3", "epochs=4"]) == {"config": {"epochs": 4}}
    assert overrides([]) == {}


@pytest.mark.parametrize("text", ["epochs", "=3", "", "arch..lr=3", ".lr=3", "arch.lr=[1"])
def test_bad_overrides(text: str) -> None:
    with pytest.raises(UserError):
        overrides([text])


def test_overrides_and_seeds_beat_the_file(tmp_path: Path) -> None:
    text = yaml.safe_dump({**BASE, "config": {"epochs": 3, "arch": {"lr": 0.1}}})
    sweep = load(tmp_path, text, ["arch.lr=0.2", "seeds=[4]"], "7:9")
    assert sweep.seeds == (7, 8)
    assert sweep.config == {"epochs": 3, "arch": {"lr": 0.2}}


def test_presets_parse_and_plan() -> None:
    table = ["benchmark.table=any.parquet"]  # read when the sweep begins, not when it is planned
    for name in presets():
        sweep = load_sweep(name, table if "table" in name else ())
        every = {*METHODS, *BLACKBOX} - {_name(entry) for entry in sweep.methods}
        methods = len(sweep.methods) + (len(every) - 1 if "all" in sweep.methods else 0)
        assert len(checked_plan(sweep)) == methods * len(sweep.datasets) * len(sweep.seeds)
    assert {*presets()} == {
        "demo", "digits-tuning", "nb201-mini", "nb201-smoke", "nb201-table", "nb201-table-transfer",
    }  # fmt: skip


def test_the_table_presets_differ_in_the_protocol_alone() -> None:
    searched, transferred = (load_sweep(f"nb201-table{end}") for end in ("", "-transfer"))
    assert searched.methods == transferred.methods
    assert (searched.protocol, transferred.protocol) == ("search", "transfer")


# The rows of the paper's tables that can be searched here.
ROWS = {
    "bayesnas", "darts", "drnas", "dsnas", "enas", "fixed", "gaea", "gdas", "parsec", "pcdarts",
    "pdarts", "proxyless", "random", "rea", "reinforce", "rsps", "snas",
}  # fmt: skip


def _name(entry: str | dict[str, Any]) -> str:
    return entry if isinstance(entry, str) else entry["name"]


@pytest.mark.parametrize("name", ["nb201-mini", "nb201-table"])
def test_no_method_is_missing_from_a_table(name: str) -> None:
    assert {_name(entry) for entry in load_sweep(name).methods} >= ROWS


def test_the_smoke_preset_runs_every_method() -> None:
    assert {run.config.method.name for run in plan_runs(load_sweep("nb201-smoke"))} == {
        *METHODS, *BLACKBOX,
    }  # fmt: skip


def test_all_methods_are_those_not_listed_otherwise(tmp_path: Path) -> None:
    methods = ["all", {"name": "darts", "order": 2}, *BLACKBOX]
    config = {"benchmark": {"train": {"epochs": 1}}}
    text = yaml.safe_dump({**BASE, "methods": methods, "seeds": [0], "config": config})
    runs = plan_runs(load(tmp_path, text))
    planned = [run.config.method.name for run in runs]
    assert planned == [*(name for name in METHODS if name != "darts"), "darts", *BLACKBOX]
    assert {run.label for run in runs if run.config.method.name == "darts"} == {"DARTS (2nd)"}


def test_every_preset_opens_with_what_it_is() -> None:
    assert all(text.startswith("# ") for text in presets().values())


def test_demo_is_four_methods_and_three_seeds() -> None:
    runs = plan_runs(load_sweep("demo"))
    labels = ("DrNAS", "DARTS (1st)", "DARTS (2nd)", "uniform cell")
    assert [run.label for run in runs] == [label for label in labels for _ in range(3)]
    assert [run.config.seed for run in runs] == [0, 1, 2] * 4
    assert len({run.epochs for run in runs if run.label != "uniform cell"}) == 1


@pytest.mark.parametrize(
    ("over", "named"),
    [
        ({"methods": []}, "methods=[]"),
        ({"datasets": []}, "datasets=[]"),
        ({"name": "a/b"}, "name='a/b'"),
        ({"name": ""}, "name=''"),
        ({"max_concurrent": 0}, "max_concurrent=0"),
        ({"max_failures": -1}, "max_failures=-1"),
        ({"resources": {"cpu": 0}}, "resources.cpu=0"),
        ({"resources": {"gpu": -1}}, "resources.gpu=-1"),
        ({"resources": {"cpus": 1}}, "did you mean 'cpu'?"),
        ({"metods": []}, "did you mean 'methods'?"),
        ({"grid": {"arch.lr": []}}, "grid axis 'arch.lr' has no values"),
        ({"grid": {"arch.lr": 3}}, "grid.arch.lr=3"),
        ({"grid": []}, "grid=[]"),
        ({"config": 3}, "config=3"),
        ({"retrain": 3}, "retrain=3"),
    ],
)
def test_a_wrong_part_is_named(over: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError) as caught:
        validated(SweepConfig, {**BASE, **over})
    assert named in str(caught.value)


@pytest.mark.parametrize("missing", ["name", "methods", "datasets", "seeds"])
def test_a_missing_part_is_named(missing: str) -> None:
    with pytest.raises(UserError, match=f"^{missing} is missing$"):
        validated(SweepConfig, {k: v for k, v in BASE.items() if k != missing})


def test_threads_are_whole_cpus() -> None:
    threads = {cpu: Resources(cpu=cpu).threads for cpu in (0.25, 1, 1.9, 4)}
    assert threads == {0.25: 1, 1: 1, 1.9: 1, 4: 4}
