"""`drnas report` on the command line."""

from __future__ import annotations

import pytest
from pages import parse
from typer.testing import CliRunner

from drnas_ray.cli import app

pytestmark = pytest.mark.usefixtures("quick_figures")


def invoke(*args: object):
    return CliRunner().invoke(app, ["report", *map(str, args)])


def test_it_writes_the_page_into_the_first_folder(fakes):
    folders = []
    for name in ("one", "two"):
        fake = fakes(name)
        fake.complete(f"{name}-run", label=name)
        folders.append(fake.write())
    result = invoke(*folders)
    assert result.exit_code == 0, result.output
    path = folders[0] / "report.html"
    assert result.stdout.strip() == str(path)
    page = parse(path.read_text())
    assert page.one("h1").text == "one, two"
    details = page.all("details", class_="run")
    assert [detail.one("h4").text for detail in details] == [
        "one on digits, seed 0",
        "two on digits, seed 0",
    ]


@pytest.mark.long
def test_its_options(mixed, made_up_table, tmp_path):
    mixed.complete("c0", dataset="cifar10")
    path = tmp_path / "deep" / "page.html"
    result = invoke(mixed.write(), "--out", path, "--runs", 2, "--benchmark", made_up_table)
    assert result.exit_code == 0, result.output
    page = parse(path.read_text())
    assert len(page.all("details", class_="run")) == 2
    assert "made_up.parquet (sha256" in page.one("section", id="results").text
    assert not (mixed.root / "report.html").exists()


def test_warnings_are_said_aloud_too(fake):
    fake.complete("d0")
    with (fake.root / "search" / "search_d0" / "result.json").open("a") as file:
        file.write("garbage\n")
    result = invoke(fake.write())
    assert result.exit_code == 0
    assert "note: run d0: 1 lines of its result.json are not reports" in result.stderr


def test_bad_input_is_one_line(fake, tmp_path):
    folder = fake.write()
    for args, named in (
        ([folder], "no runs to report on"),
        ([tmp_path / "nowhere"], "no folder"),
        ([folder, folder], "given twice"),
    ):
        result = invoke(*args)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith("error: ")
        assert named in line
    assert not (folder / "report.html").exists()
