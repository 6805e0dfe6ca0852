"""What may stand in a file for `ray up` (Ray 2.60), stricter than Ray's own schema.

Ray takes any key under `provider` and reads only those it knows; a mistyped one is lost without a
word. Commands and the settings of instances have rules of their own, in the files beside this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drnas_ray.cluster.finding import Finding, problem
from drnas_ray.core.errors import did_you_mean


class Shape(BaseModel):
    """A group of keys: no unknown ones, no text for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SecurityGroup(Shape):
    """A group that Ray looks up by name, or makes."""

    GroupName: str | None = None
    IpPermissions: list[dict[str, Any]] = []


class KeyPair(Shape):
    """Name of the EC2 key pair to use."""

    key_name: str


class AnyProvider(Shape):
    """What every provider reads."""

    use_internal_ips: bool = False
    disable_node_updaters: bool = False
    disable_launch_config_check: bool = False
    foreground_node_launch: bool = False
    worker_liveness_check: bool = True


class AwsProvider(AnyProvider):
    """What Ray's AWS provider reads."""

    type: Literal["aws"]
    region: str
    availability_zone: str | None = None
    cache_stopped_nodes: bool = True
    use_external_head_ip: bool = False
    security_group: SecurityGroup = SecurityGroup()
    key_pair: KeyPair | None = None
    aws_credentials: dict[str, str] = {}
    cloudwatch: dict[str, Any] = {}


class LocalProvider(AnyProvider):
    """What Ray's provider for machines of one's own reads."""

    type: Literal["local"]
    head_ip: str
    worker_ips: list[str]
    external_head_ip: str | None = None


class Auth(Shape):
    """How nodes are reached by ssh."""

    ssh_user: str
    ssh_private_key: str | None = None
    ssh_public_key: str | None = None
    ssh_proxy_command: str | None = None
    ssh_proxy_use_node_id: bool = False


class Docker(Shape):
    """The container that Ray runs in."""

    image: str | None = None
    head_image: str | None = None
    worker_image: str | None = None
    container_name: str | None = None
    pull_before_run: bool = True
    run_options: list[str] = []
    head_run_options: list[str] = []
    worker_run_options: list[str] = []
    disable_automatic_runtime_detection: bool = False
    disable_shm_size_detection: bool = False
    use_podman: bool = False


class NodeType(Shape):
    """One kind of machine."""

    node_config: dict[str, Any]
    resources: dict[str, int]
    min_workers: int = Field(0, ge=0)
    max_workers: int | None = Field(None, ge=0)
    idle_timeout_s: float | None = None
    priority: int | None = None
    labels: dict[str, str] = {}
    initialization_commands: list[str] = []
    worker_setup_commands: list[str] | None = None
    docker: dict[str, Any] = {}


class LaunchFile(Shape):
    """What both kinds of file share."""

    cluster_name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")
    metadata: dict[str, Any] = {}
    auth: Auth
    docker: Docker = Docker()
    max_workers: int | None = Field(None, ge=0)
    idle_timeout_minutes: float = Field(5, ge=0)
    upscaling_speed: float = Field(1.0, ge=0)
    file_mounts: dict[str, str] = {}
    cluster_synced_files: list[str] = []
    file_mounts_sync_continuously: bool = False
    rsync_exclude: list[str] = []
    rsync_filter: list[str] = []
    initialization_commands: list[str] = []
    setup_commands: list[str] = []
    head_setup_commands: list[str] = []
    worker_setup_commands: list[str] = []
    head_start_ray_commands: list[str]
    worker_start_ray_commands: list[str]


class AwsFile(LaunchFile):
    """A cluster on AWS."""

    provider: AwsProvider
    head_node_type: str
    available_node_types: dict[str, NodeType]


class LocalFile(LaunchFile):
    """A cluster of machines of one's own; Ray makes up its only node type."""

    provider: LocalProvider
    min_workers: int | None = Field(None, ge=0)


def shape_problems(kind: type[Shape], raw: Mapping[str, Any], where: str = "") -> Iterator[Finding]:
    """Everything in `raw` that does not fit the model, each as one line."""
    try:
        kind.model_validate(dict(raw))
    except ValidationError as error:
        for one in error.errors(include_url=False):
            yield problem(_dotted(where, one["loc"]), _text(kind, one))


def _dotted(where: str, loc: tuple[int | str, ...]) -> str:
    path = where
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{part}"
    return path


def _text(kind: type[BaseModel], one: Any) -> str:
    if one["type"] == "extra_forbidden":
        known = sorted(_fields_at(kind, one["loc"][:-1]))
        return f"unknown key: {did_you_mean(str(one['loc'][-1]), known)}known: {', '.join(known)}"
    if one["type"] == "missing":
        return "is missing"
    message = one["msg"][0].lower() + one["msg"][1:]
    return f"{message.replace('dictionary', 'mapping')}, got {one['input']!r}"


def _fields_at(kind: type[BaseModel], loc: tuple[int | str, ...]) -> set[str]:
    """Names of the keys where `loc` leads."""
    here: Any = kind
    for part in loc:
        # In a mapping or a list, `part` is a key or a place, and all have one kind of value.
        in_model = _is_model(here)
        here = here.model_fields[str(part)].annotation if in_model else get_args(here)[-1]
        if get_origin(here) not in (dict, list):
            here = next((one for one in get_args(here) if _is_model(one)), here)
    return set(here.model_fields) if _is_model(here) else set()


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
