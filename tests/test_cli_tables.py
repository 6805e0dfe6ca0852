"""drnas table and drnas stats: formats, files, the paper's tables by name, and what they refuse."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from drnas_ray.cli import app
from tests.fake_sweep import FakeSweep


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder `r` of retrained runs, seen from its parent."""
    monkeypatch.chdir(tmp_path)
    fake = FakeSweep(tmp_path / "r")
    for seed, acc in enumerate((94.0, 95.0)):
        fake.complete(f"d{seed}", seed=seed, dataset="cifar10")
        fake.retrained(f"r{seed}", [f"d{seed}"], acc, dataset="cifar10", seed=seed)
        fake.complete(f"g{seed}", seed=seed, dataset="cifar10", label="GDAS", cell=500)
        fake.retrained(f"q{seed}", [f"g{seed}"], acc - 2, dataset="cifar10", seed=seed, cell=500)
    return fake.write()


def invoke(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def printed(*args):
    result = invoke(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*args):
    result = invoke(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line


def test_a_folder_is_compared_and_a_name_first_is_a_paper_table(results):
    plain = printed("table", "r", "--format", "markdown")
    assert "| DrNAS | 94.50 ± 0.71 (2) |" in plain
    paper = printed("table", "nb201", "r", "--format", "markdown")
    assert "94.36 ± 0.00 | 94.50 ± 0.71 (2)" in paper
    assert "not run" in printed("table", "imagenet", "--format", "markdown")
    results.rename("nb201")
    assert printed("table", "./nb201", "--format", "markdown") == plain


@pytest.mark.long
def test_every_format_to_a_file_and_to_standard_output(results):
    ends = {"markdown": "md", "csv": "csv", "latex": "tex", "html": "html", "parquet": "parquet",
            "text": "txt"}  # fmt: skip
    for command in (
        ("table", "r"),
        ("table", "cifar10", "r"),
        ("stats", "r"),
        ("stats", "r", "--pairs"),
    ):
        for form, end in ends.items():
            file = Path(f"t.{end}")
            assert printed(*command, "--out", file).strip() == str(file)
            given = CliRunner().invoke(app, [*command, "--format", form])
            if form == "text":
                assert "DrNAS" in file.read_text() and "DrNAS" in given.stdout
            else:
                assert given.stdout_bytes == file.read_bytes()
    frame = pd.read_csv("t.csv")
    assert pq.read_table("t.parquet").num_rows == len(frame) == 1
    assert (frame["first"][0], frame["n_pairs"][0]) == ("DrNAS", 2)
    assert Path("t.html").read_text().startswith("<!DOCTYPE html>")
    assert not list(Path().glob(".*part"))
    printed("table", "r", "--out", "t.dat", "--format", "csv")
    assert len(pd.read_csv("t.dat")) == 2


@pytest.mark.long
def test_stats_against_one(results):
    text = printed("stats", "r", "--pairs", "--against", "GDAS", "--format", "csv")
    frame = pd.read_csv(io.StringIO(text))
    assert list(zip(frame["first"], frame["second"], strict=True)) == [("DrNAS", "GDAS")]
    assert frame["mean_difference"][0] == pytest.approx(2.0)


def test_several_folders_are_one_table(results, tmp_path):
    other = FakeSweep(tmp_path / "q")
    other.complete("d7", seed=7, dataset="cifar10")
    other.retrained("r7", ["d7"], 93.0, dataset="cifar10", seed=7)
    other.write()
    text = printed("table", "r", "q", "--format", "markdown")
    assert "| DrNAS | 94.00 ± 1.00 (3) |" in text


def test_an_exported_folder_will_do(results):
    printed("export", "r", "--out", "x")
    assert printed("table", "x", "--format", "csv") == printed("table", "r", "--format", "csv")


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("table", "nb203", "r"), "no folder nb203"),
        (("table", "r", "r"), "given twice"),
        (("table", "r", "--out", "t.doc"), "t.doc: unknown suffix '.doc'"),
        (("table", "r", "--out", "no/t.md"), "there is no folder no"),
        (("stats", "r", "--against", "DrNAS"), "needs --pairs"),
        (("stats", "r", "--pairs", "--against", "DrNSA"), "did you mean 'DrNAS'"),
        (("stats", "nowhere"), "no folder nowhere"),
        (("table", "cifar10", "r", "--benchmark", "none.parquet"), "none.parquet"),
    ],
)
def test_bad_input_is_one_line(results, args, named):
    assert named in refused(*args)


def test_help_teaches():
    text = " ".join(printed("table", "--help").split())
    assert "drnas table nb201 DIR" in text
    assert "imagenet" in text
    assert "--pairs" in printed("stats", "--help")
