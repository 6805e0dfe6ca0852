"""The table: official strings and numbers, one and many, nan where nothing is known."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from drnas_ray.benchmarks.hardware import Hardware
from drnas_ray.benchmarks.report import known_cells
from drnas_ray.benchmarks.table import CellTable
from drnas_ray.benchmarks.tabular import TabularBenchmark
from drnas_ray.cli import app
from drnas_ray.core.errors import UserError
from drnas_ray.importers.convert import import_benchmark
from tests.bench_files import ARCHS
from tests.conftest import ROOT

DRNAS = 9930


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory):
    """A tidy table in another order, with figures that tell the cell."""
    order = np.random.default_rng(0).permutation(15_625)
    frame = pd.DataFrame({
        "arch": [ARCHS[i] for i in order],
        "cifar10_valid_acc_12": order / 200, "cifar10_valid_acc_200": order / 200 + 1,
        "cifar10_test_acc_200": np.where(order == 7, np.nan, order / 200 + 2),
        "cifar100_test_acc_12": order / 200 + 3, "cifar10_params_mb": order / 1e4,
        "cifar10_train_time_s_200": order * 2.0,
    })  # fmt: skip
    path = tmp_path_factory.mktemp("table") / "shuffled.parquet"
    frame.to_parquet(path)
    return path


@pytest.fixture(params=["raw", "imported"])
def table(request, shuffled, tmp_path):
    if request.param == "raw":
        return CellTable.open(shuffled)
    import_benchmark(shuffled, tmp_path / "t.parquet")
    return CellTable.open(tmp_path / "t.parquet")


def test_one_and_many_cells(table):
    assert table.valid(DRNAS) == table.valid(ARCHS[DRNAS]) == pytest.approx(DRNAS / 200 + 1)
    assert isinstance(table.valid(DRNAS), float)
    assert table.test(DRNAS) == pytest.approx(DRNAS / 200 + 2)
    cells = np.array([[0, 15_624], [5, 5]])
    assert table.valid(cells, epochs=12) == pytest.approx(cells / 200)
    strings = [ARCHS[5], ARCHS[0]]
    assert table.test(strings, "cifar100", 12) == pytest.approx([3.025, 3.0])
    assert table.test(np.array(strings), "cifar100", 12) == pytest.approx([3.025, 3.0])
    assert table.valid([]).shape == (0,)
    assert table.cost(DRNAS) == pytest.approx(0.993) and table.train_s(3) == 6.0


def test_unknown_figures_are_nan(table):
    assert math.isnan(table.test(7)) and table.valid(7) == pytest.approx(1.035)
    for got in (
        table.test(1, "cifar10", 12), table.valid(1, stat="std"), table.valid(1, stat="n"),
        table.cost(1, "cifar10", "latency_s"), table.train_s(1, epochs=12),
        table.valid(1, "cifar100"),
    ):  # fmt: skip
        assert math.isnan(got)
    assert np.isnan(table.valid([1, 2], "imagenet16-120")).all()
    assert table.by_seed(1) == {}


def test_wrong_questions_are_refused(table):
    for cells, match in (
        (-1, "cell -1 does not exist"), ([3, 15_625], "cell 15625 does not exist"),
        ("|x~0|", "not a NAS-Bench-201 cell"), ([1.5], "whole numbers"), (True, "whole numbers"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=match):
            table.valid(cells)
    with pytest.raises(UserError, match="did you mean 'cifar10'"):
        table.valid(1, "cifar1O")
    with pytest.raises(UserError, match="after 100 epochs"):
        table.valid(1, epochs=100)
    with pytest.raises(UserError, match="unknown statistic 'median'"):
        table.valid(1, stat="median")
    with pytest.raises(UserError, match="unknown cost"):
        table.cost(1, what="watts")


def test_a_search_can_not_reach_test_figures(shuffled):
    """Nothing in it, however deep, has one: no table, no file."""
    asked = TabularBenchmark(shuffled, "cifar10", epochs=12)
    assert asked.query(ARCHS[4]).val_acc_pct == pytest.approx(0.02)
    assert not [name for name in dir(asked) if "test" in name]
    held = vars(asked)
    assert set(held) == {"rows", "accuracies", "costs"}
    assert held["accuracies"].base is None or held["accuracies"].base.size == 15_625
    with pytest.raises(ValueError, match="read-only"):
        asked.accuracies[0] = 100


def test_a_table_of_some_cells(tmp_path):
    path = tmp_path / "few.parquet"
    frame = pd.DataFrame({"arch": [ARCHS[9], ARCHS[2]], "cifar10_valid_acc_12": [1.0, 2.0]})
    frame.to_parquet(path)
    asked = TabularBenchmark(path, "cifar10")
    assert asked.query(ARCHS[2]).val_acc_pct == 2.0
    with pytest.raises(UserError, match="has no cell"):
        asked.query(ARCHS[3])
    assert CellTable.open(path).has([2, 3]).tolist() == [True, False]


@pytest.mark.process
def test_reading_needs_neither_torch_nor_pandas(shuffled):
    code = (
        "import sys; from drnas_ray.benchmarks.table import CellTable\n"
        "from drnas_ray.benchmarks import report\n"
        "import drnas_ray.importers.convert\n"
        f"CellTable.open({str(shuffled)!r}).test(3)\n"
        "print([m for m in ('torch', 'pandas', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"


@pytest.mark.long
def test_the_command_line(shuffled, tmp_path):
    run = CliRunner().invoke
    target = tmp_path / "t.parquet"
    done = run(app, ["bench", "import", str(shuffled), str(target)])
    assert done.exit_code == 0 and "15,625 cells" in done.stdout
    done = run(app, ["bench", "query", str(target), "9930", "--json"])
    found = json.loads(done.stdout)
    assert found["arch"] == ARCHS[9930] and found["cifar10_test_acc_200"] == 9930 / 200 + 2
    assert (
        json.loads(run(app, ["bench", "query", str(target), ARCHS[9930], "--json"]).stdout) == found
    )
    assert "cifar10_test_acc_200" not in json.loads(
        run(app, ["bench", "query", str(target), "7", "--json"]).stdout
    )
    done = run(app, ["bench", "info", str(target)])
    assert done.exit_code == 0
    for words in ("source_sha256", "ResNet", "DrNAS", "all skip", "optimal", "90.83"):
        assert words in done.stdout
    for wrong in (["query", str(target), "99999"], ["info", str(tmp_path / "none")],
                  ["import", str(tmp_path / "none.pth"), str(target)]):  # fmt: skip
        done = run(app, ["bench", *wrong])
        assert done.exit_code == 2 and done.stderr.strip().startswith("error:")


def test_hardware_joins_by_cell(tmp_path):
    path = tmp_path / "hw.parquet"
    pd.DataFrame({
        "arch": [ARCHS[9], ARCHS[2]], "cifar10_edgegpu_latency": [5.0, 7.0],
        "cifar10_edgegpu_energy": [1.0, np.nan],
    }).to_parquet(path)  # fmt: skip
    hardware = Hardware(path)
    assert hardware.devices == ("edgegpu",)
    assert hardware.cost([2, 9], "edgegpu").tolist() == [7.0, 5.0]
    assert hardware.within([2, 9, 3], "edgegpu", 5.0).tolist() == [False, True, False]
    assert hardware.within(ARCHS[2], "edgegpu", 5.0, "energy") is False
    with pytest.raises(UserError, match="unknown hardware column 'cifar10_tpu_latency'"):
        hardware.cost(2, "tpu")


# --- the real table -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(nb201_table, tmp_path_factory):
    given = os.environ.get("DRNAS_NB201_TABLE") or ROOT.parent / "shared/data/nb201.parquet"
    target = tmp_path_factory.mktemp("real") / "t.parquet"
    import_benchmark(type(ROOT)(given), target)
    return CellTable.open(target)


@pytest.mark.table
def test_an_import_keeps_every_figure(real, nb201_table):
    everything = np.arange(15_625)
    for name in nb201_table.columns:
        if "_acc_" in name or name.endswith(("_mb", "_m", "_s", "_12", "_200")):
            want = nb201_table[name].to_numpy(np.float64)
            assert np.array_equal(real.figures(everything, name), want, equal_nan=True)
    assert np.array_equal(real.column("unique_group"), nb201_table["unique_group"])


@pytest.mark.table
def test_published_figures(real):
    """Versions of the official file differ by up to 0.1, in the ResNet row by up to 0.7."""
    found = {one.name: one for one in known_cells(real)}
    assert found["DrNAS"].deviation < 0.01 and found["all skip"].deviation < 0.01
    assert found["optimal"].deviation < 0.1 and found["ResNet"].deviation < 0.7
    assert real.valid(2299, "cifar100") == pytest.approx(38.57, abs=0.1)
    assert real.test(2299, "cifar100") == pytest.approx(38.97, abs=0.1)
    assert real.valid(2299, "imagenet16-120") == pytest.approx(18.87, abs=0.1)
    assert real.test(2299, "imagenet16-120") == pytest.approx(18.41, abs=0.1)
    assert int(np.argmax(real.column("cifar100_valid_acc_200"))) == 9930
