"""Tune's searcher for a tuning: asks for points and notes in the ledger how they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from ray.tune.search import Searcher

from drnas_ray.core.errors import UserError
from drnas_ray.results.journal import Ledger, Point
from drnas_ray.sweeps.folder import run_entry
from drnas_ray.sweeps.tune.plan import Tuning
from drnas_ray.sweeps.tune.tpe import suggest


class PointSearcher(Searcher):
    """First the points that an earlier driver left unfinished, then new ones, `at_once` at a time.

    Everything it knows is in the ledger, so Tune need not save its state. earlier: the folders of
    earlier trials of the point with this folder name.
    """

    def __init__(
        self,
        tuning: Tuning,
        ledger: Ledger,
        at_once: int,
        earlier: Callable[[str], list[str]] = lambda name: [],
    ) -> None:
        super().__init__()
        self.tuning, self.ledger, self.at_once, self.earlier = tuning, ledger, at_once, earlier
        self.unfinished = [point.number for point in ledger.points if not point.ended]
        self.live: dict[str, int] = {}

    @property
    def left(self) -> int:
        """Trials still to come, at most."""
        return len(self.unfinished) + self.tuning.spec.trials - len(self.ledger.points)

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
        runs = [{"run_id": run["run_id"], "settings": run["config"]} for run in point.runs]
        return {"runs": runs, "earlier": self.earlier(point.folder)}

    def next_point(self) -> Point | Literal["wait", "finished"]:
        """What to run now."""
        if self.unfinished:
            return self.ledger.points[self.unfinished.pop(0)]
        while len(self.ledger.points) < self.tuning.spec.trials:
            point = ask(self.tuning, self.ledger)
            if not point.ended:
                return point
        return "finished"

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Note the objective after an epoch."""
        self.ledger.report(self.live[trial_id], int(result["epoch"]), float(result["objective"]))

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note how the point ended. One that a scheduler stopped still has status `running`."""
        number = self.live.pop(trial_id, None)
        if number is None:
            return
        if error or not result:
            self.ledger.end(number, "error")
            return
        # Tune passes the last result only to this method.
        self.ledger.report(number, int(result["epoch"]), float(result["objective"]))
        if result["status"] == "running":
            self.cut_short(number, int(result["epoch"]))
        else:
            self.ledger.end(number, str(result["status"]))

    def cut_short(self, number: int, epoch: int) -> None:
        """Note a point whose trial ended before its runs did: the scheduler stopped it."""
        self.ledger.end(number, "stopped")

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is on the disk already."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as for `save`."""


def values_asked(tuning: Tuning, ledger: Ledger) -> dict[str, Any]:
    """The values of the next point: a given one, a random one, or HyperOpt's choice."""
    spec, number = tuning.spec, len(ledger.points)
    if number < len(spec.points):
        return dict(spec.points[number])
    return suggest(
        tuning.dims,
        [(point.values, ledger.loss(point, spec.sign)) for point in ledger.points],
        seed=spec.seed,
        n_initial_points=spec.n_initial_points,
    )


def ask(tuning: Tuning, ledger: Ledger) -> Point:
    """The next point, noted in the ledger; one that need not or cannot run ends at once."""
    number, values = len(ledger.points), values_asked(tuning, ledger)
    twin = ledger.twin(values)
    if twin is not None:
        return ledger.add(values, same_as=twin)
    try:
        runs = [run_entry(run) for run in tuning.runs(values)]
    except UserError as error:
        point = ledger.add(values)
        ledger.end(number, "invalid", error=str(error))
        return point
    return ledger.add(values, runs)
