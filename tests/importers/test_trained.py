"""A folder of trained cells as a table: the same questions as of an official one."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis.records.benchmark import BenchmarkTable
from drnas_ray.benchmarks.cache import CellCache
from drnas_ray.benchmarks.table import CellTable
from drnas_ray.cli import app
from drnas_ray.core.errors import UserError
from drnas_ray.importers.convert import import_benchmark
from drnas_ray.spaces.nb201 import NB201

pytestmark = pytest.mark.long

SPACE = NB201()
CELL = SPACE.canonical(SPACE.cell(9930))
OTHER = SPACE.canonical(SPACE.cell(1835))


def row(cell, seed, figure, recipe="aa11", dataset="digits", epochs=3, **over):
    recipe_json = json.dumps({"data": {"name": dataset}, "space": "nb201"})
    return {
        "recipe_id": recipe, "arch": cell, "seed": seed, "space": "nb201",
        "dataset": f"{dataset} (train_images=200)", "epochs": epochs, "recipe": recipe_json,
        "status": "done", "val_acc_pct": figure, "val_loss": figure / 100, "params_m": 0.5,
        "train_acc_pct": figure + 1, "train_loss": 0.1, "train_s": 2.0 + seed, **over,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    cache = CellCache(tmp_path / "cache")
    for one in (
        row(CELL, 0, 50.0), row(CELL, 1, 53.0), row(CELL, 2, 59.0), row(OTHER, 1, 10.0),
        row(OTHER, 2, 0.0, status="diverged", val_acc_pct=None, val_loss=None),
    ):  # fmt: skip
        cache.add(one)
    return tmp_path / "cache"


def test_it_answers_as_an_official_table_does(folder, tmp_path):
    done = import_benchmark(folder, tmp_path / "t.parquet")
    table = CellTable.open(tmp_path / "t.parquet")
    assert table.valid(9930, "digits", 3) == pytest.approx(54.0)
    assert table.valid(9930, "digits", 3, "std") == pytest.approx(np.std([50, 53, 59], ddof=1))
    assert table.valid(9930, "digits", 3, "n") == 3
    assert table.by_seed(9930, "digits", "valid", 3) == {0: 50.0, 1: 53.0, 2: 59.0}
    assert table.cost(9930, "digits") == 0.5
    assert table.figures(9930, "digits_train_time_s_3") == pytest.approx(3.0)
    # A diverged training has no figure, and a single figure has no std.
    assert table.valid(1835, "digits", 3) == 10.0
    assert math.isnan(table.valid(1835, "digits", 3, "std"))
    assert table.by_seed(1835, "digits", "valid", 3) == {1: 10.0}
    alike = [i for i in range(15_625) if SPACE.canonical(SPACE.cell(i)) in (CELL, OTHER)]
    known = ~np.isnan(table.valid(np.arange(15_625), "digits", 3))
    assert np.flatnonzero(known).tolist() == alike and done.cells == len(alike) == table.cells


def test_missing_figures_are_nan_or_refused(folder, tmp_path):
    import_benchmark(folder, tmp_path / "t.parquet")
    table = CellTable.open(tmp_path / "t.parquet")
    assert math.isnan(table.test(9930, "digits", 3)) and math.isnan(table.valid(9930))
    with pytest.raises(UserError, match="digits after 12 epochs: known: 3"):
        table.valid(9930, "digits", 12)
    with pytest.raises(UserError, match="unknown benchmark data set 'digit'"):
        table.cost(9930, "digit")
    with pytest.raises(UserError, match="is a folder: `drnas bench import"):
        CellTable.open(folder)


def test_cifar10_counts_as_trained_on_one_half(tmp_path):
    CellCache(tmp_path / "cache").add(row(CELL, 4, 80.0, dataset="cifar10", epochs=12))
    import_benchmark(tmp_path / "cache", tmp_path / "t.parquet")
    table = CellTable.open(tmp_path / "t.parquet")
    assert table.valid(9930, epochs=12) == 80.0 and math.isnan(table.valid(9930, epochs=200))
    assert table.by_seed(9930, epochs=12) == {4: 80.0}
    assert table.figures(9930, "cifar10valid_train_time_s_12") == 6.0


def test_several_recipes_are_never_mixed(folder, tmp_path):
    CellCache(folder).add(row(CELL, 0, 99.0, recipe="bb22", epochs=5))
    target = tmp_path / "t.parquet"
    with pytest.raises(UserError, match=r"give --recipe, one of aa11 \(digits.*3 epochs.*; bb22"):
        import_benchmark(folder, target)
    with pytest.raises(UserError, match="no cell of recipe 'cc': known: aa11, bb22"):
        import_benchmark(folder, target, recipe="cc")
    assert not target.exists()
    import_benchmark(folder, target, recipe="bb")
    assert CellTable.open(target).valid(9930, "digits", 5) == 99.0
    with pytest.raises(UserError, match="--recipe applies to folders"):
        import_benchmark(target, tmp_path / "u.parquet", recipe="bb")


def test_the_comparison_table_looks_cells_up_in_it(folder, tmp_path):
    import_benchmark(folder, tmp_path / "t.parquet")
    table = BenchmarkTable.open(tmp_path / "t.parquet")
    assert table.datasets == ("digits",) and table.epochs == 3
    found = table.lookup([SPACE.cell(9930), SPACE.cell(5)], "digits", "valid")
    assert found[0] == pytest.approx(54.0) and math.isnan(found[1])
    assert table.best("digits", "valid") == pytest.approx(54.0)
    assert math.isnan(table.best("digits", "test"))
    with pytest.raises(UserError, match="no figures for 'cifar10': it has digits"):
        table.lookup([SPACE.cell(9930)], "cifar10", "valid")


def test_the_commands(folder, tmp_path):
    runner, target = CliRunner(), str(tmp_path / "t.parquet")
    made = runner.invoke(app, ["bench", "import", str(folder), target])
    assert made.exit_code == 0, made.output
    shown = runner.invoke(app, ["bench", "info", target]).stdout
    assert "DrNAS (cell 9930): 54.00 % validation accuracy" in shown
    assert "ResNet (cell 11472): not trained" in shown and "digits_valid_acc_3" in shown
    asked = runner.invoke(app, ["bench", "query", target, "9930", "--json"])
    found = json.loads(asked.stdout)
    assert found["digits_valid_acc_3"] == pytest.approx(54.0)
    assert found["digits_valid_acc_3_by_seed"] == [50.0, 53.0, 59.0]
