"""One job as a Ray Tune trial: a step is an epoch, and an actor moves on to the next job.

Settings come as plain JSON: what Tune writes to params.json is then the record of the run, which
every reader of a results folder understands. They become settings objects here, once, and are
checked again, because a worker may have another version of this program than the driver.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from pyarrow.fs import LocalFileSystem
from ray import tune

from drnas_ray.core.errors import UserError
from drnas_ray.core.files import as_json_lines
from drnas_ray.jobs import checkpoint
from drnas_ray.jobs.base import Job
from drnas_ray.jobs.group import PointJob, point_settings
from drnas_ray.jobs.start import Place, job_of
from drnas_ray.parsing import run_config
from drnas_ray.results.layout import CHECKPOINT_FILE, RECORDS_FILE
from drnas_ray.search.device import out_of_memory, pick_device, wait_for_memory
from trainables.kept import load_first, newest_first, note_passed_over


class JobTrial(tune.Trainable):
    """Drives one job.

    The trial's config holds `threads`, `data_root` (a path or None) and `job`, as `job_of` takes
    it; and perhaps `gpu_free_mib` and `gpu_wait_s`, the free GPU memory that it waits for before it
    starts, and for how long. The job of a tuning's point also holds:

    earlier: folders of trials that had the point, the newest last. parent: the point that this one
    continues from, or None: its `runs`, `earlier` and `epoch`.
    """

    job: Job

    def setup(self, config: dict[str, Any]) -> None:
        """Build the job, at the newest checkpoint of its own or an earlier trial if there is one.

        Tune may know of none: its snapshot may be older than a trial, or cut off in writing.
        """
        self.job = self._at_epoch_0(config)
        if self._storage:
            kept = newest_first(self._storage.trial_fs_path, self._storage.storage_filesystem)
            if kept and self._load_newest(kept, self._load) is None:
                return
            if kept:
                self.job = self._at_epoch_0(config)  # a failure may have left it half loaded
        job = config["job"]
        used, _ = load_first(_of_folders(job.get("earlier", ())), self._load)
        if used is None and job.get("parent") is not None:
            self._adopt(job["parent"])

    def _at_epoch_0(self, config: dict[str, Any]) -> Job:
        # Ray does not hide GPUs from a trial that asked for none.
        granted = not ray.is_initialized() or bool(ray.get_gpu_ids())
        device = pick_device() if granted else torch.device("cpu")
        if device.type == "cuda" and config.get("gpu_free_mib") is not None:
            wait_for_memory(config["gpu_free_mib"], config["gpu_wait_s"])
        root = config["data_root"]
        place = Place(device, config["threads"], None if root is None else Path(root))
        try:
            return job_of(config["job"], place)
        except torch.OutOfMemoryError as error:
            raise out_of_memory(error) from error

    def _adopt(self, parent: dict[str, Any]) -> None:
        """Continue from another point's runs. Raises UserError where their checkpoint is gone."""
        assert isinstance(self.job, PointJob)
        settings = point_settings(run_config(run["settings"]) for run in parent["runs"])
        adopt = partial(self.job.adopt, settings=settings, epoch=parent["epoch"])
        used, _ = load_first(
            _of_folders(parent["earlier"]), lambda each: adopt(Path(each.path) / CHECKPOINT_FILE)
        )
        if used is None:
            raise UserError(
                f"no checkpoint of epoch {parent['epoch']} is left in {parent['earlier']}"
            )

    def step(self) -> dict[str, Any]:
        """One epoch; its record.

        A trial restored after its last epoch, killed before Tune noted the end, returns it again.
        """
        self._iteration = max(self._iteration, len(self.job.records))
        try:
            record = self.job.step()
        except torch.OutOfMemoryError as error:
            # What Tune keeps of a failure ends with this line, and users see no more of it.
            raise out_of_memory(error) from error
        return {**record, "done": self.job.ended}

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """Tune's save. Raises RuntimeError, one line, where the disk is full."""
        if checkpoint_dir is not None or not self._storage:
            return super().save(checkpoint_dir)
        # Tune's own temporary folder would stay after a failure, on a disk that is already full.
        with tempfile.TemporaryDirectory() as aside:
            try:
                return super().save(aside)
            except (OSError, RuntimeError) as error:
                if not checkpoint.is_disk_full(error):
                    raise
                raise checkpoint.disk_full([Path(aside), *self._local_folder()]) from error

    def _local_folder(self) -> list[Path]:
        """The trial's folder in the results; none where they are not on a disk of this machine."""
        assert self._storage is not None
        local = isinstance(self._storage.storage_filesystem, LocalFileSystem)
        return [Path(self._storage.trial_fs_path)] if local else []

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The whole job in one file, and its records again as text for readers without torch."""
        lines = as_json_lines(self.job.records)
        (Path(checkpoint_dir) / RECORDS_FILE).write_text(lines)
        self.job.save(Path(checkpoint_dir) / CHECKPOINT_FILE)

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        """Continue from the folder that `save_checkpoint` filled."""
        self.job.load(Path(checkpoint_dir) / CHECKPOINT_FILE)

    def restore(self, checkpoint_path: Any) -> None:
        """Tune's restore, from the trial's newest checkpoint that can be read.

        After the driver was killed Tune knows the one of its last snapshot: that may be many
        epochs old, and deleted since. A checkpoint cut off in writing is passed over, and noted in
        `PASSED_OVER_FILE`.
        """
        known = getattr(checkpoint_path, "checkpoint", checkpoint_path)
        kept = newest_first(known.path.rstrip("/").rpartition("/")[0], known.filesystem)
        problem = self._load_newest(kept, super().restore)
        if not kept:
            problem = UserError(f"no checkpoint is left beside {known.path}")
        if problem is not None:
            raise problem
        self._iteration = len(self.job.records)

    def _load(self, kept: tune.Checkpoint) -> None:
        with kept.as_directory() as folder:
            self.load_checkpoint(folder)

    def _load_newest(self, kept: list[tune.Checkpoint], load: Any) -> Exception | None:
        """Resume from the first that can be read; the last problem where none can."""
        used, damaged = load_first(kept, load)
        note_passed_over(damaged, used, 0 if used is None else len(self.job.records))
        return None if used is not None else next(reversed(damaged.values()), None)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Serve the next trial in the same process: everything is rebuilt from its config.

        Nothing of the last job stays, because a job owns its random state and its networks.
        """
        del self.job  # before the next one is built: a GPU may not hold both
        self.config = new_config
        self.setup(new_config)
        return True


def _of_folders(folders: list[str]) -> list[tune.Checkpoint]:
    """Every checkpoint of these trials, the newest of the newest trial first."""
    return [
        each for folder in reversed(folders) for each in newest_first(folder, LocalFileSystem())
    ]
