from __future__ import annotations

import itertools
import math
import statistics as stdlib

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.cells.collapse import OutputKind, output_kind
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import collect
from analysis.stats.pairs import holm, paired, signed_rank
from analysis.stats.statistics import interval, statistics
from analysis.tables.comparison import summary, to_html, to_latex, to_markdown
from analysis.tables.statistics import paired_table, statistics_table
from drnas_ray.core.errors import UserError
from drnas_ray.spaces import SPACES

NB201 = SPACES["nb201"]


@pytest.fixture
def benchmark(made_up_table):
    return BenchmarkTable.open(made_up_table)


@pytest.fixture
def runs(fake):
    for seed, (a, b) in enumerate([(100, 90), (200, 190), (300, 320), (400, 350), (500, 500)]):
        fake.complete(f"a{seed}", cell=a, seed=seed, dataset="cifar10", label="A")
        fake.complete(f"b{seed}", cell=b, seed=seed + 1, dataset="cifar10", label="B")
    fake.run("a9", label="A", seed=9, dataset="cifar10")
    return collect(fake.write()).runs


def test_statistics_by_the_stdlib(runs, benchmark):
    frame = statistics(runs, benchmark)
    assert list(frame["metric"]) == ["bench_valid_acc_pct", "bench_test_acc_pct"] * 2
    row = frame.iloc[1]
    values = [i / 200 + 1 for i in (100, 200, 300, 400, 500)]
    assert (row["label"], row["n"], row["n_runs"], row["n_done"]) == ("A", 5, 6, 5)
    assert row["mean"] == pytest.approx(stdlib.fmean(values))
    assert row["std"] == pytest.approx(stdlib.stdev(values))
    assert row["median"] == pytest.approx(stdlib.median(values))
    q1, _, q3 = stdlib.quantiles(values, n=4, method="inclusive")
    assert (row["q1"], row["q3"], row["iqr"]) == pytest.approx((q1, q3, q3 - q1))
    assert row["best"] == values[-1]
    optimum = 15_624 / 200 + 1
    assert row["optimum"] == pytest.approx(optimum)
    assert row["regret_mean"] == pytest.approx(optimum - stdlib.fmean(values))
    assert row["regret_best"] == pytest.approx(optimum - values[-1])
    assert row["ci_low"] < row["mean"] < row["ci_high"]
    assert (row["n_cells"], row["n_same_cell"]) == (5, 1)


def test_without_a_benchmark_there_is_no_regret(mixed):
    frame = statistics(collect(mixed.write()).runs)
    drnas, darts = frame.to_dict("records")
    assert (drnas["n"], drnas["mean"], drnas["n_cells"], drnas["n_same_cell"]) == (3, 97.0, 2, 2)
    assert math.isnan(drnas["regret_mean"])
    assert (darts["n_collapsed"], darts["n_all_skip"], darts["n_cut_off"]) == (1, 1, 0)
    assert darts["n_without_convolution"] == 1
    assert math.isnan(darts["ci_low"])


def test_transfer_counts_on_every_data_set(fakes, benchmark):
    fake = fakes("t", "transfer")
    fake.complete("d0", cell=100, dataset="cifar10")
    frame = statistics(collect(fake.write()).runs, benchmark)
    assert list(frame["dataset"]) == [d for d in benchmark.datasets for _ in range(2)]
    assert list(frame["optimum"] - frame["mean"]) == pytest.approx([15_524 / 200] * 6)


# --- intervals -------------------------------------------------------------------------------


def test_interval_is_seeded_and_blind_to_order():
    values = np.random.default_rng(0).normal(90, 1, 30)
    assert interval(values) == interval(values[::-1])
    low, high = interval(values)
    t = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(t, abs=0.1)  # near for normal values, and narrower
    assert low < values.mean() < high


def test_interval_of_two_and_of_equal_values():
    assert interval(np.array([3.5])) == pytest.approx((math.nan, math.nan), nan_ok=True)
    assert interval(np.array([3.5] * 4)) == (3.5, 3.5)
    low, high = interval(np.array([1.0, 2.0]))
    assert 1.0 <= low < high <= 2.0


def test_interval_covers_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        low, high = interval(rng.exponential(1.0, 40))
        hits += low <= 1.0 <= high
    assert 85 <= hits <= 100


