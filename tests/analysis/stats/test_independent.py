"""Every number of the tables once more, from the Parquet files alone: pyarrow and numpy only.

What is read is what `drnas export` wrote and what `drnas table --format parquet` and `drnas stats
--format parquet` wrote; the definitions here are written anew from docs/analysis.md.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from drnas_ray.cli import app
from drnas_ray.spaces.nb201 import NB201

DATASETS = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet16"}
ALIASES = {
    "Reinforce (Zoph et al., 2018)": "REINFORCE",
    "DARTS (1st) (Liu et al., 2019)": "DARTS (1st)",
}


def drnas(*args):
    result = CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def folders(fakes):
    """A search and a transfer sweep of four methods, with unfinished and failed runs."""
    rng = np.random.default_rng(0)
    made = []
    for name, protocol, datasets in (
        ("s", "search", list(DATASETS)), ("t", "transfer", ["cifar10"]),
    ):  # fmt: skip
        fake = fakes(name, protocol)
        for label in ("DrNAS", "DARTS (1st)", "REINFORCE", "GAEA + DARTS"):
            for dataset in datasets:
                for seed in range(int(rng.integers(1, 6))):
                    ident = f"{name}{label}{dataset}{seed}"
                    fake.complete(
                        ident, cell=int(rng.integers(15_625)), seed=seed, label=label,
                        dataset=dataset, epochs=int(rng.integers(1, 4)),
                    )  # fmt: skip
        fake.run(f"{name}p", label="DrNAS", dataset="cifar10", seed=8)
        fake.run(f"{name}d", label="DrNAS", dataset="cifar10", seed=9)
        lost = [fake.epoch(f"{name}d", 1, status="diverged")]
        fake.trial(f"{name}d", lost)
        root = fake.write()
        drnas("export", root)
        made.append(root)
    return made


def own_figures(folders: list[Path], table: Path):
    """(protocol, label, data set) to [(seed, valid, test, days, genotype)] of the done runs."""
    bench = pq.read_table(table).to_pydict()
    place = {arch: i for i, arch in enumerate(bench["arch"])}
    found = defaultdict(list)
    for folder in folders:
        runs = pq.read_table(folder / "runs.parquet").to_pylist()
        epochs = pq.read_table(folder / "epochs.parquet").to_pylist()
        seconds = defaultdict(float)
        last = {}
        for row in epochs:
            seconds[row["run_id"]] += row["wall_s"]
            if row["epoch"] >= last.get(row["run_id"], {"epoch": 0})["epoch"]:
                last[row["run_id"]] = row
        for run in runs:
            key = run["run_id"]
            if key not in last or last[key]["status"] != "done":
                continue
            genotype = last[key]["genotype"]
            targets = list(DATASETS) if run["protocol"] == "transfer" else [run["dataset"]]
            for dataset in targets:
                valid, test = (
                    bench[f"{DATASETS[dataset]}_{split}_acc_200"][place[genotype]]
                    for split in ("valid", "test")
                )
                days = seconds[key] / 86_400 if dataset == run["dataset"] else None
                found[run["protocol"], run["label"], dataset].append(
                    (run["seed"], valid, test, days, genotype)
                )
    return found, bench


def spread(values):
    values = np.array([v for v in values if v is not None], float)
    if not len(values):
        return 0, np.nan, np.nan
    std = (
        np.sqrt(((values - values.mean()) ** 2).sum() / (len(values) - 1))
        if len(values) > 1
        else np.nan
    )
    return len(values), values.sum() / len(values), std


@pytest.fixture(params=["made up", pytest.param("real", marks=pytest.mark.table)])
def table(request):
    return request.getfixturevalue("made_up_table" if request.param == "made up" else "nb201_path")


def test_every_number_of_the_nb201_table(folders, table, tmp_path):
    out = tmp_path / "t.parquet"
    drnas("table", "nb201", *folders, "--benchmark", table, "--out", out)
    rows = pq.read_table(out).to_pylist()
    found, bench = own_figures(folders, table)
    seen = set()
    for row in rows:
        if row["row"] == "optimal":
            if row["column"] != "search_days":
                split = row["column"].rsplit("_", 1)[1]
                name = f"{DATASETS[row['dataset']]}_{split}_acc_200"
                best = max(v for v in bench[name] if v is not None)
                assert row["mean"] == pytest.approx(best, abs=1e-12)
            continue
        label = ALIASES.get(row["row"], row["row"])
        key = (row["protocol"], label, row["dataset"])
        place = 3 if row["column"] == "search_days" else 1 + row["column"].endswith("_test")
        n, mean, std = spread([run[place] for run in found.get(key, [])])
        assert row["n"] == n, row
        for want, got in ((mean, row["mean"]), (std, row["std"])):
            assert (got is None or np.isnan(got)) if np.isnan(want) else got == pytest.approx(want)
        if n and place < 3:
            seen.add(key)
    assert seen == set(found)
    assert len(rows) == 9 * len({(r["row"], r["protocol"]) for r in rows})
    print_ = drnas("table", "nb201", *folders, "--benchmark", table, "--format", "markdown")
    n, mean, std = spread([run[2] for run in found["search", "DrNAS", "cifar100"]])
    assert f"{mean:.2f}" + (f" ± {std:.2f}" if n > 1 else "") + f" ({n})" in print_


def live_ops(genotype):
    """The operations on the paths from input to output that no `none` cuts."""
    names = [op.split("~")[0] for op in genotype.replace("+", "").split("|") if op]
    edge = dict(zip([(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)], names, strict=True))
    paths = [[(0, 3)], [(0, 1), (1, 3)], [(0, 2), (2, 3)], [(0, 1), (1, 2), (2, 3)]]
    return {edge[e] for p in paths if all(edge[q] != "none" for q in p) for e in p}


def test_every_number_of_the_statistics(folders, table, tmp_path):
    out = tmp_path / "s.parquet"
    drnas("stats", *folders, "--benchmark", table, "--out", out)
    rows = pq.read_table(out).to_pylist()
    found, bench = own_figures(folders, table)
    space = NB201()
    assert len(rows) == 2 * len(found)
    for row in rows:
        runs = found[row["protocol"], row["label"], row["dataset"]]
        split = row["metric"].split("_")[1]
        values = [run[1 + (split == "test")] for run in runs]
        values = np.sort([v for v in values if v is not None])
        n, mean, std = spread(values)
        optimum = max(v for v in bench[f"{DATASETS[row['dataset']]}_{split}_acc_200"] if v)
        want = {
            "n": n, "mean": mean, "median": (values[(n - 1) // 2] + values[n // 2]) / 2,
            "best": values[-1], "optimum": optimum, "regret_mean": optimum - mean,
            "regret_best": optimum - values[-1],
        }  # fmt: skip
        if n > 1:
            want["std"] = std
            at = np.array([0.25, 0.75]) * (n - 1)
            q1, q3 = np.interp(at, np.arange(n), values)
            want |= {"q1": q1, "q3": q3, "iqr": q3 - q1}
        assert {name: row[name] for name in want} == pytest.approx(want)
        live = [live_ops(run[4]) for run in runs]
        assert row["n_cut_off"] == sum(ops == set() for ops in live)
        assert row["n_all_skip"] == sum(ops == {"skip_connect"} for ops in live)
        assert row["n_collapsed"] == sum(ops <= {"skip_connect"} for ops in live)
        assert row["n_without_convolution"] == sum(
            not any("conv" in o for o in ops) for ops in live
        )
        cells = [space.canonical(run[4]) for run in runs]
        assert row["n_cells"] == len(set(cells))
        assert row["n_same_cell"] == max(cells.count(cell) for cell in cells)


def test_every_number_of_the_pairs(folders, table, tmp_path):
    out = tmp_path / "p.parquet"
    drnas("stats", *folders, "--benchmark", table, "--pairs", "--out", out)
    rows = pq.read_table(out).to_pylist()
    found, _ = own_figures(folders, table)
    families = {(protocol, dataset) for protocol, _, dataset in found}
    assert len(rows) == 2 * sum(
        (k := len({b for a, b, c in found if (a, c) == family})) * (k - 1) // 2
        for family in families
    )
    for row in rows:
        place = 1 + (row["metric"] == "bench_test_acc_pct")
        one, two = (
            {run[0]: run[place] for run in found[row["protocol"], row[who], row["dataset"]]}
            for who in ("first", "second")
        )
        seeds = [s for s in one if s in two and None not in (one[s], two[s])]
        differences = np.array([one[s] - two[s] for s in seeds])
        assert row["n_pairs"] == len(seeds)
        assert row["n_first_better"] == (differences > 1e-9).sum()
        assert row["n_second_better"] == (differences < -1e-9).sum()
        if seeds:
            assert row["mean_difference"] == pytest.approx(differences.mean())
        assert np.isnan(row["p_value"] or np.nan) == (not seeds)


def test_the_retrained_comparison(mixed, tmp_path):
    root = mixed.write()
    drnas("export", root)
    runs = pq.read_table(root / "runs.parquet").to_pylist()
    retrains = {r["retrain_id"]: r for r in pq.read_table(root / "retrains.parquet").to_pylist()}
    out = tmp_path / "t.parquet"
    drnas("table", root, "--out", out)
    rows = {row["label"]: row for row in pq.read_table(out).to_pylist()}
    for label in ("DrNAS", "DARTS"):
        accs = [retrains[run["retrain_id"]]["test_acc_pct"] for run in runs
                if run["label"] == label and run["status"] == "done"]  # fmt: skip
        n, mean, std = spread(accs)
        assert (rows[label]["n"], rows[label]["mean"]) == (n, pytest.approx(mean))
        assert n == 1 or rows[label]["std"] == pytest.approx(std)
    notes = json.loads(pq.read_schema(out).metadata[b"notes"])
    assert any("retrained from scratch for 2 epochs" in text for text in notes)
