"""Results on a shared store: commands accept a URI in place of a folder.

A command works on a temporary local copy; what it adds is copied back at the end, even after an
error.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from drnas_ray.results.layout import is_read, is_trial_file

if TYPE_CHECKING:
    from drnas_ray.core.stores import Store

# Not http, ray or sqlite, whose URIs are options of other kinds.
_URI = re.compile(r"(?P<option>--[\w-]+=)?(?P<uri>(?:s3|gs|gcs|abfs|abfss|hdfs)://\S+)")
_copies: dict[Path, Store] = {}


@contextmanager
def local_copies(args: Sequence[str]) -> Iterator[list[str]]:
    """The arguments with local folders in place of URIs. Raises UserError."""
    if list(args[:2]) == ["bench", "build"]:  # writes to a store cell by cell
        yield list(args)
        return
    with tempfile.TemporaryDirectory(prefix="drnas-store-") as name:
        replaced = [_replaced(arg, Path(name)) for arg in args]
        try:
            yield replaced
        finally:
            for folder, store in _copies.items():
                store.push(folder, leave=is_trial_file)
            _copies.clear()


def _replaced(arg: str, below: Path) -> str:
    match = _URI.fullmatch(arg)
    if match is None:
        return arg
    from drnas_ray.core.stores import Store

    store = Store.open(match["uri"])
    folder = below / f"{len(_copies)}-{Path(store.path).name}"
    folder.mkdir()
    store.pull(folder, is_read)
    _copies[folder] = store
    return f"{match['option'] or ''}{folder}"


def store_of(folder: Path) -> Store | None:
    """The store that this folder is a local copy of, None for an ordinary folder."""
    return _copies.get(folder)


def display_path(path: Path) -> str:
    """The path to print: on the store, if it is in a local copy of one."""
    for folder, store in _copies.items():
        if path == folder or folder in path.parents:
            place, sign, query = store.uri.partition("?")
            inner = path.relative_to(folder).as_posix()
            return f"{place.rstrip('/')}{'' if inner == '.' else f'/{inner}'}{sign}{query}"
    return str(path)
