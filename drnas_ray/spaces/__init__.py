"""Search spaces: what can be chosen, as plain data; no torch."""

from drnas_ray.core.errors import unknown_name
from drnas_ray.spaces.nb201 import NB201
from drnas_ray.spaces.space import Space

SPACES = {"nb201": NB201()}


def space_named(name: str) -> Space:
    """The space of that name. Raises UserError with the nearest known name."""
    if name not in SPACES:
        raise unknown_name("space", name, SPACES)
    return SPACES[name]
