"""Files under the data root: its place, locks, the cache of decoded images."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from drnas_ray.core.errors import UserError
from drnas_ray.core.files import atomic_replacement, locked
from drnas_ray.data.images import Labels, Pixels

FORMAT = "1"
"""Increase it when the same files are to be decoded or split differently."""


def data_root(root: Path | None) -> Path:
    """`root`, else the folder that DRNAS_DATA_ROOT names, else ~/.cache/drnas-ray."""
    if root is not None:
        return root.expanduser()
    named = os.environ.get("DRNAS_DATA_ROOT")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "drnas-ray"


def writable_folder(folder: Path) -> Path:
    """`folder`, created if needed. Raises UserError where that can't be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from error
    return folder


@contextmanager
def lock(root: Path, name: str) -> Iterator[None]:
    """Hold the lock `name` under `root`: one process at a time, freed also when it dies.

    Raises UserError where nothing can be written there.
    """
    path = writable_folder(root) / f".{name}.lock"
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path))
        except OSError as error:
            raise _not_writable(path, error) from error
        yield


def decode_once(
    root: Path, key: Iterable[str], make: Callable[[], tuple[Pixels, Labels]]
) -> tuple[Pixels, Labels]:
    """What `make` returns, from root/decoded if it was stored there under the same `key`.

    A reader never sees half a file; processes that start at the same time each do the work, and the
    last one's file stays. A stored file that can't be read is made again.
    """
    digest = hashlib.sha256("\n".join([FORMAT, *key]).encode()).hexdigest()[:24]
    path = root / "decoded" / f"{digest}.npz"
    if path.exists():
        try:
            # Opened here: numpy leaves the file open when its end is missing.
            with path.open("rb") as kept_file, np.load(kept_file, allow_pickle=False) as kept:
                return kept["images"], kept["labels"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass  # cut off by a full disk or a crash of the machine: below it is written again
    images, labels = make()
    writable_folder(path.parent)
    try:
        with atomic_replacement(path) as aside, aside.open("xb") as handle:
            np.savez(handle, images=images, labels=labels)
    except OSError as error:
        raise _not_writable(path, error) from error
    return images, labels


def fingerprint(files: Iterable[Path]) -> list[str]:
    """One line per file: its path, its size in bytes, when it was modified in ns."""
    lines = []
    for file in files:
        stat = file.stat()
        lines.append(f"{file.absolute()} {stat.st_size} {stat.st_mtime_ns}")
    return lines


def one_line(error: BaseException) -> str:
    """The text of an error on one line, or its type where it has no text."""
    return " ".join(str(error).split()) or type(error).__name__


def _not_writable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"can't write {path} ({error.strerror or one_line(error)}): set DRNAS_DATA_ROOT to a "
        f"writable folder with enough space"
    )
