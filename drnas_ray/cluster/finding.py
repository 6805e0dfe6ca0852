"""Findings of the check of a cluster file, one line each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    problem = "problem"
    todo = "to do"
    note = "note"


@dataclass(frozen=True)
class Finding:
    """One line. problem: the file is wrong. todo: the file is right but not ready to be used."""

    level: Level
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


def problem(where: str, text: str) -> Finding:
    """Something wrong in the file."""
    return Finding(Level.problem, where, text)


def todo(where: str, text: str) -> Finding:
    """Something to fill in, or to create on this machine, before the cluster can start."""
    return Finding(Level.todo, where, text)


def note(where: str, text: str) -> Finding:
    """Something worth knowing."""
    return Finding(Level.note, where, text)
