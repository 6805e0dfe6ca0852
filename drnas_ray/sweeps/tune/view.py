"""The live view of a tuning: points done and stopped, time left, the best objective so far."""

from __future__ import annotations

import math
from typing import Any

from drnas_ray.core.durations import duration
from drnas_ray.sweeps.ray_tune.live import LiveView
from drnas_ray.sweeps.tune.plan import Tuning


class TuningView(LiveView):
    """Points are not known before the searcher is asked for them.

    left: trials that this driver has to run; in population-based training a member has one for each
    generation.
    """

    def __init__(self, name: str, tuning: Tuning, left: int) -> None:
        super().__init__(name)
        self.tuning, self.left = tuning, left

    def state(self, trials: list[Any]) -> tuple[int, int, str]:
        """Epochs done, epochs in all if no point is stopped, and the rest in words."""
        epochs = self.tuning.epochs
        done = stopped = failed = running = epochs_done = 0
        seconds: list[float] = []
        for trial in trials:
            last = trial.last_result or {}
            job = trial.config["job"]
            last_epoch = job["until"] or epochs
            early = trial.status == "TERMINATED" and int(last.get("epoch", 0)) < last_epoch
            stopped += early
            done += trial.status == "TERMINATED" and not early
            failed += trial.status == "ERROR"
            running += trial.status == "RUNNING"
            ended = trial.status in ("TERMINATED", "ERROR")
            reached = last_epoch if ended else min(int(last.get("epoch", 0)), epochs)
            epochs_done += max(0, reached - job["begin"])
            if "wall_s" in last:
                seconds.append(float(last["wall_s"]))
        interval = self.tuning.spec.interval_epochs
        total = self.left * (interval or epochs)
        unit = "points" if interval is None else "generations of members"
        parts = [f"{done + stopped} of {self.left} {unit} ended", f"{running} running"]
        parts += [f"{stopped} of them stopped early"] if stopped else []
        parts += [f"{failed} failed"] if failed else []
        if seconds and epochs_done < total:
            left_s = (total - epochs_done) * sum(seconds) / len(seconds) / max(1, running)
            parts.append(f"at most about {duration(left_s)} left")
        return epochs_done, total, " · ".join([*parts, *self._best(trials)])

    def _best(self, trials: list[Any]) -> list[str]:
        spec = self.tuning.spec
        found = [
            (spec.sign * last["objective"], trial.config["job"]["point"])
            for trial in trials
            if (last := trial.last_result) and math.isfinite(last.get("objective", math.nan))
        ]
        if not found:
            return []
        loss, number = min(found)
        return [f"best {spec.metric} {spec.sign * loss:.4g} (point {number})"]
