"""One cell of the official files: its trainings (trials) reduced to numbers.

A trial consists of the attributes of the packages' `ResultsCount`: tables from epoch, or
`set@epoch`, to a number. A cell has one per schedule (12 or 200 epochs), network and seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drnas_ray.benchmarks.columns import EPOCHS, NETWORKS
from drnas_ray.core.errors import UserError

_KEYS = frozenset(("train_acc1es", "train_losses", "eval_acc1es", "eval_losses", "epochs", "seed"))
_SCHEDULES = {"less": 12, "full": 200, "12": 12, "200": 200, 12: 12, 200: 200}


@dataclass(frozen=True, slots=True)
class Trial:
    """One training. Figures are nan where the file has none.

    curves: official set (`train`, `x-valid`, ...) -> (epochs, 3): accuracy in percent, loss,
    seconds of that epoch.
    """

    epochs: int
    params_mb: float
    flops_m: float
    latency_s: float
    curves: dict[str, NDArray[np.float64]]

    def final(self, name: str) -> tuple[float, float, float]:
        """Accuracy in percent and loss after the last epoch, seconds of all epochs together."""
        if name not in self.curves:
            return np.nan, np.nan, np.nan
        curve = self.curves[name]
        return float(curve[-1, 0]), float(curve[-1, 1]), float(curve[:, 2].sum())


@dataclass(frozen=True, slots=True)
class CellRecord:
    """trials: (schedule in epochs, official network, seed) -> the training."""

    index: int
    arch: str
    trials: dict[tuple[int, str, int], Trial]

    def runs(self, epochs: int, network: str) -> list[tuple[int, Trial]]:
        """(seed, training) pairs, by seed."""
        return sorted(
            ((seed, trial) for (e, n, seed), trial in self.trials.items() if (e, n) ==
             (epochs, network)),
            key=lambda pair: pair[0],
        )  # fmt: skip


def reduce_trial(found: dict[Any, Any]) -> bool:
    """Shrink a complete `ResultsCount` in place to {"trial": Trial}; False for other contents."""
    if not found.keys() >= _KEYS:
        return False
    trial = _trial(found)
    found.clear()
    found["trial"] = trial
    return True


def _trial(found: dict[Any, Any]) -> Trial:
    epochs = found["epochs"]
    if not isinstance(epochs, int) or not 1 <= epochs <= 1000:
        raise UserError(f"has a training of {str(epochs)[:20]} epochs")
    per_epoch = [found["train_acc1es"], found["train_losses"], found.get("train_times")]
    curves = {"train": _curve(per_epoch, [*range(epochs)])}
    tables = [found["eval_acc1es"], found["eval_losses"], found.get("eval_times")]
    for name in found.get("eval_names") or ():
        curves[str(name)] = _curve(tables, [f"{name}@{epoch}" for epoch in range(epochs)])
    latency = found.get("latency")
    return Trial(
        epochs,
        _number(found.get("params")),
        _number(found.get("flop")),
        float(np.mean(latency)) if latency else np.nan,
        curves,
    )


def _curve(tables: list[dict[Any, Any] | None], keys: list[Any]) -> NDArray[np.float64]:
    columns = [
        [np.nan] * len(keys) if not table else [table.get(key, np.nan) for key in keys]
        for table in tables
    ]
    return np.array(columns, dtype=np.float64).T


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def read_cell(index: Any, schedules: Any, arch: str) -> CellRecord:
    """A cell from the files' own dictionary of schedule -> `ArchResults`.

    arch: the string that the benchmark's order gives for the index. Raises UserError for another
    string in the file, or a dictionary of another form.
    """
    trials: dict[tuple[int, str, int], Trial] = {}
    for epochs, results in _schedules(index, schedules):
        theirs = results.get("arch_str")
        if theirs != arch:
            raise UserError(f"has '{str(theirs)[:120]}' as cell {index}, which is '{arch}'")
        seeds, runs = results.get("dataset_seed"), results.get("all_results")
        if not isinstance(seeds, dict) or not isinstance(runs, dict):
            raise UserError(f"lacks the trainings of cell {index}")
        for network, known in seeds.items():
            for seed in known:
                run = runs.get((network, seed))
                trial = run.get("trial") if isinstance(run, dict) else None
                if not isinstance(trial, Trial) or trial.epochs != epochs:
                    raise UserError(f"lacks cell {index}'s {epochs} epochs, {network}, seed {seed}")
                if network in NETWORKS:
                    trials[epochs, network, int(seed)] = trial
    return CellRecord(index, arch, trials)


def _schedules(index: Any, schedules: Any) -> Iterator[tuple[int, dict[Any, Any]]]:
    known = {} if not isinstance(schedules, dict) else schedules
    found = {_SCHEDULES[key]: value for key, value in known.items() if key in _SCHEDULES}
    if not found:
        raise UserError(
            f"has neither 12 nor 200 epochs for cell {index}: not a topology-space file"
        )
    for epochs in EPOCHS:
        if epochs in found:
            if not isinstance(found[epochs], dict):
                raise UserError(f"has a {type(found[epochs]).__name__} as cell {index}")
            yield epochs, found[epochs]
