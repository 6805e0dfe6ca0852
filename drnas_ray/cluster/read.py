"""A cluster file as plain data, read as Ray and Kubernetes read it, and which kind it is."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from drnas_ray.core.errors import UserError

FILL_IN = "FILL-IN"
"""Stands in our files where a value is the user's to give."""

KUBERAY_API = "ray.io/"


class Kind(StrEnum):
    """Who starts the machines."""

    aws = "aws"
    onprem = "local"
    kuberay = "kuberay"


class _Loader(yaml.SafeLoader):
    """YAML as Ray reads it, but for a key that stands twice: Ray would take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a repeated key."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"key '{key.value}' stands twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(path: Path) -> list[dict[str, Any]]:
    """The documents of the file, empty ones left out. Raises UserError where it holds none."""
    try:
        documents = list(yaml.load_all(path.read_text(), Loader=_Loader))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cluster file {path} can't be read: {error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    found = [document for document in documents if document is not None]
    if not found or not all(isinstance(document, dict) for document in found):
        raise UserError(f"{path} should map names to values: it is no cluster file")
    return found


def kind_of(documents: list[dict[str, Any]], path: Path) -> Kind:
    """Which kind of cluster the documents describe. Raises UserError for none that is known."""
    versions = [str(document.get("apiVersion", "")) for document in documents]
    if any(version.startswith(KUBERAY_API) for version in versions):
        return Kind.kuberay
    if len(documents) > 1:
        raise UserError(f"{path} holds {len(documents)} YAML documents: `ray up` reads one")
    provider = documents[0].get("provider")
    given = provider.get("type") if isinstance(provider, dict) else None
    if given not in (Kind.aws, Kind.onprem):
        raise UserError(
            f"{path}: provider.type={given!r} can't be checked: known are aws, local (your own "
            "machines), and Kubernetes files with apiVersion ray.io/v1"
        )
    return Kind(given)


def strings(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in nested data, with the dotted path to it."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from strings(below, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from strings(below, f"{where}[{number}]")
    elif isinstance(value, str):
        yield where, value


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one: its type is complained about elsewhere."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """The texts of a list."""
    return [one for one in listed(value) if isinstance(one, str)]
