from __future__ import annotations

import csv
import io
import re
import statistics
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from analysis.paper.table import paper_table
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import collect
from analysis.tables.comparison import (
    to_csv,
    to_html,
    to_html_page,
    to_latex,
    to_markdown,
    to_parquet,
    to_rich,
)
from drnas_ray.benchmarks.published import NAMES, published
from drnas_ray.core.errors import UserError

SIX = [f"{d}_{s}" for d in ("cifar10", "cifar100", "imagenet16-120") for s in ("valid", "test")]


@pytest.fixture
def benchmark(made_up_table):
    return BenchmarkTable.open(made_up_table)


def cells_of(table, row, group):
    """(published, ours) of the first row whose name starts so."""
    cells = next(cells for label, cells in table.rows if label.startswith(row))
    at = 0
    for heading, span in table.groups:
        if heading == group:
            return tuple(cell.text() for cell in cells[at : at + span])
        at += span
    raise AssertionError(group)


def word(table, row, heading):
    cells = next(cells for label, cells in table.rows if label.startswith(row))
    return cells[table.columns.index(heading)].text()


@pytest.mark.parametrize("name", NAMES)
def test_without_runs_it_is_the_published_table(name):
    table = paper_table(name)
    paper = published(name)
    assert len(table.rows) == len(paper.rows)
    for (_, cells), row in zip(table.rows, paper.rows, strict=True):
        texts = [cell.text() for cell in cells]
        assert texts[0] == texts[-1] == ""
        at = 1
        for column, figure in zip(paper.columns, row.figures, strict=True):
            assert texts[at].rstrip("‡") == figure.text
            if column.key != "kind":
                assert texts[at + 1] == ("" if row.label == "optimal" else "not run")
            at += 1 + (column.key != "kind")
    assert "no runs were given" in " ".join(table.notes)
    assert paper.source in table.notes[0]


def test_ours_beside_the_published(fake, benchmark):
    for seed, cell in enumerate((100, 200, 300)):
        fake.complete(f"d{seed}", cell=cell, seed=seed, dataset="cifar10", label="REINFORCE")
    fake.complete("i0", cell=400, dataset="imagenet16-120", label="REINFORCE")
    fake.run("i1", seed=1, dataset="imagenet16-120", label="REINFORCE")
    fake.run("c0", dataset="cifar100", label="REINFORCE")
    fake.complete("x0", dataset="digits", label="REINFORCE")
    fake.complete("g0", cell=500, dataset="cifar100", label="GAEA + DARTS")
    fake.complete("v0", cell=500, dataset="cifar100", label="REINFORCE", variant={"lr": 1})
    table = paper_table("nb201", collect(fake.write()).runs, benchmark)
    valid = [0.5, 1.0, 1.5]
    mean, std = statistics.fmean(valid), statistics.stdev(valid)
    got = {heading: cells_of(table, "Reinforce", heading) for heading, _ in table.groups if heading}
    assert got["CIFAR-10 validation"] == ("91.09 ± 0.37", f"{mean:.2f} ± {std:.2f} (3)")
    assert got["CIFAR-10 test"] == ("93.85 ± 0.37", f"{mean + 1:.2f} ± {std:.2f} (3)")
    assert got["CIFAR-100 test"] == ("70.17 ± 1.61", "not run")
    assert got["ImageNet16-120 test"] == ("43.16 ± 2.28", "5.00 (1)")
    days = 5.25 / 86_400
    assert got["Search cost of ours (days)"][0] == f"{days:.6f} ± 0.000000 (3)"
    assert got["Search cost of ours (days)"][1:2] == ("",)
    assert word(table, "Reinforce", "Protocol") == "search"
    assert word(table, "Reinforce", "Searched on") == "CPU days: fake"
    assert cells_of(table, "DrNAS", "CIFAR-10 test") == ("94.36 ± 0.00", "not run")
    assert cells_of(table, "optimal", "CIFAR-10 test") == ("94.37", "79.12")
    # What the paper lacks stands below, in order, with no published figure.
    assert [label for label, _ in table.rows[13:]] == ["GAEA + DARTS", "REINFORCE, lr=1"]
    assert cells_of(table, "GAEA", "CIFAR-100 validation") == ("", "3.50 (1)")
    notes = " ".join(table.notes)
    assert benchmark.label in notes
    assert "Not in this table: runs 1 on digits." in notes
    assert "Protocol: search" in notes


