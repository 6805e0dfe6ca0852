"""Tune's snapshot of an experiment: whether it can be resumed from, and resuming from it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

from ray import tune

from drnas_ray.core.files import write_json


def restored(folder: Path, trainable: Any) -> tune.Tuner:
    """The experiment in the folder, to continue what is unfinished or failed."""
    forget_decisions(folder)
    return tune.Tuner.restore(
        str(folder), trainable=trainable, resume_unfinished=True, resume_errored=True
    )


def can_be_restored(folder: Path) -> bool:
    """Whether Tune has left a state that it can resume from.

    It overwrites its files in place (Ray 2.60): killed meanwhile, it leaves them truncated. And
    tuner.pkl comes before the first snapshot; killed in between, Tune would resume without trials.
    """
    states = sorted(folder.glob("experiment_state-*.json"))
    if not states or not tune.Tuner.can_restore(str(folder)):
        return False
    searchers = sorted(folder.glob("basic-variant-state-*.json"))
    try:
        json.loads(states[-1].read_text())
    except ValueError:
        return False
    return all(_is_whole_pickle(path) for path in (folder / "tuner.pkl", *searchers[-1:]))


def _is_whole_pickle(path: Path) -> bool:
    """Whether it ends as a pickle does; nothing in it is run."""
    return path.read_bytes().endswith(pickle.STOP)


def forget_decisions(folder: Path) -> None:
    """Remove decisions about trials from Tune's state, so that they are made again.

    A trial whose last failure came while it saved a checkpoint leaves a STOP there, which would
    end it for good one step after it was resumed (Ray 2.60).
    """
    for path in sorted(folder.glob("experiment_state-*.json"))[-1:]:  # the one that Tune reads
        state = json.loads(path.read_text())
        if state.get("runner_data", {}).get("_cached_trial_decisions"):
            state["runner_data"]["_cached_trial_decisions"] = {}
            write_json(path, state)
