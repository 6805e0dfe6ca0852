from __future__ import annotations

import pandas as pd
import pytest
from pages import parse

from analysis.records.load import load
from analysis.report import render
from analysis.report.warnings import report_warnings

pytestmark = pytest.mark.usefixtures("quick_figures")


def warned(*folders) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Title of each warning, to its sentence and examples."""
    found = report_warnings(load(list(folders)))
    assert len({warning.text for warning in found}) == len(found)
    return {warning.title: (warning.text, warning.examples) for warning in found}


def sound(fake, label="DrNAS", **epoch):
    """Three seeds, done and retrained."""
    for seed in range(3):
        ident = f"{fake.root.name}-{label}{seed}"
        fake.run(ident, label=label, seed=seed)
        lines = [fake.epoch(ident, e, **epoch) for e in (1, 2)]
        fake.trial(ident, [*lines, fake.epoch(ident, 3, status="done", **epoch)])
        fake.retrained(f"r-{ident}", [ident], 97.0, seed=seed)
    return fake


def test_nothing_to_warn_about(fake):
    folder = sound(sound(fake), "DARTS").write()
    assert warned(folder) == {}
    section = parse(render(load([folder]), most_runs=0)).one("section", id="warnings")
    assert section.text.startswith("Warnings None: all runs finished")


def test_runs_that_are_not_done(mixed):
    got = warned(mixed.write())
    assert list(got) == ["Failed", "Diverged", "Unfinished", "Few seeds", "Different seeds"]
    assert got["Failed"] == (
        "1 run ended in an error.",
        ("1 run, first DARTS on digits, seed 2: x: out of memory",),
    )
    assert got["Diverged"][0].startswith("1 run diverged")
    assert got["Diverged"][1] == ("DARTS on digits: seed 1",)
    assert got["Unfinished"] == (
        "Of 8 runs, 1 has not finished and 1 has not begun: tables leave them out.",
        ("DrNAS on digits: seed 3", "DARTS on digits: seed 3"),
    )
    assert got["Few seeds"][1] == ("DARTS on digits: 1 seed done",)
    assert got["Different seeds"][1] == ("digits: 0 common to all",)


def test_retrainings_that_are_not_done(fake):
    sound(fake)
    fake.complete("x3", seed=3)
    fake.job("r-x3", ["x3"], seed=3)
    fake.trial("r-x3", [fake.retrain_line("r-x3", 1, 9.0)], kind="retrain", error="disk full\n")
    got = warned(fake.write())
    assert got["Retrainings"] == (
        "Of 4 retrainings, 1 is not done (1 failed).",
        ("1 retraining: disk full",),
    )
    assert got["Not retrained"][0].startswith("1 finished run has no test accuracy")
    assert got["Not retrained"][1] == ("DrNAS on digits: seed 3",)


def test_searches_without_any_retraining_need_no_warning(fake):
    for seed in range(3):
        fake.complete(f"d{seed}", seed=seed)
    assert warned(fake.write()) == {}


MIXED = {
    "drnas_ray": ("Mixed versions", "different versions of drnas-ray", ("0.1.0", "0.2.0")),
    "torch": ("Mixed versions", "different versions of PyTorch", ("2.9", "3.0")),
    "ray": ("Mixed versions", "different versions of Ray", ("2.55", "2.60")),
    "python": ("Mixed versions", "different versions of Python", ("3.11", "3.14")),
}


@pytest.mark.parametrize("package", MIXED)
def test_mixed_versions(fakes, package):
    versions = {"drnas_ray": "0.1.0", "python": "3.11", "torch": "2.9", "ray": "2.55"}
    title, text, (old, new) = MIXED[package]
    one = sound(fakes("one", "search")).write(versions=versions)
    two = sound(fakes("two", "search"), "DARTS").write(versions={**versions, package: new})
    got = warned(one, two)
    assert list(got) == [title]
    assert text in got[title][0]
    assert got[title][1] == (f"{old}: 3 runs", f"{new}: 3 runs")


def test_mixed_commits_protocols_and_devices(fakes):
    one = sound(fakes("one", "search")).write()
    two = sound(fakes("two", "transfer"), "DARTS", device="H100", threads=8).write(git_commit="f0")
    got = warned(one, two)
    assert list(got) == ["Mixed protocols", "Mixed commits", "Mixed devices", "Mixed threads"]
    assert got["Mixed protocols"][1] == ("search: 3 runs", "transfer: 3 runs")
    assert got["Mixed commits"][1] == ("abc: 3 runs", "f0: 3 runs")
    assert got["Mixed devices"][1] == ("cpu (fake): 3 runs", "H100: 3 runs")
    assert got["Mixed threads"][1] == ("2: 3 runs", "8: 3 runs")


def test_mixed_recipes(fake):
    sound(fake)
    fake.complete("x3", seed=3)
    fake.retrained("r-x3", ["x3"], 98.0, epochs=7, seed=3)
    got = warned(fake.write())
    assert list(got) == ["Mixed recipes"]
    assert [text.split(":")[0] for text in got["Mixed recipes"][1]] == [
        "3 retrainings of 2 epochs",
        "1 retraining of 7 epochs",
    ]


def test_what_merging_folders_did_is_reported(fakes):
    one = sound(fakes("one", "search"))
    two = sound(fakes("two", "search"))
    for fake, size in ((one, 8), (two, 7)):
        for run in fake.runs:
            run["config"]["batch_size"] = size
    got = warned(one.write(), two.write())
    assert list(got) == ["Files"]
    assert "DrNAS on digits was run with different settings" in got["Files"][1][0]
    assert "batch_size" in got["Files"][1][0]


def test_damage_is_named(fake):
    sound(fake)
    fake.complete("x3", seed=3)
    fake.retrained("r-x3", ["x3"], 98.0, seed=3)
    with (fake.root / "search" / "search_x3" / "result.json").open("a") as file:
        file.write("{garbage}\n")
    folder = fake.write()
    damage = warned(folder)["Files"]
    assert damage[1] == ("run x3: 1 lines of its result.json are not reports: skipped",)
    assert damage[1][0] in parse(render(load([folder]), most_runs=0)).text


def test_of_many_examples_the_first_are_given(fake):
    for place in range(12):
        fake.complete(f"d{place}", label=f"M{place:02}")
    (few,) = report_warnings(load([fake.write()]))
    assert few.title == "Few seeds"
    assert few.text.startswith("12 rows rest on fewer than 3 finished seeds")
    assert len(few.examples) == 8
    assert few.more == 4
    assert "and 4 more" in parse(render(load([fake.root]), most_runs=0)).text


def test_an_error_that_is_no_text(mixed):
    collected = load([mixed.write()])
    collected.runs.loc[collected.runs["status"] == "error", "error"] = pd.NA
    assert report_warnings(collected)[0].title == "Failed"
