"""Cluster files: what is wrong with them, found before machines are started and paid for."""

from drnas_ray.cluster.check import check
from drnas_ray.cluster.finding import Finding, Level

__all__ = ["Finding", "Level", "check"]
