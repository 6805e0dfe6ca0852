"""The registry of metrics: everything that an epoch of a run or of a training measures.

To add a metric:

1. Add one entry to `METRICS` below. `since` is the schema version of the last release
   (`export_schema.SCHEMA_VERSION`) plus one.
2. Report it: return it from `Method.notes`, or put it into the record of the loop that measures it.
   A metric without an entry is an error at the epoch that reports it.
3. `drnas metrics --markdown > docs/metrics.md`.

All else follows from the entry: the column of epochs.parquet (with `in_runs` also of runs.parquet,
with `in_retrains` of retrains.parquet), the schema version, and whether `search.metric` of a tuning
may name it (`tuned_by`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from drnas_ray.results.columns import Column
from drnas_ray.results.kinds import GRID, INTEGER, LIST, REAL, STRENGTHS, TEXT

How = Literal["last", "answer", "done", "max", "sum"]


class RunKind(StrEnum):
    """Kinds of runs by what their epochs can report."""

    supernet = "supernet"
    """A weight-sharing search."""
    multi_trial = "multi-trial"
    """A method that queries a benchmark, or trains each cell that it proposes."""
    no_feedback = "no feedback"
    """Cells that are given or drawn, and never evaluated."""


SUPERNET = (RunKind.supernet,)
ANY_RUN = tuple(RunKind)


@dataclass(frozen=True)
class Summary:
    """How a run or a training summarises a metric over its epochs.

    how: `last` epoch's; `answer`: of the epoch whose cell is the answer, the last one unless the
    search stopped early; `done`: the last epoch's, null until all are done; `max` or `sum` over the
    epochs that have it.
    """

    how: How
    name: str = ""
    """The column's name where it is not the metric's."""
    since: int = 0
    """The column's first schema version where it is later than the metric's."""

    def column(self, metric: Metric) -> Column:
        """The column of runs.parquet or retrains.parquet."""
        text = {
            "last": "{} (last epoch)",
            "answer": "{} (epoch of the answer)",
            "done": "{} (last epoch, once done)",
            "max": "{} (largest of all epochs)",
            "sum": "{} (sum over epochs)",
        }[self.how].format(metric.meaning)
        since = max(self.since, metric.since)
        return Column(self.name or metric.name, metric.kind, metric.unit, text, since)


@dataclass(frozen=True, kw_only=True)
class Metric(Column):
    """A figure that epochs report."""

    searching: bool = True
    """Epochs of runs may report it: a column of epochs.parquet."""
    training: bool = False
    """Epochs of trainings from scratch may report it."""
    in_runs: Summary | None = None
    in_retrains: Summary | None = None
    tuned_by: tuple[RunKind, ...] = ()
    """Kinds of runs that always report it, so that a tuning of them may optimise it."""

    def __post_init__(self) -> None:
        """Raises ValueError for an entry that contradicts itself."""
        if (self.in_runs and not self.searching) or (self.in_retrains and not self.training):
            raise ValueError(f"metric {self.name} is summarised where no epoch reports it")
        if (self.tuned_by and not self.searching) or (self.tuned_by and held_out(self.name)):
            raise ValueError(
                f"metric {self.name} can't be tuned: not a figure of the search itself"
            )
        if self.tuned_by and self.kind not in (INTEGER, REAL):
            raise ValueError(f"metric {self.name} can't be tuned: {self.kind.name} is not a number")


def held_out(name: str) -> bool:
    """Whether it names a test, retraining or benchmark figure, which must never choose anything."""
    return "test" in name or name.startswith(("retrain", "bench"))


_LAST, _ANSWER = Summary("last"), Summary("answer")

METRICS: tuple[Metric, ...] = (
    Metric(
        "train_loss", REAL, "nats", "Mean training loss of the epoch, cross-entropy",
        training=True, in_retrains=Summary("done"), tuned_by=SUPERNET,
    ),
    Metric(
        "train_acc_pct", REAL, "%", "Training accuracy of the epoch",
        training=True, in_retrains=Summary("done"), tuned_by=SUPERNET,
    ),
    Metric(
        "val_loss", REAL, "nats",
        "Validation cross-entropy of the supernet under a new sample for each batch",
        tuned_by=SUPERNET,
    ),
    Metric(
        "val_acc_pct", REAL, "%", "Validation accuracy: of the supernet under a new sample for "
        "each batch; in a multi-trial method, of the best cell so far",
        in_runs=_ANSWER, tuned_by=(RunKind.supernet, RunKind.multi_trial),
    ),
    Metric(
        "val_mean_loss", REAL, "nats",
        "Validation cross-entropy of the supernet at the mean architecture", tuned_by=SUPERNET,
    ),
    Metric(
        "val_mean_acc_pct", REAL, "%",
        "Validation accuracy of the supernet at the mean architecture",
        in_runs=_ANSWER, tuned_by=SUPERNET,
    ),
    Metric(
        "genotype", TEXT, "",
        "Cell that the search would return now; null while all operations of some edge are "
        "equally strong",
        in_runs=_LAST,
    ),
    Metric(
        "strengths", STRENGTHS, "",
        "What the method ranks operations by: (cell types, edges, operations)",
    ),
    Metric(
        "entropy_nats", REAL, "nats", "Entropy of the strengths as shares, mean over the edges",
        in_runs=_ANSWER, tuned_by=SUPERNET,
    ),
    Metric(
        "skip_count", INTEGER, "", "Skip connections in the genotype",
        in_runs=_LAST, tuned_by=ANY_RUN,
    ),
    Metric(
        "lr", REAL, "", "Learning rate of the weights in the epoch's last step", training=True
    ),
    Metric("stage", INTEGER, "", "Stage of the search, from 0"),
    Metric("temperature", REAL, "", "Temperature of the Gumbel-softmax in the epoch"),
    Metric(
        "hessian_max_eigenvalue", REAL, "", "Largest eigenvalue of the Hessian of the validation "
        "loss with respect to the architecture parameters", since=2,
    ),
    Metric("hessian_trace", REAL, "", "Trace of that Hessian", since=2),
    Metric(
        "proposition1_sampled", REAL, "nats", "Left side of proposition 1 of DrNAS: mean "
        "validation loss over samples of the architecture", since=2,
    ),
    Metric("proposition1_sampled_se", REAL, "nats", "Standard error of that mean", since=2),
    Metric(
        "proposition1_laplace", REAL, "nats", "Right side of proposition 1: loss at mu + "
        "tr(Sigma H) / 2", since=2,
    ),
    Metric(
        "proposition1_at_mean", REAL, "nats", "First term of the right side: loss at mu", since=2
    ),
    Metric(
        "landscape_offsets", LIST, "", "Offsets of the loss landscape along either direction",
        since=2,
    ),
    Metric("landscape_loss", GRID, "nats", "Validation loss on that square grid", since=2),
    Metric("landscape_acc_pct", GRID, "%", "Validation accuracy on that square grid", since=2),
    Metric(
        "answer_epoch", INTEGER, "", "Epoch whose cell a search that stopped early returns",
        since=2,
    ),
    Metric(
        "queries", INTEGER, "", "Cells that a multi-trial method has queried so far",
        in_runs=_LAST, tuned_by=(RunKind.multi_trial,),
    ),
    Metric(
        "simulated_s", REAL, "s", "Time that training the queried cells would have taken",
        in_runs=_LAST,
    ),
    Metric(
        "test_loss", REAL, "nats", "Cross-entropy over the test images",
        searching=False, training=True, in_retrains=Summary("done"),
    ),
    Metric(
        "test_acc_pct", REAL, "%", "Accuracy over the test images",
        searching=False, training=True, in_retrains=Summary("done"),
    ),
    Metric(
        "params_m", REAL, "million", "Parameters of the network",
        searching=False, training=True, in_retrains=_LAST,
    ),
    Metric(
        "wall_s", REAL, "s", "Wall time of the epoch without diagnostics", training=True,
        in_runs=Summary("sum", "search_s"), in_retrains=Summary("sum", "retrain_s"),
        tuned_by=ANY_RUN[:2],
    ),
    Metric("data_s", REAL, "s", "Part of wall_s: waiting for batches"),
    Metric("arch_step_s", REAL, "s", "Part of wall_s: architecture steps"),
    Metric("weight_step_s", REAL, "s", "Part of wall_s: weight steps"),
    Metric("val_s", REAL, "s", "Part of wall_s: validation"),
    Metric("diagnostics_s", REAL, "s", "Time of the diagnostics, not part of wall_s", since=2),
    Metric(
        "gpu_peak_mib", REAL, "MiB", "Largest GPU memory that PyTorch had allocated in the epoch",
        in_runs=Summary("max"),
    ),
    Metric("gpu_total_mib", REAL, "MiB", "Memory of the GPU"),
)  # fmt: skip


def tunable(kind: RunKind, metrics: Iterable[Metric] = METRICS) -> tuple[str, ...]:
    """The metrics that a tuning of such runs may optimise."""
    return tuple(metric.name for metric in metrics if kind in metric.tuned_by)
