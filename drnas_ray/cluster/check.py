"""The check of a cluster file: every rule that applies to its kind.

A rule is here because breaking it costs money, lets strangers in, loses results, or leaves a sweep
waiting for machines that never come. What Ray or `kubectl apply` refuse at once by themselves is
left to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drnas_ray.cluster.aws import aws_problems
from drnas_ray.cluster.finding import Finding, Level, problem, todo
from drnas_ray.cluster.kube import kube_problems
from drnas_ray.cluster.launch import launch_problems
from drnas_ray.cluster.onprem import onprem_problems
from drnas_ray.cluster.ray_schema import provider_problems, ray_complaint
from drnas_ray.cluster.read import FILL_IN, Kind, all_strings, kind_of, read
from drnas_ray.cluster.storage import storage_problems


def check(path: Path) -> list[Finding]:
    """All findings, problems first. Raises UserError if the file is not a cluster file.

    A file for `ray up` that passes these rules also goes through Ray's own check.
    """
    documents = read(path)
    kind = kind_of(documents, path)
    found = check_documents(kind, documents)
    if kind is not Kind.kuberay and not any(one.level is Level.problem for one in found):
        complaint = ray_complaint(documents[0])
        if complaint is not None:
            found.insert(0, problem("", f"Ray's own check: {complaint}"))
    return found


def check_documents(kind: Kind, documents: list[dict[str, Any]]) -> list[Finding]:
    """What this package's own rules find in the documents of a file, problems first."""
    found = list(dict.fromkeys([*_findings(kind, documents), *_to_fill_in(documents)]))
    return sorted(found, key=lambda finding: list(Level).index(finding.level))


def _findings(kind: Kind, documents: list[dict[str, Any]]) -> Iterator[Finding]:
    if kind is Kind.kuberay:
        yield from kube_problems(documents)
        return
    raw = documents[0]
    yield from provider_problems(kind, raw)
    yield from aws_problems(raw) if kind is Kind.aws else onprem_problems(raw)
    yield from launch_problems(raw)
    yield from storage_problems(raw, mounted_by_file=kind is Kind.aws)


def _to_fill_in(documents: list[dict[str, Any]]) -> Iterator[Finding]:
    """What is still FILL-IN, each value once."""
    places: dict[str, list[str]] = {}
    for document in documents:
        for where, text in all_strings(document):
            for word in text.split():
                if FILL_IN in word:
                    places.setdefault(word, []).append(where)
    for word, found in places.items():
        yield todo(", ".join(found), f"replace {word} with your own value")
