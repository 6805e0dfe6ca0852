"""What a reader must know before trusting the numbers: the warnings at the top of the page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.collect import Collected
from analysis.report.grids import ranges
from analysis.summary import variant_text

FEW_SEEDS = 3
"""Below this a standard deviation says next to nothing."""
MOST_EXAMPLES = 8
GROUP = ["protocol", "label", "variant", "dataset"]
"""Runs that a table averages."""


@dataclass(frozen=True)
class Doubt:
    """One kind of trouble, in a sentence, with examples."""

    title: str
    text: str
    examples: tuple[str, ...] = ()
    more: int = 0
    """Examples that are left out."""


def _doubt(title: str, text: str, examples: Sequence[str] = (), total: int = 0) -> Doubt:
    kept = tuple(examples[:MOST_EXAMPLES])
    return Doubt(title, text, kept, max(total, len(examples)) - len(kept))


def method_name(row: pd.Series[str]) -> str:
    """`DrNAS, arch.lr=0.01`."""
    return ", ".join(filter(None, (str(row["label"]), variant_text(row["variant"]))))


def group_name(row: pd.Series[str]) -> str:
    """`DrNAS, arch.lr=0.01 on digits`."""
    return f"{method_name(row)} on {row['dataset']}"


def run_name(row: pd.Series[str]) -> str:
    """`DrNAS on digits, seed 3`."""
    return f"{group_name(row)}, seed {row['seed']}"


def seeds_text(group: pd.DataFrame) -> str:
    """`seed 3` or `seeds 0 to 4, 7`."""
    return f"seed{'s' if group['seed'].nunique() > 1 else ''} {ranges(group['seed'])}"


def _plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _groups(runs: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (group for _, group in runs.groupby(GROUP, sort=False))


def _few_seeds(runs: pd.DataFrame) -> Iterator[Doubt]:
    found = []
    for group in _groups(runs):
        seeds = group["seed"][group["status"] == "done"].nunique()
        if seeds < FEW_SEEDS:
            found.append(f"{group_name(group.iloc[0])}: {_plural(seeds, 'seed', 'seeds')} done")
    if found:
        yield _doubt(
            "Few seeds",
            f"{_plural(len(found), 'row rests', 'rows rest')} on fewer than {FEW_SEEDS} finished "
            "seeds: means and spreads say little there.",
            found,
        )


def _unequal_seeds(runs: pd.DataFrame) -> Iterator[Doubt]:
    done = runs[runs["status"] == "done"]
    found = []
    for (_, dataset), here in done.groupby(["protocol", "dataset"], sort=False):
        sets = {frozenset(group["seed"]) for group in _groups(here)}
        if len(sets) > 1:
            common = frozenset.intersection(*sets)
            found.append(f"{dataset}: common to all {ranges(common) or 'none'}")
    if found:
        yield _doubt(
            "Different seeds",
            "Methods on the same data set finished different seeds: compare them over the common "
            "ones.",
            found,
        )


def _unfinished(runs: pd.DataFrame) -> Iterator[Doubt]:
    states = runs["status"].value_counts()
    running, pending = int(states.get("running", 0)), int(states.get("pending", 0))
    if running + pending:
        found = []
        for group in _groups(runs[runs["status"].isin(["running", "pending"])]):
            found.append(f"{group_name(group.iloc[0])}: {seeds_text(group)}")
        yield _doubt(
            "Unfinished",
            f"Of {_plural(len(runs), 'run', 'runs')} {running:,} have not ended and {pending:,} "
            "have not begun: the tables leave them out.",
            found,
        )


def _failed(runs: pd.DataFrame) -> Iterator[Doubt]:
    failed = runs[runs["status"] == "error"]
    if len(failed):
        found = [
            f"{_plural(len(same), 'run', 'runs')}, first {run_name(same.iloc[0])}: {error}"
            for error, same in failed.groupby("error", sort=False, dropna=False)
        ]
        yield _doubt("Failed", f"{_plural(len(failed), 'run', 'runs')} ended in an error.", found)


def _diverged(runs: pd.DataFrame) -> Iterator[Doubt]:
    diverged = runs[runs["status"] == "diverged"]
    if len(diverged):
        found = [f"{group_name(group.iloc[0])}: {seeds_text(group)}" for group in _groups(diverged)]
        yield _doubt(
            "Diverged",
            f"{_plural(len(diverged), 'run', 'runs')} diverged (a loss that is no number) and "
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
            f"{_plural(len(same), 'retraining', 'retrainings')}: {error}"
            for error, same in open_.dropna(subset=["error"]).groupby("error", sort=False)
        ]
        yield _doubt(
            "Retrainings",
            f"Of {_plural(len(retrains), 'retraining', 'retrainings')} {len(open_):,} are not "
            f"done ({counts}).",
            errors,
        )
    done = runs[(runs["status"] == "done") & runs["retrain_test_acc_pct"].isna()]
    if len(done):
        yield _doubt(
            "Not retrained",
            f"{_plural(len(done), 'finished run has', 'finished runs have')} no test accuracy "
            "from a retraining and count for none.",
            [f"{group_name(group.iloc[0])}: {seeds_text(group)}" for group in _groups(done)],
        )


_MIXED = (
    ("protocol", "Mixed protocols", "The runs follow different protocols; compare within one only"),
    ("drnas_ray_version", "Mixed versions", "The runs come from different versions of drnas-ray"),
    ("git_commit", "Mixed commits", "The runs come from different commits"),
    ("torch_version", "Mixed versions", "The runs come from different versions of PyTorch"),
    ("python_version", "Mixed versions", "The runs come from different versions of Python"),
    ("ray_version", "Mixed versions", "The runs come from different versions of Ray"),
    ("device", "Mixed devices", "Search times and the last digits depend on the device"),
    ("threads", "Mixed threads", "The last digits may depend on the number of threads"),
)


def _mixed(runs: pd.DataFrame) -> Iterator[Doubt]:
    for column, title, text in _MIXED:
        counts = runs[column].dropna().value_counts(sort=False)
        if len(counts) > 1:
            found = [f"{name}: {_plural(count, 'run', 'runs')}" for name, count in counts.items()]
            yield _doubt(title, f"{text}.", found)


def _recipe(config: str) -> str:
    """A retraining's settings but for what differs from run to run."""
    settings = json.loads(config)
    return json.dumps(
        {key: settings[key] for key in sorted(settings) if key not in ("genotype", "seed", "data")}
    )


