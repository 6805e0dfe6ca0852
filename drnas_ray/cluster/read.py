"""A cluster file as plain data, read as Ray and Kubernetes read it, and the kind of its cluster."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from drnas_ray.core.errors import UserError
from drnas_ray.core.yaml_files import load_all

FILL_IN = "FILL-IN"
"""Marks a value in this repository's files that the user has to give."""

KUBERAY_API = "ray.io/"


class Kind(StrEnum):
    """Who starts the machines."""

    aws = "aws"
    onprem = "local"
    kuberay = "kuberay"


def read(path: Path) -> list[dict[str, Any]]:
    """The documents of the file without empty ones. Raises UserError if there are none."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cluster file {path} can't be read: {error}") from error
    found = [document for document in load_all(text, str(path)) if document is not None]
    if not found or not all(isinstance(document, dict) for document in found):
        raise UserError(f"{path} is not a cluster file: it should map names to values")
    return found


def kind_of(documents: list[dict[str, Any]], path: Path) -> Kind:
    """Which kind of cluster the documents describe. Raises UserError for an unknown kind."""
    versions = [str(document.get("apiVersion", "")) for document in documents]
    if any(version.startswith(KUBERAY_API) for version in versions):
        return Kind.kuberay
    if len(documents) > 1:
        raise UserError(f"{path} has {len(documents)} YAML documents: `ray up` reads one")
    provider = documents[0].get("provider")
    given = provider.get("type") if isinstance(provider, dict) else None
    if given not in (Kind.aws, Kind.onprem):
        raise UserError(
            f"{path}: provider.type={given!r} can't be checked: known are aws, local (your own "
            "machines), and Kubernetes files with apiVersion ray.io/v1"
        )
    return Kind(given)


def all_strings(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every string in nested data, with the dotted path to it."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from all_strings(below, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from all_strings(below, f"{where}[{number}]")
    elif isinstance(value, str):
        yield where, value


def as_mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one: rules don't judge types."""
    return value if isinstance(value, dict) else {}


def section(value: Any, *keys: str) -> dict[str, Any]:
    """The mapping at the end of a path of keys, empty where there is none."""
    for key in keys:
        value = as_mapping(value).get(key)
    return as_mapping(value)


def as_list(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def as_strings(value: Any) -> list[str]:
    """The strings of a list."""
    return [one for one in as_list(value) if isinstance(one, str)]
