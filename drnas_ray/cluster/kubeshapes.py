"""What may stand in KubeRay's RayCluster and RayJob (ray.io/v1, KubeRay 1.5 to 1.7).

Pod templates are Kubernetes' own and are looked at only where a sweep depends on them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from drnas_ray.cluster.shapes import Shape

Quantity = str | int | float


class Resources(Shape):
    """What a container asks for, and its limits."""

    requests: dict[str, Quantity] = Field({})
    limits: dict[str, Quantity] = Field({})
    claims: list[dict[str, Any]] = Field([])


class AuthOptions(Shape):
    """Whether clients must show a token."""

    mode: Literal["token", "disabled"]
    enableK8sTokenAuth: bool = False
    secretName: str | None = None


class AutoscalerOptions(Shape):
    """Ray's autoscaler, a container beside the head."""

    version: Literal["v1", "v2"] | None = None
    resources: Resources = Resources()
    image: str | None = None
    imagePullPolicy: str | None = None
    env: list[dict[str, Any]] = Field([])
    envFrom: list[dict[str, Any]] = Field([])
    volumeMounts: list[dict[str, Any]] = Field([])
    securityContext: dict[str, Any] = Field({})
    idleTimeoutSeconds: int | None = Field(None, ge=0)
    upscalingMode: Literal["Default", "Aggressive", "Conservative"] | None = None


class Group(Shape):
    """What head and workers share."""

    rayStartParams: dict[str, str] = Field({})
    template: dict[str, Any]
    resources: dict[str, str] = Field({})
    labels: dict[str, str] = Field({})


class HeadGroup(Group):
    """The head's pod."""

    serviceType: str | None = None
    headService: dict[str, Any] = Field({})
    enableIngress: bool = False


class WorkerGroup(Group):
    """Pods of one kind of worker."""

    groupName: str
    replicas: int = Field(0, ge=0)
    minReplicas: int = Field(0, ge=0)
    maxReplicas: int | None = Field(None, ge=0)
    numOfHosts: int = Field(1, ge=1)
    idleTimeoutSeconds: int | None = Field(None, ge=0)
    suspend: bool = False
    scaleStrategy: dict[str, Any] = Field({})


class ClusterSpec(Shape):
    """A RayCluster's spec."""

    rayVersion: str | None = None
    headGroupSpec: HeadGroup
    workerGroupSpecs: list[WorkerGroup] = Field([])
    authOptions: AuthOptions | None = None
    enableInTreeAutoscaling: bool = False
    autoscalerOptions: AutoscalerOptions | None = None
    headServiceAnnotations: dict[str, str] = Field({})
    gcsFaultToleranceOptions: dict[str, Any] = Field({})
    upgradeStrategy: dict[str, Any] = Field({})
    networkPolicy: dict[str, Any] = Field({})
    tlsOptions: dict[str, Any] = Field({})
    managedBy: str | None = None
    suspend: bool = False


class JobSpec(Shape):
    """A RayJob's spec."""

    entrypoint: str
    rayClusterSpec: ClusterSpec | None = None
    clusterSelector: dict[str, str] = Field({})
    submissionMode: Literal["K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"] = (
        "K8sJobMode"
    )
    submitterPodTemplate: dict[str, Any] = Field({})
    submitterConfig: dict[str, Any] = Field({})
    runtimeEnvYAML: str | None = None
    jobId: str | None = None
    metadata: dict[str, str] = Field({})
    entrypointNumCpus: float | None = None
    entrypointNumGpus: float | None = None
    entrypointResources: str | None = None
    backoffLimit: int | None = Field(None, ge=0)
    activeDeadlineSeconds: int | None = Field(None, ge=1)
    preRunningDeadlineSeconds: int | None = Field(None, ge=1)
    shutdownAfterJobFinishes: bool = False
    ttlSecondsAfterFinished: int | None = Field(None, ge=0)
    deletionStrategy: dict[str, Any] = Field({})
    managedBy: str | None = None
    suspend: bool = False


class Resource(Shape):
    """The outer keys of either."""

    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayCluster", "RayJob"]
    metadata: dict[str, Any]
    spec: dict[str, Any]


SPECS: dict[str, type[Shape]] = {"RayCluster": ClusterSpec, "RayJob": JobSpec}
