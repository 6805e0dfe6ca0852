"""Results on a shared store from the command line: a URI where a folder is asked for.

Commands work on a local copy that is here for the time of the command; what they add to it is
brought back at the end, also after an error.
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

# Not http, ray or sqlite: those are given for other things than results.
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
    """The store whose local copy this is, None for an ordinary folder."""
    return _copies.get(folder)


def shown(path: Path) -> str:
    """A path for people: on the store, where it is in a local copy of one."""
    for folder, store in _copies.items():
        if path == folder or folder in path.parents:
            place, sign, query = store.uri.partition("?")
            inner = path.relative_to(folder).as_posix()
            return f"{place.rstrip('/')}{'' if inner == '.' else f'/{inner}'}{sign}{query}"
    return str(path)
