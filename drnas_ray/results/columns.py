"""Columns of an export that no epoch measures: ids, labels, settings, versions, progress.

Figures that an epoch reports are in `drnas_ray.results.metrics`; which file has which columns, in
which order, is in `drnas_ray.results.export_schema`.
"""

from __future__ import annotations

from dataclasses import dataclass

from drnas_ray.results.kinds import INTEGER, REAL, TEXT, TEXTS, Kind


@dataclass(frozen=True)
class Column:
    """One column of an exported file."""

    name: str
    kind: Kind
    unit: str
    """Empty for text and for pure numbers."""
    meaning: str
    """One sentence, without a full stop."""
    since: int = 1
    """The first schema version that has it; null where a file is older."""
    key: str = ""
    """The key in Tune's records, where it differs from the name."""


RUN_ID = Column("run_id", TEXT, "", "Hash of the run's settings, and of its parent if it has one")
RETRAIN_ID = Column("retrain_id", TEXT, "", "Hash of the training's settings")
EPOCH = Column("epoch", INTEGER, "", "Epochs completed, from 1")
STATUS = Column("status", TEXT, "", "running, done or diverged, after this epoch")
RUN_STATUS = Column(
    "status", TEXT, "", "done, diverged, stopped (by a tuning), error, running or pending"
)
SPACE = Column("space", TEXT, "", "Search space")
DATASET = Column("dataset", TEXT, "", "Data set, with whatever differs from its usual preparation")
SEED = Column("seed", INTEGER, "", "Random seed")
CONFIG = Column("config", TEXT, "", "All settings, as JSON with sorted keys")
EPOCHS_DONE = Column("epochs_done", INTEGER, "", "Epochs completed")
EPOCHS_TOTAL = Column("epochs_total", INTEGER, "", "Epochs planned")
DEVICE = Column("device", TEXT, "", "Name of the GPU or CPU")
THREADS = Column("threads", INTEGER, "", "CPU threads of PyTorch")
HOST = Column("host", TEXT, "", "Name of the machine", key="hostname")
RESTARTS = Column(
    "restarts", INTEGER, "", "Restarts so far, after a failure or by a resume", since=2
)
REPORTED = Column("reported_unix_s", REAL, "s", "Time of the record, since 1970", key="timestamp")
ERROR = Column("error", TEXT, "", "Last line of the error where status is error")
TRIAL_DIR = Column("trial_dir", TEXT, "", "Folder of the trial, relative to the results folder")
FINISHED = Column("finished_unix_s", REAL, "s", "Time of its end, since 1970")

RUN_HEAD = (
    RUN_ID,
    Column("label", TEXT, "", "Name of the method in tables"),
    Column("method", TEXT, "", "Method, by its name in settings"),
    SPACE,
    DATASET,
    Column(
        "protocol", TEXT, "", "search (on each data set) or transfer (on one, looked up on all)"
    ),
    SEED,
    Column("variant", TEXT, "", "Values of the grid or of the point, as JSON with sorted keys"),
    CONFIG,
    Column("point", INTEGER, "", "Number of the point in a tuning, from 0", since=2),
    Column(
        "objective", REAL, "", "Mean of the tuning's metric over the seeds of the point", since=2
    ),
    Column("tuning", TEXT, "", "The `search` section of the sweep file, as JSON", since=2),
    Column("parent_run_id", TEXT, "", "Run whose state this one continued from", since=2),
    Column("from_epoch", INTEGER, "", "Epoch of the parent that this run continued after", since=2),
    RUN_STATUS,
    RESTARTS,
    EPOCHS_DONE,
    EPOCHS_TOTAL,
)
CANONICAL = Column("canonical", TEXT, "", "The one genotype that stands for all isomorphic cells")
ARCH_INDEX = Column("arch_index", INTEGER, "", "Index of the cell in NAS-Bench-201")
RUN_TAIL = (
    DEVICE,
    THREADS,
    HOST,
    Column("retrain_id", TEXT, "", "Training from scratch of this run's cell"),
    Column("retrain_status", TEXT, "", "Status of that training"),
    Column("retrain_epochs", INTEGER, "", "Epochs planned for that training"),
    Column("retrain_train_acc_pct", REAL, "%", "Training accuracy of that training, once done"),
    Column("retrain_test_acc_pct", REAL, "%", "Test accuracy of that training, once done"),
    Column("retrain_params_m", REAL, "million", "Parameters of the trained network"),
    Column("retrain_s", REAL, "s", "Wall time of that training"),
    Column("drnas_ray_version", TEXT, "", "Version of drnas-ray that planned the run"),
    Column("python_version", TEXT, "", "Version of Python"),
    Column("torch_version", TEXT, "", "Version of PyTorch"),
    Column("ray_version", TEXT, "", "Version of Ray"),
    Column("git_commit", TEXT, "", "Commit of drnas-ray, where it ran from a repository"),
    ERROR,
    TRIAL_DIR,
    FINISHED,
    Column(
        "distribution", TEXT, "", "What the strengths parametrise: dirichlet or categorical",
        since=3,
    ),
)  # fmt: skip
TRAINING_HEAD = (
    RETRAIN_ID,
    Column("genotype", TEXT, "", "Cell that is trained"),
    SPACE,
    DATASET,
    SEED,
    CONFIG,
    Column("run_ids", TEXTS, "", "Runs that found this cell"),
    RUN_STATUS,
    EPOCHS_DONE,
    EPOCHS_TOTAL,
)
TRAINING_TAIL = (DEVICE, THREADS, HOST, ERROR, TRIAL_DIR, FINISHED)
