"""Ray's own check of a file for `ray up`, without talking to any cloud."""

from __future__ import annotations

import copy
import io
import logging
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import click
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config


def ray_complaint(raw: dict[str, Any]) -> str | None:
    """What Ray would refuse first, as one line; None where it takes the file."""
    said = io.StringIO()
    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)
    try:
        with redirect_stdout(said), redirect_stderr(said):
            validate_config(prepare_config(copy.deepcopy(raw)))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        return f"{where}: {error.message}" if where else error.message
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
        return " ".join(said.getvalue().split())
    return None
