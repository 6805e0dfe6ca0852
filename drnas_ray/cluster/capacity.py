"""How many workers a cluster file allows, and what each has, as far as the file says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drnas_ray.cluster.read import Kind, kind_of, listed, mapping, read, texts


@dataclass(frozen=True)
class Workers:
    """At most `most` nodes of one kind. cpus, gpus: of each; None where the file doesn't say."""

    name: str
    most: int
    cpus: float | None
    gpus: float | None

    def slots(self, cpu: float, gpu: float) -> int | None:
        """Trials of so many CPUs and GPUs that fit on all of them; None where that isn't known."""
        if self.cpus is None or (gpu and self.gpus is None):
            return None
        on_one = int(self.cpus / cpu + 1e-9)
        if gpu:
            on_one = min(on_one, int((self.gpus or 0) / gpu + 1e-9))
        return self.most * on_one


def workers(path: Path) -> list[Workers]:
    """Of every node type but the head's."""
    documents = read(path)
    kind = kind_of(documents, path)
    if kind is Kind.kuberay:
        return [group for one in documents for group in _groups(one)]
    raw = documents[0]
    if kind is Kind.onprem:
        count = len(texts(mapping(raw.get("provider")).get("worker_ips")))
        most = raw.get("max_workers")
        return [
            Workers("machines", min(count, most if isinstance(most, int) else count), None, None)
        ]
    limit = raw.get("max_workers")
    found = []
    for name, node in mapping(raw.get("available_node_types")).items():
        if name == raw.get("head_node_type"):
            continue
        most = mapping(node).get("max_workers", limit)
        has = mapping(mapping(node).get("resources"))
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
    spec = mapping(document.get("spec"))
    spec = mapping(spec.get("rayClusterSpec")) or spec
    found = []
    for group in listed(spec.get("workerGroupSpecs")):
        pod = mapping(mapping(mapping(group).get("template")).get("spec"))
        first = next((mapping(one) for one in listed(pod.get("containers"))), {})
        limits = mapping(mapping(first.get("resources")).get("limits"))
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
