"""Networks that are told their architecture with every call and remember none."""

from drnas_ray.supernets.nb201.supernet import NB201Supernet

SUPERNETS = {"nb201": NB201Supernet}
