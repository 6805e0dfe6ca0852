"""`drnas bench build`: killed, resumed, twice at once; its figures are those a search gets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import torch
from sweep_runs import driver, drnas
from typer.testing import CliRunner

from drnas_ray.cli import app
from drnas_ray.core.errors import UserError
from drnas_ray.jobs.start import start
from drnas_ray.parsing import run_config
from drnas_ray.search import ondemand
from drnas_ray.spaces.nb201 import NB201
from drnas_ray.sweeps.train_cells.plan import cells_of, recipe_of
from drnas_ray.sweeps.train_cells.view import BuildState

SPACE = NB201()
SETS = ("epochs=1", "channels=4", "cells=1", "batch_size=16", "data.train_images=64")
ARGS = [word for text in SETS for word in ("--recipe", text)]
TIMES = ["train_s", "finished_unix_s", "host"]
CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]


def figures(out: Path) -> pd.DataFrame:
    """What is there, one row per cell; the folder read as pandas does."""
    frame = pd.read_parquet(out).sort_values(["seed", "arch"], ignore_index=True)
    assert not frame.duplicated(["recipe_id", "arch", "seed"]).any()
    return frame


def search_config(cache: Path | None, method: str = "rea", **over):
    train = {"epochs": 1, "channels": 4, "cells": 1, "batch_size": 16}
    return run_config(
        {
            "method": method,
            "data": {"name": "digits", "train_images": 64},
            "queries": 4,
            "benchmark": {"train": train, **({"cache": str(cache)} if cache else {})},
            **over,
        }
    )


def whole(config):
    job = start(config, None, CPU)
    records = [job.step() for _ in range(config.steps)]
    return [{k: v for k, v in record.items() if k != "wall_s"} for record in records]


# --- searches -----------------------------------------------------------------------------------


def test_a_search_answers_the_same_with_a_cache_and_trains_nothing_again(tmp_path, monkeypatch):
    plain = whole(search_config(None))
    assert whole(search_config(tmp_path / "c")) == plain
    monkeypatch.setattr(ondemand, "train_cell", lambda *args: pytest.fail("trained again"))
    assert whole(search_config(tmp_path / "c")) == plain
    assert set(figures(tmp_path / "c")["status"]) == {"done"}


def test_other_recipes_and_seeds_are_other_figures(tmp_path):
    whole(search_config(tmp_path, seed=1, queries=1))
    whole(search_config(tmp_path, seed=2, queries=1))
    train = {"epochs": 1, "channels": 4, "cells": 1, "batch_size": 32}
    whole(
        search_config(
            tmp_path, queries=1, seed=1, benchmark={"train": train, "cache": tmp_path.as_posix()}
        )
    )
    frame = figures(tmp_path)
    assert len(frame) == 3 and frame["recipe_id"].nunique() == 2


def test_where_figures_are_kept_is_no_part_of_a_runs_id(tmp_path):
    one, two = search_config(None), search_config(tmp_path)
    assert one.id() == two.id() and one != two
    assert '"cache"' not in one.canonical_json()


def test_a_diverged_training_is_kept_and_worth_nothing(tmp_path):
    train = {"epochs": 2, "channels": 4, "cells": 1, "batch_size": 16, "lr": 1e30}
    for _ in range(2):
        config = search_config(
            tmp_path, queries=1, benchmark={"train": train, "cache": str(tmp_path)}
        )
        job = start(config, None, CPU)
        assert job.step()["val_acc_pct"] == 0.0
    (row,) = figures(tmp_path).to_dict("records")
    assert row["status"] == "diverged" and pd.isna(row["val_acc_pct"])


# --- what a person writes -----------------------------------------------------------------------


@pytest.mark.long
def test_cells(tmp_path):
    recipe = recipe_of("digits", ())
    every = cells_of("all", recipe)
    assert len(every) == len(set(every)) == 6466
    assert all(SPACE.canonical(cell) == cell for cell in every[:100])
    some = cells_of("50-random", recipe)
    assert len(set(some)) == 50 and set(some) <= set(every)
    assert cells_of("20-random", recipe) == some[:20]
    path = tmp_path / "cells.txt"
    path.write_text(f"# mine\n9930\n\n{SPACE.cell(7)}\n  9930  \n")
    assert cells_of(str(path), recipe) == [SPACE.canonical(SPACE.cell(n)) for n in (9930, 7)]


@pytest.mark.parametrize(
    ("text", "content", "named"),
    [
        ("some", None, "some.*all, 100-random"),
        ("0-random", None, "0-random.*6466"),
        ("6467-random", None, "6467-random.*6466"),
        ("FILE", "9930\nnonsense", "line 2 .*nonsense"),
        ("FILE", "15625", "line 1 .*15625"),
        ("FILE", "# none\n", "names no cell"),
        ("FILE", b"\xff\xfe", "can't be read"),
    ],
)
def test_wrong_cells(tmp_path, text, content, named):
    path = tmp_path / "cells.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=named) as caught:
        cells_of(text.replace("FILE", str(path)), recipe_of("digits", ()))
    assert "\n" not in str(caught.value)


def test_recipe():
    recipe = recipe_of("digits", SETS)
    assert recipe.id() == ondemand.TrainOnDemand(search_config(None), None, CPU).recipe.id()
    assert recipe_of("digits", ["data.name=cifar10"]).data.name == "cifar10"
    assert recipe_of("digits", ()).train.epochs == 12


@pytest.mark.parametrize(
    ("dataset", "sets", "named"),
    [
        ("digits", ["epoch=3"], "'epoch'.*'epochs'"),
        ("digits", ["epochs"], "'epochs' sets nothing"),
        ("digits", ["epochs=0"], "epochs=0"),
        ("digits", ["seeds=3"], "unknown recipe setting 'seeds'"),
        ("digits", ["seed=3"], "unknown recipe setting 'seed'"),
        ("digits", ["data.train_images=9999"], "9999"),
        ("digits", ["data.train_image=9"], "train_image"),
        ("digit", [], "unknown data set 'digit'.*'digits'"),
        ("digits", ["space=nb102"], "nb102"),
    ],
)
def test_wrong_recipes(dataset, sets, named):
    with pytest.raises(UserError, match=named) as caught:
        recipe_of(dataset, sets)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("benchmark", "named"),
    [
        ({"table": "t.parquet", "cache": "c"}, r"benchmark\.cache=.*leave it out"),
        ({"cache": "c"}, r"benchmark\.table=FILE"),
        ({"train": {}, "cache": "~nobody-there/c"}, "can't be found"),
    ],
)
def test_wrong_cache_settings(benchmark, named):
    with pytest.raises(UserError, match=named):
        search_config(None, benchmark=benchmark)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--recipe", "epoch=3", "--out", "o"], "unknown recipe setting 'epoch'"),
        (["--out", "file", "--cells", "1-random", *ARGS], "can't be written"),
        (["--out", "o", "--seeds", "x"], "seeds='x'"),
    ],
)
def test_wrong_words_end_in_one_line(tmp_path, monkeypatch, args, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["bench", "build", *args])
    assert result.exit_code == 2 and named in result.stderr, result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.process
def test_what_no_node_has_is_refused_in_one_line(tmp_path):
    args = ["--out", "o", "--cpu", "999", "--cells", "1-random", *ARGS]
    code, text = drnas(tmp_path, "bench", "build", *args)
    assert code == 2 and "lower resources" in text, text
    assert len(text.strip().splitlines()) == 1, text


def test_estimate():
    state = BuildState(total=10, known=2)
    assert state.left_s is None
    state.done, state.wall_s, state.failed = 3, 6.0, {"k": "why"}
    assert state.left_s == 8.0


# --- processes ----------------------------------------------------------------------------------


@pytest.mark.process
def test_killed_and_resumed_it_does_nothing_twice(tmp_path):
    args = ["bench", "build", "--cells", "20-random", *ARGS, "--out", "out", "--workers", "1"]
    out = tmp_path / "out"
    with driver(tmp_path, *args) as running:
        running.wait_for(lambda: len(list(out.glob("part-*"))) >= 3)
        for pid in running.pids():
            try:
                running.kill(pid)
            except (AssertionError, ProcessLookupError):
                continue  # gone with its driver
    before = figures(out)
    assert 3 <= len(before) < 20
    code, text = drnas(tmp_path, *args)
    assert code == 0, text
    assert f"{20 - len(before)} cells trained, {len(before)} known before" in text
    after = figures(out)
    assert len(after) == 20 and len(list(out.glob("part-*"))) == 1
    kept = after.merge(before, on=list(before.columns))
    assert len(kept) == len(before)  # to the last bit, with the times of the first call
    # The same as a search gets by itself.
    job = start(search_config(None), None, CPU)
    for row in after.head(3).to_dict("records"):
        assert job.benchmark.query(row["arch"]).val_acc_pct == row["val_acc_pct"]


@pytest.mark.process
def test_two_at_once_share_the_work(tmp_path):
    args = ["bench", "build", "--cells", "12-random", *ARGS, "--out", "out", "--workers", "1"]
    with driver(tmp_path, *args) as one, driver(tmp_path, *args) as two:
        texts = []
        for each in (one, two):
            assert each.process.wait(240) == 0, each.text()
            texts.append(each.text())
    trained = [int(re.search(r"(\d+) cells trained", text)[1]) for text in texts]
    assert sum(trained) == 12
    assert len(figures(tmp_path / "out")) == 12


STUB = """
import os, sys, time
from pathlib import Path
from drnas_ray.config import CellRecipe
from drnas_ray.sweeps.train_cells.build import build
from drnas_ray.sweeps.train_cells.plan import cells_of
from drnas_ray.sweeps.spec.sweep import Resources
recipe = CellRecipe()
cells = cells_of("40-random", recipe)
def make():
    def train(cell, seed):
        if cell == cells[3]:
            os._exit(1)
        if cell == cells[5]:
            raise RuntimeError("first line\\nout of memory")
        if cell == cells[7] and not Path("died").exists():
            Path("died").write_text("")
            os._exit(1)
        return {"status": "done", "val_acc_pct": 50.0, "finished_unix_s": time.time()}
    return train
done = build(cells, (0,), recipe, Path("out"), resources=Resources(), workers=2, make=make)
failed = sorted((cells.index(key[1]), why) for key, why in done.failed.items())
print("DONE", done.done + done.known, failed)
"""


@pytest.mark.process
def test_dying_workers_cost_only_their_own_cell(tmp_path):
    (tmp_path / "stub.py").write_text(STUB)
    with tempfile.TemporaryDirectory(prefix="drnas-", dir="/tmp") as ray_dir:
        env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
        path = os.pathsep.join([str(ROOT), *filter(None, [env.get("PYTHONPATH")])])
        process = subprocess.Popen(
            [sys.executable, "stub.py"], cwd=tmp_path, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**env, "RAY_TMPDIR": ray_dir, "PYTHONPATH": path},
        )  # fmt: skip
        try:
            text = process.communicate(timeout=240)[0]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    expected = "DONE 38 [(3, 'the process that trained it died'), (5, 'out of memory')]"
    assert expected in text, text
    assert len(figures(tmp_path / "out")) == 38
