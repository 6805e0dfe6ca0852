"""Figures: what is plotted is computed again here; what is missing is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from figure_data import SPACE, made
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import beta as beta_distribution
from typer.testing import CliRunner

from analysis.figures import FIGURES, Missing, Needs
from analysis.figures.__main__ import PAGE, updated
from analysis.figures.exploration import DRAWS
from analysis.figures.progress import look_up
from analysis.figures.strengths import draw_choices, entropies, nb201_index, strength_chunks
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.style import FORMATS, line_style, save
from drnas_ray.cli import app


def needing(*needs: Needs) -> set[str]:
    return {name for name, kind in FIGURES.items() if set(needs) & set(kind.needs)}


NO_TABLE = needing(Needs.table, Needs.accuracies)
MEASURED = needing(Needs.diagnostics)
TUNED = needing(Needs.tuning)  # of points, not runs: tests/analysis/tuning


@pytest.fixture(scope="module")
def table(made_up_table) -> BenchmarkTable:
    return BenchmarkTable.open(made_up_table)


@pytest.fixture(scope="module")
def runs() -> Collected:
    return made()


def line(axes, label: str) -> np.ndarray:
    """(points, 2) of the line with this label."""
    return next(one for one in axes.lines if one.get_label() == label).get_xydata()


def panel(figure: Figure, title: str):
    return next(axes for axes in figure.axes if axes.get_title() == title)


def texts(figure: Figure) -> str:
    legend = [t.get_text() for one in figure.legends for t in one.get_texts()]
    return " ".join([t.get_text() for t in figure.texts] + legend).replace("\n", " ")


def epochs_of(data: Collected, method: str) -> pd.DataFrame:
    """Epochs of a method's runs, with seed and data set."""
    columns = ["run_id", "method", "seed", "dataset"]
    frame = data.epochs.merge(data.runs[columns], on="run_id")
    return frame[frame["method"] == method]


# --- numbers ------------------------------------------------------------------------------------


def test_trajectory_is_the_median_of_looked_up_cells(runs, table):
    axes = panel(FIGURES["trajectory"].draw(runs, table), "cifar10")
    for method, label in (("drnas", "DrNAS"), ("darts", "DARTS (1st)")):
        drawn = line(axes, label)
        frame = epochs_of(runs, method)
        for epoch, value in drawn:
            cells = frame[frame["epoch"] == epoch]["genotype"]
            accuracies = [SPACE.index(cell) / 200 + 1 for cell in cells]
            assert value == pytest.approx(np.median(accuracies))
        assert list(drawn[:, 0]) == list(range(1, 11))
    band = axes.collections[0].get_paths()[0].vertices
    first = epochs_of(runs, "drnas").query("epoch == 1")["genotype"]
    low, high = np.quantile([SPACE.index(cell) / 200 + 1 for cell in first], [0.25, 0.75])
    at_one = band[band[:, 0] == 1][:, 1]
    assert (at_one.min(), at_one.max()) == pytest.approx((low, high))


def test_transfer_has_a_panel_for_each_data_set_and_says_where_it_searched(table):
    figure = FIGURES["trajectory"].draw(made(protocol="transfer", datasets=("digits",)), table)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["cifar10", "cifar100", "imagenet16-120"]
    assert "Protocol: transfer (searched on digits)" in texts(figure)
    first, last = (line(panel(figure, t), "DrNAS")[:, 1] for t in (titles[0], titles[2]))
    assert last - first == pytest.approx(2)  # the made-up table's step between data sets


def test_without_a_table_the_trajectory_is_the_supernets_and_says_so(runs):
    figure = FIGURES["trajectory"].draw(runs, None)
    assert "NOT of the derived cell" in texts(figure)
    drawn = line(figure.axes[0], "DrNAS")
    frame = epochs_of(runs, "drnas")
    expected = frame.groupby("epoch")["val_mean_acc_pct"].median()
    assert drawn[:, 1] == pytest.approx(expected.to_numpy())


def test_a_missing_genotype_is_no_figure(runs, table):
    frame = pd.DataFrame({"genotype": [SPACE.cell(8), None], "data": ["cifar10", "cifar10"]})
    values = look_up(frame, table, "valid")
    assert values[0] == 8 / 200
    assert np.isnan(values[1])