# --- paired comparisons ----------------------------------------------------------------------


def by_all_signs(differences: np.ndarray) -> float:
    """The exact p-value from the definition."""
    kept = differences[differences != 0]
    ranks = stats.rankdata(np.abs(kept))
    up = ranks[kept > 0].sum()
    middle = ranks.sum() / 2
    sums = [
        sum(r for r, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=len(kept))
    ]
    return float(np.mean([abs(s - middle) >= abs(up - middle) - 1e-12 for s in sums]))


@pytest.mark.parametrize("ties", [False, True])
def test_signed_rank_is_exact_for_few(ties):
    rng = np.random.default_rng(2)
    for n in range(1, 11):
        values = rng.normal(0.5, 1, n)
        if ties:
            values = np.round(values)
        if not values.any():
            continue
        test = signed_rank(values)
        assert test.p_value == pytest.approx(by_all_signs(values)), values
        kept = values[values != 0]
        ranks = stats.rankdata(np.abs(kept))
        effect = (ranks * np.sign(kept)).sum() / ranks.sum()
        assert test.effect_size == pytest.approx(effect)


def test_signed_rank_of_many_with_ties_is_scipys():
    values = np.round(np.random.default_rng(3).normal(0.3, 2, 80))
    want = stats.wilcoxon(values, method="approx").pvalue
    assert signed_rank(values).p_value == pytest.approx(want)


def test_signed_rank_of_nothing_and_of_zeros():
    assert math.isnan(signed_rank(np.array([])).p_value)
    assert signed_rank(np.zeros(5)).p_value == 1.0
    assert signed_rank(np.zeros(5)).effect_size == 0.0
    assert signed_rank(np.ones(6)).effect_size == 1.0
    assert signed_rank(np.ones(6)).p_value == pytest.approx(2 / 64)


def test_holm():
    # By hand: sorted .01 .02 .03 .04 times 4 3 2 1, and never falling.
    assert holm([0.02, 0.01, 0.04, 0.03]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, math.nan, 0.9]) == pytest.approx([1.0, math.nan, 1.0], nan_ok=True)
    assert holm([]) == []


def test_paired_uses_common_seeds_only(runs, benchmark):
    frame = paired(runs, benchmark)
    row = frame[frame["metric"] == "bench_test_acc_pct"].iloc[0]
    # A has seeds 0 to 4 with cells 100 to 500, B seeds 1 to 5: what seed 1 to 4 have
    a, b = np.array([200, 300, 400, 500]) / 200, np.array([90, 190, 320, 350]) / 200
    difference = a - b
    assert (row["first"], row["second"], row["n_pairs"]) == ("A", "B", 4)
    assert (row["n_first_better"], row["n_equal"], row["n_second_better"]) == (4, 0, 0)
    assert row["mean_difference"] == pytest.approx(difference.mean())
    assert row["median_difference"] == pytest.approx(np.median(difference))
    assert row["effect_size"] == 1.0
    assert row["p_value"] == pytest.approx(2 / 16)
    assert row["p_holm"] == row["p_value"]


def test_paired_of_equal_cells_is_no_difference(fake, benchmark):
    for seed in range(3):
        for label in "AB":
            fake.complete(f"{label}{seed}", cell=seed, seed=seed, dataset="cifar10", label=label)
    row = paired(collect(fake.write()).runs, benchmark).iloc[0]
    assert (row["n_pairs"], row["n_equal"], row["p_value"], row["effect_size"]) == (3, 3, 1.0, 0.0)


def test_paired_adjusts_within_a_family(fake, benchmark):
    rng = np.random.default_rng(4)
    for label in "ABC":
        for seed in range(8):
            cell = int(rng.integers(8, 15_000))
            fake.complete(f"{label}{seed}", cell=cell, seed=seed, dataset="cifar100", label=label)
    runs = collect(fake.write()).runs
    frame = paired(runs, benchmark)
    assert len(frame) == 6
    for _, family in frame.groupby("metric"):
        assert list(family["p_holm"]) == pytest.approx(holm(list(family["p_value"])))
    against = paired(runs, benchmark, against="B")
    assert list(zip(against["first"], against["second"], strict=True)) == [
        ("A", "B"), ("C", "B"), ("A", "B"), ("C", "B")
    ]  # fmt: skip
    with pytest.raises(UserError, match="unknown method of these runs 'D'"):
        paired(runs, benchmark, against="D")


