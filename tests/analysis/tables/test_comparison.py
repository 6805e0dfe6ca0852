from __future__ import annotations

import csv
import io
import json
import statistics

import pandas as pd
import pytest
from rich.console import Console

from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import collect
from analysis.tables.comparison import summary, table, to_csv, to_latex, to_markdown, to_rich
from drnas_ray.core.errors import UserError
from drnas_ray.spaces import SPACES

NB201 = SPACES["nb201"]


@pytest.fixture
def runs(mixed):
    return collect(mixed.write()).runs


def test_summary_against_the_statistics_module(runs):
    drnas, darts = summary(runs).to_dict("records")
    accs = [97.25, 97.25, 96.5]
    assert (drnas["label"], drnas["dataset"], drnas["protocol"]) == ("DrNAS", "digits", "search")
    assert drnas["retrain_test_acc_pct_n"] == 3
    assert drnas["retrain_test_acc_pct_mean"] == pytest.approx(statistics.fmean(accs))
    assert drnas["retrain_test_acc_pct_std"] == pytest.approx(statistics.stdev(accs))
    assert drnas["retrain_test_acc_pct_median"] == statistics.median(accs)
    assert drnas["retrain_test_acc_pct_best"] == 97.25
    assert (drnas["n_runs"], drnas["n_done"], drnas["n_pending"]) == (4, 3, 1)
    assert (drnas["n_cells"], drnas["n_collapsed"], drnas["n_seeds"]) == (2, 0, 3)
    skips = [NB201.op_count(NB201.cell(i), "skip_connect") for i in (9930, 9930, 11472)]
    assert drnas["skip_count_mean"] == pytest.approx(statistics.fmean(skips))
    assert drnas["search_s_mean"] == pytest.approx(5.25)
    assert pd.isna(drnas["retrain_epochs"])
    assert darts["retrain_test_acc_pct_n"] == 1
    assert pd.isna(darts["retrain_test_acc_pct_std"])
    assert (darts["n_diverged"], darts["n_error"], darts["n_running"]) == (1, 1, 1)
    assert (darts["n_cells"], darts["n_collapsed"], darts["skip_count_mean"]) == (1, 1, 6)


NOTE = (
    "Protocol: search (each data set has its own search). Test accuracy in % of the derived cell, "
    "retrained from scratch for 2 epochs. Mean ± sample standard deviation (n - 1 in the "
    "denominator) over n = 1 to 3 seeds; n in brackets, no ± for n = 1. Left out of 8 runs: "
    "1 diverged, 1 unfinished, 1 failed, 1 not begun. Searched on: cpu (fake)."
)


def test_markdown(runs):
    assert to_markdown(table(runs)) == (
        "| Method | digits |\n| --- | ---: |\n| DrNAS | 97.00 ± 0.43 (3) |\n"
        f"| DARTS | 60.12 (1) |\n\n{NOTE}\n"
    )


