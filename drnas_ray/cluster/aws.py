"""Rules for clusters on AWS: who can reach the machines, what is started, and how many.

Ray asks EC2 for workers only when trials wait for them, long after `ray up` has said that all is
well: a request that EC2 refuses leaves the head running, and the sweep waiting for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from drnas_ray.cluster.finding import Finding, note, problem
from drnas_ray.cluster.read import FILL_IN, as_list, as_mapping, section
from drnas_ray.core.errors import did_you_mean

_WORLD = ("0.0.0.0/0", "::/0")
_READ_BY_RAY = ("SubnetIds",)
"""Keys of node_config that are never sent to EC2."""
_SENT_BY_RAY = {"MinCount": 1, "MaxCount": 1}


def aws_problems(raw: dict[str, Any]) -> Iterator[Finding]:
    """Everything that these rules find."""
    types = section(raw, "available_node_types")
    yield from worker_counts(raw, types)
    yield from open_ports(raw, types)
    for name, node in types.items():
        where = f"available_node_types.{name}.node_config"
        yield from ec2_request(where, section(node, "node_config"))
    yield from head(raw, types)


def worker_counts(raw: dict[str, Any], types: dict[str, Any]) -> Iterator[Finding]:
    """The cost limit is stated, and no type asks for more machines than it may have."""
    if raw.get("max_workers") is None:
        yield problem(
            "max_workers", "is missing: Ray would stop at 2; say how many you can pay for"
        )
    for name, node in types.items():
        least, most = as_mapping(node).get("min_workers"), as_mapping(node).get("max_workers")
        if isinstance(least, int) and isinstance(most, int) and least > most:
            yield problem(
                f"available_node_types.{name}", f"min_workers={least} is above max_workers={most}"
            )


def open_ports(raw: dict[str, Any], types: dict[str, Any]) -> Iterator[Finding]:
    """Only ssh from your own address is let in; Ray's own group lets everybody try."""
    for name, node in types.items():
        config = section(node, "node_config")
        if not config.get("SecurityGroupIds") and not config.get("NetworkInterfaces"):
            yield problem(
                f"available_node_types.{name}.node_config.SecurityGroupIds",
                "is missing: Ray would make a group that opens port 22 to the whole world; name "
                "one that lets in ssh from your address only",
            )
    for rule in as_list(section(raw, "provider", "security_group").get("IpPermissions")):
        given = as_mapping(rule)
        ranges = as_list(given.get("IpRanges")) + as_list(given.get("Ipv6Ranges"))
        open_to = [v for one in ranges for v in as_mapping(one).values() if v in _WORLD]
        if open_to:
            ports = f"{given.get('FromPort')} to {given.get('ToPort')}"
            yield problem(
                "provider.security_group.IpPermissions",
                f"ports {ports} are open to the whole world ({open_to[0]}): give your own address "
                "as x.x.x.x/32",
            )


def head(raw: dict[str, Any], types: dict[str, Any]) -> Iterator[Finding]:
    """The head can't be taken away, and no further machine of its type is started."""
    name = str(raw.get("head_node_type"))
    node = as_mapping(types.get(name))
    where = f"available_node_types.{name}"
    if section(node, "node_config").get("InstanceMarketOptions"):
        yield problem(
            f"{where}.node_config.InstanceMarketOptions",
            "the head is a spot instance: when it is taken, the whole cluster is lost",
        )
    if node.get("min_workers"):
        yield problem(
            f"{where}.min_workers", "would start workers of the head's type too: leave it out"
        )


def ec2_request(where: str, config: dict[str, Any]) -> Iterator[Finding]:
    """What EC2 will be asked, compared with botocore's own description of the call."""
    if not config.get("InstanceType") and not config.get("LaunchTemplate"):
        yield problem(
            f"{where}.InstanceType", "is missing: EC2 would choose one; name it, such as g5.xlarge"
        )
    shape = _run_instances()
    if shape is None:
        yield note(where, "not checked, as boto3 is not installed here: `ray up` needs it too")
        return
    from botocore.validate import ParamValidator  # noqa: PLC0415  an optional dependency

    asked = {k: v for k, v in config.items() if k not in _READ_BY_RAY} | _SENT_BY_RAY
    report = ParamValidator().validate(asked, shape)
    for line in report.generate_report().splitlines():
        yield problem(where, " ".join(line.split()))
    yield from _unlisted_values(where, asked, shape)


def _unlisted_values(where: str, value: Any, shape: Any) -> Iterator[Finding]:
    """Strings that are not in EC2's own lists of values, which botocore's check accepts."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for key, below in value.items():
            if key in shape.members:
                yield from _unlisted_values(f"{where}.{key}", below, shape.members[key])
    elif shape.type_name == "list" and isinstance(value, list):
        for number, below in enumerate(value):
            yield from _unlisted_values(f"{where}[{number}]", below, shape.member)
    elif isinstance(value, str) and shape.type_name == "string":
        known = shape.enum
        if known and value not in known and FILL_IN not in value:
            hint = did_you_mean(value, known)
            yield problem(where, f"'{value}' is unknown to EC2: {hint}".rstrip(" :"))


@cache
def _run_instances() -> Any:
    """botocore's description of the input of RunInstances; None where it isn't installed."""
    try:
        from botocore.loaders import Loader  # noqa: PLC0415  an optional dependency
        from botocore.model import ServiceModel  # noqa: PLC0415
    except ImportError:
        return None
    model = ServiceModel(Loader().load_service_model("ec2", "service-2"))
    return model.operation_model("RunInstances").input_shape
