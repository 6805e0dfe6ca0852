"""The shape of what methods learn about a NAS-Bench-201 cell, for tensors of tests."""

from drnas_ray.spaces.nb201 import NB201

SHAPE = NB201().shape
"""Cell types, edges, operations."""
