"""Ray's own check of a file for `ray up`, without talking to any cloud, and what it lets pass.

Ray's JSON schema refuses unknown keys and wrong types everywhere but under `provider`, where it
takes any key and reads only those it knows: a mistyped one (cache_stopped_nodes, worker_ips) would
be silently ignored.
"""

from __future__ import annotations

import copy
import io
import logging
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import click
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config

from drnas_ray.cluster.finding import Finding, problem
from drnas_ray.cluster.read import Kind, as_mapping
from drnas_ray.core.errors import did_you_mean

_EVERY_PROVIDER = (
    "type", "use_internal_ips", "disable_node_updaters", "disable_launch_config_check",
    "foreground_node_launch", "worker_liveness_check",
)  # fmt: skip
PROVIDER_KEYS: dict[Kind, tuple[str, ...]] = {
    Kind.aws: (
        *_EVERY_PROVIDER, "region", "availability_zone", "cache_stopped_nodes", "security_group",
        "key_pair", "use_external_head_ip", "aws_credentials", "cloudwatch",
    ),
    Kind.onprem: (*_EVERY_PROVIDER, "head_ip", "worker_ips", "external_head_ip"),
}  # fmt: skip
"""What Ray 2.60 reads under `provider`."""


def provider_problems(kind: Kind, raw: dict[str, Any]) -> Iterator[Finding]:
    """Keys under `provider` that Ray would ignore."""
    for key in as_mapping(raw.get("provider")):
        if key not in PROVIDER_KEYS[kind]:
            yield problem(f"provider.{key}", f"Ray ignores this key: {_hint(key, kind)}")


def _hint(key: object, kind: Kind) -> str:
    known = PROVIDER_KEYS[kind]
    return f"{did_you_mean(str(key), known)}known: {', '.join(sorted(known))}"


def ray_complaint(raw: dict[str, Any]) -> str | None:
    """The first thing that Ray would refuse, as one line; None if it accepts the file."""
    output = io.StringIO()
    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)
    try:
        with redirect_stdout(output), redirect_stderr(output):
            validate_config(prepare_config(copy.deepcopy(raw)))
    except ValidationError as error:
        return _schema_error(error)
    except (
        AssertionError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        return " ".join(str(error).split())
    except (click.ClickException, SystemExit):
        return re.sub(r"^\S+ \S+ PANIC \S+ -- ", "", " ".join(output.getvalue().split()))
    return None


def _schema_error(error: ValidationError) -> str:
    """The place and the schema's message; for an unknown key also the nearest known one."""
    where = ".".join(str(part) for part in error.absolute_path)
    text = error.message
    schema: dict[str, Any] = as_mapping(error.schema)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = as_mapping(schema.get("properties"))
        unknown = next(str(key) for key in error.instance if key not in known)
        text = f"unknown key '{unknown}': {did_you_mean(unknown, known)}".rstrip(" :")
    return f"{where}: {text}" if where else text
