"""The status of a run or of a training: the one list of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum


class Status(StrEnum):
    """How far a run has come, in the order in which counts are listed."""

    done = "done"
    """All epochs, with an answer. The only status that counts in tables."""
    diverged = "diverged"
    """A loss or strength was no longer finite."""
    stopped = "stopped"
    """A tuning's scheduler ended it before its last epoch."""
    running = "running"
    """It has reported epochs, and there are more to come."""
    error = "error"
    """Its last attempt failed; resuming tries again."""
    pending = "pending"
    """Nothing has been reported."""

    @property
    def word(self) -> str:
        """Its name in texts for users."""
        return _WORDS.get(self, self.value)


_WORDS = {
    Status.stopped: "stopped early",
    Status.running: "unfinished",
    Status.error: "failed",
    Status.pending: "not begun",
}

ENDED = (Status.done, Status.diverged, Status.stopped)
"""Nothing is left to do."""
NOT_DONE = tuple(status for status in Status if status is not Status.done)
"""What tables leave out, but count."""
BEST_FIRST = (
    Status.done, Status.diverged, Status.stopped, Status.error, Status.running, Status.pending,
)  # fmt: skip
"""Of several records of one run, the one whose status comes first counts."""


def step_status(*, finished: bool, diverged: bool = False) -> str:
    """The status that the record of a step has, as files contain it: whether more is to come."""
    return (Status.diverged if diverged else Status.done if finished else Status.running).value


def counts_text(statuses: Iterable[str]) -> str:
    """`2 stopped early, 1 failed`: how many have each status but `done`, empty if none has."""
    counts = Counter(statuses)
    return ", ".join(f"{counts[one]:,} {one.word}" for one in NOT_DONE if counts[one])
