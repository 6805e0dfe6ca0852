"""Weight-sharing methods, one file each. METHODS is the table of names."""

from drnas_ray.methods.base import Method
from drnas_ray.methods.darts import Darts
from drnas_ray.methods.drnas import DrNAS

METHODS: dict[str, type[Method]] = {
    "darts": Darts,
    "drnas": DrNAS,
}
