"""What every trial shares: one step is one epoch, checkpoints, actors that go on to another job."""

from __future__ import annotations

import json
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import ray
import torch
from pyarrow.fs import FileSelector, FileType, LocalFileSystem
from ray import tune

from drnas_ray.errors import UserError
from drnas_ray.search import checkpoint
from drnas_ray.search.device import out_of_memory, pick_device, wait_for_memory
from drnas_ray.search.job import RecordedJob
from drnas_ray.search.pack import PackedJob

CHECKPOINT_FILE = "run.pt"
RECORDS_FILE = "epochs.jsonl"
PASSED_OVER_FILE = "passed_over.jsonl"
"""In the trial's folder: the damaged checkpoints that it could not go on from."""


class JobTrial(tune.Trainable, ABC):
    """Drives one job. Subclasses say how its settings are read and what its id is called.

    The trial's config holds `threads`, `data_root` (a path or None) and `job`: the id under
    `id_key`, and `settings`, a plain mapping; and perhaps `gpu_free_mib` and `gpu_wait_s`, the
    free GPU memory that it waits for before it starts, and for how long.
    """

    id_key: ClassVar[str]

    @staticmethod
    @abstractmethod
    def begin(job: dict[str, Any], **how: Any) -> RecordedJob | PackedJob:
        """The job at epoch 0; `how` as `search.job.begin` takes it. Raises UserError."""

    def setup(self, config: dict[str, Any]) -> None:
        """Build the job at epoch 0."""
        # Ray does not hide GPUs from a trial that asked for none.
        granted = not ray.is_initialized() or bool(ray.get_gpu_ids())
        device = pick_device() if granted else torch.device("cpu")
        if device.type == "cuda" and config.get("gpu_free_mib") is not None:
            wait_for_memory(config["gpu_free_mib"], config["gpu_wait_s"])
        root = config["data_root"]
        try:
            self.job = self.begin(
                config["job"],
                threads=config["threads"],
                data_root=None if root is None else Path(root),
                device=device,
            )
        except torch.OutOfMemoryError as error:
            raise out_of_memory(error) from error

    def step(self) -> dict[str, Any]:
        """One epoch; its record.

        A trial restored after its last epoch, killed before Tune noted the end, says it again.
        """
        try:
            record = self.job.step()
        except torch.OutOfMemoryError as error:
            # What Tune keeps of a failure ends with this line, and people see no more of it.
            raise out_of_memory(error) from error
        return {**record, "done": self.job.ended}

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """Tune's save. Raises RuntimeError, one line, where the disk is full."""
        if checkpoint_dir is not None or not self._storage:
            return super().save(checkpoint_dir)
        # Tune's own temporary folder would stay after a failure, on a disk that is full as it is.
        with tempfile.TemporaryDirectory() as aside:
            try:
                return super().save(aside)
            except (OSError, RuntimeError) as error:
                if not checkpoint.is_disk_full(error):
                    raise
                raise checkpoint.disk_full([Path(aside), *self._local_folder()]) from error

    def _local_folder(self) -> list[Path]:
        """The trial's folder in the results, none where they lie on no disk of this machine."""
        assert self._storage is not None
        local = isinstance(self._storage.storage_filesystem, LocalFileSystem)
        return [Path(self._storage.trial_fs_path)] if local else []

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The whole job in one file, and its records again as text for readers without torch."""
        lines = "".join(json.dumps(record) + "\n" for record in self.job.records)
        (Path(checkpoint_dir) / RECORDS_FILE).write_text(lines)
        self.job.save(Path(checkpoint_dir) / CHECKPOINT_FILE)

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        """Go on from the folder that `save_checkpoint` filled."""
        self.job.load(Path(checkpoint_dir) / CHECKPOINT_FILE)

    def restore(self, checkpoint_path: Any) -> None:
        """Tune's restore, from the trial's newest checkpoint that can be read.

        After the driver was killed Tune knows the one of its last snapshot: that may be many
        epochs old, and deleted since. A checkpoint cut off in writing is passed over, and said
        so in `PASSED_OVER_FILE`.
        """
        known = getattr(checkpoint_path, "checkpoint", checkpoint_path)
        problem: Exception = UserError(f"no checkpoint is left beside {known.path}")
        passed_over: list[str] = []
        for newest in _newest_first(known):
            try:
                super().restore(newest)
            except (OSError, ValueError) as error:  # a UserError is a ValueError
                problem = error
                passed_over.append(_said_of(newest, error))
            else:
                self._iteration = len(self.job.records)
                _note_passed_over(newest, passed_over, self._iteration)
                return
        raise problem

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Serve the next trial in the same process: everything is built anew from its config.

        Nothing of the last job stays, for a job owns its random state and its networks.
        """
        del self.job  # before the next one is built: a GPU may not hold both
        self.config = new_config
        self.setup(new_config)
        return True


def _newest_first(known: tune.Checkpoint) -> list[tune.Checkpoint]:
    """The checkpoints of the trial that `known` belongs to, by the number of epochs in them.

    Not by their names: a trial restored from a later one than Tune knew numbers them anew.
    """
    parent = known.path.rstrip("/").rpartition("/")[0]
    storage: Any = known.filesystem
    files = storage.get_file_info(FileSelector(parent, recursive=True, allow_not_found=True))
    epochs: dict[str, int] = {}
    for file in files:
        folder, _, name = file.path.rpartition("/")
        if name == RECORDS_FILE:
            with storage.open_input_stream(file.path) as stream:
                epochs[folder] = stream.read().count(b"\n")
    ordered = sorted(epochs, key=lambda folder: epochs[folder], reverse=True)
    return [tune.Checkpoint(folder, storage) for folder in ordered]


def _said_of(damaged: tune.Checkpoint, error: Exception) -> str:
    """The error in one line; a results folder may be moved, so its place is left out."""
    return str(error).replace(damaged.path.rstrip("/").rpartition("/")[0] + "/", "")


def _note_passed_over(used: tune.Checkpoint, problems: list[str], epoch: int) -> None:
    """Add a line for each damaged checkpoint that was newer than the one in use."""
    if not problems:
        return
    storage: Any = used.filesystem
    parent, _, name = used.path.rstrip("/").rpartition("/")
    path = f"{parent}/{PASSED_OVER_FILE}"
    before = b""
    if storage.get_file_info(path).type != FileType.NotFound:
        with storage.open_input_stream(path) as stream:
            before = stream.read()
    lines = "".join(
        json.dumps({"problem": problem, "used": name, "epoch": epoch}) + "\n"
        for problem in problems
    )
    with storage.open_output_stream(path) as stream:  # a bucket has no appending
        stream.write(before + lines.encode())
