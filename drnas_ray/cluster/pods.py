"""Rules for the pods of a KubeRay file: image, limits, volumes.

A pod that Kubernetes refuses shows only when a worker is wanted: the head then runs on alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from drnas_ray.cluster.finding import Finding, problem
from drnas_ray.cluster.launch import image_version
from drnas_ray.cluster.read import as_list, as_mapping, section

Raw = dict[str, Any]


def pod_problems(spec: Raw, pod: Raw, where: str) -> Iterator[Finding]:
    """Everything that these rules find in one pod of a cluster's spec."""
    ray, where = ray_container(pod), f"{where}.containers[0]"
    image = ray.get("image")
    if not isinstance(image, str):
        yield problem(f"{where}.image", "is missing")
    else:
        yield from _image(spec, image, f"{where}.image")
    if not section(ray, "resources", "limits"):
        yield problem(
            f"{where}.resources.limits",
            "is missing: Ray takes its CPUs, GPUs and memory from there, and trials would wait",
        )
    volumes = _claims(pod)
    for number, mount in enumerate(as_list(ray.get("volumeMounts"))):
        name = str(as_mapping(mount).get("name"))
        if name not in volumes:
            yield problem(
                f"{where}.volumeMounts[{number}]",
                f"mounts volume '{name}', which is not among the pod's volumes",
            )


def ray_container(pod: Raw) -> Raw:
    """The container that runs Ray: KubeRay takes the first."""
    return next((as_mapping(one) for one in as_list(pod.get("containers"))), {})


def shared_claims(pods: Iterable[Raw]) -> set[tuple[str, str]]:
    """(persistent volume claim, mount path) pairs that all pods have."""
    mounted = []
    for pod in pods:
        claims = _claims(pod)
        mounts = [as_mapping(one) for one in as_list(ray_container(pod).get("volumeMounts"))]
        pairs = ((claims.get(str(one.get("name"))), str(one.get("mountPath"))) for one in mounts)
        mounted.append({(claim, path) for claim, path in pairs if claim})
    return set.intersection(*mounted)


def _claims(pod: Raw) -> dict[str, str]:
    """Name of each volume -> its persistent volume claim, "" for a volume of another kind."""
    return {
        str(as_mapping(volume).get("name")): str(
            section(volume, "persistentVolumeClaim").get("claimName") or ""
        )
        for volume in as_list(pod.get("volumes"))
    }


def _image(spec: Raw, image: str, where: str) -> Iterator[Finding]:
    yield from image_version(where, image)
    found = re.match(r"rayproject/ray(?:-ml)?:(\d+\.\d+\.\d+)", image)
    stated = spec.get("rayVersion")
    if found and stated is not None and found[1] != stated:
        yield problem(where, f"{image} has a different Ray from rayVersion={stated}")
    if image.startswith("rayproject/"):
        yield problem(where, f"{image} has no drnas-ray: build one with clusters/Dockerfile")
