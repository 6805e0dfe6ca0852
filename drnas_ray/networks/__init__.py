"""Networks of a single genotype, to train from scratch."""

from drnas_ray.networks.nb201 import NB201Network

NETWORKS = {"nb201": NB201Network}
