"""Values missing from results of earlier versions, inferred from what they contain."""

from __future__ import annotations

from typing import cast

from drnas_ray.core.distribution import Distribution


def distribution_of(method: str, written: object = None) -> Distribution:
    """What a run's strengths parametrise on each edge.

    written: what the run's entry or row says; anything but text (absent, null, nan) means that it
    is from an earlier version, in which drnas was the only method that learnt a Dirichlet.
    """
    if isinstance(written, str):
        return cast(Distribution, written)
    return "dirichlet" if method == "drnas" else "categorical"
