"""Errors that a user can fix: one line that names the value and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Bad input from the user. The command line prints its text as one line and exits with 2."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean 'NEAREST'? `, or nothing where no known name is close."""
    near = get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'? " if near else ""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UserError:
    """The error for a name that is not in a table; suggests the closest known name."""
    names = sorted(known)
    hint = did_you_mean(str(name), names)
    return UserError(f"unknown {kind} '{name}': {hint}known: {', '.join(names)}")
