"""The Pareto front, against a double loop over all cells."""

from __future__ import annotations

import math

import numpy as np

from analysis.stats.pareto import pareto


def test_the_front_is_that_of_a_double_loop():
    rng = np.random.default_rng(0)
    cost, accuracy = rng.integers(0, 12, 200) / 4, rng.integers(0, 30, 200) / 4
    cost[:5], accuracy[5:10] = np.nan, np.nan
    known = [i for i in range(200) if not (math.isnan(cost[i]) or math.isnan(accuracy[i]))]
    expected = {
        (cost[i], accuracy[i])
        for i in known
        if not any(
            cost[j] <= cost[i]
            and accuracy[j] >= accuracy[i]
            and (cost[j], accuracy[j]) != (cost[i], accuracy[i])
            for j in known
        )
    }
    front = pareto(cost, accuracy)
    assert [(cost[i], accuracy[i]) for i in front] == sorted(expected)
    assert list(pareto(np.array([]), np.array([]))) == []
    assert list(pareto(np.array([np.nan]), np.array([1.0]))) == []