def _recipes(retrains: pd.DataFrame) -> Iterator[Doubt]:
    recipes = retrains["config"].map(_recipe)
    if recipes.nunique() > 1:
        found = [
            f"{_plural(len(same), 'retraining', 'retrainings')} of "
            f"{same['epochs_total'].iloc[0]} epochs: {recipe}"
            for recipe, same in retrains.groupby(recipes, sort=False)
        ]
        yield _doubt("Mixed recipes", "Cells were retrained with different settings.", found)


def _settings(config: str) -> str:
    settings = json.loads(config)
    settings.pop("seed", None)
    return json.dumps(settings, sort_keys=True)


def _unlike(runs: pd.DataFrame) -> Iterator[Doubt]:
    """Runs of one row of the table whose settings differ in more than the seed."""
    settings = runs["config"].map(_settings)
    kinds = settings.groupby([runs[name] for name in GROUP], sort=False).nunique()
    if (kinds > 1).any():
        found = [
            f"{group_name(group.iloc[0])}: {count} sets of settings"
            for group, count in zip(_groups(runs), kinds, strict=True)
            if count > 1
        ]
        yield _doubt(
            "Unlike runs in one row",
            "Runs of one method and data set differ in more than their seed, and are averaged all "
            "the same: give them labels of their own.",
            found,
        )


def _twice(runs: pd.DataFrame) -> Iterator[Doubt]:
    twice = runs[runs.duplicated("run_id")]
    if len(twice):
        yield _doubt(
            "Counted twice",
            f"{_plural(len(twice), 'run is', 'runs are')} in more than one of the folders.",
            [run_name(row) for _, row in twice.head(MOST_EXAMPLES).iterrows()],
            len(twice),
        )


def doubts(collected: Collected) -> list[Doubt]:
    """All that speaks against the numbers, the worst first; empty where nothing does."""
    runs, retrains = collected.runs, collected.retrains
    found = [*_failed(runs), *_diverged(runs), *_unfinished(runs)]
    if collected.warnings:
        found.append(
            _doubt("Damaged or doubtful files", "What could not be used:", collected.warnings)
        )
    found += [*_twice(runs), *_unlike(runs), *_mixed(runs)]
    found += [*_retrains(runs, retrains), *_recipes(retrains)]
    found += [*_few_seeds(runs), *_unequal_seeds(runs)]
    return found
