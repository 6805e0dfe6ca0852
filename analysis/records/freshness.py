"""Whether an export is still what the trials of its folder say, without reading them.

An export keeps a digest of the path, size and time of change of every file it was made of. Trials
only ever append to or replace their files, so an equal digest means equal content; a copied folder
has other times and is read anew, which is slow and never wrong.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from drnas_ray import __version__
from drnas_ray.results.export_schema import SCHEMA_VERSION
from drnas_ray.results.layout import sources

DIGEST_KEY = b"drnas_ray.source_digest"
WARNINGS_KEY = b"drnas_ray.warnings"
"""A JSON list: what in the results folder could not be used."""


def source_digest(results: Path) -> str:
    """The digest of a results folder as it is now. Take it before reading: later is staler.

    The program's version is in it: another one may make other columns of the same trials.
    """
    lines = [f"drnas-ray {__version__}, schema {SCHEMA_VERSION}"]
    for name in sorted(sources(results)):
        try:
            found = Path(f"{results}/{name}").stat()
        except OSError:
            continue
        lines.append(f"{name} {found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
