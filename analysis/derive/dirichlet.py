"""Draws from the Dirichlet distributions that a run learnt, one for each edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

Numbers = NDArray[np.float64]


def log_gammas(concentration: Numbers, rng: np.random.Generator) -> Numbers:
    """Logarithms of independent gamma variables of these shapes; -inf for a shape of 0.

    Over their sum the gammas of an edge are a draw from its Dirichlet, so the largest of them has
    the largest share. By their logarithms, because a gamma of small shape underflows: one of shape
    a is one of shape a + 1 times u^(1/a), with u uniform.
    """
    with np.errstate(divide="ignore"):
        exponents = rng.standard_exponential(concentration.shape) / concentration
    logs: Numbers = np.log(rng.standard_gamma(concentration + 1)) - exponents
    return logs


def dirichlet_shares(concentration: Numbers, rng: np.random.Generator) -> Numbers:
    """(..., E, O): shares of each edge's operations; a concentration of 0 gives share 0."""
    shares: Numbers = softmax(log_gammas(concentration, rng), axis=-1)
    return shares
