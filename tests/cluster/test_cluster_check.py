"""drnas cluster check: our files pass, and every way to break them is refused in one clear line."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from drnas_ray.cli import app
from drnas_ray.cluster import Level, check
from drnas_ray.cluster.check import check_documents
from drnas_ray.cluster.ray_schema import ray_complaint
from drnas_ray.cluster.read import Kind
from drnas_ray.core.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "aws": "cluster.yaml",
    "onprem": "clusters/onprem.yaml",
    "kuberay": "clusters/kuberay.yaml",
}
FILLED = {
    "sg-FILL-IN": "sg-0123456789abcdef0",
    "fs-FILL-IN": "fs-0123456789abcdef0",
    "FILL-IN-head": "192.0.2.10",
    "FILL-IN-worker-1": "192.0.2.11",
    "FILL-IN-worker-2": "node-2.example.org",
    "FILL-IN-user": "ray",
    "FILL-IN-registry": "registry.example.org/team",
}
HEAD, WORKER = "head_start_ray_commands", "worker_start_ray_commands"

Raw = dict[str, Any]


@pytest.fixture(autouse=True)
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with a token and a key; in the checkout, where relative paths start."""
    home = tmp_path / "home"
    for name in (".ray/auth_token", ".ssh/id_ed25519"):
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text("secret")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(ROOT)
    yield home


def filled(kind: str) -> list[Raw]:
    text = (ROOT / FILES[kind]).read_text()
    for old, new in FILLED.items():
        text = text.replace(old, new)
    return list(yaml.safe_load_all(text))


def problems(folder: Path, documents: list[Raw]) -> list[str]:
    path = folder / "file.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return [str(found) for found in check(path) if found.level is Level.problem]


def run(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["cluster", "check", *map(str, args)])
    return result.exit_code, result.stdout, result.stderr


# --- our own files ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FILES)
def test_our_files_pass_and_list_what_to_fill_in(kind: str) -> None:
    code, out, err = run(FILES[kind])
    assert code == 0, err
    assert "no problems" in out
    assert "FILL-IN" in err
    code, _, err = run("--ready", FILES[kind])
    assert code == 2
    assert all(line.startswith(("problem:", "note:", "error:")) for line in err.splitlines())


