"""cluster.yaml up to the moment when machines would start, against an imitation of AWS (moto)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

# In a process of its own: moto and Ray's AWS provider keep global state, and warn on import.
SCRIPT = """
import copy, json, sys
from pathlib import Path
import yaml
from moto import mock_aws

text = Path("cluster.yaml").read_text()
with mock_aws():
    import boto3
    from ray.autoscaler._private.aws import config as aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.util import prepare_config, validate_config

    ec2 = boto3.client("ec2", region_name="us-west-2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="drnas", Description="drnas", VpcId=vpc)["GroupId"]
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    own = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    rules = [{**ssh, "IpRanges": [{"CidrIp": "198.51.100.7/32"}]}, own]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules)

    given = yaml.safe_load(text.replace("sg-FILL-IN", group))
    change = json.loads(sys.argv[1])
    for path, value in change.items():
        *parents, last = path.split("/")
        inside = given
        for part in parents:
            inside = inside[part]
        if value is None:
            del inside[last]
        else:
            inside[last] = value
    ready = prepare_config(copy.deepcopy(given))
    validate_config(ready)
    try:
        filled = AWSNodeProvider.fillout_available_node_types_resources(ready)
        filled = aws.bootstrap_aws(filled)
        types = filled["available_node_types"]
        started = {}
        provider = AWSNodeProvider(filled["provider"], filled["cluster_name"])
        for name, kind in types.items():
            node = copy.deepcopy(kind["node_config"])
            tags = {"ray-node-kind": "head" if name == "head" else "worker",
                    "ray-launch-config": "x", "ray-node-name": name, "ray-user-node-type": name}
            provider.create_node(node, tags, 1)
    except BaseException as error:
        print(json.dumps({"refused": f"{type(error).__name__}: {error}"}))
        sys.exit()
    machines = [
        {"type": one["InstanceType"], "life": one.get("InstanceLifecycle"),
         "groups": [g["GroupId"] for g in one["SecurityGroups"]]}
        for batch in ec2.describe_instances()["Reservations"] for one in batch["Instances"]
    ]
    worldwide = [
        [rule.get("FromPort"), g["GroupName"]]
        for g in ec2.describe_security_groups()["SecurityGroups"] for rule in g["IpPermissions"]
        for r in rule.get("IpRanges", []) if r["CidrIp"] == "0.0.0.0/0"
    ]
    print(json.dumps({
        "group": group, "machines": machines, "worldwide": worldwide,
        "resources": {name: kind["resources"] for name, kind in types.items()},
        "key": filled["auth"]["ssh_private_key"],
        "most": {name: kind["max_workers"] for name, kind in types.items()},
    }))
"""


def bootstrap(home: Path, **change: Any) -> dict[str, Any]:
    pytest.importorskip("moto", reason="moto[ec2,iam,s3] stands in for AWS")
    env = {
        "PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT),
        "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-west-2", "AWS_EC2_METADATA_DISABLED": "true",
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(change)],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_cluster_yaml_as_far_as_starting_machines(tmp_path: Path) -> None:
    found = bootstrap(tmp_path)
    assert "refused" not in found, found
    assert sorted((one["type"], one["life"]) for one in found["machines"]) == [
        ("g5.xlarge", "spot"),
        ("m5.xlarge", None),
    ]
    assert all(one["groups"] == [found["group"]] for one in found["machines"])
    assert found["worldwide"] == []
    assert found["resources"]["head"]["CPU"] == 0
    assert found["resources"]["gpu"] | {"CPU": 4, "GPU": 1} == found["resources"]["gpu"]
    assert found["most"] == {"head": 0, "gpu": 4}
    assert Path(found["key"]).is_file()
    assert Path(found["key"]).stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_without_a_group_of_our_own_ray_opens_ssh_to_the_world(tmp_path: Path) -> None:
    """Why the check refuses a file without SecurityGroupIds."""
    found = bootstrap(
        tmp_path,
        **{
            f"available_node_types/{name}/node_config/SecurityGroupIds": None
            for name in ("head", "gpu")
        },
    )
    assert found["worldwide"] == [[22, "ray-autoscaler-drnas"]]


@pytest.mark.slow
def test_an_unknown_instance_type_is_refused(tmp_path: Path) -> None:
    found = bootstrap(tmp_path, **{"available_node_types/gpu/node_config/InstanceType": "zz9.huge"})
    assert "zz9.huge" in found["refused"]
