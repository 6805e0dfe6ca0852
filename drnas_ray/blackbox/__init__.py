"""Methods that hold no supernet. BLACKBOX is the table of names."""

from drnas_ray.blackbox.base import BlackBox
from drnas_ray.blackbox.fixed import Fixed
from drnas_ray.blackbox.random import RandomSearch
from drnas_ray.blackbox.rea import Rea
from drnas_ray.blackbox.reinforce import Reinforce
from drnas_ray.blackbox.uniform import Uniform

BLACKBOX: dict[str, type[BlackBox]] = {
    "fixed": Fixed,
    "random": RandomSearch,
    "rea": Rea,
    "reinforce": Reinforce,
    "uniform": Uniform,
}