def test_exploration_quartiles_follow_the_distribution(table):
    """One run whose distribution is known: compared with draws made in another way."""
    data = made(("drnas",), seeds=1, epochs=4)
    axes = panel(FIGURES["exploration"].draw(data, table), "DrNAS, cifar10")
    rng = np.random.default_rng(5)
    for epoch in (1, 4):
        beta = np.array(
            [[[*ops] for ops in edges] for edges in data.epochs["strengths"][epoch - 1]]
        )[0]
        shares = np.stack([rng.dirichlet(edge, 20_000) for edge in beta], axis=1)
        cells = [
            SPACE.index(SPACE.genotype(choice)) for choice in np.unique(shares.argmax(-1), axis=0)
        ]
        drawn = {name: dict(line(axes, name))[epoch] for name in ("minimum", "median", "maximum")}
        mean = SPACE.index(SPACE.discretise(beta[None]))
        assert dict(line(axes, "mean cell"))[epoch] == pytest.approx(mean / 200 + 1)
        assert min(cells) / 200 + 1 <= drawn["minimum"] < drawn["median"] < drawn["maximum"]
        every = np.array([SPACE.index(SPACE.genotype(c)) for c in shares.argmax(-1)[:2000]])
        # The median of 100 draws lies between these quantiles but once in some thousand times.
        low, high = np.quantile(every / 200 + 1, [0.32, 0.68])
        assert low < drawn["median"] < high
    assert DRAWS == 100


def test_exploration_shows_dirichlet_methods_only(runs, table):
    titles = [axes.get_title() for axes in FIGURES["exploration"].draw(runs, table).axes]
    assert titles == ["DrNAS, cifar10"]
    with pytest.raises(Missing, match="no done run of a method that learns a Dirichlet"):
        FIGURES["exploration"].draw(made(("darts",)), table)
    with pytest.raises(
        Missing, match=r"no figures for digits: search cifar10, .* or with protocol"
    ):
        FIGURES["exploration"].draw(made(datasets=("digits",)), table)


def test_draws_have_the_dirichlet_frequencies():
    """P(op 0 is largest) of Dir(a, b) on two ops: P(Gamma(a) > Gamma(b)); small a, b included."""
    rng = np.random.default_rng(0)
    for a, b in ((2.0, 1.0), (0.5, 0.7), (1e-4, 2e-4), (30.0, 25.0)):
        chosen = draw_choices(np.array([[a, b, 0.0]]), 40_000, rng)
        assert set(np.unique(chosen)) <= {0, 1}  # a pruned one is never drawn
        expected = beta_distribution(a, b).sf(0.5)
        assert (chosen == 0).mean() == pytest.approx(expected, abs=0.012)


def test_official_numbers_of_choices():
    some = [0, 77, 9930, 15_624]
    choices = np.array([SPACE.choices(SPACE.cell(i))[0] for i in some])
    assert list(nb201_index(choices)) == some


def test_strengths_of_odd_rows():
    """Missing rows and another shape are left out, nulls become nan."""
    good = np.arange(30.0).reshape(1, 6, 5).tolist()
    holed = [[[None, *edge[1:]] for edge in good[0]]]
    column = pd.Series([good, None, [[[1.0, 2.0]]], holed, good])
    ((places, values),) = strength_chunks(column, (1, 6, 5))
    assert list(places) == [0, 3, 4]
    assert values[0].tolist() == good
    assert np.isnan(values[1, 0, :, 0]).all()
    ((places, values),) = strength_chunks(pd.Series([None, good], dtype=object), (1, 6, 5))
    assert list(places) == [1]


def test_entropy_lines(runs):
    figure = FIGURES["entropy"].draw(runs, None)
    drawn = dict(line(panel(figure, "edge 3←1"), "DARTS (1st)"))
    frame = epochs_of(runs, "darts")
    for epoch in (1, 10):
        rows = frame[frame["epoch"] == epoch]["strengths"]
        p = np.array([[*one[0][4]] for one in rows])
        assert drawn[epoch] == pytest.approx(np.median(-(p * np.log(p)).sum(-1)))
    assert entropies(np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])) == pytest.approx(
        [np.log(2), 0, np.nan], nan_ok=True
    )


