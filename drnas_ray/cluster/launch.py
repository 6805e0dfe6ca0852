"""Rules for every file that `ray up` reads: how Ray starts, the token, mounts, storage, images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from drnas_ray.cluster.finding import Finding, note, problem, todo
from drnas_ray.cluster.read import mapping, texts

TOKEN = "~/.ray/auth_token"
HEAD, WORKER = "head_start_ray_commands", "worker_start_ray_commands"
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")

Raw = dict[str, Any]


def launch_problems(raw: Raw) -> Iterator[Finding]:
    """All of them."""
    yield from start_commands(raw)
    yield from dashboard(raw)
    yield from token(raw)
    yield from mounts(raw)
    yield from package(raw)
    yield from image(raw)
    yield from published_ports(raw)


def _starts(raw: Raw, key: str) -> list[str]:
    return [line for line in texts(raw.get(key)) if re.search(r"\bray start\b", line)]


def _option(line: str, name: str) -> str | None:
    found = re.search(rf"{re.escape(name)}[= ]\s*([^\s'\";&]+)", line)
    return found[1] if found else None


def start_commands(raw: Raw) -> Iterator[Finding]:
    """The head manages the workers, and the workers join the head."""
    head, worker = _starts(raw, HEAD), _starts(raw, WORKER)
    if raw.get(HEAD) is not None and not any("--head" in line for line in head):
        yield problem(HEAD, "no `ray start --head`: nothing would start on the head")
        return
    port = None
    for line in head:
        port = _option(line, "--port")
        if _option(line, "--autoscaling-config") is None:
            yield problem(
                HEAD,
                "`ray start --head` without --autoscaling-config=~/ray_bootstrap_config.yaml: no "
                "worker would ever be started",
            )
    if raw.get(WORKER) is not None and not worker:
        yield problem(WORKER, "no `ray start`: workers would never join")
    for line in worker:
        address = _option(line, "--address")
        if address is None or "RAY_HEAD_IP" not in address:
            yield problem(WORKER, "`ray start` without --address=$RAY_HEAD_IP:PORT: joins no head")
        elif port is not None and not address.endswith(f":{port}"):
            yield problem(WORKER, f"--address={address}, but the head listens at --port={port}")


def dashboard(raw: Raw) -> Iterator[Finding]:
    """The dashboard runs jobs for whoever reaches it."""
    for line in _starts(raw, HEAD):
        host = _option(line, "--dashboard-host")
        if host is not None and host not in _LOCAL_HOSTS:
            yield problem(
                HEAD,
                f"--dashboard-host={host} opens the dashboard to other machines: give 127.0.0.1, "
                "and reach it through `ray dashboard`",
            )


def token(raw: Raw) -> Iterator[Finding]:
    """Nobody without the token talks to the cluster."""
    sources = [
        source
        for target, source in mapping(raw.get("file_mounts")).items()
        if str(target).endswith(".ray/auth_token")
    ]
    if not sources:
        yield problem("file_mounts", f'no token: mount it on every node, "{TOKEN}": "{TOKEN}"')
    for source in sources:
        if isinstance(source, str) and not Path(source).expanduser().is_file():
            yield todo(
                "file_mounts", f"token {source} does not exist: `ray get-auth-token --generate`"
            )
    options = " ".join(texts(mapping(raw.get("docker")).get("run_options")))
    if re.search(r"(?:--env|-e)[= ]['\"]?RAY_AUTH_MODE=token\b", options):
        return
    for key in (HEAD, WORKER):
        for line in _starts(raw, key):
            if not re.search(r"\bRAY_AUTH_MODE=token\b", line):
                yield problem(
                    key,
                    "no token authentication: put RAY_AUTH_MODE=token before `ray start`, or "
                    "`--env RAY_AUTH_MODE=token` into docker.run_options",
                )


def mounts(raw: Raw) -> Iterator[Finding]:
    """What is copied to the nodes is there to be copied. Ray reads a path from where it is run."""
    for target, source in mapping(raw.get("file_mounts")).items():
        if not isinstance(source, str) or str(target).endswith(".ray/auth_token"):
            continue
        if not Path(source).expanduser().exists():
            yield problem(
                f"file_mounts.{target}",
                f"{source} does not exist (seen from {Path.cwd()}, where ray would look too)",
            )


def package(raw: Raw) -> Iterator[Finding]:
    """The nodes have drnas-ray."""
    images = mapping(raw.get("docker"))
    own = any(
        not str(images[key]).startswith("rayproject/")
        for key in ("image", "head_image")
        if images.get(key)
    )
    installs = [
        line for key in ("setup_commands", "head_setup_commands") for line in texts(raw.get(key))
    ]
    if not own and not any("drnas" in line for line in installs):
        yield problem(
            "setup_commands",
            "nothing installs drnas-ray on the nodes, or sees that it is there: add "
            "`pip install ...` or at least `drnas --version`",
        )


def image(raw: Raw) -> Iterator[Finding]:
    """The container's Ray is this machine's, and it can be named."""
    docker = mapping(raw.get("docker"))
    names = [str(docker[key]) for key in ("image", "head_image", "worker_image") if docker.get(key)]
    if names and not docker.get("container_name"):
        yield problem("docker.container_name", "is missing: `ray up` needs a name, such as drnas")
    for name in names:
        yield from image_version("docker.image", name)


def image_version(where: str, name: str) -> Iterator[Finding]:
    """A tag that stays what it is, with the Ray that is installed here."""
    tag = name.rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest", "nightly"):
        yield problem(where, f"{name} changes from day to day: name a version's tag")
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
    """No port of the container is put on the machine's outer addresses."""
    docker = mapping(raw.get("docker"))
    for key in ("run_options", "head_run_options", "worker_run_options"):
        for option in texts(docker.get(key)):
            if re.search(r"(?:^|\s)(?:-p|--publish|-P|--publish-all)(?:[= ]|$)", option):
                yield problem(
                    f"docker.{key}",
                    f"'{option}' publishes ports: Ray uses the host's network, "
                    "and nothing but ssh should be open",
                )
