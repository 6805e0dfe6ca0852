"""Networks that get their architecture with every call and keep none of it."""

from drnas_ray.supernets.nb201.network import NB201Supernet

SUPERNETS = {"nb201": NB201Supernet}

__all__ = ["SUPERNETS"]
