"""Rules for clusters of your own machines: no sweep may wait for machines that never join."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drnas_ray.cluster.finding import Finding, problem, todo
from drnas_ray.cluster.launch import HEAD, ray_starts
from drnas_ray.cluster.read import FILL_IN, as_strings, section


def onprem_problems(raw: dict[str, Any]) -> Iterator[Finding]:
    """Everything that these rules find."""
    provider = section(raw, "provider")
    workers = as_strings(provider.get("worker_ips"))
    yield from _addresses(provider.get("head_ip"), workers)
    for key in ("min_workers", "max_workers"):
        given = raw.get(key)
        if isinstance(given, int) and given > len(workers):
            yield problem(key, f"{given} is above the {len(workers)} worker_ips that are listed")
    key_file = section(raw, "auth").get("ssh_private_key")
    if isinstance(key_file, str) and not (
        FILL_IN in key_file or Path(key_file).expanduser().is_file()
    ):
        yield todo("auth.ssh_private_key", f"{key_file} does not exist: `ssh-keygen -f {key_file}`")
    # Seen when run with Ray 2.60: the newer autoscaler counts the head as one of the workers.
    starts = ray_starts(raw, HEAD)
    if starts and not any("RAY_enable_autoscaler_v2=0" in line for line in starts):
        yield problem(
            HEAD,
            "needs RAY_enable_autoscaler_v2=0 before `ray start`: Ray's newer autoscaler counts "
            "the head as a worker and would leave out the last one",
        )


def _addresses(head: Any, workers: list[str]) -> Iterator[Finding]:
    """Every address is another machine: a second Ray on one would never join."""
    if head in workers:
        yield problem("provider.worker_ips", f"{head} is the head: list the other machines only")
    for twice in sorted({host for host in workers if workers.count(host) > 1}):
        yield problem("provider.worker_ips", f"{twice} is listed twice")