def test_an_unfinished_row_says_so(fake, benchmark):
    fake.run("d0", dataset="cifar10")
    fake.trial("d0", [fake.epoch("d0", 1)])
    table = paper_table("nb201", collect(fake.write()).runs, benchmark)
    assert cells_of(table, "DrNAS", "CIFAR-10 test") == ("94.36 ± 0.00", "0 of 1 done")


def test_protocols_are_rows_apart(fakes, benchmark):
    frames = []
    for name, protocol, cell in (("s", "search", 500), ("t", "transfer", 1000)):
        fake = fakes(name, protocol)
        fake.complete(f"d{name}", cell=cell, dataset="cifar10")
        frames.append(collect(fake.write()).runs)
    table = paper_table("nb201", pd.concat(frames, ignore_index=True), benchmark)
    rows = [cells for label, cells in table.rows if label == "DrNAS"]
    texts = [[cell.text() for cell in cells] for cells in rows]
    protocol = table.columns.index("Protocol")
    assert [row[protocol] for row in texts] == ["search", "transfer"]
    assert [row[2] for row in texts] == ["2.50 (1)", "5.00 (1)"]
    assert [row[6] for row in texts] == ["not run", "6.00 (1)"]  # CIFAR-100, looked up
    # A transferred cell was searched once: on CIFAR-10.
    assert [cells[14].text() for cells in rows] == ["", ""]
    assert all(cells[13].n == 1 for cells in rows)


def test_without_a_benchmark_retrained_test_figures(fake):
    fake.complete("d0", dataset="cifar10")
    fake.retrained("r0", ["d0"], 94.25, dataset="cifar10")
    table = paper_table("nb201", collect(fake.write()).runs)
    assert cells_of(table, "DrNAS", "CIFAR-10 validation")[1] == "needs --benchmark"
    assert cells_of(table, "DrNAS", "CIFAR-10 test")[1] == "94.25 (1)"
    assert "retrained from scratch for 2 epochs" in " ".join(table.notes)


def darts_runs(fake, dataset, rows):
    """Runs of the space that comes later: label, test accuracy, parameters, device."""
    for place, (label, acc, *_) in enumerate(rows):
        fake.complete(f"d{place}", dataset=dataset, label=label, seed=place)
        if acc is not None:
            fake.retrained(f"r{place}", [f"d{place}"], acc, dataset=dataset, seed=place)
    runs = collect(fake.write()).runs
    runs["space"], runs["canonical"], runs["arch_index"] = "darts", None, pd.NA
    runs["retrain_params_m"] = [row[2] for row in rows]
    runs["device"] = [row[3] for row in rows]
    runs["search_s"] = 43_200.0
    return runs


def test_cifar10_from_runs_of_the_darts_space(fake):
    gpu = "NVIDIA A100"
    rows = [("DrNAS + progressive", 97.5, 4.1, gpu), ("DrNAS + progressive", 97.7, 4.3, gpu),
            ("DrNAS", 97.0, 4.0, "cpu (x)"), ("REA", None, None, gpu)]  # fmt: skip
    table = paper_table("cifar10", darts_runs(fake, "cifar10", rows))
    full = {heading: cells_of(table, "DrNAS", heading) for heading, _ in table.groups if heading}
    assert table.rows[17][0] == "DrNAS (without progressive learning)"
    assert full["Test error (%)"] == ("2.54 ± 0.03", "3.00 (1)")
    assert full["Search cost (GPU days)"] == ("0.4‡", "0.50 (1)")
    assert word(table, "DrNAS", "Searched on") == "CPU days: x"
    label, cells = table.rows[18]
    assert label == "DrNAS"
    texts = [cell.text() for cell in cells]
    assert texts == ["search", "2.46 ± 0.03", "2.40 ± 0.14 (2)", "4.1", "4.20 ± 0.14 (2)", "0.6‡",
                     "0.50 ± 0.00 (2)", "gradient", f"GPU days: {gpu}"]  # fmt: skip
    assert table.rows[19][0] == "REA"
    assert [cell.text() for cell in table.rows[19][1]][2:5] == [
        "0 of 1 retrained",
        "",
        "0 of 1 retrained",
    ]
    assert "100 minus the test accuracy" in " ".join(table.notes)


