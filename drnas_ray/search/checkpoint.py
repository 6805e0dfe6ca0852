"""Checkpoints: written aside and renamed into place; read without running anything in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from drnas_ray.errors import UserError


def save(state: dict[str, Any], path: Path) -> None:
    """Write the state so that `path` is either absent, the old one, or complete."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def load(path: Path, config_json: str) -> dict[str, Any]:
    """The state of the run with these settings.

    Raises UserError if the file is missing, damaged, or of a run with other settings.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes torch's reader raises nearly any kind
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"checkpoint {path} is damaged: {why}") from error
    if not isinstance(state, dict) or "config" not in state:
        raise UserError(f"checkpoint {path} is none of this program's: it holds no settings")
    if state["config"] != config_json:
        raise UserError(f"checkpoint {path} is of a run with other settings: start that one anew")
    return state
