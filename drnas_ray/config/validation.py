"""A mapping becomes a pydantic model, or one line that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from drnas_ray.config.base import group_of
from drnas_ray.core.errors import UserError, did_you_mean

M = TypeVar("M", bound=BaseModel)
LONGEST_VALUE = 200
"""Characters of a value that an error shows: a whole file may stand where a number should."""


def validated(kind: type[M], raw: object, where: str = "") -> M:
    """A model from a mapping. where: the mapping's name in errors.

    Raises UserError, one line about the first problem.
    """
    if not isinstance(raw, Mapping):
        raise UserError(f"{where or 'settings'}: {raw!r} should be a mapping of names to values")
    try:
        return kind.model_validate(dict(raw))
    except ValidationError as error:
        raise UserError(first_problem(kind, error, where)) from error


def first_problem(kind: type[BaseModel], error: ValidationError, where: str = "") -> str:
    """One line about the first problem in validating a `kind`: its place, value and remedy.

    where: the name of the group of settings that was validated; a file's path goes before the line.
    """
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join([where, *path] if where else path)
    if first["type"] == "extra_forbidden":
        known = sorted(_fields_at(kind, path[:-1]))
        hint = did_you_mean(path[-1], known)
        return f"unknown setting '{name}': {hint}known here: {', '.join(known)}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        value = first["input"]
        scalar = isinstance(value, str | int | float) and repr(value) not in message
        shown = f"{name}={value!r}" if scalar else name
        return f"{shown}: {message}" if name else message
    if first["type"] == "missing":
        return f"{name or where} is missing"
    message = message.replace("a valid tuple", "a list")
    return f"{name}={_shortened(first['input'])}: {message[0].lower()}{message[1:]}"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def _fields_at(kind: type[BaseModel], path: list[str]) -> set[str]:
    """Names of the settings in the group that the path leads to."""
    for part in path:
        if part.isdigit():  # a place in a list
            continue
        field = kind.model_fields.get(part)
        below = group_of(field.annotation, listed=True) if field else None
        if below is None:
            return set()
        kind = below
    return set(kind.model_fields)