def test_concentration_lines(runs):
    axes = panel(FIGURES["concentration"].draw(runs, None), "edge 1←0")
    drawn = dict(line(axes, "nor_conv_3x3"))
    frame = epochs_of(runs, "drnas")
    last = frame[frame["epoch"] == 10]["strengths"]
    assert drawn[10] == pytest.approx(np.median([one[0][0][3] for one in last]))


def test_hessian_and_skip_lines(runs):
    figure = FIGURES["hessian"].draw(runs, None)
    assert len(figure.axes) == 2
    for axes, name in zip(figure.axes, ("max_eigenvalue", "trace"), strict=True):
        drawn = line(axes, "DARTS (1st)")
        frame = epochs_of(runs, "darts").dropna(subset=[f"hessian_{name}"])
        expected = frame.groupby("epoch")[f"hessian_{name}"].median()
        assert drawn[:, 0].tolist() == [2, 4, 6, 8, 10]
        assert drawn[:, 1] == pytest.approx(expected.to_numpy())
    skips = line(FIGURES["skips"].draw(runs, None).axes[0], "DrNAS")
    frame = epochs_of(runs, "drnas")
    assert skips[:, 1] == pytest.approx(frame.groupby("epoch")["skip_count"].median().to_numpy())


def test_proposition1_means_and_errors(runs):
    above, below = FIGURES["proposition1"].draw(runs, None).axes
    frame = epochs_of(runs, "drnas").query("epoch == 4")
    left = frame["proposition1_sampled"].mean()
    error = np.sqrt((frame["proposition1_sampled_se"] ** 2).sum()) / len(frame)
    bars = next(one for one in above.containers)
    assert dict(bars[0].get_xydata())[4] == pytest.approx(left)
    ends = next(p.vertices[:, 1] for p in bars[2][0].get_paths() if p.vertices[0, 0] == 4)
    assert ends == pytest.approx([left - 2 * error, left + 2 * error])
    right = frame["proposition1_laplace"].mean()
    assert dict(line(above, "right"))[4] == pytest.approx(right)
    assert dict(below.containers[0][0].get_xydata())[4] == pytest.approx(left - right)


def test_landscape_is_the_first_seeds_last_one(runs):
    figure = FIGURES["landscape"].draw(runs, None)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[:2] == [
        "DrNAS, cifar10\nseed 0, epoch 10",
        "DARTS (1st), cifar10\nseed 0, epoch 10",
    ]
    loss = figure.axes[0].collections[0]
    assert loss.levels.min() <= 1 and loss.levels.max() >= 4.4  # one scale a row: DARTS's
    assert loss.levels == pytest.approx(figure.axes[1].collections[0].levels)


def test_landscape_has_direction_1_along_x_and_titles_clear_of_labels(runs):
    # As the search writes it, a row is an offset of direction 1: this loss depends on it alone.
    loss = np.repeat(np.linspace(0, 1, 9)[:, None], 9, axis=1).tolist()
    epochs = runs.epochs.copy()
    epochs["landscape_loss"] = [
        loss if isinstance(one, list | np.ndarray) else None for one in epochs["landscape_loss"]
    ]
    data = Collected(runs.runs, epochs, runs.retrains, ())
    figure = FIGURES["landscape"].draw(data, None)
    bottom = figure.axes[2]
    assert bottom.get_xlabel() == "offset along direction 1"
    for segments in figure.axes[0].collections[1].allsegs[1:-1]:
        for segment in segments:
            assert np.ptp(segment[:, 0]) < 1e-6 < np.ptp(segment[:, 1])
    figure.canvas.draw()
    above = [axes.get_tightbbox() for axes in figure.axes[:2]]
    below = [axes.get_tightbbox() for axes in figure.axes[2:4]]
    assert min(box.y0 for box in above) > max(box.y1 for box in below)


def test_proposition1_says_how_often_its_sides_differ(runs):
    figure = FIGURES["proposition1"].draw(runs, None)
    frame = epochs_of(runs, "drnas").dropna(subset=["proposition1_sampled"])
    apart = 0
    for _, group in frame.groupby("epoch"):
        gap = (group["proposition1_sampled"] - group["proposition1_laplace"]).mean()
        error = np.sqrt((group["proposition1_sampled_se"] ** 2).sum()) / len(group)
        apart += abs(gap) > 2 * error
    caption = " ".join(" ".join(text.get_text().split()) for text in figure.texts)
    points = frame["epoch"].nunique()
    assert f"more than two standard errors apart at {apart} of {points} points" in caption


