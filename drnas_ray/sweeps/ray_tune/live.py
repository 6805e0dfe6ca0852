"""One quiet, live view of a sweep: trials, epochs, time left, best so far."""

from __future__ import annotations

import atexit
import time
from dataclasses import dataclass, field
from typing import Any

from ray import tune
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

# On a terminal the view is redrawn in place; elsewhere a line now and then must do.
REDRAW_S = 0.5
LINE_S = 15.0


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class LiveView(tune.Callback):
    """Reads the trials themselves, so a restored sweep shows what was done before as well.

    jobs: trial folder -> (label, epochs). Tune pickles its callbacks into the experiment, so
    nothing that holds a terminal is kept in the state.
    """

    def __init__(self, name: str, jobs: dict[str, tuple[str, int]]) -> None:
        self.name, self.jobs = name, jobs
        self._live: Live | None = None
        self._shown_at = 0.0
        self._console = Console(stderr=True, soft_wrap=True)
        self._bar = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("epochs · {task.fields[text]}"), console=self._console,
        )  # fmt: skip
        self._task = self._bar.add_task(self.name, total=None, text="starting")

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "jobs": self.jobs}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Show the state now, if it is time."""
        pause = REDRAW_S if self._console.is_terminal else LINE_S
        if time.monotonic() - self._shown_at >= pause:
            self._show(trials)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Show the last state and leave the terminal."""
        self._show(trials)
        if self._live is not None:
            self._live.stop()

    def _show(self, trials: list[Any]) -> None:
        self._shown_at = time.monotonic()
        done, total, text = self.state(trials)
        if not self._console.is_terminal:
            self._console.print(f"{self.name}: {done}/{total} epochs · {text}", highlight=False)
            return
        if self._live is None:
            self._live = Live(self._bar, console=self._console, refresh_per_second=4)
            self._live.start()
            # Ctrl-C ends `fit` without a last call here, and the cursor would stay hidden.
            atexit.register(self._live.stop)
        self._bar.update(self._task, total=total, completed=done, text=text)

    def state(self, trials: list[Any]) -> tuple[int, int, str]:
        """Epochs done, epochs in all, and the rest in words."""
        counts = dict.fromkeys(("TERMINATED", "RUNNING", "ERROR"), 0)
        epochs_done = 0
        seconds: dict[str, list[float]] = {}
        left: dict[str, int] = {}
        for label, epochs in self.jobs.values():
            left[label] = left.get(label, 0) + epochs
        for trial in trials:
            label, epochs = self.jobs[trial.config["job"]["folder"]]
            last = trial.last_result or {}
            counts[trial.status] = counts.get(trial.status, 0) + 1
            here = (
                epochs if trial.status == "TERMINATED" else min(int(last.get("epoch", 0)), epochs)
            )
            epochs_done += here
            left[label] -= here if trial.status != "ERROR" else epochs
            if "wall_s" in last:
                seconds.setdefault(label, []).append(float(last["wall_s"]))
        waiting = len(self.jobs) - counts["TERMINATED"] - counts["RUNNING"] - counts["ERROR"]
        parts = [
            f"{counts['TERMINATED']} of {len(self.jobs)} trials done",
            f"{counts['RUNNING']} running",
            f"{waiting} waiting",
        ]
        parts += [f"{counts['ERROR']} failed"] if counts["ERROR"] else []
        parts += self._time_left(left, seconds, max(1, counts["RUNNING"]))
        parts += self._best(trials)
        return epochs_done, sum(epochs for _, epochs in self.jobs.values()), " · ".join(parts)

    @staticmethod
    def _time_left(
        left: dict[str, int], seconds: dict[str, list[float]], at_once: int
    ) -> list[str]:
        """Epochs left of each label times its own seconds an epoch (the mean, where unknown)."""
        if not seconds or not any(left.values()):
            return []
        mean = {label: sum(values) / len(values) for label, values in seconds.items()}
        unknown = sum(mean.values()) / len(mean)
        total = sum(epochs * mean.get(label, unknown) for label, epochs in left.items())
        return [f"about {duration(total / at_once)} left"]

    def _best(self, trials: list[Any]) -> list[str]:
        """The best supernet so far; test figures are for the table, not for watching."""
        found = [
            (trial.last_result["val_mean_acc_pct"], self.jobs[trial.config["job"]["folder"]][0])
            for trial in trials
            if trial.last_result and trial.last_result.get("val_mean_acc_pct") is not None
        ]
        return [f"best val {max(found)[0]:.1f} % ({max(found)[1]})"] if found else []


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
    """One live line of a `drnas bench build`: cells done, those failed, time left."""

    def __init__(self, console: Console) -> None:
        self._console, self._shown_at, self._begun = console, 0.0, False
        self._bar = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"), console=console,
        )  # fmt: skip
        self._task = self._bar.add_task("cells", total=None, text="starting")

    def __enter__(self) -> BuildView:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show(self, state: BuildState) -> None:
        """Show it, if it is time."""
        done = state.known + state.done
        whole = done + len(state.failed) == state.total
        pause = REDRAW_S if self._console.is_terminal else LINE_S
        if not whole and time.monotonic() - self._shown_at < pause:
            return
        self._shown_at = time.monotonic()
        parts = [f"{state.known} known before"]
        parts += [f"{len(state.failed)} failed"] if state.failed else []
        if state.left_s is not None and not whole:
            parts.append(f"about {duration(state.left_s)} left")
        if not self._console.is_terminal:
            line = f"cells: {done}/{state.total} · {' · '.join(parts)}"
            self._console.print(line, highlight=False)
            return
        if not self._begun:
            self._begun = True
            self._bar.start()
        self._bar.update(self._task, total=state.total, completed=done, text=" · ".join(parts))
