"""The warnings at the top of the page: what to know before trusting the numbers.

Each check yields at most a few `ReportWarning`s. Settings that differ within one row of a table are
the concern of `analysis.records.merge`; here it is what differs between rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.records.collect import Collected
from analysis.report.names import group_name, groups, plural, run_title, seeds_text
from analysis.report.page_tables import ranges
from drnas_ray.results.status import Status, counts_text

FEW_SEEDS = 3
"""With fewer seeds, a standard deviation says next to nothing."""
MOST_EXAMPLES = 8

_ONE_VALUE_EXPECTED = (
    ("protocol", "Mixed protocols", "The runs follow different protocols; compare within one only"),
    ("drnas_ray_version", "Mixed versions", "The runs come from different versions of drnas-ray"),
    ("git_commit", "Mixed commits", "The runs come from different commits"),
    ("torch_version", "Mixed versions", "The runs come from different versions of PyTorch"),
    ("python_version", "Mixed versions", "The runs come from different versions of Python"),
    ("ray_version", "Mixed versions", "The runs come from different versions of Ray"),
    ("device", "Mixed devices", "Search times and the last digits depend on the device"),
    ("threads", "Mixed threads", "The last digits may depend on the number of threads"),
)
"""Column of the runs, title and sentence of the warning where the column has several values."""


@dataclass(frozen=True)
class ReportWarning:
    """One kind of problem: a sentence, with examples."""

    title: str
    text: str
    examples: tuple[str, ...] = ()
    more: int = 0
    """How many examples are not listed."""


def _warn(title: str, text: str, examples: Sequence[str]) -> ReportWarning:
    """The warning with its first few examples."""
    kept = tuple(examples[:MOST_EXAMPLES])
    return ReportWarning(title, text, kept, len(examples) - len(kept))


def _if_any(title: str, text: str, examples: Sequence[str]) -> list[ReportWarning]:
    """The warning, or none if there are no examples."""
    return [_warn(title, text, examples)] if examples else []


def _runs_text(frame: pd.DataFrame) -> str:
    return plural(len(frame), "run", "runs")


def _retrainings_text(frame: pd.DataFrame) -> str:
    return plural(len(frame), "retraining", "retrainings")


def _where(runs: pd.DataFrame) -> list[str]:
    """Which runs these are: a text for each row of the tables."""
    return [f"{group_name(group.iloc[0])}: {seeds_text(group)}" for group in groups(runs)]


def _failed(runs: pd.DataFrame) -> list[ReportWarning]:
    failed = runs[runs["status"] == Status.error]
    found = [
        f"{_runs_text(same)}, first {run_title(same.iloc[0])}: {error}"
        for error, same in failed.groupby("error", sort=False, dropna=False)
    ]
    return _if_any("Failed", f"{_runs_text(failed)} ended in an error.", found)


def _diverged(runs: pd.DataFrame) -> list[ReportWarning]:
    diverged = runs[runs["status"] == Status.diverged]
    text = (
        f"{_runs_text(diverged)} diverged (the loss was no longer finite), and no mean includes "
        "them: the runs that remain may make the method look better than it is."
    )
    return _if_any("Diverged", text, _where(diverged))


def _stopped(runs: pd.DataFrame) -> list[ReportWarning]:
    stopped = runs[runs["status"] == Status.stopped]
    text = f"The tuning stopped {_runs_text(stopped)} before the last epoch: tables leave them out."
    return _if_any("Stopped early", text, _where(stopped))


def _unfinished(runs: pd.DataFrame) -> list[ReportWarning]:
    open_ = runs[runs["status"].isin([Status.running, Status.pending])]
    running = int((open_["status"] == Status.running).sum())
    pending = len(open_) - running
    text = (
        f"Of {_runs_text(runs)}, {running:,} {'has' if running == 1 else 'have'} not finished and "
        f"{pending:,} {'has' if pending == 1 else 'have'} not begun: tables leave them out."
    )
    return _if_any("Unfinished", text, _where(open_))


def _mixed(runs: pd.DataFrame) -> Iterator[ReportWarning]:
    for column, title, text in _ONE_VALUE_EXPECTED:
        counts = runs[column].dropna().value_counts(sort=False)
        if len(counts) > 1:
            found = [f"{name}: {plural(count, 'run', 'runs')}" for name, count in counts.items()]
            yield _warn(title, f"{text}.", found)


def _recipe(config: str) -> str:
    """A retraining's settings, except for those that naturally differ from run to run."""
    settings = json.loads(config)
    return json.dumps(
        {key: settings[key] for key in sorted(settings) if key not in ("genotype", "seed", "data")}
    )


