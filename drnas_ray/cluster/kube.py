"""Rules for KubeRay files: shape, token, who can reach the head, storage, numbers of pods."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from drnas_ray.cluster.finding import Finding, note, problem
from drnas_ray.cluster.kubeshapes import SPECS, Resource
from drnas_ray.cluster.launch import image_version
from drnas_ray.cluster.read import KUBERAY_API, listed, mapping
from drnas_ray.cluster.shapes import shape_problems

Raw = dict[str, Any]


def kube_problems(documents: list[Raw]) -> Iterator[Finding]:
    """Everything wrong in a file of one or more Kubernetes resources."""
    ours = [one for one in documents if str(one.get("apiVersion", "")).startswith(KUBERAY_API)]
    if len(ours) < len(documents):
        yield note(
            "", f"{len(documents) - len(ours)} resources that are not Ray's were not checked"
        )
    named: dict[str, Raw] = {}
    for document in ours:
        where = f"{document.get('kind')} {mapping(document.get('metadata')).get('name')}"
        yield from shape_problems(Resource, document, where)
        name = mapping(document.get("metadata")).get("name")
        if not isinstance(name, str):
            yield problem(f"{where}.metadata.name", "is missing")
        elif not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
            yield problem(f"{where}.metadata.name", f"'{name}': small letters, digits and - only")
        kind, spec = str(document.get("kind")), mapping(document.get("spec"))
        if kind in SPECS:
            yield from shape_problems(SPECS[kind], spec, f"{where}.spec")
        if kind == "RayCluster":
            named[str(name)] = spec
            yield from cluster_problems(spec, f"{where}.spec")
    for document in ours:
        if document.get("kind") == "RayJob":
            name = mapping(document.get("metadata")).get("name")
            yield from job_problems(mapping(document.get("spec")), f"RayJob {name}.spec", named)


def cluster_problems(spec: Raw, where: str) -> Iterator[Finding]:
    """Of one cluster's spec, in a RayCluster or inside a RayJob."""
    if mapping(spec.get("authOptions")).get("mode") != "token":
        yield problem(f"{where}.authOptions.mode", "no token authentication: give mode: token")
    head, groups = mapping(spec.get("headGroupSpec")), listed(spec.get("workerGroupSpecs"))
    yield from _reachable(head, f"{where}.headGroupSpec")
    for number, group in enumerate(groups):
        yield from _numbers(mapping(group), f"{where}.workerGroupSpecs[{number}]")
    grows = any(_int(mapping(g), "maxReplicas") != _int(mapping(g), "replicas") for g in groups)
    if grows and not spec.get("enableInTreeAutoscaling"):
        yield problem(
            f"{where}.enableInTreeAutoscaling",
            "is not true: workers would stay at `replicas`, whatever the sweep asks for",
        )
    pods = [("headGroupSpec", head)]
    pods += [(f"workerGroupSpecs[{number}]", mapping(g)) for number, g in enumerate(groups)]
    shared = [
        _pod(
            spec,
            mapping(mapping(group.get("template")).get("spec")),
            f"{where}.{path}.template.spec",
        )
        for path, group in pods
    ]
    for findings, _ in shared:
        yield from findings
    claims = [claims for _, claims in shared]
    if claims and not set.intersection(*claims):
        yield problem(
            where,
            "head and workers mount no persistent volume claim in common at one path: results of "
            "one would be unknown to the others",
        )


def _reachable(head: Raw, where: str) -> Iterator[Finding]:
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


def _numbers(group: Raw, where: str) -> Iterator[Finding]:
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


def _pod(spec: Raw, pod: Raw, where: str) -> tuple[list[Finding], set[tuple[str, str]]]:
    """What is wrong in a pod, and its (claim, mount path) pairs."""
    found: list[Finding] = []
    containers = [mapping(one) for one in listed(pod.get("containers"))]
    if not containers:
        return [problem(f"{where}.containers", "is missing: name one with an image")], set()
    claim_of = {
        str(mapping(volume).get("name")): mapping(mapping(volume).get("persistentVolumeClaim")).get(
            "claimName"
        )
        for volume in listed(pod.get("volumes"))
    }
    ray = containers[0]  # KubeRay takes the first for Ray's
    image = ray.get("image")
    if not isinstance(image, str):
        found.append(problem(f"{where}.containers[0].image", "is missing"))
    else:
        found += _image(spec, image, f"{where}.containers[0].image")
    if not mapping(ray.get("resources")).get("limits"):
        found.append(
            problem(
                f"{where}.containers[0].resources.limits",
                "is missing: Ray takes its CPUs, GPUs and memory from there",
            )
        )
    claims = set()
    for number, mount in enumerate(listed(ray.get("volumeMounts"))):
        name, path = str(mapping(mount).get("name")), str(mapping(mount).get("mountPath"))
        if name not in claim_of:
            found.append(
                problem(
                    f"{where}.containers[0].volumeMounts[{number}]",
                    f"mounts volume '{name}', which is not among the pod's volumes",
                )
            )
        elif claim_of[name]:
            claims.add((str(claim_of[name]), path))
    return found, claims


def _image(spec: Raw, image: str, where: str) -> Iterator[Finding]:
    yield from image_version(where, image)
    found = re.match(r"rayproject/ray(?:-ml)?:(\d+\.\d+\.\d+)", image)
    stated = spec.get("rayVersion")
    if found and stated is not None and found[1] != stated:
        yield problem(where, f"{image} has another Ray than rayVersion={stated}")
    if image.startswith("rayproject/"):
        yield problem(where, f"{image} has no drnas-ray: build one with clusters/Dockerfile")


def job_problems(spec: Raw, where: str, clusters: dict[str, Raw]) -> Iterator[Finding]:
    """Of one job, which runs on a cluster of its own or on one that is there."""
    selected, own = mapping(spec.get("clusterSelector")), mapping(spec.get("rayClusterSpec"))
    if bool(selected) == bool(own):
        yield problem(where, "give one of clusterSelector (a cluster that runs) and rayClusterSpec")
    if own:
        yield from cluster_problems(own, f"{where}.rayClusterSpec")
        if not spec.get("shutdownAfterJobFinishes"):
            yield problem(
                f"{where}.shutdownAfterJobFinishes",
                "is not true: the job's own cluster would go on costing after it",
            )
    name = selected.get("ray.io/cluster")
    if selected and name is None:
        yield problem(f"{where}.clusterSelector", "names no cluster: give ray.io/cluster: NAME")
    elif selected and clusters and str(name) not in clusters:
        known = ", ".join(sorted(clusters))
        yield problem(
            f"{where}.clusterSelector", f"'{name}' is not in this file, which has: {known}"
        )
    yield from _entrypoint(spec.get("entrypoint"), f"{where}.entrypoint")


def _entrypoint(command: Any, where: str) -> Iterator[Finding]:
    if not isinstance(command, str):
        return
    words = shlex.split(command, comments=False)
    if "drnas" in words and "sweep" in words and "--address" not in words:
        yield problem(where, "`drnas sweep` without --address auto would stay on the head alone")
