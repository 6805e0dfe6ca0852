"""Results and caches on a store: S3, as a moto server on loopback plays it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer
from sweep_runs import assert_same

from drnas_ray.benchmarks.cache import CellCache
from drnas_ray.cli import main
from drnas_ray.cli.stores import display_path, local_copies, store_of
from drnas_ray.core.errors import UserError
from drnas_ray.core.stores import Store
from drnas_ray.results.layout import is_read, is_trial_file
from tests.benchmarks.test_cache import key, never, row


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """`bucket.format("path")` is a URI on a server of this test's own."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    before = {name: os.environ.get(name) for name in (*keys, "AWS_EC2_METADATA_DISABLED")}
    os.environ.update(keys, AWS_EC2_METADATA_DISABLED="true")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket="drnas")
    yield f"s3://drnas/{{}}?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    server.stop()
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(params=["s3", "file"])
def store(request, bucket, tmp_path) -> Store:
    if request.param == "file":
        return Store.open(f"file://{tmp_path}/store")
    return Store.open(bucket.format(f"store-{tmp_path.name}"))


def test_files_come_and_go(store):
    assert store.names() == []
    store.write("a/b.json", b"one")
    store.write("a/b.json", b"two")
    store.write("c", b"")
    assert store.names() == ["a/b.json", "c"] and store.read("a/b.json") == b"two"
    assert store.has("c") and not store.has("d")
    store.delete("c")
    store.delete("c")
    assert store.names() == ["a/b.json"]
    with pytest.raises(UserError, match=r"store .*://"):
        store.read("nothing")


def test_pull_brings_what_is_read_and_push_what_is_new(store, tmp_path):
    for name in (
        "sweep.json", "runs.parquet", "search/t/params.json", "search/t/result.json",
        "search/t/checkpoint_000001/epochs.jsonl", "search/t/checkpoint_000001/run.pt",
        "search/t/passed_over.jsonl", "search/tuner.pkl",
    ):  # fmt: skip
        store.write(name, name.encode())
    here = tmp_path / "here"
    store.pull(here, is_read)
    got = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()}
    assert got == {name for name in store.names() if not name.endswith((".pt", ".pkl"))}
    (here / "search/t/result.json").write_text("not ours to change")
    (here / "table.md").write_text("a table")
    (here / "cells").mkdir()
    (here / "cells/one.png").write_bytes(b"png")
    store.push(here, leave=is_trial_file)
    assert store.read("table.md") == b"a table" and store.read("cells/one.png") == b"png"
    assert store.read("search/t/result.json") == b"search/t/result.json"


def test_what_changed_on_the_store_meanwhile_is_kept(store, tmp_path):
    store.write("retrain.json", b"before")
    here = tmp_path / "here"
    store.pull(here, is_read)
    store.write("retrain.json", b"noted since")  # by the sweep, while a table is made here
    (here / "table.md").write_text("a table")
    store.push(here, leave=is_trial_file)
    assert store.read("retrain.json") == b"noted since" and store.read("table.md") == b"a table"
    (here / "retrain.json").write_text("changed here")
    store.push(here, leave=is_trial_file)
    assert store.read("retrain.json") == b"changed here"


def test_wrong_uris():
    with pytest.raises(UserError, match="names no store"):
        Store.open("nowhere://x/y")


def test_the_command_line_works_on_a_copy(bucket):
    uri = bucket.format("copied")
    Store.open(uri).write("sweep.json", b"{}")
    with local_copies(["table", uri, f"--out={uri}", "--set", "track.mlflow=http://h/x"]) as args:
        folder = Path(args[1])
        assert (folder / "sweep.json").read_text() == "{}"
        assert args[2].startswith("--out=/") and args[3:] == ["--set", "track.mlflow=http://h/x"]
        assert store_of(folder).uri == uri
        assert display_path(folder / "table.md").startswith("s3://drnas/copied/table.md?")
        (folder / "table.md").write_text("done")
    assert Store.open(uri).read("table.md") == b"done"
    assert not folder.exists() and store_of(folder) is None


def test_a_cache_of_cells_on_a_store(bucket, monkeypatch):
    place = bucket.format("cells")
    one, two = CellCache(place), CellCache(place)
    for number in range(3):
        one.figure(key(number), lambda number=number: row(number))
    assert two.figure(key(1), never)["val_acc_pct"] == 1 / 7
    two.compact()
    assert len(Store.open(place).names()) == 1
    again = CellCache(place)
    assert all(again.figure(key(number), never) for number in range(3))
    Store.open(place).write("part-damaged.parquet", b"no parquet")
    CellCache(place).figure(key(9), lambda: row(9))
    assert CellCache(place).get(key(9)) is not None


@pytest.mark.process
def test_a_build_fills_a_store(bucket, tmp_path):
    place = bucket.format("built")
    args = [
        "bench", "build", "--cells", "2-random", "--recipe", "epochs=1", "--recipe", "channels=4",
        "--recipe", "cells=1", "--recipe", "data.train_images=100", "--out", place,
    ]  # fmt: skip
    done = subprocess.run(
        [str(Path(sys.executable).with_name("drnas")), *args],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 cells trained, 0 known before" in done.stdout
    assert len(CellCache(place).rows()) == 2


def command(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("drnas")), *args],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip


def ended(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    """The exit code of `drnas ARGS`, run in this process."""
    monkeypatch.setattr(sys, "argv", ["drnas", *args])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code or 0


@pytest.mark.process
def test_a_sweep_on_a_store_is_the_sweep_in_a_folder(bucket, tmp_path, monkeypatch, capsys):
    """Searched, exported, resumed and tabulated on S3; the same to the last bit."""
    sweep = {
        "name": "stored", "methods": ["drnas", "uniform"], "seeds": "0",
        "datasets": [{"name": "digits", "train_images": 100}],
        "config": {"epochs": 2, "batch_size": 50, "supernet": {"channels": 4, "cells": 1}},
        "retrain": {"epochs": 1, "batch_size": 50, "channels": 4, "cells": 1},
    }  # fmt: skip
    (tmp_path / "stored.yaml").write_text(yaml.safe_dump(sweep))
    uri = bucket.format("sweep")
    done = command(tmp_path, "sweep", "stored.yaml", "--out", uri)
    assert done.returncode == 0, done.stderr
    assert "s3://drnas/sweep/runs.parquet" in done.stdout
    names = Store.open(uri).names()
    assert {"sweep.json", "retrain.json", "runs.parquet", "table.md"} <= set(names)
    assert any(name.endswith("run.pt") for name in names)
    here = command(tmp_path, "sweep", "stored.yaml", "--out", "here")
    assert here.returncode == 0, here.stderr
    Store.open(uri).pull(tmp_path / "copy", is_read)
    assert_same(tmp_path / "copy", tmp_path / "here")
    again = command(tmp_path, "sweep", "stored.yaml", "--out", uri, "--resume")
    assert again.returncode == 0, again.stderr
    # What starts no Ray, in this process.
    monkeypatch.chdir(tmp_path)
    assert ended(monkeypatch, "sweep", "stored.yaml", "--out", uri) == 2
    assert "--resume" in capsys.readouterr().err
    assert ended(monkeypatch, "table", uri, "--format", "csv") == 0
    assert "DrNAS" in capsys.readouterr().out
