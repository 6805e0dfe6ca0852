"""Results must go to one place that all nodes share, or they are lost with the nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drnas_ray.cluster.finding import Finding, problem
from drnas_ray.cluster.read import as_strings, section

_MOUNTS = ("mount ", "mount.nfs", "s3fs", "goofys")


def results_of(raw: dict[str, Any]) -> str | None:
    """Where sweeps put their results, as far as the file says."""
    given = section(raw, "metadata").get("results")
    return given if isinstance(given, str) else None


def storage_problems(raw: dict[str, Any], *, mounted_by_file: bool) -> Iterator[Finding]:
    """Nodes share one storage.

    mounted_by_file: machines are new each time, so the file itself must mount it.
    """
    results = results_of(raw)
    if results is None:
        yield problem(
            "metadata.results",
            "is missing: give a folder that all nodes mount, or s3://BUCKET/PREFIX",
        )
    elif "://" in results:
        return
    elif not results.startswith("/"):
        yield problem(
            "metadata.results",
            f"{results} is not an absolute path: it may be another folder on every node",
        )
    elif mounted_by_file:
        yield from _mounted(raw, results)


def _mounted(raw: dict[str, Any], results: str) -> Iterator[Finding]:
    commands = as_strings(raw.get("initialization_commands")) + as_strings(
        raw.get("setup_commands")
    )
    mounting = [line for line in commands if any(word in line for word in _MOUNTS)]
    places = [
        word.rstrip("/")
        for line in mounting
        for word in line.split()
        if word.startswith("/") and _inside(results, word)
    ]
    if not places:
        yield problem(
            "initialization_commands",
            f"nothing mounts shared storage at {results} or above: results would stay on each "
            "node's own disk and be lost with it",
        )
        return
    docker = section(raw, "docker")
    if not docker.get("image") and not docker.get("head_image"):
        return
    shown = [
        part
        for option in as_strings(docker.get("run_options"))
        if option.startswith(("-v", "--volume", "--mount"))
        for part in option.replace("=", " ").replace(",", " ").split()
    ]
    if not any(
        _inside(results, end)
        for part in shown
        for end in part.split(":")[1:2]
        if end.startswith("/")
    ):
        yield problem(
            "docker.run_options",
            f"the container can't see {results}: add `--volume {places[0]}:{places[0]}`",
        )


def _inside(path: str, folder: str) -> bool:
    clean = folder.rstrip("/")
    return bool(clean) and (path == clean or path.startswith(f"{clean}/"))
