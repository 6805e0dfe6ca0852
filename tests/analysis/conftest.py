"""Results folders written by hand, and a benchmark table with invented figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fake_sweep import ALL_SKIP, NB201, FakeSweep


@pytest.fixture
def fake(tmp_path: Path) -> FakeSweep:
    return FakeSweep(tmp_path / "results")


@pytest.fixture(scope="session")
def sweep_class() -> type[FakeSweep]:
    """For folders that several tests share."""
    return FakeSweep


@pytest.fixture
def fakes(tmp_path: Path):
    """Several folders: fakes(name, protocol) makes one."""
    return lambda name, protocol="search": FakeSweep(tmp_path / name, protocol)


@pytest.fixture
def mixed(fake: FakeSweep) -> FakeSweep:
    """Every kind of run at once, and retrainings that runs share.

    DrNAS: seeds 0 to 2 done (0 and 1 share a cell), 3 pending. DARTS: 0 done and all skip,
    1 diverged, 2 failed, 3 running with half a last line and repeated epochs.
    """
    fake.complete("d0", seed=0)
    fake.complete("d1", seed=1)
    fake.complete("d2", cell=11472, seed=2)
    fake.run("d3", seed=3)
    fake.complete("a0", cell=ALL_SKIP, label="DARTS", seed=0)
    fake.run("a1", label="DARTS", seed=1)
    diverged = fake.epoch("a1", 2, status="diverged", train_loss=math.nan, val_loss=math.inf)
    fake.trial("a1", [fake.epoch("a1", 1), diverged])
    fake.run("a2", label="DARTS", seed=2)
    fake.trial(
        "a2",
        [fake.epoch("a2", 1)],
        error="Failure # 1 (occurred at 2024-01-01_23-59-59)\nTraceback\n\x1b[36mx\x1b[39m: "
        "out of memory\n",
    )
    fake.run("a3", label="DARTS", seed=3)
    lines = [fake.epoch("a3", e) for e in (1, 2)]
    lines += [fake.epoch("a3", 2, cell=77, val_acc_pct=12.5)]
    fake.trial("a3", lines, tail=json.dumps(fake.epoch("a3", 3))[:200])
    fake.retrained("r0", ["d0", "d1"], 97.25)
    fake.retrained("r1", ["d2"], 96.5, cell=11472)
    fake.retrained("r2", ["a0"], 60.125, cell=ALL_SKIP)
    return fake


@pytest.fixture(scope="session")
def made_up_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 15,625 cells with invented figures: valid = index / 200, test = valid + 1."""
    columns: dict[str, list] = {"arch": [NB201.cell(i) for i in range(15_625)]}
    for shift, name in enumerate(("cifar10", "cifar100", "imagenet16")):
        valid = [i / 200 + shift for i in range(15_625)]
        columns[f"{name}_valid_acc_200"] = valid
        columns[f"{name}_test_acc_200"] = [None if i == 7 else v + 1 for i, v in enumerate(valid)]
        columns[f"{name}_test_acc_12"] = [0.0] * 15_625
    path = tmp_path_factory.mktemp("table") / "made_up.parquet"
    # Shuffled rows: a reader that trusted the row number would be found out.
    table = pa.table(columns).take(pa.array([i * 7919 % 15_625 for i in range(15_625)]))
    pq.write_table(table, path)
    return path
