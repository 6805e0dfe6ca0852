"""The kind of distribution over architectures that a method's recorded strengths parametrise."""

from __future__ import annotations

from typing import Literal

Distribution = Literal["dirichlet", "categorical"]
"""An edge's strengths are the concentrations of a Dirichlet distribution of shares, or proportional
to the probabilities of choosing one operation."""
