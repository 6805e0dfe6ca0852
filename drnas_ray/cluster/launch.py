"""Rules for every file that `ray up` reads: access, how Ray starts, mounts, packages, images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from drnas_ray.cluster.finding import Finding, note, problem, todo
from drnas_ray.cluster.read import as_strings, section

TOKEN = "~/.ray/auth_token"
HEAD, WORKER = "head_start_ray_commands", "worker_start_ray_commands"
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")

Raw = dict[str, Any]


def launch_problems(raw: Raw) -> Iterator[Finding]:
    """Everything that these rules find."""
    yield from ssh_user(raw)
    yield from start_commands(raw)
    yield from dashboard(raw)
    yield from token(raw)
    yield from mounts(raw)
    yield from package(raw)
    yield from images(raw)
    yield from published_ports(raw)


def ray_starts(raw: Raw, key: str) -> list[str]:
    """The commands of a list that run `ray start`."""
    return [line for line in as_strings(raw.get(key)) if re.search(r"\bray start\b", line)]


def _option(line: str, name: str) -> str | None:
    found = re.search(rf"{re.escape(name)}[= ]\s*([^\s'\";&]+)", line)
    return found[1] if found else None


def ssh_user(raw: Raw) -> Iterator[Finding]:
    """Ray would start the head first and only then find that it can't log in."""
    if not section(raw, "auth").get("ssh_user"):
        yield problem("auth.ssh_user", "is missing: Ray would start machines it can't log in to")


def start_commands(raw: Raw) -> Iterator[Finding]:
    """Workers are started and join the head; otherwise the head waits alone and costs money."""
    for key in (HEAD, WORKER):
        if not as_strings(raw.get(key)):
            yield problem(
                key, "is missing: Ray's defaults open the dashboard to all and use no token"
            )
    head, worker = ray_starts(raw, HEAD), ray_starts(raw, WORKER)
    if raw.get(HEAD) and not any("--head" in line for line in head):
        yield problem(HEAD, "has no `ray start --head`: nothing would start on the head")
        return
    port = None
    for line in head:
        port = _option(line, "--port")
        if _option(line, "--autoscaling-config") is None:
            yield problem(
                HEAD,
                "`ray start --head` lacks --autoscaling-config=~/ray_bootstrap_config.yaml: no "
                "worker would ever be started",
            )
    if raw.get(WORKER) and not worker:
        yield problem(WORKER, "has no `ray start`: workers would be paid for and never join")
    for line in worker:
        address = _option(line, "--address")
        if address is None or "RAY_HEAD_IP" not in address:
            yield problem(
                WORKER, "`ray start` lacks --address=$RAY_HEAD_IP:PORT: it would join no head"
            )
        elif port is not None and not address.endswith(f":{port}"):
            yield problem(WORKER, f"--address={address}, but the head listens at --port={port}")


def dashboard(raw: Raw) -> Iterator[Finding]:
    """The dashboard runs jobs for anyone who reaches it."""
    for line in ray_starts(raw, HEAD):
        host = _option(line, "--dashboard-host")
        if host is not None and host not in _LOCAL_HOSTS:
            yield problem(
                HEAD,
                f"--dashboard-host={host} opens the dashboard to other machines: give 127.0.0.1, "
                "and reach it through `ray dashboard`",
            )


def token(raw: Raw) -> Iterator[Finding]:
    """Anyone who reaches a cluster without a token can run code on it."""
    sources = [
        source
        for target, source in section(raw, "file_mounts").items()
        if str(target).endswith(".ray/auth_token")
    ]
    if not sources:
        yield problem("file_mounts", f'no token: mount it on every node, "{TOKEN}": "{TOKEN}"')
    for source in sources:
        if isinstance(source, str) and not Path(source).expanduser().is_file():
            yield todo(
                "file_mounts", f"token {source} does not exist: `ray get-auth-token --generate`"
            )
    options = " ".join(as_strings(section(raw, "docker").get("run_options")))
    if re.search(r"(?:--env|-e)[= ]['\"]?RAY_AUTH_MODE=token\b", options):
        return
    for key in (HEAD, WORKER):
        for line in ray_starts(raw, key):
            if not re.search(r"\bRAY_AUTH_MODE=token\b", line):
                yield problem(
                    key,
                    "no token authentication: put RAY_AUTH_MODE=token before `ray start`, or "
                    "`--env RAY_AUTH_MODE=token` into docker.run_options",
                )


def mounts(raw: Raw) -> Iterator[Finding]:
    """Files to copy exist; Ray would miss them only after the head was started."""
    for target, source in section(raw, "file_mounts").items():
        if not isinstance(source, str) or str(target).endswith(".ray/auth_token"):
            continue
        if not Path(source).expanduser().exists():
            yield problem(
                f"file_mounts.{target}",
                f"{source} does not exist (relative to {Path.cwd()}, where ray would look too)",
            )


def package(raw: Raw) -> Iterator[Finding]:
    """Nodes have drnas-ray; otherwise every trial fails on machines that are paid for."""
    docker = section(raw, "docker")
    own_image = any(
        not str(docker[key]).startswith("rayproject/")
        for key in ("image", "head_image")
        if docker.get(key)
    )
    setup = as_strings(raw.get("setup_commands")) + as_strings(raw.get("head_setup_commands"))
    if not own_image and not any("drnas" in line for line in setup):
        yield problem(
            "setup_commands",
            "nothing installs drnas-ray on the nodes or checks that it is there: add "
            "`pip install ...` or at least `drnas --version`",
        )


def images(raw: Raw) -> Iterator[Finding]:
    """The container's image is one fixed version."""
    docker = section(raw, "docker")
    for key in ("image", "head_image", "worker_image"):
        if docker.get(key):
            yield from image_version("docker.image", str(docker[key]))


def image_version(where: str, name: str) -> Iterator[Finding]:
    """A tag that stays the same, with the Ray that is installed here.

    Workers start days after the head: with another Ray they could not join it.
    """
    tag = name.rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest", "nightly"):
        yield problem(where, f"{name} changes from day to day: give the tag of a version")
    found = re.match(r"rayproject/ray(?:-ml)?:(\d+\.\d+\.\d+)", name)
    here = _ray_version()
    if found and here is not None and found[1] != here:
        yield note(where, f"{name} has Ray {found[1]}, and this machine {here}: use the same")


def _ray_version() -> str | None:
    try:
        return version("ray")
    except PackageNotFoundError:
        return None


def published_ports(raw: Raw) -> Iterator[Finding]:
    """No port of the container is published on the machine's outer addresses."""
    docker = section(raw, "docker")
    for key in ("run_options", "head_run_options", "worker_run_options"):
        for option in as_strings(docker.get(key)):
            if re.search(r"(?:^|\s)(?:-p|--publish|-P|--publish-all)(?:[= ]|$)", option):
                yield problem(
                    f"docker.{key}",
                    f"'{option}' publishes ports: Ray uses the host's network, and nothing but ssh "
                    "should be open",
                )