def test_boxes(runs, table):
    axes = FIGURES["boxes"].draw(runs, table).axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["DrNAS", "DARTS (1st)"]
    cells = runs.runs[runs.runs["method"] == "drnas"]["genotype"]
    expected = sorted(SPACE.index(cell) / 200 + 1 for cell in cells)
    points = next(
        one for one in axes.lines if len(one.get_xdata()) == 3 and one.get_marker() == "o"
    )
    assert sorted(points.get_xdata()) == pytest.approx(expected)
    medians = [one for one in axes.lines if one.get_linewidth() == 2]
    assert medians[0].get_xdata()[0] == pytest.approx(expected[1])


def test_boxes_of_retrainings(runs):
    frame = runs.runs.assign(retrain_test_acc_pct=90.0, retrain_epochs=5)
    data = Collected(frame, runs.epochs, runs.retrains, ())
    assert "after 5 epochs" in FIGURES["boxes"].draw(data, None).axes[0].get_xlabel()
    frame.loc[0, "retrain_epochs"] = 7
    with pytest.raises(Missing, match="trained for 5 and 7 epochs"):
        FIGURES["boxes"].draw(data, None)


def test_pareto_without_costs(runs, table):
    with pytest.raises(Missing, match="has no costs"):
        FIGURES["pareto"].draw(runs, table)


def test_pareto_marks_the_chosen_cells(runs, nb201_path):
    real = BenchmarkTable.open(nb201_path)
    axes = FIGURES["pareto"].draw(runs, real).axes[0]
    drawn = {tuple(point) for point in line(axes, "DrNAS")}
    cells = runs.runs[runs.runs["method"] == "drnas"]["genotype"].unique()
    expected = {
        (float(real.table.cost(cell)), float(real.table.test(cell))) for cell in cells
    }  # fmt: skip
    assert drawn == expected
    front = line(axes, "front")
    assert front[:, 1].max() == real.best("cifar10", "test")
    assert (np.diff(front, axis=0) > 0).all()


# --- what is missing ----------------------------------------------------------------------------


def test_missing_says_what_would_bring_it(table):
    plain = made(every=None)
    for name in MEASURED:
        with pytest.raises(Missing, match=rf"--set diagnostics\.{name}="):
            FIGURES[name].draw(plain, table)
    for name in NO_TABLE:
        with pytest.raises(Missing, match="--benchmark"):
            FIGURES[name].draw(plain, None)
    for name in set(FIGURES) - TUNED - {"simplex"}:
        with pytest.raises(Missing, match="no run is done yet"):
            FIGURES[name].draw(made(status="running"), table)
    assert len(FIGURES["simplex"].draw(made(("darts",)), None).axes) == 3  # no learnt edge
    assert len(FIGURES["simplex"].draw(plain, None).axes) == 4


def test_transfers_from_different_data_sets_are_lines_apart(runs, table):
    frame = runs.runs.assign(protocol="transfer")
    frame = frame[frame["method"] == "drnas"].copy()
    frame.loc[frame["seed"] == 0, "dataset"] = "cifar100"
    data = Collected(frame, runs.epochs, runs.retrains, ())
    lines = {one.get_label() for one in FIGURES["trajectory"].draw(data, table).axes[0].lines}
    assert {"DrNAS [transfer from cifar10]", "DrNAS [transfer from cifar100]"} <= lines


def test_multi_trial_runs_have_no_epochs_to_show(runs, table):
    frame = runs.runs.copy()
    frame.loc[frame["method"] == "darts", "queries"] = 100
    figure = FIGURES["trajectory"].draw(Collected(frame, runs.epochs, runs.retrains, ()), table)
    assert "Not shown: DARTS (1st)" in texts(figure)
    frame["queries"] = 100
    with pytest.raises(Missing, match="searches in epochs"):
        FIGURES["skips"].draw(Collected(frame, runs.epochs, runs.retrains, ()), None)


