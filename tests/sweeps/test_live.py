"""The live view: its arithmetic on made-up trials, its lines, and that it can be pickled."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.console import Console

from drnas_ray.core.durations import duration
from drnas_ray.sweeps.ray_tune import live
from drnas_ray.sweeps.ray_tune.live import SweepView

JOBS = {"a": ("DrNAS", 10), "b": ("DrNAS", 10), "c": ("DARTS", 4), "d": ("uniform", 1)}


@dataclass
class FakeTrial:
    """As much of a trial of Tune's as the view looks at."""

    folder: str
    status: str = "PENDING"
    last_result: dict[str, Any] | None = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        return {"job": {"folder": self.folder}}


def done(folder: str, epoch: int, wall_s: float = 2.0, **more: float) -> FakeTrial:
    return FakeTrial(folder, "TERMINATED", {"epoch": epoch, "wall_s": wall_s, **more})


def running(folder: str, epoch: int, wall_s: float = 2.0, **more: float) -> FakeTrial:
    return FakeTrial(folder, "RUNNING", {"epoch": epoch, "wall_s": wall_s, **more})


def view() -> SweepView:
    return SweepView("search", JOBS)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (41.6, "42 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_before_anything_ran() -> None:
    for trials in ([], [FakeTrial("a"), FakeTrial("b", last_result=None)]):
        assert view().state(trials) == (0, 25, "0 of 4 trials done · 0 running · 4 waiting")


def test_counts_epochs_and_trials() -> None:
    trials = [done("a", 10), running("b", 3), FakeTrial("c"), FakeTrial("d")]
    epochs, total, text = view().state(trials)
    assert (epochs, total) == (13, 25)
    assert text.startswith("1 of 4 trials done · 1 running · 2 waiting")
    assert "failed" not in text


def test_time_left_is_epochs_left_times_each_labels_own_seconds() -> None:
    # DrNAS: 10 + 7 epochs left at (2 + 4) / 2 s; DARTS: 4 at 9 s; uniform: 1 at the mean of
    # 3 s and 9 s. 51 + 36 + 6 = 93 s for three at once.
    a, b, c = running("a", 0, 2.0), running("b", 3, 4.0), running("c", 0, 9.0)
    assert "about 31 s left" in view().state([a, b, c, FakeTrial("d")])[2]
    # One at a time it takes all of it.
    waiting = FakeTrial("a", "PENDING", a.last_result), FakeTrial("c", "PENDING", c.last_result)
    assert "about 1 min 33 s left" in view().state([waiting[0], b, waiting[1], FakeTrial("d")])[2]


def test_no_estimate_without_figures_or_at_the_end() -> None:
    everything = [done("a", 10), done("b", 10), done("c", 4), done("d", 1)]
    epochs, total, text = view().state(everything)
    assert epochs == total
    assert "left" not in text
    assert text.startswith("4 of 4 trials done · 0 running · 0 waiting")
    assert "left" not in view().state([FakeTrial("a", "RUNNING")])[2]


def test_a_trial_that_stopped_early_leaves_nothing_to_wait_for() -> None:
    epochs, _, text = view().state([done("a", 2), done("b", 10), done("c", 4), done("d", 1)])
    assert epochs == 25
    assert "left" not in text


def test_failed_trials_are_counted_and_not_waited_for() -> None:
    failed = FakeTrial("a", "ERROR", {"epoch": 4, "wall_s": 2.0})
    epochs, _, text = view().state([failed, running("b", 5), done("c", 4), done("d", 1)])
    assert epochs == 4 + 5 + 4 + 1
    assert "2 of 4 trials done · 1 running · 0 waiting · 1 failed" in text
    assert "about 10 s left" in text  # the five epochs of b


def test_best_so_far_is_of_validation_never_of_test_images() -> None:
    trials = [
        running("a", 1, val_mean_acc_pct=31.04, test_acc_pct=99.0),
        running("c", 1, val_mean_acc_pct=42.26),
        running("d", 0),
    ]
    text = view().state(trials)[2]
    assert text.endswith("best val 42.3 % (DARTS)")
    assert "99" not in text
    assert "best" not in view().state([running("a", 1, test_acc_pct=99.0)])[2]


def test_it_can_be_pickled_and_goes_on_after() -> None:
    first = view()
    first.line.console = Console(file=io.StringIO())
    first.on_step_end(1, [running("a", 1)])
    again = pickle.loads(pickle.dumps(first))
    assert again.__getstate__() == {"name": "search", "jobs": JOBS}
    trials = [running("a", 1)]
    assert again.state(trials) == first.state(trials)


def lines_of(shown: SweepView) -> list[str]:
    output = shown.line.console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue().splitlines()


def plain(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> SweepView:
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    shown = view()
    shown.line.console = Console(file=io.StringIO(), width=40, soft_wrap=True)
    assert not shown.line.console.is_terminal
    return shown


def test_without_a_terminal_it_says_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    shown = plain(monkeypatch, clock)
    trials = [running("a", 1, val_mean_acc_pct=50.0), running("b", 1)]
    for tick in range(1000):
        clock[0] = 1000.0 + tick / 10  # 100 s
        shown.on_step_end(tick, trials)
    lines = lines_of(shown)
    assert len(lines) == 1 + int(99.9 // live.LINE_S)
    # However narrow the output: one line each, for a log that is read with grep.
    assert set(lines) == {
        "search: 2/25 epochs · 0 of 4 trials done · 2 running · 2 waiting · "
        "about 23 s left · best val 50.0 % (DrNAS)"
    }


def test_the_last_state_is_always_said(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    shown = plain(monkeypatch, clock)
    shown.on_step_end(1, [])
    shown.on_experiment_end([done("a", 10), done("b", 10), done("c", 4), done("d", 1)])
    assert [line.split(" · ")[0] for line in lines_of(shown)] == [
        "search: 0/25 epochs",
        "search: 25/25 epochs",
    ]


def test_on_a_terminal_it_is_drawn_in_place_and_left_in_order() -> None:
    shown = view()
    output = io.StringIO()
    shown.line.console = Console(file=output, force_terminal=True, width=150)
    shown.on_step_end(1, [running("a", 1)])
    bar = shown.line._bar
    assert bar is not None
    assert bar.live.is_started
    shown.on_experiment_end([done("a", 10), done("b", 10), done("c", 4), done("d", 1)])
    assert not bar.live.is_started
    assert "25/25" in output.getvalue()
    assert output.getvalue().endswith("\x1b[?25h")  # the cursor is back