def test_imagenet_rows_by_where_they_were_searched(fake):
    runs = darts_runs(fake, "imagenet", [("PC-DARTS", 75.0, 5.3, "NVIDIA A100")])
    runs["dataset"] = "folder:imagenet"
    table = paper_table("imagenet", runs)
    assert cells_of(table, "PC-DARTS (CIFAR-10)", "Test error (%) top-1") == ("25.1", "not run")
    assert cells_of(table, "PC-DARTS (ImageNet)", "Test error (%) top-1") == ("24.2", "25.00 (1)")
    assert cells_of(table, "PC-DARTS (ImageNet)", "Test error (%) top-5") == ("7.3", "not recorded")
    runs["retrain_test_top5_acc_pct"] = 92.5
    table = paper_table("imagenet", runs)
    assert cells_of(table, "PC-DARTS (ImageNet)", "Test error (%) top-5") == ("7.3", "7.50 (1)")


def test_runs_of_another_space_are_not_of_the_table(fake):
    fake.complete("d0", dataset="cifar10")
    table = paper_table("cifar10", collect(fake.write()).runs)
    assert cells_of(table, "DrNAS", "Test error (%)")[1] == "not run"
    assert table.notes[-2:] == (
        "Ours: none of the 1 runs belongs to this table.",
        "Not in this table: runs 1 of space nb201.",
    )


def test_mixed_devices_have_no_mean(fake, benchmark):
    fake.complete("d0", dataset="cifar10")
    fake.complete("d1", dataset="cifar10", seed=1)
    runs = collect(fake.write()).runs
    runs.loc[1, "device"] = "NVIDIA A100"
    table = paper_table("nb201", runs, benchmark)
    assert cells_of(table, "DrNAS", "Search cost of ours (days)")[0] == "CPU and GPU mixed"
    assert word(table, "DrNAS", "Searched on") == "CPU days or GPU days: NVIDIA A100; fake"


def test_an_unknown_table():
    with pytest.raises(UserError, match="unknown paper table 'nb301'"):
        paper_table("nb301")


def test_a_table_of_other_trainings_is_refused(fake, benchmark):
    fake.complete("d0", dataset="cifar10")
    runs = collect(fake.write()).runs
    for other in (replace(benchmark, epochs=12), replace(benchmark, cells=100)):
        with pytest.raises(UserError, match=r"made_up\.parquet .* has cells trained here for"):
            paper_table("nb201", runs, other)
        paper_table("cifar10", runs, other)  # that one looks nothing up


# --- every format ----------------------------------------------------------------------------


@pytest.fixture
def filled(fake, benchmark):
    for seed, cell in enumerate((100, 200, 300)):
        fake.complete(f"d{seed}", cell=cell, seed=seed, dataset="cifar10")
        fake.complete(f"g{seed}", cell=cell, seed=seed, dataset="cifar10", label="<REA> & 50%")
    return paper_table("nb201", collect(fake.write()).runs, benchmark)


@pytest.mark.parametrize("name", NAMES)
def test_latex_is_well_formed(name):
    check_latex(to_latex(paper_table(name)))


def test_latex_of_ours(filled):
    text = to_latex(filled)
    check_latex(text)
    assert r"$94.36 \pm 0.00$ & $2.00 \pm 0.50$ (3)" in text
    assert r"\textless{}REA\textgreater{} \& 50\%" in text


def check_latex(text):
    """What a compiler would stumble over: columns, environments, braces, foreign letters."""
    assert text.isascii()
    kinds = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1]
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(lines) > 10
    for line in lines:
        spans = [int(span) for span in re.findall(r"\\multicolumn\{(\d+)\}", line)]
        cells = len(re.findall(r"(?<!\\)&", line)) + 1
        assert cells + sum(spans) - len(spans) == len(kinds), line
        assert len(re.findall(r"(?<!\\)\$", line)) % 2 == 0, line
        assert not line.startswith("[")
    for low, high in re.findall(r"\\cmidrule\(lr\)\{(\d+)-(\d+)\}", text):
        assert 2 <= int(low) <= int(high) <= len(kinds)
    assert len(re.findall(r"(?<!\\)\{", text)) == len(re.findall(r"(?<!\\)\}", text))
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    rest = re.sub(r"\\[a-zA-Z]+|\\[&%$#_{}\\]|^% .*$", "", text, flags=re.M)
    body_rest = rest[rest.index("Method") :]
    assert not re.search(r"[#_^~]|(?<!\\)%", body_rest.replace("{!}{%", ""))


