"""Imported tables against the real packages' own answers: nats-bench and nas-bench-201."""

from __future__ import annotations

import math
import pickletools
import re
import tarfile
import warnings
import zipfile
from pathlib import Path

import nas_201_api.api_utils as nas201
import nats_bench
import nats_bench.api_utils as nats
import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from nas_201_api import NASBench201API
from typer.testing import CliRunner

from drnas_ray.benchmarks.table import CellTable
from drnas_ray.benchmarks.tabular import TabularBenchmark
from drnas_ray.cli import app
from drnas_ray.core.errors import UserError
from drnas_ray.importers.convert import import_benchmark
from tests.bench_files import ARCHS, SETS, cell, folder, whole

INDICES = (0, 5, 9930, 15_624)
OURS = {"cifar10-valid": "cifar10", "cifar10": "cifar10", "cifar100": "cifar100",
        "ImageNet16-120": "imagenet16-120"}  # fmt: skip
COLUMNS = {  # (network, the package's name of a figure) to our column's start
    ("cifar10-valid", "train"): "cifar10valid_train",
    ("cifar10-valid", "valid"): "cifar10_valid",
    ("cifar10-valid", "test"): "cifar10valid_test",
    ("cifar10", "train"): "cifar10_train",
    ("cifar10", "test"): "cifar10_test",
    **{
        (network, split): f"{ours}_{split}"
        for network, ours in (("cifar100", "cifar100"), ("ImageNet16-120", "imagenet16"))
        for split in ("train", "valid", "test", "valtest")
    },
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Every format, with the package's own reader of it."""
    place = tmp_path_factory.mktemp("official")
    single = place / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    nats.pickle_save(whole(nats, INDICES), str(single).removesuffix(".pbz2"))
    simple = folder(nats, place / "NATS-tss-v1_0-3ffb9-simple", INDICES, nats.pickle_save)
    tar = place / "NATS-tss-v1_0-3ffb9-simple.tar"
    with tarfile.open(tar, "w") as archive:
        archive.add(simple, simple.name)
    content = whole(nas201, INDICES, short="less", long="full")
    old, new = place / "NAS-Bench-201-v1_0-e61699.pth", place / "NAS-Bench-201-v1_1-096897.pth"
    torch.save(content, old, _use_new_zipfile_serialization=False)
    torch.save(content, new)
    made_nats = nats_bench.create(str(single), "tss", verbose=False)
    fast = nats_bench.create(str(simple), "tss", fast_mode=True, verbose=False)
    made_201 = NASBench201API(content, verbose=False)
    return {
        "single": (single, made_nats), "simple": (simple, fast), "tar": (tar, fast),
        "v1_0": (old, made_201), "v1_1": (new, made_201),
    }  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("kind", ["single", "simple", "tar", "v1_0", "v1_1"])
def test_every_answer_equals_the_packages(files, kind, tmp_path):
    source, api = files[kind]
    done = import_benchmark(source, tmp_path / "t.parquet", tmp_path / "curves.parquet")
    assert done.cells == len(INDICES)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["curves.parquet", "t.parquet"]
    table, checked = CellTable.open(tmp_path / "t.parquet"), 0
    for index in INDICES:
        for epochs in (12, 200):
            for network in SETS:
                checked += same_means(table, api, index, network, epochs)
                checked += same_seeds(table, api, index, network, epochs)
    assert checked == 533  # 288 means, 245 of single seeds
    assert math.isnan(table.valid(1)) and math.isnan(table.test(1, "cifar100", 12))


def same_means(table, api, index, network, epochs) -> int:
    want, checked = api.get_more_info(index, network, hp=str(epochs), is_random=False), 0
    for (of, split), column in COLUMNS.items():
        if of != network:
            assert of in SETS
            continue
        for theirs, ours in (("accuracy", "acc"), ("loss", "loss"), ("all-time", "time_s")):
            got = table.figures(index, f"{column}_{ours}_{epochs}")
            assert got == pytest.approx(want[f"{split}-{theirs}"], abs=1e-9, rel=1e-12)
            checked += 1
    costs = api.get_cost_info(index, network, hp=str(epochs))
    prefix = network.lower().replace("-120", "").replace("-", "")
    assert table.figures(index, f"{prefix}_params_mb") == pytest.approx(costs["params"], abs=1e-9)
    assert table.figures(index, f"{prefix}_flops_m") == pytest.approx(costs["flops"], abs=1e-9)
    latency = table.figures(index, f"{prefix}_latency_s_{epochs}")
    assert latency == pytest.approx(costs["latency"], abs=1e-9)
    if epochs == 200:
        assert table.figures(index, f"{prefix}_latency_s") == latency
    return checked


def same_seeds(table, api, index, network, epochs) -> int:
    seeds = api.query_by_index(index, hp=str(epochs)).get_dataset_seeds(network)
    prefix, checked = network.lower().replace("-120", "").replace("-", ""), 0
    assert table.listed(index, f"{prefix}_seeds_{epochs}") == seeds
    for place, seed in enumerate(seeds):
        want = api.get_more_info(index, network, hp=str(epochs), is_random=seed)
        for (of, split), column in COLUMNS.items():
            if of == network:
                got = table.listed(index, f"{column}_acc_{epochs}_by_seed")
                assert len(got) == len(seeds)
                assert got[place] == pytest.approx(want[f"{split}-accuracy"], abs=1e-9)
                checked += 1
    if network != "cifar10-valid":
        by_seed = table.by_seed(index, OURS[network], "test", epochs)
        assert list(by_seed) == seeds
        assert table.test(index, OURS[network], epochs, "n") == len(seeds)
        if len(seeds) > 1:
            std = np.std(list(by_seed.values()), ddof=1)
            assert table.test(index, OURS[network], epochs, "std") == pytest.approx(std)
        else:
            assert math.isnan(table.test(index, OURS[network], epochs, "std"))
    return checked


@pytest.mark.long
def test_defaults_are_the_pair_that_papers_print(files, tmp_path):
    source, api = files["single"]
    import_benchmark(source, tmp_path / "t.parquet")
    table = CellTable.open(tmp_path / "t.parquet")
    half = api.get_more_info(9930, "cifar10-valid", hp="200", is_random=False)
    full = api.get_more_info(9930, "cifar10", hp="200", is_random=False)
    assert table.valid(9930) == pytest.approx(half["valid-accuracy"], abs=1e-9)
    assert table.test(ARCHS[9930]) == pytest.approx(full["test-accuracy"], abs=1e-9)
    assert table.train_s(9930) == pytest.approx(full["train-all-time"])
    half_s = table.figures(9930, "cifar10valid_train_time_s_200")
    assert half_s == pytest.approx(half["train-all-time"])


@pytest.mark.long
def test_a_simulated_budget_counts_as_the_benchmark_does(files, tmp_path):
    source, api = files["single"]
    import_benchmark(source, tmp_path / "t.parquet")
    rows = pq.read_table(tmp_path / "t.parquet")
    rows = rows.filter(pc.is_valid(rows["cifar10_valid_acc_12"]))  # a search wants no gaps
    pq.write_table(rows.replace_schema_metadata(None), tmp_path / "t.parquet")
    for name, network in (("cifar10", "cifar10-valid"), ("cifar100", "cifar100")):
        asked = TabularBenchmark(tmp_path / "t.parquet", name, timed=True)
        info = api.get_more_info(9930, network, hp="12", is_random=False)
        cost_s = info["train-all-time"] + info["valid-per-time"]
        assert asked.query(ARCHS[9930]).cost_s == pytest.approx(cost_s, abs=1e-9)


@pytest.mark.long
def test_curves_hold_every_epoch(files, tmp_path):
    source, api = files["v1_1"]
    import_benchmark(source, tmp_path / "t.parquet", tmp_path / "c.parquet")
    rows = pq.read_table(tmp_path / "c.parquet").to_pylist()
    assert len({(r["arch_index"], r["network"], r["seed"], r["epochs"]) for r in rows}) == len(rows)
    for row in rows[::7]:
        for epoch in (0, row["epochs"] - 1):
            want = api.get_more_info(
                row["arch_index"], row["network"], epoch, str(row["epochs"]), row["seed"]
            )
            assert row["train_acc"][epoch] == pytest.approx(want["train-accuracy"], abs=1e-9)
            test = "ori_test_acc" if row["network"].startswith("cifar10-") else "x_test_acc"
            test = "ori_test_acc" if row["network"] == "cifar10" else test
            assert row[test][epoch] == pytest.approx(want["test-accuracy"], abs=1e-9)


@pytest.mark.long
def test_weights_are_dropped_unread(tmp_path):
    """The -full folder: tensors pickled with the plain pickler call torch.load on load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = folder(nats, tmp_path / "NATS-tss-v1_0-3ffb9-full", (), nats.pickle_save)
        content = cell(nats, 7)
        for results in content.values():
            for run in results["all_results"].values():
                run["net_state_dict"] = torch.nn.Conv2d(2, 3, 1).state_dict()
        nats.pickle_save(content, place / "000007.pickle")
    import_benchmark(place, tmp_path / "t.parquet")
    api = nats_bench.create(str(place), "tss", fast_mode=True, verbose=False)
    want = api.get_more_info(7, "cifar100", hp="200", is_random=False)["test-accuracy"]
    assert CellTable.open(tmp_path / "t.parquet").test(7, "cifar100") == pytest.approx(
        want, abs=1e-9
    )


@pytest.mark.long
def test_a_wrong_checksum_is_reported(files, tmp_path):
    source, _ = files["single"]
    said = import_benchmark(source, tmp_path / "t.parquet").checksum
    assert said.startswith("WARNING: md5 ") and "3ffb9" in said
    assert CellTable.open(tmp_path / "t.parquet").facts["source_checksum"] == said


def test_numpy_scalars_and_arrays_are_numbers(tmp_path):
    content = whole(nas201, (3,), short="less", long="full")
    for results in content["arch2infos"][3].values():
        for run in results["all_results"].values():
            run["train_acc1es"] = {k: np.float64(v) for k, v in run["train_acc1es"].items()}
            run["latency"] = np.array(run["latency"])
            run["flop"] = np.float32(1.5)
    torch.save(content, tmp_path / "a.pth")
    import_benchmark(tmp_path / "a.pth", tmp_path / "t.parquet")
    table = CellTable.open(tmp_path / "t.parquet")
    api = NASBench201API(content, verbose=False)
    want = api.get_more_info(3, "cifar10", hp="200", is_random=False)["train-accuracy"]
    assert table.figures(3, "cifar10_train_acc_200") == pytest.approx(want, abs=1e-9)
    assert table.cost(3, "cifar10", "flops_m") == 1.5


@pytest.mark.long
def test_parameters_that_differ_by_seed_are_888s(tmp_path):
    content = whole(nats, (5,))
    runs = content["arch2infos"][5]["200"]["all_results"]
    for (_, seed), run in runs.items():
        run["params"] = {777: 3.0, 888: 1.0, 999: 1.0}[seed]
    nats.pickle_save(content, tmp_path / "a.pickle")
    import_benchmark(tmp_path / "a.pickle.pbz2", tmp_path / "t.parquet")
    assert len({seed for _, seed in runs}) > 1
    assert CellTable.open(tmp_path / "t.parquet").cost(5) == 1.0


def test_old_files_lack_some_sets(tmp_path):
    """v1.0's 12-epoch entries are of cifar10-valid only: nan elsewhere, not the 200-epoch ones."""
    content = whole(nas201, (3,), short="less", long="full")
    less = content["arch2infos"][3]["less"]
    for data in ("cifar10", "cifar100", "ImageNet16-120"):
        for seed in less["dataset_seed"].pop(data):
            del less["all_results"][data, seed]
    torch.save(content, tmp_path / "a.pth")
    import_benchmark(tmp_path / "a.pth", tmp_path / "t.parquet")
    table = CellTable.open(tmp_path / "t.parquet")
    assert not math.isnan(table.valid(3, "cifar10", 12))
    assert math.isnan(table.test(3, "cifar10", 12)) and not math.isnan(table.test(3))
    assert math.isnan(table.valid(3, "cifar100", 12))
    with pytest.raises(UserError, match="no figures of cifar10 after 90 epochs"):
        table.valid(3, epochs=90)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tidy_tables(tmp_path: Path, kind: str):
    frame = pd.DataFrame({"arch_str": [ARCHS[7], ARCHS[2]], "cifar10_test_acc_200": [7.5, 2.5]})
    source = tmp_path / f"a.{kind}"
    frame.to_csv(source, index=False) if kind == "csv" else frame.to_parquet(source)
    assert import_benchmark(source, tmp_path / "t.parquet").cells == 2
    table = CellTable.open(tmp_path / "t.parquet")
    assert table.cells == 2
    assert np.array_equal(table.test([2, 7, 3]), [2.5, 7.5, np.nan], equal_nan=True)


def test_the_command_reports_the_memory_that_the_single_file_needed(tmp_path):
    torch.save(whole(nas201, (3,)), tmp_path / "a.pth")
    args = ["bench", "import", str(tmp_path / "a.pth"), str(tmp_path / "t.parquet")]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    numbered = int(re.search(r"([\d,]+) numbered values", done.stderr)[1].replace(",", ""))
    # As many as the pickle itself numbers.
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        codes = [op.name for op, _, _ in pickletools.genops(archive.read(name))]
    assert numbered == sum(code in ("BINPUT", "LONG_BINPUT", "MEMOIZE") for code in codes)
