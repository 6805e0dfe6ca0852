"""Derivation under limits: against a slow loop over all cells, and the order of ties."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.derive.candidates import candidates, draws, log_probability
from analysis.derive.derive import derive
from analysis.derive.dirichlet import dirichlet_shares
from analysis.derive.limits import Limit
from analysis.derive.searched_run import SearchedRun
from analysis.derive.view import lines, notes, plain, to_rich
from analysis.records.benchmark import BenchmarkTable
from drnas_ray.benchmarks.costs import NetSize, nb201_costs
from drnas_ray.benchmarks.hardware import Hardware
from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError
from drnas_ray.data.facts import shape_of
from drnas_ray.spaces.nb201 import EDGES, NB201, OPS

SPACE = NB201()
CIFAR10 = NetSize(shape_of(DataSettings(name="cifar10")))


def run_of(strengths, method="drnas", **over) -> SearchedRun:
    values = {
        "run_id": "r0", "label": "DrNAS", "method": method, "space": "nb201", "seed": 0,
        "data": DataSettings(name="cifar10"), "epoch": 3, "ended": True,
        "strengths": np.asarray(strengths, float), "genotype": None,
        "distribution": "dirichlet" if method == "drnas" else "categorical",
    }  # fmt: skip
    return SearchedRun(**{**values, **over})


def strengths_for(seed: int, pruned: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    strengths = rng.gamma(1.0, size=SPACE.shape)
    if pruned:
        for edge in range(6):
            strengths[0, edge, rng.permutation(5)[:2]] = 0
    return strengths


def brute_force(strengths, cost_of, most: float, top: int) -> list[tuple[str, float]]:
    """(cell, log-probability) of the best within a limit: one cell after the other, plain Python.

    cost_of: a cell to what is limited, None where it is not known.
    """
    found = []
    for index in range(15_625):
        cell = SPACE.cell(index)
        cost = cost_of(cell)
        if cost is None or math.isnan(cost) or cost > most:
            continue
        names = [part.split("~")[0] for part in cell.replace("+", "").split("|") if part]
        probability = 1.0
        for edge, name in enumerate(names):
            probability *= strengths[0][edge][OPS.index(name)] / sum(strengths[0][edge])
        if probability > 0:
            found.append((cell, math.log(probability)))
    return sorted(found, key=lambda pair: -pair[1])[:top]


def assert_is(derived, expected) -> None:
    assert list(derived.cells["genotype"]) == [cell for cell, _ in expected]
    np.testing.assert_allclose(derived.cells["log_prob_nats"], [p for _, p in expected], atol=1e-9)


@pytest.fixture(scope="module")
def latencies(tmp_path_factory) -> Hardware:
    """Invented ones on two devices, a fifth of one not measured, rows in no order."""
    rng = np.random.default_rng(5)
    order = rng.permutation(15_625)
    slow = rng.gamma(4.0, size=15_625)
    slow[rng.random(15_625) < 0.2] = np.nan
    columns = {
        "arch": [SPACE.cell(i) for i in order],
        "cifar10_phone_latency": slow,
        "cifar10_board_latency": rng.gamma(2.0, size=15_625),
        "cifar10_board_energy": rng.gamma(2.0, size=15_625),
    }
    path = tmp_path_factory.mktemp("hw") / "hw.parquet"
    pd.DataFrame(columns).to_parquet(path)
    return Hardware(path)


# --- against brute force ------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "pruned"), [(0, False), (1, True)])
def test_latency_limit_as_a_loop_over_all_cells_finds(latencies, seed, pruned):
    strengths = strengths_for(seed, pruned)
    frame = pd.read_parquet(latencies.table.path)
    of = dict(zip(frame["arch"], frame["cifar10_phone_latency"], strict=True))
    expected = brute_force(strengths, of.get, 1.5, 10)
    limit = Limit.latency("phone=1.5")
    derived = derive(run_of(strengths), CIFAR10, limits=[limit], top=10, hardware=latencies)
    assert len(expected) == 10
    assert_is(derived, expected)
    assert (derived.cells["phone_latency_ms"] <= 1.5).all()
    assert derived.considered == (3**6 if pruned else 15_625)
    whole = brute_force(strengths, of.get, 1.5, 15_625)
    assert derived.within == len(whole)


@pytest.mark.table
@pytest.mark.parametrize("cost", ["edgegpu_latency_ms", "edgetpu_latency_ms", "params_m"])
def test_limits_on_the_real_table_as_a_loop_finds(nb201_path, cost):
    hardware_path = nb201_path.with_name("nb201_hw.parquet")
    if not hardware_path.is_file():
        pytest.skip(f"no table of latencies {hardware_path}")
    costs = pd.read_parquet(nb201_path)
    column = "cifar10_params_mb"
    if cost != "params_m":
        costs, column = pd.read_parquet(hardware_path), f"cifar10_{cost.removesuffix('_ms')}"
    of = dict(zip(costs["arch"], costs[column], strict=True))
    most = float(costs[column].quantile(0.1))
    strengths = strengths_for(2)
    derived = derive(
        run_of(strengths),
        CIFAR10,
        limits=[Limit(cost, most)],
        top=20,
        hardware=Hardware(hardware_path),
        benchmark=BenchmarkTable.open(nb201_path),
    )
    assert_is(derived, brute_force(strengths, of.get, most, 20))
    # Floats of the hardware table have 32 bits.
    np.testing.assert_allclose(
        derived.cells[cost], [of[cell] for cell in derived.cells["genotype"]], rtol=1e-6
    )
    known = pd.read_parquet(nb201_path).set_index("arch")
    for split in ("valid", "test"):
        accuracy = known[f"cifar10_{split}_acc_200"].loc[list(derived.cells["genotype"])]
        np.testing.assert_array_equal(derived.cells[f"{split}_acc_pct"], accuracy)


def test_several_limits_are_all_kept(latencies):
    limits = [Limit("params_m", 0.4), Limit("flops_m", 50.0), Limit.latency("board=1")]
    derived = derive(run_of(strengths_for(3)), CIFAR10, limits=limits, top=50, hardware=latencies)
    assert len(derived.cells) == 50
    for limit in limits:
        assert (derived.cells[limit.cost] <= limit.most).all()
    assert derived.cells["log_prob_nats"].is_monotonic_decreasing


# --- without limits, ties, what is pruned -------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_without_a_limit_the_first_is_the_discretised_cell(seed):
    rng = np.random.default_rng(seed)
    # Small whole numbers: many edges have several strongest operations.
    strengths = rng.integers(0, 4, SPACE.shape).astype(float)
    strengths[..., 0] += strengths.sum(-1) == 0
    derived = derive(run_of(strengths, "darts"), CIFAR10)
    assert derived.cells["genotype"][0] == SPACE.discretise(strengths)


def test_where_all_operations_are_equal_cells_come_as_the_space_lists_them():
    derived = derive(run_of(np.ones(SPACE.shape)), CIFAR10, top=30)
    assert list(derived.cells["genotype"]) == list(SPACE.every()[0][:30])


def test_ties_go_to_the_higher_joint_density():
    """Two edges with the same means and different totals: swapping their operations is a tie."""
    strengths = np.tile([1.0, 8.0, 1.0, 1.0, 1.0], (1, 6, 1))
    strengths[0, 0] = [0.1, 0.4, 0.3, 0.1, 0.1]
    strengths[0, 1] = [1.0, 4.0, 3.0, 1.0, 1.0]
    run = run_of(strengths)
    derived = derive(run, CIFAR10, top=4)
    second, third = derived.cells["genotype"][1:3]
    np.testing.assert_allclose(*derived.cells["log_prob_nats"][1:3], rtol=1e-12)
    chosen = [SPACE.choices(cell)[0] for cell in (second, third)]
    # The strong operation where the concentration is high, the weaker where it is low.
    assert [list(one[:2]) for one in chosen] == [[2, 1], [1, 2]]
    for corner in (1e-2, 1e-3):
        density = []
        for ops in chosen:
            total = 0.0
            for edge, op in enumerate(ops):
                theta = np.full(5, corner / 4)
                theta[op] = 1 - corner
                total += stats.dirichlet.logpdf(theta, strengths[0, edge])
            density.append(total)
        assert density[0] > density[1]


def test_pruned_operations_are_never_derived():
    strengths = strengths_for(4, pruned=True)
    derived = derive(run_of(strengths), CIFAR10, top=1000)
    assert len(derived.cells) == derived.considered == 3**6
    for cell in derived.cells["genotype"]:
        ops = SPACE.choices(cell)[0]
        assert all(strengths[0, edge, op] > 0 for edge, op in enumerate(ops))
    assert math.isclose(np.exp(derived.cells["log_prob_nats"]).sum(), 1.0, rel_tol=1e-9)


def test_isomorphic_own_and_disconnected_cells_are_marked():
    skip, none, conv = (OPS.index(op) for op in ("skip_connect", "none", "nor_conv_3x3"))
    strengths = np.full(SPACE.shape, 1e-3)
    strengths[0, :, none] = 1.0
    strengths[0, 0, conv] = strengths[0, 1, skip] = 3.0
    run = run_of(strengths, genotype=SPACE.discretise(strengths))
    cells = derive(run, CIFAR10, top=12).cells
    assert list(cells["own"]) == [True] + [False] * 11
    for _, row in cells.iterrows():
        twins = cells["genotype"][cells["canonical"] == row["canonical"]]
        first = cells["genotype"].tolist().index(twins.iloc[0]) + 1
        assert pd.isna(row["same_as"]) if first == row["rank"] else row["same_as"] == first
        # What the output node can see, by following edges backwards.
        ops = dict(zip(EDGES, SPACE.choices(row["genotype"])[0], strict=True))
        seen, waiting = set(), [3]
        while waiting:
            node = waiting.pop()
            seen.add(node)
            waiting += [a for (b, a), op in ops.items() if b == node and op != none]
        assert row["connected"] == (0 in seen)
    assert not cells["connected"][0]
    assert cells["same_as"].notna().any()
    assert cells["connected"].any()


# --- limits that can't be kept ------------------------------------------------------------------


def test_an_impossible_limit_names_the_least_that_can_be_had(latencies):
    frame = pd.read_parquet(latencies.table.path)
    with pytest.raises(UserError, match=r"run r0: no cell has at most 0.001 million parameters"
                       r": the smallest is 0.073306$"):  # fmt: skip
        derive(run_of(strengths_for(0)), CIFAR10, limits=[Limit("params_m", 0.001)])
    least = frame["cifar10_phone_latency"].min()
    with pytest.raises(
        UserError, match=rf"at most 0.0001 ms on phone: the smallest is {least:.6g}$"
    ):
        limit = Limit.latency("phone=0.0001")
        derive(run_of(strengths_for(0)), CIFAR10, limits=[limit], hardware=latencies)
    # Where operations are pruned, the least among cells that are left: two 3x3 on every edge.
    only_conv = np.zeros(SPACE.shape)
    only_conv[..., OPS.index("nor_conv_3x3")] = 1.0
    with pytest.raises(UserError, match=r"the smallest is 1\.53"):
        derive(run_of(only_conv), CIFAR10, limits=[Limit("params_m", 1.0)])


def test_limits_that_are_possible_alone_only(latencies):
    frame = pd.read_parquet(latencies.table.path)
    latency = dict(zip(frame["arch"], frame["cifar10_board_latency"], strict=True))
    quickest = min(latency, key=latency.get)
    most = latency[quickest] * 1.0000001
    run = run_of(strengths_for(0))
    genotypes, choices = SPACE.every()
    sizes = pd.Series(nb201_costs(choices, CIFAR10)[0] / 1e6, index=list(genotypes))
    limits = [Limit("params_m", sizes[quickest] - 1e-6), Limit("board_latency_ms", most)]
    left = min(latency[cell] for cell in sizes.index[sizes <= limits[0].most])
    with pytest.raises(UserError) as caught:
        derive(run, CIFAR10, limits=limits, hardware=latencies)
    text = str(caught.value)
    assert "together: within the other limits, the smallest are" in text
    assert f"{sizes[quickest]:.6g} million parameters" in text
    assert f"{left:.6g} ms on board" in text


@pytest.mark.parametrize("text", ["edgegpu", "edgegpu=", "edgegpu=fast", "=x"])
def test_a_latency_limit_of_another_form(text):
    with pytest.raises(UserError, match=f"'{text}': write DEVICE=MS"):
        Limit.latency(text)


@pytest.mark.parametrize("most", [0.0, -1.0, math.nan, math.inf])
def test_a_limit_that_limits_nothing(most):
    with pytest.raises(UserError, match="give one above 0"):
        Limit("params_m", most)


def test_limits_and_data_sets_that_the_tables_lack(latencies):
    run = run_of(strengths_for(0))
    with pytest.raises(UserError, match="ms on phone needs latencies: give --hardware"):
        derive(run, CIFAR10, limits=[Limit.latency("phone=1")])
    with pytest.raises(UserError, match="unknown device 'fone': did you mean 'phone'"):
        derive(run, CIFAR10, limits=[Limit.latency("fone=1")], hardware=latencies)
    with pytest.raises(UserError, match=r"no latencies for data set 'digits'.*--dataset"):
        derive(
            run_of(strengths_for(0), data=DataSettings(name="digits")), CIFAR10, hardware=latencies
        )


# --- drawing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["drnas", "darts"])
def test_draws_repeat_are_different_cells_and_hold_the_most_probable(method):
    run = run_of(strengths_for(6, pruned=True), method)
    drawn = candidates(run, 300)
    assert drawn.sampled
    assert list(drawn.genotypes) == list(candidates(run, 300).genotypes)
    assert 1 < len(set(drawn.genotypes)) == len(drawn.genotypes) <= 301
    assert drawn.genotypes[0] == SPACE.discretise(run.strengths)
    assert np.isfinite(log_probability(run, drawn.choices)).all()
    assert (
        drawn.genotypes[1:] != candidates(run_of(run.strengths, method, seed=1), 300).genotypes[1:]
    )


def test_enough_draws_find_what_enumeration_finds():
    strengths = strengths_for(7) ** 3  # peaked, so that 3,000 draws see the probable cells
    limit = Limit("params_m", 0.6)
    exact = derive(run_of(strengths), CIFAR10, limits=[limit], top=3)
    drawn = derive(run_of(strengths), CIFAR10, limits=[limit], top=3, samples=3000)
    pd.testing.assert_frame_equal(exact.cells, drawn.cells)
    assert drawn.sampled
    assert drawn.considered < exact.considered
    with pytest.raises(UserError, match=r"no sampled cell has at most 0\.01 million"):
        derive(run_of(strengths), CIFAR10, limits=[Limit("params_m", 0.01)], samples=100)


def test_without_a_dirichlet_operations_are_drawn_by_their_shares():
    shares = np.array([0.5, 0.2, 0.15, 0.1, 0.05])
    run = run_of(np.tile(3 * shares, (1, 6, 1)), "darts")
    counts = np.zeros(5)
    for genotype in draws(run, 1500):
        counts += np.bincount(SPACE.choices(genotype)[0], minlength=5)
    assert stats.chisquare(counts, shares * counts.sum()).pvalue > 1e-4


def test_dirichlet_draws_are_dirichlets_also_of_tiny_concentration():
    beta = np.array([[[1e-4, 1e-4, 1e-4], [0.5, 1.5, 3.0], [2.0, 0.0, 1.0]]])
    rng = np.random.default_rng(0)
    drawn = np.stack([dirichlet_shares(beta, rng) for _ in range(4000)])
    np.testing.assert_allclose(drawn.sum(-1), 1.0)
    assert (drawn[:, 0, 2, 1] == 0).all()
    total = beta.sum(-1, keepdims=True)
    mean = beta / total
    deviation = np.sqrt(mean * (1 - mean) / (total + 1) / len(drawn))
    assert (abs(drawn.mean(0) - mean) <= 4.5 * deviation).all()
    one = stats.kstest(drawn[:, 0, 1, 0], stats.beta(0.5, 4.5).cdf)
    assert one.pvalue > 1e-4


# --- what is printed -----------------------------------------------------------------


def test_json_and_table(latencies):
    run = run_of(strengths_for(8))
    limit = Limit.latency("phone=2")
    derived = derive(run, CIFAR10, limits=[limit], top=3, hardware=latencies)
    values = plain(derived)
    assert values["limits"] == {"phone_latency_ms": 2.0}
    assert values["network"] == {
        "channels": 16, "cells": 5, "in_channels": 3, "classes": 10, "side": 32
    }  # fmt: skip
    assert [cell["genotype"] for cell in values["cells"]] == list(derived.cells["genotype"])
    assert values["cells"][0]["test_acc_pct"] is None
    heads = [column.header.replace("\n", " ") for column in to_rich([derived]).columns]
    assert heads == ["#", "cell", "log-prob", "params M", "FLOPs M", "phone ms", ""]
    other = derive(run_of(strengths_for(9), "darts", run_id="r1"), CIFAR10)
    assert [column.header for column in to_rich([derived, other]).columns][:2] == ["run", "seed"]
    assert len(lines([derived, other])) == 4
    assert "Dirichlet means or strengths as shares" in notes([derived, other])[0]
    assert f"{derived.within:,} are within the limits (at most 2 ms on phone)." in notes([derived])


@pytest.mark.parametrize("epochs", [200, 12])
def test_the_notes_give_the_epochs_of_the_table(made_up_table, epochs):
    table = replace(BenchmarkTable.open(made_up_table), epochs=epochs)
    derived = derive(run_of(strengths_for(8)), CIFAR10, benchmark=table)
    assert f"Accuracies on cifar10 after {epochs} epochs: {table.label}." in notes([derived])