def test_too_many_pairs_are_refused(fake, benchmark, monkeypatch):
    monkeypatch.setattr("analysis.stats.pairs.MOST_ROWS", 2)
    for label in "ABC":
        fake.complete(label, label=label, dataset="cifar10")
    runs = collect(fake.write()).runs
    with pytest.raises(UserError, match="3 methods and variants on cifar10 make 3 pairs: name"):
        paired(runs, benchmark)
    assert len(paired(runs, benchmark, against="A")) == 4


def test_one_method_has_no_pairs(fake, benchmark):
    fake.complete("a", dataset="cifar10")
    frame = paired(collect(fake.write()).runs, benchmark)
    assert frame.empty
    assert str(frame["p_value"].dtype) == "float64"
    assert "Wilcoxon" in to_markdown(paired_table(frame, benchmark))


# --- collapse --------------------------------------------------------------------------------

PATHS = (((3, 0),), ((1, 0), (3, 1)), ((2, 0), (3, 2)), ((1, 0), (2, 1), (3, 2)))
"""All ways from the input to the output of a NAS-Bench-201 cell."""


def by_paths(genotype: str) -> OutputKind:
    ops = dict(zip(NB201.edges, (NB201.ops[i] for i in NB201.choices(genotype)[0]), strict=True))
    live = [path for path in PATHS if all(ops[edge] != "none" for edge in path)]
    used = {ops[edge] for path in live for edge in path}
    if not used:
        return OutputKind.CUT_OFF
    if used == {"skip_connect"}:
        return OutputKind.ALL_SKIP
    if used <= {"skip_connect", "avg_pool_3x3"}:
        return OutputKind.NO_CONVOLUTION
    return OutputKind.CONVOLUTION


@pytest.mark.long
def test_the_fate_of_every_cell():
    kinds = {i: output_kind("nb201", NB201.cell(i)) for i in range(15_625)}
    assert all(kinds[i] is by_paths(NB201.cell(i)) for i in kinds)
    assert kinds[1835] is OutputKind.ALL_SKIP
    assert kinds[9930] is kinds[11472] is OutputKind.CONVOLUTION
    # Cells of the same function fare alike, so the canonical one may stand for them.
    assert all(kinds[i] is output_kind("nb201", NB201.canonical(NB201.cell(i))) for i in kinds)


def test_a_convolution_nobody_hears_saves_no_cell(fake):
    dead = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    cut = "|none~0|+|skip_connect~0|nor_conv_3x3~1|+|none~0|nor_conv_3x3~1|none~2|"
    pool = "|avg_pool_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    for seed, cell in enumerate((dead, cut, pool, NB201.cell(9930))):
        fake.complete(f"d{seed}", cell=NB201.index(cell), seed=seed)
    runs = collect(fake.write()).runs
    row = statistics(runs).iloc[0]
    names = ("n_all_skip", "n_cut_off", "n_collapsed", "n_without_convolution")
    assert [row[name] for name in names] == [1, 1, 2, 3]
    assert summary(runs)["n_collapsed"][0] == 2


# --- to read ---------------------------------------------------------------------------------


def test_as_tables(runs, benchmark):
    made = statistics_table(statistics(runs, benchmark), benchmark)
    label, cells = made.rows[1]
    assert label == "A"
    texts = [cell.text() for cell in cells]
    assert texts[:4] == ["search", "cifar10", "test", "2.50 ± 0.79 (5)"]
    assert texts[-2:] == ["0 of 5", "5"]
    assert "A | search | cifar10 | test | 2.50 ± 0.79 (5)" in to_markdown(made)
    assert r"$2.50 \pm 0.79$ (5)" in to_latex(made)
    assert pd.notna(made.tidy["ci_low"]).all()
    pairs = paired_table(paired(runs, benchmark), benchmark)
    assert [cell.text() for cell in pairs.rows[0][1]][4:6] == ["4", "4 / 0 / 0"]
    assert "<td" in to_html(pairs)