def test_a_run_in_two_folders_counts_once(runs, table):
    def labelled(data: Collected, name: str) -> Collected:
        return Collected(data.runs.assign(sweep=name), data.epochs.assign(sweep=name),
                         data.retrains, ())  # fmt: skip

    one, two = labelled(runs, "a"), labelled(runs, "b")
    both = Collected(pd.concat([one.runs, two.runs]), pd.concat([one.epochs, two.epochs]),
                     runs.retrains, ())  # fmt: skip
    once, twice = (FIGURES["trajectory"].draw(data, table) for data in (one, both))
    assert texts(once) == texts(twice)
    assert (line(once.axes[0], "DrNAS") == line(twice.axes[0], "DrNAS")).all()


# --- looks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(FIGURES) - TUNED - {"pareto"}))
def test_each_can_be_read_alone(name, runs, table):
    figure = FIGURES[name].draw(runs, table)
    written = texts(figure)
    if name != "simplex":
        assert "Protocol: search" in written
    if name not in ("simplex", "cells", "landscape"):
        assert "n = 3 seeds" in written
    if name in NO_TABLE | {"trajectory"}:
        assert table.label in written
    if name not in ("simplex", "cells"):
        labels = [axes.get_ylabel() + axes.get_xlabel() for axes in figure.axes]
        assert any("epoch" in text or "%" in text or "offset" in text for text in labels)
    figure.draw_without_rendering()


def test_many_methods_get_a_panel_each(table):
    data = made(["drnas", *(f"m{i}" for i in range(9))], ("cifar10", "cifar100"), 1, 3)
    figure = FIGURES["trajectory"].draw(data, table)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["DrNAS", *(f"m{i}" for i in range(9))]
    assert {"cifar10", "cifar100"} <= {t.get_text() for t in figure.legends[0].get_texts()}
    looks = {tuple(map(str, line_style(i).values())) for i in range(80)}
    assert len(looks) == 80


@pytest.mark.long
def test_same_data_same_bytes_in_all_formats(table, tmp_path):
    data = made(("drnas",), seeds=1, epochs=3)
    for name in ("exploration", "cells"):
        first, second = (
            save(FIGURES[name].draw(data, table), tmp_path / turn / name, name, FORMATS)
            for turn in ("one", "two")
        )
        assert [path.suffix for path in first] == [".png", ".svg", ".pdf"]
        for one, two in zip(first, second, strict=True):
            assert one.read_bytes() == two.read_bytes(), one
    with Image.open(tmp_path / "one" / "exploration.png") as image:
        assert image.width > 900
    assert (tmp_path / "one" / "cells.pdf").read_bytes().startswith(b"%PDF")
    assert len(list((tmp_path / "one").iterdir())) == 6  # nothing half written stays


# --- command line -------------------------------------------------------------------------------


def invoke(*args: object):
    return CliRunner().invoke(app, ["figure", *map(str, args)])


def test_list_of_figures():
    result = invoke()
    assert result.exit_code == 0
    for kind in FIGURES.values():
        assert kind.name in result.output
        assert kind.about in " ".join(result.output.split())


def test_the_page_lists_the_figures():
    """If it fails: `python -m analysis.figures` writes the list."""
    text = PAGE.read_text(encoding="utf-8")
    assert updated(text) == text
    for kind in FIGURES.values():
        assert f"- **{kind.name}**: {kind.about.split()[0]}" in text


def test_wrong_names_and_folders(tmp_path):
    result = invoke("trajektory", tmp_path)
    assert result.exit_code == 2
    assert "unknown figure 'trajektory': did you mean 'trajectory'?" in result.output
    assert "no results folder for figure skips: drnas figure skips DIR" in invoke("skips").output
    assert "is not a results folder" in invoke("skips", tmp_path).output


@pytest.mark.long
def test_figure_all_draws_what_it_can(mixed, tmp_path):
    folder = mixed.write()
    result = invoke("all", folder, "--format", "svg", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    drawn = {path.stem for path in (tmp_path / "out").iterdir()}
    assert drawn == set(FIGURES) - MEASURED - TUNED - needing(Needs.table)
    assert "not drawn: hessian: no run measured the Hessian: search with" in result.output
    result = invoke("hessian", folder)
    assert result.exit_code == 2
    assert "error: no figure hessian: no run measured the Hessian" in result.output
    assert invoke("skips", folder, "--format", "all").exit_code == 0
    assert sorted(path.name for path in (folder / "figures").iterdir()) == [
        "skips.pdf", "skips.png", "skips.svg",
    ]  # fmt: skip
