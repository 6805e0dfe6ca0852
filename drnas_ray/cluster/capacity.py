"""How many workers a cluster file allows, and the CPUs and GPUs of each where it says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drnas_ray.cluster.pods import ray_container
from drnas_ray.cluster.read import Kind, as_list, as_mapping, as_strings, kind_of, read, section


@dataclass(frozen=True)
class Workers:
    """At most `most` nodes of one kind; cpus, gpus: of one node, None where it isn't said."""

    name: str
    most: int
    cpus: float | None
    gpus: float | None

    def slots(self, cpu: float, gpu: float) -> int | None:
        """How many trials with these CPUs and GPUs fit on all nodes; None where that is unknown."""
        if self.cpus is None or (gpu and self.gpus is None):
            return None
        on_one = int(self.cpus / cpu + 1e-9)
        if gpu:
            on_one = min(on_one, int((self.gpus or 0) / gpu + 1e-9))
        return self.most * on_one


def workers(path: Path) -> list[Workers]:
    """The workers of every node type except the head's. Raises UserError as `read` does."""
    documents = read(path)
    kind = kind_of(documents, path)
    if kind is Kind.kuberay:
        return [group for one in documents for group in _groups(one)]
    raw = documents[0]
    if kind is Kind.onprem:
        count = len(as_strings(section(raw, "provider").get("worker_ips")))
        most = raw.get("max_workers")
        return [
            Workers("machines", min(count, most if isinstance(most, int) else count), None, None)
        ]
    limit = raw.get("max_workers")
    found = []
    for name, node in section(raw, "available_node_types").items():
        if name == raw.get("head_node_type"):
            continue
        most = as_mapping(node).get("max_workers", limit)
        has = section(node, "resources")
        found.append(
            Workers(
                str(name),
                min(n for n in (most, limit) if isinstance(n, int)),
                has.get("CPU"),
                has.get("GPU"),
            )
        )
    return found


def _groups(document: dict[str, Any]) -> list[Workers]:
    spec = section(document, "spec", "rayClusterSpec") or section(document, "spec")
    found = []
    for group in as_list(spec.get("workerGroupSpecs")):
        pod = section(group, "template", "spec")
        limits = section(ray_container(pod), "resources", "limits")
        found.append(
            Workers(
                str(group.get("groupName")),
                int(group.get("maxReplicas") or 0),
                _quantity(limits.get("cpu")),
                _quantity(limits.get("nvidia.com/gpu", 0)),
            )
        )
    return found


def _quantity(value: Any) -> float | None:
    """Kubernetes' 4, "4" or "500m"; None for anything else."""
    text = str(value)
    try:
        return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
    except ValueError:
        return None
