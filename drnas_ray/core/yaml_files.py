"""YAML read safely: a repeated key is an error, and every problem is one line."""

from __future__ import annotations

import re
from typing import Any

import yaml

from drnas_ray.core.errors import UserError


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a repeated key: PyYAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping. Raises yaml.MarkedYAMLError at the repetition."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"key '{key.value}' is given twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _PlainNumbers(_UniqueKeys):
    """Also reads numbers as people mean them.

    YAML 1.1 takes 1:20 for 1 * 60 + 20, so seeds 1 to 19 would become seed 80, and 1e-3 for text.
    """


_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_SIGNS_AND_DIGITS = list("-+0123456789")
_PlainNumbers.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag != _INT]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainNumbers.add_implicit_resolver(
    _INT, re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"), _SIGNS_AND_DIGITS
)
_PlainNumbers.add_implicit_resolver(
    _FLOAT, re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), _SIGNS_AND_DIGITS
)


def load_yaml(text: str, where: str) -> Any:
    """The one document of our own files, with 1:20 as text and 1e-3 as a number.

    where: the text's name in errors. Raises UserError.
    """
    try:
        return yaml.load(text, Loader=_PlainNumbers)
    except yaml.YAMLError as error:
        raise _not_yaml(where, error) from error


def load_all(text: str, where: str) -> list[Any]:
    """Every document, with YAML 1.1's own types, as Ray and Kubernetes read it.

    where: the text's name in errors. Raises UserError.
    """
    try:
        return list(yaml.load_all(text, Loader=_UniqueKeys))
    except yaml.YAMLError as error:
        raise _not_yaml(where, error) from error


def _not_yaml(where: str, error: yaml.YAMLError) -> UserError:
    return UserError(f"{where} is not valid YAML: {' '.join(str(error).split())}")