class Reader(HTMLParser):
    VOID = ("meta",)

    def __init__(self):
        super().__init__()
        self.open, self.rows, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1] += [""] * int(dict(attrs).get("colspan", 1))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("th", "td"):
            self.rows[-1][-1] += data


def test_html_is_whole_and_asks_for_nothing(filled):
    page = to_html_page(filled, "NB201 <&>")
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert reader.links == []
    assert "http" not in page
    assert {len(row) for row in reader.rows} == {len(filled.columns) + 1}
    assert reader.rows[2:] == [
        [label, *(cell.text() for cell in cells)] for label, cells in filled.rows
    ]
    assert "<title>NB201 &lt;&amp;&gt;</title>" in page
    assert 'data-sort="2.0"' in to_html(filled)


def test_markdown_has_every_cell(filled):
    lines = to_markdown(filled).splitlines()
    counts = {len(re.findall(r"(?<!\\)\|", line)) for line in lines[: 2 + len(filled.rows)]}
    assert counts == {len(filled.columns) + 2}
    assert "| CIFAR-10 test, published | CIFAR-10 test, ours |" in lines[0]


def test_parquet_and_csv_hold_the_numbers_in_full(filled):
    table = pq.read_table(io.BytesIO(to_parquet(filled)))
    assert b"200-epoch" in table.schema.metadata[b"notes"]
    frame = table.to_pandas()
    row = frame[(frame["row"] == "DrNAS") & (frame["column"] == "cifar10_test")].iloc[0]
    assert (row["published"], row["published_mean"], row["published_std"]) == (
        "94.36 ± 0.00",
        94.36,
        0,
    )
    assert (row["n"], row["mean"], row["std"]) == (3, 2.0, 0.5)
    assert (row["protocol"], row["device"], row["in_paper"]) == ("search", "cpu (fake)", True)
    assert row["source"].startswith("made_up.parquet (sha256 ")
    cost = frame[(frame["row"] == "DrNAS") & (frame["column"] == "search_days")].iloc[0]
    assert cost["mean"] == pytest.approx(5.25 / 86_400)
    rows = list(csv.DictReader(io.StringIO(to_csv(filled))))
    assert len(rows) == len(frame) == len(filled.rows) * 9
    assert {r["column"] for r in rows} == {*SIX, "search_days"}
    best = next(r for r in rows if r["row"] == "optimal" and r["column"] == "cifar10_test")
    assert float(best["mean"]) == pytest.approx(15_624 / 200 + 1)
    gone = next(r for r in rows if r["row"].startswith("GDAS"))
    assert (gone["mean"], gone["no_figure"], gone["n"]) == ("", "not run", "0")


def test_text_stacks_published_over_ours(filled):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(to_rich(filled))
    text = console.export_text()
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("│ DrNAS "))
    assert "94.36 ± 0.00" in lines[at]
    assert "2.00 ± 0.50 (3)" in lines[at + 1]


@pytest.mark.table
def test_the_published_cells_come_out_as_published(fake, nb201_path):
    """ALGORITHMS.md section 0: DrNAS and optimal within 0.1, ResNet within 0.7."""
    for data in ("cifar10", "cifar100", "imagenet16-120"):
        fake.complete(f"d{data}", cell=9930, dataset=data)
        fake.complete(f"r{data}", cell=11472, dataset=data, label="ResNet")
    table = paper_table("nb201", collect(fake.write()).runs, BenchmarkTable.open(nb201_path))
    tidy = table.tidy[table.tidy["column"].isin(SIX)]
    for row, most in (("DrNAS", 0.01), ("ResNet (He et al., 2016)", 0.7), ("optimal", 0.1)):
        here = tidy[tidy["row"] == row]
        assert len(here) == 6
        assert (here["mean"] - here["published_mean"]).abs().max() < most
