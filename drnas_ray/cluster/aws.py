"""Rules for clusters on AWS: who may come in, what is started, and how many."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from drnas_ray.cluster.finding import Finding, note, problem
from drnas_ray.cluster.read import FILL_IN, listed, mapping
from drnas_ray.core.errors import did_you_mean

_WORLD = ("0.0.0.0/0", "::/0")
_OWN_KEYS = ("SubnetIds",)  # read by Ray itself, never sent to EC2
_SENT_BY_RAY = {"MinCount": 1, "MaxCount": 1}


def aws_problems(raw: dict[str, Any]) -> Iterator[Finding]:
    """All of them."""
    types = mapping(raw.get("available_node_types"))
    yield from numbers(raw, types)
    yield from security(raw, types)
    for name, node in types.items():
        where = f"available_node_types.{name}.node_config"
        yield from instance(where, mapping(mapping(node).get("node_config")))
    yield from _head(raw, types)


def numbers(raw: dict[str, Any], types: dict[str, Any]) -> Iterator[Finding]:
    """Least and most of each type, and of all."""
    most_of_all = raw.get("max_workers")
    if most_of_all is None:
        yield problem("max_workers", "is missing: Ray would stop at 2; say what you can pay for")
    wanted = 0
    for name, node in types.items():
        least, most = mapping(node).get("min_workers", 0), mapping(node).get("max_workers")
        if not isinstance(least, int):
            continue
        wanted += least if name != raw.get("head_node_type") else 0
        if isinstance(most, int) and least > most:
            yield problem(
                f"available_node_types.{name}", f"min_workers={least} is above max_workers={most}"
            )
    if isinstance(most_of_all, int) and wanted > most_of_all >= 0:
        yield problem(
            "max_workers",
            f"{most_of_all} is below the {wanted} that the types' min_workers ask for",
        )


def security(raw: dict[str, Any], types: dict[str, Any]) -> Iterator[Finding]:
    """Only the launcher may come in, by ssh. Ray's own group lets everybody try."""
    for name, node in types.items():
        config = mapping(mapping(node).get("node_config"))
        if not config.get("SecurityGroupIds") and not config.get("NetworkInterfaces"):
            yield problem(
                f"available_node_types.{name}.node_config.SecurityGroupIds",
                "is missing: Ray would make a group that opens port 22 to the whole world; name "
                "one that lets in ssh from your address only",
            )
    group = mapping(mapping(raw.get("provider")).get("security_group"))
    for rule in listed(group.get("IpPermissions")):
        ranges = listed(mapping(rule).get("IpRanges")) + listed(mapping(rule).get("Ipv6Ranges"))
        open_to = [v for one in ranges for v in mapping(one).values() if v in _WORLD]
        if open_to:
            ports = f"{mapping(rule).get('FromPort')} to {mapping(rule).get('ToPort')}"
            yield problem(
                "provider.security_group.IpPermissions",
                f"ports {ports} are open to the whole world ({open_to[0]}): give your own address "
                "as x.x.x.x/32",
            )


def _head(raw: dict[str, Any], types: dict[str, Any]) -> Iterator[Finding]:
    if raw.get("head_node_type") is None or not types:
        return
    head = str(raw["head_node_type"])
    if head not in types:
        hint = did_you_mean(head, types)
        yield problem(
            "head_node_type", f"'{head}' is no type: {hint}known: {', '.join(sorted(types))}"
        )
        return
    where = f"available_node_types.{head}"
    if mapping(mapping(types[head]).get("node_config")).get("InstanceMarketOptions"):
        yield problem(
            f"{where}.node_config.InstanceMarketOptions",
            "the head on a spot instance: when it is taken, the whole cluster goes with it",
        )
    if mapping(types[head]).get("min_workers"):
        yield problem(
            f"{where}.min_workers", "the head's type would start workers too: leave it out"
        )


def instance(where: str, config: dict[str, Any]) -> Iterator[Finding]:
    """What would be asked of EC2, held to EC2's own description of the call in botocore."""
    if not config.get("InstanceType") and not config.get("LaunchTemplate"):
        yield problem(f"{where}.InstanceType", "is missing: name one, such as g5.xlarge")
    for key in _SENT_BY_RAY:
        if key in config:
            yield problem(f"{where}.{key}", "is set by Ray: leave it out")
    shape = _run_instances()
    if shape is None:
        yield note(where, "not checked, for boto3 is not installed here: `ray up` needs it too")
        return
    from botocore.validate import ParamValidator  # noqa: PLC0415  an optional dependency

    asked = {k: v for k, v in config.items() if k not in (*_OWN_KEYS, *_SENT_BY_RAY)}
    report = ParamValidator().validate({**asked, **_SENT_BY_RAY}, shape)
    for line in report.generate_report().splitlines():
        yield problem(where, " ".join(line.split()))
    yield from _enums(where, asked, shape)


def _enums(where: str, value: Any, shape: Any) -> Iterator[Finding]:
    """Values out of EC2's own lists, which botocore's check lets pass."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for key, below in value.items():
            if key in shape.members:
                yield from _enums(f"{where}.{key}", below, shape.members[key])
    elif shape.type_name == "list" and isinstance(value, list):
        for number, below in enumerate(value):
            yield from _enums(f"{where}[{number}]", below, shape.member)
    elif isinstance(value, str) and shape.type_name == "string" and _unlisted(value, shape.enum):
        hint = did_you_mean(value, shape.enum)
        yield problem(where, f"'{value}' is unknown to EC2: {hint}".rstrip(" :"))


def _unlisted(value: str, known: list[str]) -> bool:
    return bool(known) and value not in known and FILL_IN not in value


@cache
def _run_instances() -> Any:
    """botocore's description of what RunInstances takes; None where it isn't installed."""
    try:
        from botocore.loaders import Loader  # noqa: PLC0415  an optional dependency
        from botocore.model import ServiceModel  # noqa: PLC0415
    except ImportError:
        return None
    model = ServiceModel(Loader().load_service_model("ec2", "service-2"))
    return model.operation_model("RunInstances").input_shape
