"""Checkpoints: written to a temporary file and renamed; read without running code in them."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from drnas_ray.core.errors import UserError
from drnas_ray.core.files import atomic_replacement


def save(state: dict[str, Any], path: Path) -> None:
    """Write the state as `core.files.atomic_replacement` does, also to survive a power cut.

    Raises OSError or RuntimeError where it can't be written, and leaves nothing behind.
    """
    with atomic_replacement(path, sync=True) as aside, aside.open("wb") as file:
        torch.save(state, file)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk, or quota, is behind a failure to write."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        # torch's writer raises a RuntimeError of its own while it handles the OSError.
        error = error.__cause__ or error.__context__
    return False


def disk_full(folders: Iterable[Path]) -> RuntimeError:
    """A one-line error about the folder with the least free space."""
    free = {folder: shutil.disk_usage(folder).free for folder in folders}
    least = min(free, key=lambda folder: free[folder])
    return RuntimeError(
        f"the disk is full: no checkpoint can be written to {least} ({free[least] / 2**20:.1f} MiB "
        "free); earlier checkpoints are kept: free some space and resume with --resume"
    )


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
        raise UserError(f"checkpoint {path} was not written by this program: it holds no settings")
    if state["config"] != config_json:
        raise UserError(f"checkpoint {path} is of a run with other settings: start this one again")
    return state
