"""Whether an export still matches the trials of its folder, without reading them.

An export stores a digest of the path, size and modification time of every file it was made from.
Trials only append to or replace their files, so an equal digest means equal content; a copied
folder has other times, so its trials are read again, which is slow but never wrong.
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
    """The digest of a results folder as it is now; to be taken before its trials are read.

    It includes the program's version: another one may derive other columns from the same trials.
    """
    lines = [f"drnas-ray {__version__}, schema {SCHEMA_VERSION}"]
    for name in sorted(sources(results)):
        try:
            found = Path(f"{results}/{name}").stat()
        except OSError:
            continue
        lines.append(f"{name} {found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
