"""Population-based training (Jaderberg et al. 2017, arXiv:1711.09846), its synchronous form.

After every `interval_epochs` all members wait for one another. Each of the worst quarter then
continues from the state of one of the best quarter, drawn at random, with its values perturbed:
each is resampled from its dimension with probability 1/4, else multiplied by 0.8 or 1.2 (for a
choice: a neighbouring option is taken).

Such a copy is a run of its own, whose id is the hash of its settings, the run it continues, and the
epoch. So a run id still stands for one result, and a checkpoint still belongs to one run. Ray
Tune's own scheduler changes the settings of a running trial, loses its state when a driver is
killed, and draws from an unseeded generator, so the decisions are made here, from the journal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from drnas_ray.core.errors import UserError
from drnas_ray.results.journal import Point, PointStatus
from drnas_ray.results.manifest import RunEntry
from drnas_ray.sweeps.spec.dimensions import Dimension
from drnas_ray.sweeps.tune.searcher import PointSearcher, next_values
from drnas_ray.sweeps.tune.tpe import suggest

QUARTER = 4
RESAMPLE_PROBABILITY = 0.25
FACTORS = (0.8, 1.2)


class PopulationSearcher(PointSearcher):
    """Gives each member one trial per generation; waits until the generation is complete."""

    @property
    def left(self) -> int:
        """Trials still to come, at most: the members times the generations that are left."""
        spec = self.tuning.spec
        assert spec.interval_epochs is not None
        to_come = self.tuning.epochs - self.journal.decided
        over = len(self.journal.points) >= spec.trials and all(
            self._reached(point, self.tuning.epochs) for point in self._members()
        )
        return 0 if over else spec.trials * -(-to_come // spec.interval_epochs)

    def next_point(self) -> Point | Literal["wait", "finished"]:
        """A member that has not reached the end of this generation."""
        while len(self.journal.points) < self.tuning.spec.trials:
            self._begin(len(self.journal.points))
        busy = set(self.live.values())
        while True:
            due = self._due()
            for point in self._members():
                if point.number not in busy and not self._reached(point, due):
                    if point.number in self.unfinished:
                        self.unfinished.remove(point.number)
                    return point
            if busy:
                return "wait"
            if due >= self.tuning.epochs:
                return "finished"
            self._decide(due)

    def job(self, point: Point) -> dict[str, Any]:
        """As for a point, with the epochs at which it begins and its generation ends."""
        assert point.fork is not None
        due, parent, begin = self._due(), point.fork["parent"], point.fork["epoch"]
        job = {**super().job(point), "until": due, "begin": max([begin, *point.curve])}
        job["folder"] = f"{point.folder}-e{due:04d}"
        if parent is not None:
            job["parent"] = {**self.runs_of(self.journal.points[parent]), "epoch": begin}
        return job

    def cut_short(self, number: int, epoch: int) -> None:
        """Note a member that has finished its generation."""
        self.journal.end(number, PointStatus.paused, at=epoch)

    def _due(self) -> int:
        """The epoch at which this generation ends."""
        interval = self.tuning.spec.interval_epochs
        assert interval is not None
        return min(self.journal.decided + interval, self.tuning.epochs)

    def _reached(self, point: Point, due: int) -> bool:
        """Whether nothing is left to do for it in this generation. A failure under this driver is
        final; one under an earlier driver is retried."""
        if point.status == PointStatus.paused:
            return point.at >= due
        return point.ended or (
            point.status == PointStatus.error and point.number not in self.unfinished
        )

    def _members(self, before: int | None = None) -> list[Point]:
        """Each member's newest point, or its newest before the decision after that epoch."""
        found: dict[int, Point] = {}
        for point in self.journal.points:
            assert point.fork is not None
            if before is None or point.fork["epoch"] < before:
                found[point.fork["member"]] = point
        return list(found.values())

    def _begin(self, member: int) -> None:
        values = next_values(self.tuning, self.journal)
        fork = {"member": member, "parent": None, "epoch": 0}
        try:
            runs = [run.entry for run in self.tuning.runs(values)]
        except UserError as error:
            self.journal.add(values, fork=fork)
            self.journal.end(member, PointStatus.invalid, error=str(error))
            return
        self.journal.add(values, runs, fork=fork)

    def _decide(self, epoch: int) -> None:
        """Decide which member continues from which, from the journal alone: a driver that follows
        one killed in between decides the same."""
        before, sign = self._members(before=epoch), self.tuning.spec.sign
        known = {
            point.number: sign * value
            for point in before
            if point.status in (PointStatus.paused, PointStatus.stopped)
            and (value := point.curve.get(epoch)) is not None
        }
        ranked = sorted(before, key=lambda p: (known.get(p.number, np.inf), p.number))
        count = len(before) // QUARTER
        best = [point for point in ranked[:count] if point.number in known]
        worst = [p for p in ranked[count:] if p in ranked[-count:] or p.number not in known]
        replaced = {
            p.fork["member"] for p in self.journal.points if p.fork and p.fork["epoch"] == epoch
        }
        for point in worst if best else []:
            assert point.fork is not None
            member = point.fork["member"]
            if member not in replaced:
                rng = np.random.default_rng([self.tuning.spec.seed, epoch, member])
                if point.status == PointStatus.paused:
                    self.journal.end(point.number, PointStatus.stopped)
                self._copy(best[int(rng.integers(len(best)))], member, epoch, rng)
        self.journal.decide(epoch)

    def _copy(self, parent: Point, member: int, epoch: int, rng: np.random.Generator) -> None:
        values = perturbed(self.tuning.dims, parent.values, rng)
        try:
            runs = self.tuning.runs(values)
        except UserError:  # the values exclude each other; the parent's do not
            values = parent.values
            runs = self.tuning.runs(values)
        entries = [
            forked(run.entry, of.run_id, epoch, member)
            for run, of in zip(runs, parent.runs, strict=True)
        ]
        fork = {"member": member, "parent": parent.number, "epoch": epoch}
        self.journal.add(values, entries, fork=fork)


def forked(entry: RunEntry, parent: str, epoch: int, member: int) -> RunEntry:
    """The entry of a run that continues from another's state after an epoch."""
    text = f"{entry.run_id} from {parent} after {epoch} as {member}"
    run_id = hashlib.sha256(text.encode()).hexdigest()[:12]
    return entry.forked(run_id, parent, epoch)


def perturbed(
    dims: Sequence[Dimension], values: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """The parent's values, perturbed."""
    fresh = suggest(dims, [], seed=int(rng.integers(2**31)), n_initial_points=1)
    found = {}
    for dim in dims:
        resampled, up = rng.random() < RESAMPLE_PROBABILITY, bool(rng.integers(2))
        found[dim.key] = fresh[dim.key] if resampled else _moved(dim, values[dim.key], up)
    return found


def _moved(dim: Dimension, value: Any, up: bool) -> Any:
    raw = dim.raw(value)
    if dim.kind == "choice":
        return dim.value(min(max(raw + (1 if up else -1), 0), len(dim.options) - 1))
    moved = raw * FACTORS[up]
    if dim.step is not None:
        moved = round(moved / dim.step) * dim.step
    return dim.value(moved)
