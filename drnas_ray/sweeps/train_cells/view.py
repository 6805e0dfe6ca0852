"""The live view of `drnas bench build`: cells trained, failed and known before, time left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from drnas_ray.core.durations import duration
from drnas_ray.sweeps.ray_tune.live import ProgressLine


@dataclass
class BuildState:
    """Of `total` cells: `known` to the cache without this call, `done` by it, `failed` (key to
    reason); wall_s: seconds since the first worker was ready."""

    total: int
    known: int
    done: int = 0
    failed: dict[Any, str] = field(default_factory=dict)
    wall_s: float = 0.0

    @property
    def left_s(self) -> float | None:
        """Estimated seconds to the end, None before the first cell is done."""
        left = self.total - self.known - self.done - len(self.failed)
        return self.wall_s / self.done * left if self.done else None


class BuildView:
    """One live line, for the time of a `with` block."""

    def __init__(self, console: Console) -> None:
        self.line = ProgressLine("cells", console=console)

    def __enter__(self) -> BuildView:
        return self

    def __exit__(self, *error: object) -> None:
        self.line.close()

    def show(self, state: BuildState) -> None:
        """Show the state if it is time, and always the last one."""
        done = state.known + state.done
        complete = done + len(state.failed) == state.total
        if not complete and not self.line.due:
            return
        parts = [f"{state.known} known before"]
        parts += [f"{len(state.failed)} failed"] if state.failed else []
        if state.left_s is not None and not complete:
            parts.append(f"about {duration(state.left_s)} left")
        self.line.show(done, state.total, " · ".join(parts))
