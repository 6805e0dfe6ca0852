"""A reduced call of `kill_moments.py`; the whole one is a script to run by hand."""

from __future__ import annotations

from pathlib import Path

import kill_moments
import pytest


def test_moments_are_the_same_for_every_count() -> None:
    assert kill_moments.moments(20, 0)[:3] == kill_moments.moments(3, 0)
    assert kill_moments.moments(3, 1) != kill_moments.moments(3, 0)
    assert {moment.kind for moment in kill_moments.moments(20, 0)} == set(kill_moments.KINDS)


@pytest.mark.slow
def test_nothing_is_lost_at_three_moments(tmp_path: Path) -> None:
    outcomes = kill_moments.run_moments(tmp_path, 3, 7)
    assert [outcome.problem for outcome in outcomes] == ["", "", ""]
    again = kill_moments.run_moments(tmp_path, 3, 7)  # known: nothing runs
    assert again == outcomes
