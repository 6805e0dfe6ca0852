"""What a reader must know before trusting the numbers: the warnings at the top of the page."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.records.collect import Collected
from analysis.report.grids import ranges
from analysis.report.mixtures import mixtures
from analysis.report.names import Doubt, doubt, group_name, groups, plural, seeds_text, story_name

FEW_SEEDS = 3
"""Below this a standard deviation says next to nothing."""


def _few_seeds(runs: pd.DataFrame) -> Iterator[Doubt]:
    found = []
    for group in groups(runs):
        seeds = group["seed"][group["status"] == "done"].nunique()
        if seeds < FEW_SEEDS:
            found.append(f"{group_name(group.iloc[0])}: {plural(seeds, 'seed', 'seeds')} done")
    if found:
        yield doubt(
            "Few seeds",
            f"{plural(len(found), 'row rests', 'rows rest')} on fewer than {FEW_SEEDS} finished "
            "seeds: means and spreads say little there.",
            found,
        )


def _unequal_seeds(runs: pd.DataFrame) -> Iterator[Doubt]:
    done = runs[runs["status"] == "done"]
    found = []
    for (_, dataset), here in done.groupby(["protocol", "dataset"], sort=False):
        sets = {frozenset(group["seed"]) for group in groups(here)}
        if len(sets) > 1:
            common = frozenset.intersection(*sets)
            found.append(f"{dataset}: {ranges(common) or 'none'} common to all")
    if found:
        yield doubt(
            "Different seeds",
            "Methods on the same data set finished different seeds: compare them over those that "
            "all have.",
            found,
        )


def _unfinished(runs: pd.DataFrame) -> Iterator[Doubt]:
    states = runs["status"].value_counts()
    running, pending = int(states.get("running", 0)), int(states.get("pending", 0))
    if running + pending:
        found = []
        for group in groups(runs[runs["status"].isin(["running", "pending"])]):
            found.append(f"{group_name(group.iloc[0])}: {seeds_text(group)}")
        yield doubt(
            "Unfinished",
            f"Of {plural(len(runs), 'run', 'runs')} {running:,} have not ended and {pending:,} "
            "have not begun: the tables leave them out.",
            found,
        )


def _failed(runs: pd.DataFrame) -> Iterator[Doubt]:
    failed = runs[runs["status"] == "error"]
    if len(failed):
        found = [
            f"{plural(len(same), 'run', 'runs')}, first {story_name(same.iloc[0])}: {error}"
            for error, same in failed.groupby("error", sort=False, dropna=False)
        ]
        yield doubt("Failed", f"{plural(len(failed), 'run', 'runs')} ended in an error.", found)


def _diverged(runs: pd.DataFrame) -> Iterator[Doubt]:
    diverged = runs[runs["status"] == "diverged"]
    if len(diverged):
        found = [f"{group_name(group.iloc[0])}: {seeds_text(group)}" for group in groups(diverged)]
        yield doubt(
            "Diverged",
            f"{plural(len(diverged), 'run', 'runs')} diverged (a loss that is no number) and "
            "are in no mean: what is left may look better than the method is.",
            found,
        )


def _retrains(runs: pd.DataFrame, retrains: pd.DataFrame) -> Iterator[Doubt]:
    if retrains.empty:
        return
    open_ = retrains[retrains["status"] != "done"]
    if len(open_):
        states = open_["status"].value_counts(sort=False)
        counts = ", ".join(f"{count:,} {name}" for name, count in states.items())
        errors = [
            f"{plural(len(same), 'retraining', 'retrainings')}: {error}"
            for error, same in open_.dropna(subset=["error"]).groupby("error", sort=False)
        ]
        yield doubt(
            "Retrainings",
            f"Of {plural(len(retrains), 'retraining', 'retrainings')} {len(open_):,} are not "
            f"done ({counts}).",
            errors,
        )
    done = runs[(runs["status"] == "done") & runs["retrain_test_acc_pct"].isna()]
    if len(done):
        yield doubt(
            "Not retrained",
            f"{plural(len(done), 'finished run has', 'finished runs have')} no test accuracy "
            "from a retraining and count for none.",
            [f"{group_name(group.iloc[0])}: {seeds_text(group)}" for group in groups(done)],
        )


def doubts(collected: Collected) -> list[Doubt]:
    """All that speaks against the numbers, the worst first; empty where nothing does."""
    runs, retrains = collected.runs, collected.retrains
    found = [*_failed(runs), *_diverged(runs), *_unfinished(runs)]
    if collected.warnings:
        found.append(
            doubt("Files", "What could not be used, or was told apart:", collected.warnings)
        )
    found += [*mixtures(runs, retrains), *_retrains(runs, retrains)]
    found += [*_few_seeds(runs), *_unequal_seeds(runs)]
    return found
