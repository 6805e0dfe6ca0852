"""Which cells `drnas bench build` trains and with which recipe, read and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from drnas_ray.config import CellRecipe, ShortRecipe, validated
from drnas_ray.config.overrides import parse_overrides
from drnas_ray.core.errors import UserError, did_you_mean
from drnas_ray.data.catalog import check_data
from drnas_ray.spaces import space_named
from drnas_ray.spaces.nb201 import NB201


def recipe_of(dataset: str, sets: Iterable[str]) -> CellRecipe:
    """The default recipe with `epochs=12`, `data.train_images=200` and the like put over it.

    Raises UserError, one line, for an unknown setting or an impossible recipe.
    """
    raw = parse_overrides(sets)
    data = raw.pop("data", {})
    space = raw.pop("space", "nb201")
    for key in raw:
        if key not in ShortRecipe.model_fields:
            known = [*ShortRecipe.model_fields, "data.…", "space"]
            raise UserError(
                f"unknown recipe setting '{key}': {did_you_mean(key, known)}known here: "
                f"{', '.join(sorted(known))}"
            )
    data = data if isinstance(data, dict) else {"name": data}
    recipe = validated(
        CellRecipe, {"space": space, "data": {"name": dataset, **data}, "train": raw}, "recipe"
    )
    check_data(recipe.data)
    space_named(recipe.space)
    return recipe


def cells_of(text: str, recipe: CellRecipe) -> list[str]:
    """Distinct canonical cells: `all`, those of a file, or `100-random`.

    A file names one cell per line, by its string or number; blank lines and # lines are skipped.
    The N of `N-random` are distinct, and the same at every call. Raises UserError.
    """
    space = space_named(recipe.space)
    if not isinstance(space, NB201):
        raise UserError(f"cells of space '{recipe.space}' can't be listed: use nb201")
    if text == "all":
        return _distinct(space, map(space.cell, range(space.size)))
    if match := re.fullmatch(r"(\d+)-random", text):
        wanted, every = int(match[1]), len(_distinct(space, map(space.cell, range(space.size))))
        if not 1 <= wanted <= every:
            raise UserError(f"cells={text}: there are {every} distinct cells: give 1 to {every}")
        order = np.random.default_rng(0).permutation(space.size)
        return _distinct(space, (space.cell(int(index)) for index in order))[:wanted]
    path = Path(text)
    if not path.is_file():
        raise UserError(f"cells={text}: write all, 100-random, or a file with one cell per line")
    return _distinct(space, _listed(space, path))


def _listed(space: NB201, path: Path) -> list[str]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cells file {path} can't be read: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        try:
            found.append(space.cell(int(word)) if word.isdecimal() else space.check(word))
        except UserError as error:
            raise UserError(f"line {number} of {path}: {error}") from error
    if not found:
        raise UserError(f"cells file {path} names no cell: write one per line")
    return found


def _distinct(space: NB201, cells: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(map(space.canonical, cells)))
