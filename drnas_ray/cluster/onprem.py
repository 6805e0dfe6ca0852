"""Rules for clusters of machines that are there already."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from drnas_ray.cluster.finding import Finding, problem, todo
from drnas_ray.cluster.launch import HEAD
from drnas_ray.cluster.read import FILL_IN, mapping, texts

_HOST = re.compile(r"^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")


def onprem_problems(raw: dict[str, Any]) -> Iterator[Finding]:
    """All of them."""
    provider = mapping(raw.get("provider"))
    head, workers = provider.get("head_ip"), texts(provider.get("worker_ips"))
    yield from _addresses(head, workers)
    for key in ("min_workers", "max_workers"):
        given = raw.get(key)
        if isinstance(given, int) and given > len(workers):
            yield problem(key, f"{given} is above the {len(workers)} worker_ips that are listed")
    least, most = raw.get("min_workers"), raw.get("max_workers")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        yield problem("min_workers", f"{least} is above max_workers={most}")
    secret = mapping(raw.get("auth")).get("ssh_private_key")
    if isinstance(secret, str) and not (FILL_IN in secret or Path(secret).expanduser().is_file()):
        yield todo("auth.ssh_private_key", f"{secret} does not exist: `ssh-keygen -f {secret}`")
    # Found by running it (Ray 2.60): the newer autoscaler counts the head as one of the workers.
    starts = [line for line in texts(raw.get(HEAD)) if "ray start" in line]
    if starts and not any("RAY_enable_autoscaler_v2=0" in line for line in starts):
        yield problem(
            HEAD,
            "without RAY_enable_autoscaler_v2=0 before `ray start` the last worker would be left "
            "out: Ray's newer autoscaler counts the head as one",
        )


def _addresses(head: Any, workers: list[str]) -> Iterator[Finding]:
    hosts: list[tuple[str, Any]] = [("head_ip", head), *(("worker_ips", one) for one in workers)]
    for where, host in hosts:
        if isinstance(host, str) and not _is_host(host):
            yield problem(f"provider.{where}", f"'{host}' is no address or host name")
    if head in workers:
        yield problem("provider.worker_ips", f"{head} is the head: list the other machines only")
    for twice in sorted({host for host in workers if workers.count(host) > 1}):
        yield problem("provider.worker_ips", f"{twice} is listed twice")


def _is_host(text: str) -> bool:
    if re.fullmatch(r"[0-9.]+", text) or ":" in text:
        try:
            ip_address(text)
        except ValueError:
            return False
        return True
    return _HOST.match(text) is not None
