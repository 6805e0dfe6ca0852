from __future__ import annotations

import math

import pyarrow.parquet as pq
import pytest

from analysis.records.benchmark import BenchmarkTable
from drnas_ray.core.errors import UserError
from drnas_ray.spaces import SPACES

NB201 = SPACES["nb201"]


def test_lookup_matches_the_string_not_the_row(made_up_table):
    table = BenchmarkTable.open(made_up_table)
    cells = [NB201.cell(i) for i in (0, 9930, 15_624, 0)]
    places = [0, 9930, 15_624, 0]
    for shift, data in enumerate(("cifar10", "cifar100", "imagenet16-120")):
        want = [i / 200 + shift for i in places]
        assert table.lookup(cells, data, "valid").tolist() == want
        assert table.lookup(cells, data, "test").tolist() == [value + 1 for value in want]
    assert math.isnan(table.lookup([NB201.cell(7)], "cifar10", "test")[0])
    assert table.lookup([], "cifar10", "test").shape == (0,)
    assert table.label.startswith("made_up.parquet (sha256 ")
    assert table.datasets == ("cifar10", "cifar100", "imagenet16-120")


def test_lookup_refuses(made_up_table):
    table = BenchmarkTable.open(made_up_table)
    with pytest.raises(UserError, match="no figures for 'digits': it has cifar10, cifar100, im"):
        table.lookup([], "digits", "test")
    with pytest.raises(UserError, match="unknown split 'tset': did you mean 'test'"):
        table.lookup([], "cifar10", "tset")
    with pytest.raises(UserError, match=r"has no cell '\|x~0\|'"):
        table.lookup(["|x~0|"], "cifar10", "test")


def test_open_refuses(made_up_table, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        BenchmarkTable.open(tmp_path / "none.parquet")
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(made_up_table.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"damaged\.parquet can't be read"):
        BenchmarkTable.open(damaged)
    table = pq.read_table(made_up_table)
    few = tmp_path / "few.parquet"
    pq.write_table(table.slice(0, 100), few)
    with pytest.raises(UserError, match=r"has 100 cells: .* 15,625"):
        BenchmarkTable.open(few)
    pq.write_table(table.drop_columns(["cifar100_test_acc_200"]), few)
    with pytest.raises(UserError, match="lacks 'cifar100_test_acc_200'"):
        BenchmarkTable.open(few)


@pytest.mark.table
def test_the_published_figures(nb201_path):
    table = BenchmarkTable.open(nb201_path)
    want = {  # index: valid and test on CIFAR-10, CIFAR-100, ImageNet16-120, as papers print them
        9930: (91.55, 94.36, 73.49, 73.51, 46.37, 46.34),
        1835: (39.77, 54.30, 15.03, 15.61, 16.43, 16.32),
    }
    for index, figures in want.items():
        got = [
            table.lookup([NB201.cell(index)], data, split)[0]
            for data in table.datasets
            for split in ("valid", "test")
        ]
        assert got == pytest.approx(figures, abs=0.01)
