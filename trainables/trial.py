"""What every trial shares: one step is one epoch, checkpoints, actors that go on to another job."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import ray
import torch
from pyarrow.fs import FileSelector
from ray import tune

from drnas_ray.errors import UserError
from drnas_ray.search.device import pick_device
from drnas_ray.search.job import RecordedJob
from drnas_ray.search.pack import PackedJob
from drnas_ray.search.point import PointJob

CHECKPOINT_FILE = "run.pt"
RECORDS_FILE = "epochs.jsonl"


class JobTrial(tune.Trainable, ABC):
    """Drives one job. Subclasses say how its settings are read and what its id is called.

    The trial's config holds `threads`, `data_root` (a path or None) and `job`: the id under
    `id_key`, and `settings`, a plain mapping.
    """

    id_key: ClassVar[str]

    @staticmethod
    @abstractmethod
    def begin(job: dict[str, Any], **how: Any) -> RecordedJob | PackedJob | PointJob:
        """The job at epoch 0; `how` as `search.job.begin` takes it. Raises UserError."""

    def setup(self, config: dict[str, Any]) -> None:
        """Build the job at epoch 0."""
        # Ray does not hide GPUs from a trial that asked for none.
        granted = not ray.is_initialized() or bool(ray.get_gpu_ids())
        root = config["data_root"]
        self.job = self.begin(
            config["job"],
            threads=config["threads"],
            data_root=None if root is None else Path(root),
            device=pick_device() if granted else torch.device("cpu"),
        )

    def step(self) -> dict[str, Any]:
        """One epoch; its record.

        A trial restored after its last epoch, killed before Tune noted the end, says it again.
        """
        try:
            record = self.job.step()
        except torch.OutOfMemoryError as error:
            # What Tune keeps of a failure ends with this line, and people see no more of it.
            raise RuntimeError(
                f"out of GPU memory ({str(error).splitlines()[0]}): give a trial a larger share of "
                "its GPU (resources.gpu), a smaller batch_size, or a smaller supernet"
            ) from error
        return {**record, "done": self.job.ended}

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
        epochs old, and deleted since. A checkpoint cut off in writing is passed over.
        """
        known = getattr(checkpoint_path, "checkpoint", checkpoint_path)
        problem: Exception = UserError(f"no checkpoint is left beside {known.path}")
        for newest in newest_first(known):
            try:
                super().restore(newest)
            except (OSError, ValueError) as error:  # a UserError is a ValueError
                problem = error
            else:
                self._iteration = len(self.job.records)
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


def newest_first(known: tune.Checkpoint) -> list[tune.Checkpoint]:
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