def _mixed_recipes(retrains: pd.DataFrame) -> list[ReportWarning]:
    recipes = retrains["config"].map(_recipe)
    found = [
        f"{_retrainings_text(same)} of {same['epochs_total'].iloc[0]} epochs: {recipe}"
        for recipe, same in retrains.groupby(recipes, sort=False)
    ]
    text = "Cells were retrained with different settings."
    return _if_any("Mixed recipes", text, found if len(found) > 1 else ())


def _retrains(runs: pd.DataFrame, retrains: pd.DataFrame) -> Iterator[ReportWarning]:
    if retrains.empty:
        return
    open_ = retrains[retrains["status"] != Status.done]
    if len(open_):
        errors = [
            f"{_retrainings_text(same)}: {error}"
            for error, same in open_.dropna(subset=["error"]).groupby("error", sort=False)
        ]
        yield _warn(
            "Retrainings",
            f"Of {_retrainings_text(retrains)}, {len(open_):,} "
            f"{'is' if len(open_) == 1 else 'are'} not done ({counts_text(open_['status'])}).",
            errors,
        )
    without = runs[(runs["status"] == Status.done) & runs["retrain_test_acc_pct"].isna()]
    text = (
        f"{plural(len(without), 'finished run has', 'finished runs have')} no test accuracy from a "
        "retraining: averages of it leave them out."
    )
    yield from _if_any("Not retrained", text, _where(without))


def _few_seeds(runs: pd.DataFrame) -> list[ReportWarning]:
    found = []
    for group in groups(runs):
        seeds = group["seed"][group["status"] == Status.done].nunique()
        if seeds < FEW_SEEDS:
            found.append(f"{group_name(group.iloc[0])}: {plural(seeds, 'seed', 'seeds')} done")
    text = (
        f"{plural(len(found), 'row rests', 'rows rest')} on fewer than {FEW_SEEDS} finished seeds: "
        "means and standard deviations say little there."
    )
    return _if_any("Few seeds", text, found)


def _different_seeds(runs: pd.DataFrame) -> list[ReportWarning]:
    found = []
    done = runs[runs["status"] == Status.done]
    for (_, dataset), here in done.groupby(["protocol", "dataset"], sort=False):
        sets = {frozenset(group["seed"]) for group in groups(here)}
        if len(sets) > 1:
            common = frozenset.intersection(*sets)
            found.append(f"{dataset}: {ranges(common) or 'none'} common to all")
    text = (
        "Methods on the same data set finished different seeds: compare them over the seeds that "
        "all of them finished."
    )
    return _if_any("Different seeds", text, found)


def report_warnings(collected: Collected) -> list[ReportWarning]:
    """Everything that casts doubt on the numbers, worst first; empty if there is nothing."""
    runs, retrains = collected.runs, collected.retrains
    found = [*_failed(runs), *_diverged(runs), *_stopped(runs), *_unfinished(runs)]
    text = "Data that could not be used, and runs that were counted once or kept apart:"
    found += _if_any("Files", text, collected.warnings)
    found += [*_mixed(runs), *_mixed_recipes(retrains), *_retrains(runs, retrains)]
    found += [*_few_seeds(runs), *_different_seeds(runs)]
    return found
