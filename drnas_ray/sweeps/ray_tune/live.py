"""One quiet, live view of a sweep: trials, epochs, time left, best so far."""

from __future__ import annotations

import atexit
import math
import time
from typing import Any

from ray import tune
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from drnas_ray.core.durations import duration

# On a terminal the view is redrawn in place; elsewhere a line is printed now and then.
REDRAW_S = 0.5
LINE_S = 15.0


class ProgressLine:
    """`name: done/total unit · text`: a bar on a terminal, elsewhere a line now and then.

    unit: of what is counted, where the name does not tell.
    """

    def __init__(self, name: str, unit: str = "", console: Console | None = None) -> None:
        self.name, self.unit = name, unit
        self.console = console or Console(stderr=True, soft_wrap=True)
        self._bar: Progress | None = None
        self._task: Any = None
        self._shown_at = -math.inf

    @property
    def due(self) -> bool:
        """Whether it is time to show something again."""
        pause = REDRAW_S if self.console.is_terminal else LINE_S
        return time.monotonic() - self._shown_at >= pause

    def show(self, done: int, total: int, text: str) -> None:
        """Show it now."""
        self._shown_at = time.monotonic()
        if not self.console.is_terminal:
            counted = f"{self.name}: {done}/{total} {self.unit}".rstrip()
            self.console.print(f"{counted} · {text}", highlight=False)
            return
        if self._bar is None:
            columns = (
                TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
            )  # fmt: skip
            self._bar = Progress(*columns, console=self.console, refresh_per_second=4)
            self._task = self._bar.add_task(self.name, total=None, text="")
            self._bar.start()
            # Ctrl-C ends Tune's `fit` without a last call, and the cursor would stay hidden.
            atexit.register(self._bar.stop)
        shown = f"{self.unit} · {text}" if self.unit else text
        self._bar.update(self._task, total=total, completed=done, text=shown)

    def close(self) -> None:
        """Restore the terminal."""
        if self._bar is not None:
            self._bar.stop()
            atexit.unregister(self._bar.stop)


class LiveView(tune.Callback):
    """Shows the state of trials while Tune runs them. Subclasses say it in words.

    Tune pickles its callbacks into the experiment, so the terminal is left out of the state.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.line = ProgressLine(name, "epochs")

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "line"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.line = ProgressLine(self.name, "epochs")

    def state(self, trials: list[Any]) -> tuple[int, int, str]:
        """Epochs done, epochs in all, and the rest in words."""
        raise NotImplementedError

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Show the state if it is time."""
        if self.line.due:
            self.line.show(*self.state(trials))

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Show the last state and leave the terminal."""
        self.line.show(*self.state(trials))
        self.line.close()


class SweepView(LiveView):
    """Reads the trials themselves, so a restored sweep shows what was done before as well.

    jobs: trial folder -> (label, epochs).
    """

    def __init__(self, name: str, jobs: dict[str, tuple[str, int]]) -> None:
        super().__init__(name)
        self.jobs = jobs

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
        """Epochs left of each label times its seconds per epoch (the mean, where unknown)."""
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
