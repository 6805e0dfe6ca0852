"""Methods that hold no supernet. BLACKBOX is the table of names."""

from drnas_ray.blackbox.base import BlackBox
from drnas_ray.blackbox.uniform import Uniform

BLACKBOX: dict[str, type[BlackBox]] = {"uniform": Uniform}