def test_latex(runs):
    text = to_latex(table(runs))
    assert text.splitlines()[:9] == [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"Method & digits \\",
        r"\midrule",
        r"DrNAS & $97.00 \pm 0.43$ (3) \\",
        r"DARTS & 60.12 (1) \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert r"accuracy in \% of" in text
    assert text.isascii()


def test_csv_is_tidy(runs):
    rows = list(csv.DictReader(io.StringIO(to_csv(table(runs)))))
    assert [row["label"] for row in rows] == ["DrNAS", "DARTS"]
    assert rows[0]["metric"] == "retrain_test_acc_pct"
    assert float(rows[0]["mean"]) == statistics.fmean([97.25, 97.25, 96.5])
    assert (rows[0]["n"], rows[1]["n"], rows[1]["std"]) == ("3", "1", "")
    assert (rows[0]["variant"], rows[0]["dataset"], rows[0]["protocol"]) == (
        "{}",
        "digits",
        "search",
    )
    assert (rows[0]["source"], rows[0]["note"]) == ("retrained", NOTE)
    assert pd.read_csv(io.StringIO(to_csv(table(runs))))["median"].tolist() == [97.25, 60.125]


def test_rich(runs):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(to_rich(table(runs)))
    text = console.export_text()
    assert "97.00 ± 0.43 (3)" in text
    assert "Protocol: search" in text


def test_not_run_unfinished_and_not_retrained(fake):
    fake.complete("d0", label="A", dataset="digits")
    fake.run("b0", label="B", dataset="digits")
    fake.run("c0", label="B", dataset="cifar10")
    fake.trial("c0", [fake.epoch("c0", 1)])
    got = table(collect(fake.write()).runs)
    assert got.columns == ("digits", "cifar10")
    assert [(label, [cell.text() for cell in cells]) for label, cells in got.rows] == [
        ("A", ["0 of 1 retrained", "not run"]),
        ("B", ["not run", "0 of 1 done"]),
    ]
    assert "No run has a result yet." in got.notes
    assert "Left out of 3 runs: 1 unfinished, 1 not begun, 1 not retrained yet." in got.notes


def test_variants_are_rows_of_their_own_in_order_of_appearance(fake):
    for seed in (0, 1):
        for lr in (0.1, 0.01):
            ident = f"x{seed}{lr}"
            fake.complete(ident, seed=seed, variant={"b": 2, "arch.lr": lr})
            fake.retrained(f"r{ident}", [ident], 90.0 + seed, seed=seed)
    got = table(collect(fake.write()).runs)
    assert [label for label, _ in got.rows] == [
        "DrNAS, arch.lr=0.1, b=2",
        "DrNAS, arch.lr=0.01, b=2",
    ]
    assert [cells[0].text() for _, cells in got.rows] == ["90.50 ± 0.71 (2)"] * 2
    assert json.loads(got.tidy["variant"][1]) == {"b": 2, "arch.lr": 0.01}
    assert "All 4 runs are counted." in got.notes


def test_protocols_and_recipes_are_never_averaged(fakes):
    frames = []
    for name, protocol, epochs, acc in (
        ("a", "search", 2, 90.0),
        ("b", "transfer", 2, 80.0),
        ("c", "search", 5, 95.0),
    ):
        fake = fakes(name, protocol)
        fake.complete(f"d{name}")
        fake.retrained(f"r{name}", [f"d{name}"], acc, epochs=epochs)
        frames.append(collect(fake.write()).runs)
    two = table(pd.concat(frames[:2], ignore_index=True))
    assert [(label, cells[0].text()) for label, cells in two.rows] == [
        ("DrNAS [search]", "90.00 (1)"),
        ("DrNAS [transfer]", "80.00 (1)"),
    ]
    assert "transfer (the cell found on digits" in two.notes[0]
    recipes = table(pd.concat([frames[0], frames[2]], ignore_index=True))
    assert [(label, cells[0].text()) for label, cells in recipes.rows] == [
        ("DrNAS [retrained 2 epochs]", "90.00 (1)"),
        ("DrNAS [retrained 5 epochs]", "95.00 (1)"),
    ]
    assert "for 2 or 5 epochs" in recipes.notes[1]


def test_labels_are_escaped(fake):
    label = r"a|b_c*[red]$x$ & 50% #1 {\y} ~^<>"
    fake.complete("d0", label=label)
    fake.retrained("r0", ["d0"], 90.0)
    got = table(collect(fake.write()).runs)
    row = to_markdown(got).splitlines()[2]
    assert row == r"| a\|b\_c\*\[red\]$x$ & 50% \#1 {\\y} \~^\<\> | 90.00 (1) |"
    latex = to_latex(got).splitlines()[5]
    assert latex == (
        r"a\textbar{}b\_c*[red]\$x\$ \& 50\% \#1 \{\textbackslash{}y\} "
        r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{} & 90.00 (1) \\"
    )
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(to_rich(got))
    assert label in console.export_text()
    assert next(csv.DictReader(io.StringIO(to_csv(got))))["label"] == label


def test_no_runs_is_refused(fake):
    with pytest.raises(UserError, match="no runs to summarise"):
        table(collect(fake.write()).runs)


def test_with_a_benchmark(fake, made_up_table):
    for seed, cell in enumerate((9930, 500, 7)):
        fake.complete(f"d{seed}", cell=cell, seed=seed, dataset="cifar10")
    fake.run("d9", seed=9, dataset="cifar10")
    fake.complete("e0", dataset="imagenet16-120")
    benchmark = BenchmarkTable.open(made_up_table)
    runs = collect(fake.write()).runs
    got = table(runs, benchmark)
    assert got.columns == (
        "cifar10 valid",
        "cifar10 test",
        "imagenet16-120 valid",
        "imagenet16-120 test",
    )
    valid, test = [9930 / 200, 500 / 200, 7 / 200], [9930 / 200 + 1, 500 / 200 + 1]
    want = [
        f"{statistics.fmean(valid):.2f} ± {statistics.stdev(valid):.2f} (3)",
        f"{statistics.fmean(test):.2f} ± {statistics.stdev(test):.2f} (2)",
        f"{9930 / 200 + 2:.2f} (1)",
        f"{9930 / 200 + 3:.2f} (1)",
    ]
    assert [cell.text() for cell in got.rows[0][1]] == want
    assert benchmark.label in got.notes[1]
    assert "200-epoch" in got.notes[1]
    assert "Left out of 5 runs: 1 not begun, 1 without an accuracy." in got.notes
    rows = list(csv.DictReader(io.StringIO(to_csv(got))))
    assert [(row["dataset"], row["metric"]) for row in rows] == [
        ("cifar10", "bench_valid_acc_pct"),
        ("cifar10", "bench_test_acc_pct"),
        ("imagenet16-120", "bench_valid_acc_pct"),
        ("imagenet16-120", "bench_test_acc_pct"),
    ]
    assert rows[0]["source"] == benchmark.label


def test_data_sets_beside_the_benchmarks_have_no_figure_there(fake, made_up_table):
    fake.complete("d0", cell=9930, dataset="cifar10 (cutout=16)")
    fake.complete("d1", cell=9930, dataset="digits")
    got = table(collect(fake.write()).runs, BenchmarkTable.open(made_up_table))
    texts = [cell.text() for cell in got.rows[0][1]]
    assert texts == ["49.65 (1)", "50.65 (1)", *["0 of 1 in the benchmark"] * 2]


def test_a_data_set_that_the_benchmark_lacks(runs, made_up_table):
    with pytest.raises(UserError, match="no figures for 'digits': it has cifar10, cifar100"):
        table(runs, BenchmarkTable.open(made_up_table))


def test_transfer_looks_one_cell_up_on_every_data_set(fakes, made_up_table):
    fake = fakes("t", "transfer")
    for seed, cell in enumerate((9930, 500)):
        fake.complete(f"d{seed}", cell=cell, seed=seed, dataset="cifar10")
    got = table(collect(fake.write()).runs, BenchmarkTable.open(made_up_table))
    assert [name.split()[0] for name in got.columns[::2]] == [
        "cifar10",
        "cifar100",
        "imagenet16-120",
    ]
    mean = (9930 + 500) / 2 / 200  # valid; each data set's figures are 1 above those before it
    means = [cell.mean for cell in got.rows[0][1]]
    assert means == pytest.approx([mean + shift for shift in (0, 1, 1, 2, 2, 3)])
    assert {cell.n for cell in got.rows[0][1]} == {2}
    assert "transfer (the cell found on cifar10, looked up on every data set)" in got.notes[0]
    assert "All 2 runs are counted." in got.notes


def test_protocols_looked_up_together_are_rows_apart(fakes, made_up_table):
    frames = []
    for name, protocol, cell in (("s", "search", 500), ("t", "transfer", 9930)):
        fake = fakes(name, protocol)
        fake.complete(f"d{name}", cell=cell, dataset="cifar10")
        frames.append(collect(fake.write()).runs)
    both = pd.concat(frames, ignore_index=True)
    got = table(both, BenchmarkTable.open(made_up_table))
    assert [(label, cells[0].text(), cells[2].text()) for label, cells in got.rows[:2]] == [
        ("DrNAS [search]", "2.50 (1)", "not run"),
        ("DrNAS [transfer]", "49.65 (1)", "50.65 (1)"),
    ]


def test_transfers_from_different_data_sets_are_rows_apart(fakes, made_up_table):
    fake = fakes("t", "transfer")
    fake.complete("d0", cell=500, dataset="cifar10")
    fake.complete("d1", cell=9930, dataset="cifar100")
    got = table(collect(fake.write()).runs, BenchmarkTable.open(made_up_table))
    assert [(label, cells[0].text(), cells[2].text()) for label, cells in got.rows[:2]] == [
        ("DrNAS [transfer from cifar10]", "2.50 (1)", "3.50 (1)"),
        ("DrNAS [transfer from cifar100]", "49.65 (1)", "50.65 (1)"),
    ]
    assert "All 2 runs are counted." in got.notes


def test_the_last_row_of_a_benchmark_is_its_own_maximum(fake, made_up_table):
    fake.complete("d0", cell=500, dataset="cifar10 (cutout=16)")
    fake.complete("d1", cell=500, dataset="imagenet16-120")
    fake.complete("d2", cell=500, dataset="digits")
    got = table(collect(fake.write()).runs, BenchmarkTable.open(made_up_table))
    label, cells = got.rows[-1]
    best = 15_624 / 200
    shifts = (0, 1, 2, 3)
    assert label == "optimal"
    assert [cell.text() for cell in cells] == [*(f"{best + s:.2f}" for s in shifts), "", ""]
    assert {cell.n for cell in cells} == {0}
    assert "optimal" not in set(got.tidy["label"])
    assert "optimal" not in dict(table(collect(fake.write()).runs).rows)
