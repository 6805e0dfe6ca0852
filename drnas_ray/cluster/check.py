"""The check of a cluster file: every rule that goes for its kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drnas_ray.cluster.aws import aws_problems
from drnas_ray.cluster.finding import Finding, Level, todo
from drnas_ray.cluster.kube import kube_problems
from drnas_ray.cluster.launch import launch_problems
from drnas_ray.cluster.onprem import onprem_problems
from drnas_ray.cluster.read import FILL_IN, Kind, kind_of, read, strings
from drnas_ray.cluster.shapes import AwsFile, LocalFile, shape_problems
from drnas_ray.cluster.storage import storage_problems


def check(path: Path) -> list[Finding]:
    """All findings, problems first. Raises UserError where it is no cluster file at all."""
    documents = read(path)
    return check_documents(kind_of(documents, path), documents)


def check_documents(kind: Kind, documents: list[dict[str, Any]]) -> list[Finding]:
    """The same for what a file holds."""
    found = list(dict.fromkeys([*_findings(kind, documents), *_to_fill_in(documents)]))
    return sorted(found, key=lambda finding: list(Level).index(finding.level))


def _findings(kind: Kind, documents: list[dict[str, Any]]) -> Iterator[Finding]:
    if kind is Kind.kuberay:
        yield from kube_problems(documents)
        return
    raw = documents[0]
    if kind is Kind.aws:
        yield from shape_problems(AwsFile, raw)
        yield from aws_problems(raw)
    else:
        yield from shape_problems(LocalFile, raw)
        yield from onprem_problems(raw)
    yield from launch_problems(raw)
    yield from storage_problems(raw, mounted_by_file=kind is Kind.aws)


def _to_fill_in(documents: list[dict[str, Any]]) -> Iterator[Finding]:
    """What is still FILL-IN, each value once."""
    places: dict[str, list[str]] = {}
    for document in documents:
        for where, text in strings(document):
            for word in text.split():
                if FILL_IN in word:
                    places.setdefault(word, []).append(where)
    for word, found in places.items():
        yield todo(", ".join(found), f"{word} is yours to fill in")
