"""The command line: bad input is one line on standard error and exit code 2, and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from sweep_runs import RUNS, drnas, rows, write_sweep
from typer.testing import CliRunner

from drnas_ray import __version__
from drnas_ray.blackbox import BLACKBOX
from drnas_ray.cli import app, runs
from drnas_ray.methods import METHODS
from drnas_ray.sweeps.folder import make_folder
from drnas_ray.sweeps.plan.runs import plan_runs
from drnas_ray.sweeps.spec.sweep import load_sweep

SWEEP: dict[str, Any] = {
    "name": "tiny",
    "methods": ["drnas"],
    "datasets": ["digits"],
    "seeds": "0:2",
    "config": {"epochs": 4, "batch_size": 64, "supernet": {"channels": 4, "cells": 1}},
}


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to stand in, and no sweep ever really starts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DRNAS_DATA_ROOT", raising=False)

    def start(*args: object) -> None:
        raise AssertionError(f"Ray was started: {args}")

    monkeypatch.setattr("drnas_ray.sweeps.sweep.cluster", start)
    yield tmp_path


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def invoke(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def assert_refused(folder: Path, args: tuple[object, ...], *named: str) -> None:
    """Exit code 2, one line that starts with `error:` and names these, nothing written."""
    before = contents(folder)
    result = invoke(*args)
    assert result.exit_code == 2, (result.exception, result.output)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    for text in named:
        assert text in line
    assert contents(folder) == before


def sweep_file(folder: Path, text: str | None = None, **over: Any) -> Path:
    path = folder / "s.yaml"
    path.write_text(text if text is not None else yaml.safe_dump({**SWEEP, **over}))
    return path


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("epohs=3", ["'epohs'", "did you mean 'epochs'?"]),
        ("arch.lrr=3", ["'arch.lrr'", "did you mean 'arch.lr'?"]),
        ("epochs=abc", ["epochs='abc'", "whole number"]),
        ("epochs=0", ["epochs=0", "greater than or equal to 1"]),
        ("epochs=", ["epochs=None"]),
        ("epochs", ["'epochs' sets nothing", "key=value"]),
        ("=3", ["'=3' sets nothing"]),
        ("arch.lr=[1", ["config.arch.lr", "not valid YAML"]),
        ("arch.lr=.inf", ["arch.lr=inf"]),
        ("supernet.partial=3", ["channels=4", "partial=3", "divisible"]),
        ("method.penalty=kj", ["method.penalty='kj'", "'kl'"]),
        ("method.order=2", ["'method.order'"]),
        ("data.path=x", ["data.path=", "'digits'"]),
        ("data.train_images=99999", ["data.train_images=99999", "1437"]),
        ("data.cutout=50", ["data.cutout=50", "give 8 or less"]),
        ("weights.lr_min=1", ["lr_min=1", "lr=0.025"]),
        ("arch.warmup_epochs=4", ["warmup_epochs=4", "epochs=4"]),
        ("seed=3", ["'seed'", "keys of their own"]),
        ("seeds=[]", ["seeds=[]", "0:10"]),
        ("seeds=3:3", ["seeds='3:3'", "0:10"]),
        ("seeds=x", ["seeds='x'", "0:10"]),
        ("seeds=[1, 1]", ["[1, 1]", "twice"]),
        ("grid={arch.lrr: [1]}", ["'arch.lrr'", "did you mean 'arch.lr'?"]),
        ("grid={arch.lr: []}", ["'arch.lr' has no values"]),
        ("grid={arch.lr: 3}", ["grid.arch.lr=3"]),
        ("grid={arch.lr: [x]}", ["arch.lr='x'"]),
        ("methods=[drnass]", ["'drnass'", "did you mean 'drnas'?"]),
        ("methods=[]", ["methods=[]"]),
        ("methods=[drnas, drnas]", ["planned twice"]),
        ("datasets=[digit]", ["'digit'", "did you mean 'digits'?"]),
        ("datasets=[{name: folder, path: /no/where}]", ["/no/where", "doesn't exist"]),
        ("datasets=[{name: folder}]", ["'folder'", "data.path"]),
        ("space=nb20", ["'nb20'", "did you mean 'nb201'?"]),
        ("retrain.epochs=0", ["retrain.epochs=0"]),
        ("retrain.epoch=1", ["'retrain.epoch'", "did you mean 'epochs'?"]),
        ("retrain.genotype=x", ["retrain.genotype", "take it out"]),
        ("resources.cpus=1", ["'resources.cpus'", "did you mean 'cpu'?"]),
        ("resources.cpu=0", ["resources.cpu=0"]),
        ("max_concurrent=0", ["max_concurrent=0"]),
        ("name=a/b", ["name='a/b'"]),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry"])
def test_bad_settings(
    setting: str, named: list[str], dry: tuple[str, ...], workplace: Path
) -> None:
    path = sweep_file(workplace)
    assert_refused(workplace, ("sweep", path, "--out", "out", "--set", setting, *dry), *named)


def test_bad_pairs(workplace: Path) -> None:
    path = sweep_file(workplace)
    two = ("--set", "method.penalty=kl", "--set", "arch.weight_decay=0.1")
    assert_refused(
        workplace, ("sweep", path, *two), "arch.weight_decay=0.1", "method.penalty=kl", "Leave"
    )
    two = ("--set", "weights.nesterov=true", "--set", "weights.momentum=0")
    assert_refused(workplace, ("sweep", path, *two), "nesterov=true", "momentum above 0")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: [a\n b: }", ["s.yaml is not valid YAML", "line 2"]),
        ("a:\n\t- b", ["s.yaml is not valid YAML", "line 2"]),
        ("- a\n- b\n", ["s.yaml should map names to values"]),
        ("", ["s.yaml should map names to values"]),
        ("3", ["s.yaml should map names to values"]),
        ("a: !!python/object/apply:os.getcwd []", ["s.yaml is not valid YAML"]),
        ("name: a\nname: b\n", ["'name' is given twice"]),
        ("name: a\nmethods: [drnas]\nseeds: 0\n", ["datasets is missing"]),
        ("\x00", ["s.yaml is not valid YAML"]),
        (yaml.safe_dump({**SWEEP, "metods": []}), ["'metods'", "did you mean 'methods'?"]),
        (yaml.safe_dump({**SWEEP, "config": {"arch.lr": 1}}), ["config 'arch.lr'", "groups"]),
        (yaml.safe_dump({**SWEEP, "config": {"[red]a\nb": 1}}), ["'[red]a b'"]),
    ],
)
def test_bad_sweep_files(text: str, named: list[str], workplace: Path) -> None:
    path = sweep_file(workplace, text)
    assert_refused(workplace, ("sweep", path, "--out", "out"), *named)


def test_sources_that_are_none(workplace: Path) -> None:
    assert_refused(workplace, ("sweep", "no.yaml"), "no.yaml does not exist", "demo")
    assert_refused(workplace, ("sweep", "a/b"), "a/b does not exist")
    assert_refused(workplace, ("sweep", "dmo"), "'dmo'", "did you mean 'demo'?")
    (workplace / "latin.yaml").write_bytes(b"name: \xe9\n")
    assert_refused(workplace, ("sweep", "latin.yaml"), "latin.yaml can't be read")


@pytest.mark.parametrize("command", [("sweep", "demo"), ("demo",)])
def test_bad_seeds_option(command: tuple[str, ...], workplace: Path) -> None:
    for seeds in ("x", "", "3:3", "1,1", "1:2:3"):
        assert_refused(workplace, (*command, "--out", "out", "--seeds", seeds), repr(seeds))


def test_folders_that_are_taken(workplace: Path) -> None:
    path = sweep_file(workplace)
    args = ("sweep", path, "--out", "out")
    out = workplace / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    for resume in ((), ("--resume",)):
        assert_refused(workplace, (*args, *resume), "out is not empty", "--out")
    (out / "thesis.tex").unlink()
    planned = load_sweep(str(path))
    make_folder(out, planned, plan_runs(planned))
    assert_refused(workplace, args, "already holds this sweep", "--resume")
    for resume in ((), ("--resume",)):
        other = ("--set", "epochs=3", *resume)
        assert_refused(workplace, (*args, *other), "another sweep (2 runs)", "--out")
    for setting in ("max_concurrent=1", "resources.cpu=2", "retrain.epochs=3"):
        other = ("--set", setting, "--resume")
        assert_refused(
            workplace, (*args, *other), "out was started with " + setting.split(".")[0][:9]
        )
    for text in ("{", "{}", '{"runs": 3}'):
        (out / "sweep.json").write_text(text)
        assert_refused(workplace, (*args, "--resume"), "sweep.json is damaged")
    assert_refused(workplace, ("sweep", path, "--out", path), "s.yaml is not empty")


def test_missing_downloads_end_before_anything_is_written(workplace: Path) -> None:
    path = sweep_file(workplace, datasets=["imagenet16-120"])
    root = workplace / "data"
    assert_refused(workplace, ("sweep", path, "--out", "out", "--data-root", root), "ImageNet16")


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["drnass"], ["'drnass'", "did you mean 'drnas'?"]),
        (["drnas", "--dataset", "digit"], ["did you mean 'digits'?"]),
        (["drnas", "--seed", "-1"], ["seed -1"]),
        (["drnas", "--set", "epohs=1"], ["did you mean 'epochs'?"]),
        (["drnas", "--set", "seeds=[1, 2]"], ["2 runs", "use a sweep"]),
        (["drnas", "--set", "grid={arch.lr: [1, 2]}"], ["2 runs", "use a sweep"]),
        (["drnas", "--set", "retrain.epochs=3"], ["retrain", "use a sweep"]),
        (["drnas", "--set", "arch.warmup_epochs=100"], ["warmup_epochs=100"]),
        (["darts", "--set", "method.order=3"], ["method.order=3"]),
    ],
)
def test_bad_searches(args: list[str], named: list[str], workplace: Path) -> None:
    assert_refused(workplace, ("search", *args), *named)
    assert_refused(workplace, ("search", *args, "--out", "out", "--resume"), *named)


def test_reading_what_is_no_results_folder(workplace: Path) -> None:
    for command in ("export", "table", "report"):
        assert_refused(workplace, (command, "nowhere"), "no folder nowhere")
        assert_refused(workplace, (command, workplace), "it has no sweep.json")
        (workplace / "file").write_text("")
        assert_refused(workplace, (command, "file"), "no folder file")
    assert_refused(workplace, ("export", "nowhere", "--out", "there"), "no folder nowhere")
    (workplace / "sweep.json").write_text("{}")
    for command in ("export", "table", "report"):
        assert_refused(workplace, (command, workplace), "sweep.json", "schema_version")


def test_a_damaged_benchmark(workplace: Path) -> None:
    (workplace / "bench.parquet").write_bytes(b"PAR1 no more PAR1")
    (workplace / "sweep.json").write_text("{}")
    for name in ("bench.parquet", "none.parquet"):
        assert_refused(workplace, ("table", workplace, "--benchmark", name), name)


@pytest.mark.process
def test_what_the_cluster_lacks_is_refused_before_any_trial(workplace: Path) -> None:
    sweep_file(workplace)
    code, text = drnas(workplace, "sweep", "s.yaml", "--out", "out", "--set", "resources.cpu=999")
    (line,) = text.splitlines()
    assert (code, line[:6]) == (2, "error:")
    assert "'cpu': 999" in line
    assert "lower resources" in line
    assert not (workplace / "out").exists()


@pytest.mark.process
def test_no_cluster_at_an_address(workplace: Path) -> None:
    sweep_file(workplace)
    code, text = drnas(workplace, "sweep", "s.yaml", "--out", "out", "--address", "127.0.0.1:1")
    assert code == 2, text
    (line,) = text.splitlines()
    assert line.startswith("error: no Ray cluster answers at 127.0.0.1:1: ")
    assert not (workplace / "out").exists()


# What is said when all is well -----------------------------------------------------------------


def test_dry_run_lists_the_runs_and_writes_nothing(workplace: Path) -> None:
    write_sweep(workplace)
    result = invoke("sweep", "tiny.yaml", "--dry-run", "--seeds", "4,2", "--set", "epochs=3")
    assert result.exit_code == 0, result.output
    *runs, last = result.stdout.splitlines()
    assert len(runs) == RUNS
    assert "DrNAS method.penalty_scale=0.001 · digits" in runs[0]
    assert [run.split(" · ")[2] for run in runs] == ["seed 4", "seed 2"] * 4
    assert [run.split(" · ")[3] for run in runs] == ["3 epochs"] * 6 + ["1 epochs"] * 2
    assert last == "8 runs, their cells are trained from scratch; nothing was run"
    assert [path.name for path in workplace.iterdir()] == ["tiny.yaml"]


def test_presets_are_listed() -> None:
    lines = invoke("presets").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        "demo",
        "digits-tuning",
        "nb201-mini",
        "nb201-smoke",
        "nb201-table-transfer",
        "nb201-table",
    ]
    assert all(len(line.split()) > 5 for line in lines)


def test_a_wrong_table_is_refused_before_a_sweep(workplace: Path) -> None:
    (workplace / "tiny.yaml").write_text(yaml.safe_dump(SWEEP))
    assert_refused(workplace, ("sweep", "tiny.yaml", "--benchmark", "no.parquet"), "no.parquet")


@pytest.mark.long
def test_methods_are_listed_and_explained() -> None:
    listed = [line.split()[0] for line in invoke("methods").stdout.splitlines()[:-1]]
    assert listed == [*METHODS, *BLACKBOX]
    for name in listed:
        text = invoke("methods", name).stdout
        for field in {**METHODS, **BLACKBOX}[name].settings_type.model_fields:
            assert f"method.{field} = " in text or field == "name"
    assert "arch = {" in invoke("methods", "gaea").stdout
    wrong = invoke("methods", "drnass")
    assert wrong.exit_code == 2
    assert "drnas" in wrong.stderr


def test_version() -> None:
    assert invoke("--version").stdout.strip() == __version__


def test_every_command_explains_itself() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        result = invoke(name, "--help")
        assert result.exit_code == 0
        assert str(command.callback.__doc__).split(".", maxsplit=1)[0][:30] in result.stdout


@pytest.mark.long
def test_a_search_and_its_resume(workplace: Path) -> None:
    sets = [f"--set={key}={value}" for key, value in SWEEP["config"].items() if key != "supernet"]
    sets += ["--set=supernet={channels: 4, cells: 1}", "--set=data.train_images=64"]
    args = ("search", "drnas", "--seed", "3", *sets, "--out", "out")
    result = invoke(*args)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("done: |")
    assert [line.split(" · ")[0] for line in result.stderr.splitlines()] == [
        f"epoch {epoch}/4" for epoch in range(1, 5)
    ]
    before = contents(workplace / "out")
    assert_refused(workplace, args, "--resume")
    again = invoke(*args, "--resume")
    assert again.exit_code == 0, again.output
    assert (again.stdout, again.stderr) == (result.stdout, "")
    assert contents(workplace / "out") == before


@pytest.mark.long
def test_a_search_that_was_cut_goes_on_to_the_same_end(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ["search", "drnas", "--set=epochs=3", "--set=supernet={channels: 4, cells: 1}"]
    args += ["--set=data.train_images=64"]
    assert invoke(*args, "--out", "whole").exit_code == 0
    told = runs._report_epoch

    def stop(record: dict[str, Any], epochs: int) -> None:
        told(record, epochs)
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "_report_epoch", stop)
    for epoch in (1, 2):
        cut = invoke(*args, "--out", "cut", *(["--resume"] if epoch > 1 else []))
        assert cut.exit_code == 130
        assert "--resume" in cut.stderr
        assert f"epoch {epoch}/3" in cut.stderr
    monkeypatch.setattr(runs, "_report_epoch", told)
    # As if killed between an epoch's line and its checkpoint: the line will be there twice.
    (lines,) = (workplace / "cut").glob("search/*/result.json")
    lines.write_text(lines.read_text() + lines.read_text().splitlines()[-1] + "\n")
    assert invoke(*args, "--out", "cut", "--resume").exit_code == 0
    for out in ("whole", "cut"):
        assert invoke("export", out).exit_code == 0
    assert rows(workplace / "cut", "epochs") == rows(workplace / "whole", "epochs")
    assert len(rows(workplace / "cut", "epochs")) == 3
