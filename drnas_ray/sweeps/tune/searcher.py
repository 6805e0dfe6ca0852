"""Tune's searcher for a tuning: asks for points and notes in the journal how they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from ray.tune.search import Searcher

from drnas_ray.core.errors import UserError
from drnas_ray.results.journal import Journal, Point, PointStatus
from drnas_ray.results.status import Status
from drnas_ray.sweeps.tune.plan import Tuning
from drnas_ray.sweeps.tune.tpe import suggest


class PointSearcher(Searcher):
    """First the points that an earlier driver left unfinished, then new ones, `at_once` at a time.

    Everything it knows is in the journal, so Tune need not save its state. earlier: the folders of
    earlier trials of the point with this folder name.
    """

    def __init__(
        self,
        tuning: Tuning,
        journal: Journal,
        at_once: int,
        earlier: Callable[[str], list[str]] = lambda name: [],
    ) -> None:
        super().__init__()
        self.tuning, self.journal, self.at_once, self.earlier = tuning, journal, at_once, earlier
        self.unfinished = [point.number for point in journal.points if not point.ended]
        self.live: dict[str, int] = {}

    @property
    def left(self) -> int:
        """Trials still to come, at most."""
        return len(self.unfinished) + self.tuning.spec.trials - len(self.journal.points)

    def suggest(self, trial_id: str) -> Any:
        """The job of the next point; None while `at_once` run."""
        if len(self.live) >= self.at_once:
            return None
        point = self.next_point()
        if not isinstance(point, Point):
            return Searcher.FINISHED if point == "finished" else None
        self.live[trial_id] = point.number
        return {"job": self.job(point)}

    def job(self, point: Point) -> dict[str, Any]:
        """The `job` in the config of a point's trial."""
        return {
            "point": point.number,
            "folder": point.folder,
            "metric": self.tuning.spec.metric,
            **self.runs_of(point),
            "begin": 0,
            "until": None,
            "parent": None,
        }

    def runs_of(self, point: Point) -> dict[str, Any]:
        """The runs of a point, and the folders of its earlier trials."""
        assert point.folder is not None
        runs = [{"run_id": run.run_id, "settings": run.config} for run in point.runs]
        return {"runs": runs, "earlier": self.earlier(point.folder)}

    def next_point(self) -> Point | Literal["wait", "finished"]:
        """The point to run next."""
        if self.unfinished:
            return self.journal.points[self.unfinished.pop(0)]
        while len(self.journal.points) < self.tuning.spec.trials:
            point = ask(self.tuning, self.journal)
            if not point.ended:
                return point
        return "finished"

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Note the objective after an epoch."""
        self.journal.report(self.live[trial_id], int(result["epoch"]), float(result["objective"]))

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note how the point ended. One that a scheduler stopped still has status `running`."""
        number = self.live.pop(trial_id, None)
        if number is None:
            return
        if error or not result:
            self.journal.end(number, PointStatus.error)
            return
        # Tune passes the last result only to this method.
        self.journal.report(number, int(result["epoch"]), float(result["objective"]))
        if result["status"] == Status.running:
            self.cut_short(number, int(result["epoch"]))
        else:
            self.journal.end(number, str(result["status"]))

    def cut_short(self, number: int, epoch: int) -> None:
        """Note a point whose trial ended before its runs did: the scheduler stopped it."""
        self.journal.end(number, PointStatus.stopped)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is on the disk already."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as for `save`."""


def next_values(tuning: Tuning, journal: Journal) -> dict[str, Any]:
    """The values of the next point: a given one, a random one, or HyperOpt's choice."""
    spec, number = tuning.spec, len(journal.points)
    if number < len(spec.points):
        return dict(spec.points[number])
    return suggest(
        tuning.dims,
        [(point.values, journal.loss(point, spec.sign)) for point in journal.points],
        seed=spec.seed,
        n_initial_points=spec.n_initial_points,
    )


def ask(tuning: Tuning, journal: Journal) -> Point:
    """The next point, noted in the journal; one that need not or cannot run ends at once."""
    number, values = len(journal.points), next_values(tuning, journal)
    earlier = journal.first_with(values)
    if earlier is not None:
        return journal.add(values, same_as=earlier)
    try:
        runs = [run.entry for run in tuning.runs(values)]
    except UserError as error:
        point = journal.add(values)
        journal.end(number, PointStatus.invalid, error=str(error))
        return point
    return journal.add(values, runs)