@pytest.mark.parametrize("kind", FILES)
def test_filled_in_files_are_ready(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(yaml.safe_dump_all(filled(kind)))
    code, out, err = run("--ready", path)
    assert code == 0, err
    assert out.endswith("no problems\n")


@pytest.mark.parametrize("kind", ["aws", "onprem"])
def test_ray_accepts_our_files(kind: str) -> None:
    (raw,) = yaml.safe_load_all((ROOT / FILES[kind]).read_text())
    assert ray_complaint(raw) is None
    assert "nowhere" in str(ray_complaint({**raw, "nowhere": 1}))


def test_the_launcher_needs_a_token_and_a_key(launcher: Path) -> None:
    (launcher / ".ray/auth_token").unlink()
    (launcher / ".ssh/id_ed25519").unlink()
    code, _, err = run("clusters/onprem.yaml")
    assert code == 0
    assert "token ~/.ray/auth_token does not exist: `ray get-auth-token --generate`" in err
    assert "~/.ssh/id_ed25519 does not exist" in err


# --- broken ones --------------------------------------------------------------------------------


def aws(change: Callable[[Raw], object], *said: str) -> Any:
    return pytest.param("aws", lambda documents: change(documents[0]), said)


def onprem(change: Callable[[Raw], object], *said: str) -> Any:
    return pytest.param("onprem", lambda documents: change(documents[0]), said)


def kube(change: Callable[[Raw, Raw], object], *said: str) -> Any:
    return pytest.param(
        "kuberay", lambda documents: change(documents[0]["spec"], documents[1]["spec"]), said
    )


def node(raw: Raw, name: str = "gpu") -> Raw:
    found: Raw = raw["available_node_types"][name]
    return found


def config(raw: Raw, name: str = "gpu") -> Raw:
    found: Raw = node(raw, name)["node_config"]
    return found


def replaced(raw: Raw, key: str, old: str, new: str) -> None:
    assert any(old in line for line in raw[key])
    raw[key] = [line.replace(old, new) for line in raw[key]]


def open_to_all(raw: Raw) -> None:
    rule = {"FromPort": 8265, "ToPort": 8265, "IpProtocol": "tcp"}
    rule["IpRanges"] = [{"CidrIp": "0.0.0.0/0"}]  # type: ignore[assignment]
    raw["provider"]["security_group"] = {"GroupName": "drnas", "IpPermissions": [rule]}


def pod(group: Raw) -> Raw:
    found: Raw = group["template"]["spec"]
    return found


BROKEN = [
    # keys
    aws(lambda f: f.update(max_worker=2), "unknown key 'max_worker': did you mean 'max_workers'"),
    aws(
        lambda f: f["provider"].update(cache_stoped_nodes=False),
        "provider.cache_stoped_nodes: Ray ignores this key: did you mean 'cache_stopped_nodes'",
    ),
    aws(lambda f: node(f).update(max_worker=1), "gpu: unknown key 'max_worker': did you mean"),
    aws(lambda f: f.update(max_workers="4"), "max_workers: '4' is not of type 'integer'"),
    aws(lambda f: node(f).update(resources={"GPU": 0.5}), "resources.GPU"),
    # how many
    aws(lambda f: node(f).update(min_workers=5), "min_workers=5 is above max_workers=4"),
    aws(lambda f: f.update(max_workers=-1), "max_workers"),
    aws(lambda f: f.pop("max_workers"), "max_workers: is missing"),
    aws(lambda f: node(f, "head").update(min_workers=1), "would start workers of the head's type"),
    aws(lambda f: f.update(idle_timeout_minutes=-1), "idle_timeout_minutes: -1 is less than"),
    # how Ray starts
    aws(
        lambda f: replaced(f, HEAD, "--autoscaling-config=~/ray_bootstrap_config.yaml", ""),
        "lacks --autoscaling-config",
    ),
    aws(lambda f: replaced(f, HEAD, "--head", ""), "has no `ray start --head`"),
    aws(lambda f: f.pop(HEAD), "defaults open the dashboard to all"),
    aws(lambda f: f.pop(WORKER), f"{WORKER}: is missing"),
    aws(lambda f: replaced(f, WORKER, ":6379", ":6380"), "the head listens at --port=6379"),
    aws(lambda f: replaced(f, WORKER, "--address=$RAY_HEAD_IP:6379", ""), "would join no head"),
    # who gets in
    aws(lambda f: replaced(f, HEAD, "127.0.0.1", "0.0.0.0"), "opens the dashboard"),
    aws(open_to_all, "ports 8265 to 8265 are open to the whole world"),
    aws(lambda f: config(f).pop("SecurityGroupIds"), "opens port 22 to the whole world"),
    aws(lambda f: f["docker"]["run_options"].append("-p 8265:8265"), "publishes ports"),
    aws(lambda f: f["file_mounts"].pop("~/.ray/auth_token"), "file_mounts: no token"),
    aws(
        lambda f: f["docker"]["run_options"].remove("--env RAY_AUTH_MODE=token"),
        f"{HEAD}: no token authentication",
        f"{WORKER}: no token authentication",
    ),
    # what nodes have
    aws(lambda f: f["file_mounts"].update({"~/x": "no/such"}), "file_mounts.~/x: no/such does not"),
    aws(lambda f: f.update(setup_commands=["true"]), "nothing installs drnas-ray"),
    aws(lambda f: f["docker"].update(image="rayproject/ray:latest"), "changes from day to day"),
    aws(lambda f: f["docker"].pop("container_name"), "Must provide a container & image name"),
    aws(lambda f: f.update(initialization_commands=[]), "nothing mounts shared storage"),
    aws(
        lambda f: f["docker"]["run_options"].remove("--volume /mnt/drnas:/mnt/drnas"),
        "the container can't see /mnt/drnas/results: add `--volume /mnt/drnas:/mnt/drnas`",
    ),
    aws(lambda f: f.pop("metadata"), "metadata.results: is missing"),
    aws(lambda f: f["metadata"].update(results="here"), "here is not an absolute path"),
    # what EC2 is asked
    aws(lambda f: config(f).update(InstanceType="g5.xlrge"), "did you mean 'g5.xlarge'"),
    aws(lambda f: config(f).pop("InstanceType"), "InstanceType: is missing"),
    aws(
        lambda f: config(f).update(InstanceMarketOptions={"MarketTyp": "spot"}),
        'Unknown parameter in InstanceMarketOptions: "MarketTyp"',
    ),
    aws(
        lambda f: config(f).update(InstanceMarketOptions={"MarketType": "sopt"}),
        "InstanceMarketOptions.MarketType: 'sopt' is unknown to EC2: did you mean 'spot'",
    ),
    aws(lambda f: config(f).update(KeyNme="k"), 'Unknown parameter in input: "KeyNme"'),
    aws(
        lambda f: config(f, "head").update(InstanceMarketOptions={"MarketType": "spot"}),
        "the head is a spot instance",
    ),
    # your own machines
    onprem(lambda f: f["provider"].update(worker_ip=["x"]), "did you mean 'worker_ips'"),
    onprem(lambda f: f["provider"]["worker_ips"].append("192.0.2.10"), "192.0.2.10 is the head"),
    onprem(
        lambda f: f["provider"]["worker_ips"].append("192.0.2.11"), "192.0.2.11 is listed twice"
    ),
    onprem(lambda f: f.update(min_workers=3), "min_workers: 3 is above the 2 worker_ips"),
    onprem(lambda f: f["provider"].pop("worker_ips"), "check: Please supply a `head_ip` and list"),
    onprem(lambda f: f["auth"].pop("ssh_user"), "auth.ssh_user: is missing"),
    onprem(
        lambda f: replaced(f, HEAD, "RAY_enable_autoscaler_v2=0", ""),
        "would leave out the last one",
    ),
    onprem(
        lambda f: replaced(f, WORKER, "RAY_AUTH_MODE=token", ""),
        f"{WORKER}: no token authentication",
    ),
    # Kubernetes
    kube(lambda c, _: c.pop("authOptions"), "no token authentication: give mode: token"),
    kube(lambda c, _: c["headGroupSpec"].update(serviceType="NodePort"), "opens the dashboard"),
    kube(lambda c, _: c["headGroupSpec"].update(enableIngress=True), "opens the dashboard"),
    kube(
        lambda c, _: c["workerGroupSpecs"][0].update(minReplicas=9),
        "workerGroupSpecs[0]: minReplicas=9 is above maxReplicas=4",
    ),
    kube(lambda c, _: c["workerGroupSpecs"][0].pop("maxReplicas"), "no limit to the cost"),
    kube(lambda c, _: c.pop("enableInTreeAutoscaling"), "workers would stay at `replicas`"),
    kube(
        lambda c, _: pod(c["workerGroupSpecs"][0])["volumes"].clear(),
        "mounts volume 'results', which is not among the pod's volumes",
        "no persistent volume claim in common",
    ),
    kube(
        lambda c, _: pod(c["headGroupSpec"])["containers"][0].update(image="rayproject/ray:2.60.0"),
        "has no drnas-ray",
    ),
    kube(
        lambda c, _: pod(c["workerGroupSpecs"][0])["containers"][0].pop("resources"),
        "resources.limits: is missing",
    ),
    kube(lambda _, j: j.pop("clusterSelector"), "give one of clusterSelector"),
    kube(lambda _, j: j["clusterSelector"].update({"ray.io/cluster": "x"}), "'x' is not in this"),
    kube(lambda _, j: j.update(entrypoint="drnas sweep demo"), "needs --address auto"),
]


@pytest.mark.parametrize(("kind", "change", "said"), BROKEN)
def test_a_broken_file_is_refused_in_one_line_a_problem(
    kind: str, change: Callable[[list[Raw]], object], said: tuple[str, ...], tmp_path: Path
) -> None:
    documents = copy.deepcopy(filled(kind))
    change(documents)
    found = problems(tmp_path, documents)
    assert len(found) == len(said), found
    for text, line in zip(sorted(said), sorted(found), strict=True):
        assert any(text in one for one in found), (text, found)
        assert "\n" not in line
    code, _, err = run(tmp_path / "file.yaml")
    assert code == 2
    lines = err.splitlines()
    assert len([line for line in lines if line.startswith("problem:")]) == len(said)
    assert lines[-1].startswith("error:")


def test_all_problems_are_listed(tmp_path: Path) -> None:
    (raw,) = filled("aws")
    raw["provider"]["zone"] = "a"
    replaced(raw, HEAD, "127.0.0.1", "0.0.0.0")
    config(raw).pop("SecurityGroupIds")
    assert len(problems(tmp_path, [raw])) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not valid YAML"),
        ("- 1\n", "is not a cluster file"),
        ("", "is not a cluster file"),
        ("cluster_name: a\ncluster_name: b\n", "key 'cluster_name' is given twice"),
        ("cluster_name: a\nprovider: {type: gcp}\n", "provider.type='gcp' can't be checked"),
        ("cluster_name: a\nprovider: 3\n", "provider.type=None can't be checked"),
    ],
)
def test_a_file_that_is_not_a_cluster_file_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said.replace("[", r"\[")):
        check(path)
    code, _, err = run(path)
    assert code == 2
    assert len(err.splitlines()) == 1


@pytest.mark.long
@pytest.mark.parametrize("kind", FILES)
def test_no_wrong_type_crashes_the_check(kind: str) -> None:
    """Each key in turn, at every depth, is a number, a text, a list, a mapping, or gone."""

    def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, below in list(items):
            yield (*path, key)
            if isinstance(below, dict | list):
                yield from places(below, (*path, key))

    documents = filled(kind)
    known = Kind("local" if kind == "onprem" else kind)
    for path in places(documents):
        if len(path) == 1:
            continue
        for wrong in (7, "x", ["x"], {"x": 1}, None):
            broken = copy.deepcopy(documents)
            inside: Any = broken
            for part in path[:-1]:
                inside = inside[part]
            inside[path[-1]] = wrong
            check_documents(known, broken)
