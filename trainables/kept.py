"""The checkpoints in trials' folders: a trial resumes from the newest that can be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyarrow.fs import FileSelector, FileType
from ray.tune import Checkpoint

from drnas_ray.results.layout import PASSED_OVER_FILE, RECORDS_FILE


def newest_first(folder: str, storage: Any) -> list[Checkpoint]:
    """The checkpoints in a trial's folder, by the number of epochs in them.

    Not by their names: a trial restored from a later one than Tune knew repeats numbers.
    """
    files = storage.get_file_info(FileSelector(folder, recursive=True, allow_not_found=True))
    epochs: dict[str, int] = {}
    for file in files:
        parent, _, name = file.path.rpartition("/")
        if name == RECORDS_FILE:
            with storage.open_input_stream(file.path) as stream:
                epochs[parent] = stream.read().count(b"\n")
    ordered = sorted(epochs, key=lambda folder: epochs[folder], reverse=True)
    return [Checkpoint(folder, storage) for folder in ordered]


def load_first(
    kept: Sequence[Checkpoint], load: Callable[[Checkpoint], object]
) -> tuple[Checkpoint | None, dict[Checkpoint, Exception]]:
    """Load the first that can be read; returns it, and the errors of those before it."""
    damaged: dict[Checkpoint, Exception] = {}
    for each in kept:
        try:
            load(each)
        except (OSError, ValueError) as error:  # a UserError is a ValueError
            damaged[each] = error
        else:
            return each, damaged
    return None, damaged


def note_passed_over(
    damaged: Mapping[Checkpoint, Exception], used: Checkpoint | None, epoch: int
) -> None:
    """Add a line for each damaged checkpoint that was newer than the one in use, if any is."""
    if not damaged:
        return
    parent, _, _ = next(iter(damaged)).path.rstrip("/").rpartition("/")
    storage: Any = next(iter(damaged)).filesystem
    path = f"{parent}/{PASSED_OVER_FILE}"
    name = "nothing" if used is None else used.path.rstrip("/").rpartition("/")[2]
    lines = [
        # A results folder may be moved, so its place is left out.
        json.dumps({"problem": str(why).replace(f"{parent}/", ""), "used": name, "epoch": epoch})
        for why in damaged.values()
    ]
    if storage.get_file_info(path).type != FileType.NotFound:
        with storage.open_input_stream(path) as stream:
            lines = [*stream.read().decode().splitlines(), *lines]
    with storage.open_output_stream(path) as stream:  # a bucket cannot append
        stream.write("".join(f"{line}\n" for line in dict.fromkeys(lines)).encode())
