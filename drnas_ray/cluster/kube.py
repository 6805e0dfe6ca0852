"""Rules for KubeRay files: token, who can reach the head, numbers of pods, storage, jobs.

`kubectl apply` refuses unknown keys and wrong types by itself, from KubeRay's own definitions.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from drnas_ray.cluster.finding import Finding, note, problem
from drnas_ray.cluster.pods import pod_problems, shared_claims
from drnas_ray.cluster.read import KUBERAY_API, as_list, as_mapping, section

Raw = dict[str, Any]
_KINDS = ("RayCluster", "RayJob")


def kube_problems(documents: list[Raw]) -> Iterator[Finding]:
    """Everything that these rules find in a file of one or more Kubernetes resources."""
    known = [
        one
        for one in documents
        if str(one.get("apiVersion", "")).startswith(KUBERAY_API) and one.get("kind") in _KINDS
    ]
    if len(known) < len(documents):
        others = len(documents) - len(known)
        yield note("", f"{others} resources other than RayCluster and RayJob were not checked")
    clusters = {_name(one): section(one, "spec") for one in known if one["kind"] == "RayCluster"}
    for name, spec in clusters.items():
        yield from cluster_problems(spec, f"RayCluster {name}.spec")
    for one in known:
        if one["kind"] == "RayJob":
            yield from job_problems(section(one, "spec"), f"RayJob {_name(one)}.spec", clusters)


def _name(document: Raw) -> str:
    return str(section(document, "metadata").get("name"))


def cluster_problems(spec: Raw, where: str) -> Iterator[Finding]:
    """Problems of one cluster's spec, in a RayCluster or inside a RayJob."""
    if section(spec, "authOptions").get("mode") != "token":
        yield problem(f"{where}.authOptions.mode", "no token authentication: give mode: token")
    head = section(spec, "headGroupSpec")
    groups = [as_mapping(group) for group in as_list(spec.get("workerGroupSpecs"))]
    yield from _reachable(head, f"{where}.headGroupSpec")
    for number, group in enumerate(groups):
        yield from _replicas(group, f"{where}.workerGroupSpecs[{number}]")
    grows = any(_int(group, "maxReplicas") != _int(group, "replicas") for group in groups)
    if grows and not spec.get("enableInTreeAutoscaling"):
        yield problem(
            f"{where}.enableInTreeAutoscaling",
            "is not true: workers would stay at `replicas`, whatever the sweep asks for",
        )
    named = {"headGroupSpec": head}
    named |= {f"workerGroupSpecs[{number}]": group for number, group in enumerate(groups)}
    pods = {place: section(group, "template", "spec") for place, group in named.items()}
    for place, pod in pods.items():
        yield from pod_problems(spec, pod, f"{where}.{place}.template.spec")
    if not shared_claims(pods.values()):
        yield problem(
            where,
            "head and workers mount no persistent volume claim in common at one path: each would "
            "keep its results to itself",
        )


def _reachable(head: Raw, where: str) -> Iterator[Finding]:
    """Only `kubectl port-forward` reaches the dashboard."""
    if head.get("serviceType") in ("LoadBalancer", "NodePort"):
        yield problem(
            f"{where}.serviceType",
            f"{head['serviceType']} opens the dashboard to the outside: give ClusterIP, and reach "
            "it through `kubectl port-forward`",
        )
    if head.get("enableIngress"):
        yield problem(f"{where}.enableIngress", "opens the dashboard to the outside: leave it out")


def _int(group: Raw, key: str) -> int | None:
    value = group.get(key)
    return value if isinstance(value, int) else None


def _replicas(group: Raw, where: str) -> Iterator[Finding]:
    """The cost limit is stated, and the numbers lie within it."""
    least, most = _int(group, "minReplicas") or 0, _int(group, "maxReplicas")
    now = _int(group, "replicas") or 0
    if most is None:
        yield problem(
            f"{where}.maxReplicas", "is missing: without it there is no limit to the cost"
        )
    elif least > most:
        yield problem(where, f"minReplicas={least} is above maxReplicas={most}")
    elif not least <= now <= most:
        yield problem(
            where, f"replicas={now} is not between minReplicas={least} and maxReplicas={most}"
        )


def job_problems(spec: Raw, where: str, clusters: dict[str, Raw]) -> Iterator[Finding]:
    """Problems of one job, which runs on a cluster of its own or on an existing one."""
    selector, own = section(spec, "clusterSelector"), section(spec, "rayClusterSpec")
    if bool(selector) == bool(own):
        yield problem(where, "give one of clusterSelector (an existing cluster) and rayClusterSpec")
    if own:
        yield from cluster_problems(own, f"{where}.rayClusterSpec")
        if not spec.get("shutdownAfterJobFinishes"):
            yield problem(
                f"{where}.shutdownAfterJobFinishes",
                "is not true: the job's own cluster would keep running, and costing, after it",
            )
    name = selector.get("ray.io/cluster")
    if selector and name is None:
        yield problem(f"{where}.clusterSelector", "names no cluster: give ray.io/cluster: NAME")
    elif selector and clusters and str(name) not in clusters:
        known = ", ".join(sorted(clusters))
        yield problem(
            f"{where}.clusterSelector",
            f"'{name}' is not in this file, so the job may wait for ever: known: {known}",
        )
    yield from _entrypoint(spec.get("entrypoint"), f"{where}.entrypoint")


def _entrypoint(command: Any, where: str) -> Iterator[Finding]:
    if not isinstance(command, str):
        return
    words = shlex.split(command, comments=False)
    if "drnas" in words and "sweep" in words and "--address" not in words:
        yield problem(where, "`drnas sweep` needs --address auto: it would run on the head alone")
