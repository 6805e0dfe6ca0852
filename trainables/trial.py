"""What every trial shares: one step is one epoch, checkpoints, actors that go on to another job."""

from __future__ import annotations

import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import ray
import torch
from pyarrow.fs import FileSelector, FileType, LocalFileSystem
from ray import tune

from drnas_ray.core.errors import UserError
from drnas_ray.core.files import as_json_lines
from drnas_ray.jobs import checkpoint
from drnas_ray.jobs.batch import PackedJob
from drnas_ray.jobs.point import PointJob
from drnas_ray.jobs.single import RecordedJob
from drnas_ray.results.layout import CHECKPOINT_FILE, PASSED_OVER_FILE, RECORDS_FILE
from drnas_ray.search.device import out_of_memory, pick_device, wait_for_memory


class JobTrial(tune.Trainable, ABC):
    """Drives one job. Subclasses say how its settings are read and what its id is called.

    The trial's config holds `threads`, `data_root` (a path or None) and `job`: the id under
    `id_key`, and `settings`, a plain mapping; and perhaps `gpu_free_mib` and `gpu_wait_s`, the
    free GPU memory that it waits for before it starts, and for how long.
    """

    id_key: ClassVar[str]

    @staticmethod
    @abstractmethod
    def begin(job: dict[str, Any], **how: Any) -> RecordedJob | PackedJob | PointJob:
        """The job at epoch 0; `how` as `search.job.begin` takes it. Raises UserError."""

    def setup(self, config: dict[str, Any]) -> None:
        """Build the job, at the newest checkpoint in the trial's folder if there is one.

        Tune may know of none: its snapshot may be older than a trial, or cut off in writing.
        """
        self.job = self._at_epoch_0(config)
        if not self._storage:
            return
        kept = newest_first(self._storage.trial_fs_path, self._storage.storage_filesystem)
        if self._load_first(kept, self._load) is not None:
            self.job = self._at_epoch_0(config)  # a failure may have left it half loaded

    def _at_epoch_0(self, config: dict[str, Any]) -> RecordedJob | PackedJob | PointJob:
        # Ray does not hide GPUs from a trial that asked for none.
        granted = not ray.is_initialized() or bool(ray.get_gpu_ids())
        device = pick_device() if granted else torch.device("cpu")
        if device.type == "cuda" and config.get("gpu_free_mib") is not None:
            wait_for_memory(config["gpu_free_mib"], config["gpu_wait_s"])
        root = config["data_root"]
        try:
            return self.begin(
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
        self._iteration = max(self._iteration, len(self.job.records))
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
        lines = as_json_lines(self.job.records)
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
        kept = newest_first(known.path.rstrip("/").rpartition("/")[0], known.filesystem)
        problem = self._load_first(kept, super().restore)
        if not kept:
            problem = UserError(f"no checkpoint is left beside {known.path}")
        if problem is not None:
            raise problem
        self._iteration = len(self.job.records)

    def _load(self, kept: tune.Checkpoint) -> None:
        with kept.as_directory() as folder:
            self.load_checkpoint(folder)

    def _load_first(
        self, kept: list[tune.Checkpoint], load: Callable[[tune.Checkpoint], object]
    ) -> Exception | None:
        """Go on from the first that can be read; the last problem where none can."""
        damaged: dict[tune.Checkpoint, Exception] = {}
        for each in kept:
            try:
                load(each)
            except (OSError, ValueError) as error:  # a UserError is a ValueError
                damaged[each] = error
            else:
                _note_passed_over(damaged, each, len(self.job.records))
                return None
        _note_passed_over(damaged, None, 0)
        return next(reversed(damaged.values()), None)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Serve the next trial in the same process: everything is built anew from its config.

        Nothing of the last job stays, for a job owns its random state and its networks.
        """
        del self.job  # before the next one is built: a GPU may not hold both
        self.config = new_config
        self.setup(new_config)
        return True


def newest_first(folder: str, storage: Any) -> list[tune.Checkpoint]:
    """The checkpoints in a trial's folder, by the number of epochs in them.

    Not by their names: a trial restored from a later one than Tune knew numbers them anew.
    """
    files = storage.get_file_info(FileSelector(folder, recursive=True, allow_not_found=True))
    epochs: dict[str, int] = {}
    for file in files:
        parent, _, name = file.path.rpartition("/")
        if name == RECORDS_FILE:
            with storage.open_input_stream(file.path) as stream:
                epochs[parent] = stream.read().count(b"\n")
    ordered = sorted(epochs, key=lambda folder: epochs[folder], reverse=True)
    return [tune.Checkpoint(folder, storage) for folder in ordered]


def _note_passed_over(
    damaged: dict[tune.Checkpoint, Exception], used: tune.Checkpoint | None, epoch: int
) -> None:
    """Add a line for each damaged checkpoint that was newer than the one in use, if any is."""
    if not damaged:
        return
    parent, _, _ = next(iter(damaged)).path.rstrip("/").rpartition("/")
    storage: Any = next(iter(damaged)).filesystem
    path = f"{parent}/{PASSED_OVER_FILE}"
    name = "nothing" if used is None else used.path.rstrip("/").rpartition("/")[2]
    lines = [
        # A results folder may be moved, so its place is left out.
        json.dumps({"problem": str(why).replace(f"{parent}/", ""), "used": name, "epoch": epoch})
        for why in damaged.values()
    ]
    if storage.get_file_info(path).type != FileType.NotFound:
        with storage.open_input_stream(path) as stream:
            lines = [*stream.read().decode().splitlines(), *lines]
    with storage.open_output_stream(path) as stream:  # a bucket has no appending
        stream.write("".join(f"{line}\n" for line in dict.fromkeys(lines)).encode())
