"""HyperOpt's next point as a function of all points before it: there is no state to restore."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import hyperopt
import numpy as np
from hyperopt import hp, tpe

from drnas_ray.sweeps.spec.dimensions import Dimension

Observation = tuple[Mapping[str, Any], float | None]
"""A point's values and its loss: None while it runs, and where it failed."""


def suggest(
    dims: Sequence[Dimension], observed: Sequence[Observation], *, seed: int, n_initial_points: int
) -> dict[str, Any]:
    """The next point after `observed`: all points before it, in the order they were asked for.

    Random while there are fewer than n_initial_points, then TPE's (losses are minimised; points
    without one count as the worst). The n-th point takes the n-th number that a generator of
    `seed` draws, as in Ray Tune's HyperOptSearch.
    """
    domain = hyperopt.Domain(lambda point: point, {d.key: _node(d) for d in dims})
    trials = hyperopt.Trials()
    tids = list(range(len(observed)))
    results, miscs = [], []
    for tid, (values, loss) in zip(tids, observed, strict=True):
        ok = {"status": hyperopt.STATUS_OK, "loss": loss}
        results.append({"status": hyperopt.STATUS_NEW} if loss is None else ok)
        miscs.append(
            {
                "tid": tid,
                "cmd": domain.cmd,
                "workdir": domain.workdir,
                "idxs": {d.key: [tid] for d in dims},
                "vals": {d.key: [d.raw(values[d.key])] for d in dims},
            }
        )
    if observed:
        docs = trials.new_trial_docs(tids, [None] * len(observed), results, miscs)
        for doc in docs:
            doc["state"] = hyperopt.JOB_STATE_DONE
        trials.insert_trial_docs(docs)
    trials.refresh()
    draws = np.random.RandomState(seed).randint(2**31 - 1, size=len(observed) + 1)
    new = tpe.suggest(
        [len(observed)],
        domain,
        trials,
        int(draws[-1]),
        n_startup_jobs=n_initial_points,
        verbose=False,
    )
    found = new[0]["misc"]["vals"]
    return {d.key: d.value(found[d.key][0]) for d in dims}


def _node(dim: Dimension) -> Any:
    """HyperOpt's node for a dimension: the same that Ray Tune makes for its own kind."""
    if dim.kind == "choice":
        return hp.choice(dim.key, list(range(len(dim.options))))
    if dim.kind == "randint":
        return hp.uniformint(dim.key, dim.low, dim.top)
    low, high = (math.log(dim.low), math.log(dim.high)) if dim.log else (dim.low, dim.high)
    make = getattr(hp, dim.kind)
    return make(dim.key, low, high) if dim.step is None else make(dim.key, low, high, dim.step)
