"""What a method may learn of an architecture, as the strengths that it records parametrise it."""

from __future__ import annotations

from typing import Literal

Distribution = Literal["dirichlet", "categorical"]
"""On each edge: the concentrations of a Dirichlet distribution of shares, or a choice of one
operation, each with its share of the edge's strengths."""
