"""What every trial shares: one step is one epoch, checkpoints, actors that go on to another job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from ray import tune

from drnas_ray.config import Settings
from drnas_ray.search import checkpoint
from drnas_ray.search.device import device_name, pick_device, use_threads
from drnas_ray.search.job import Job, start

CHECKPOINT_FILE = "run.pt"


class JobTrial(tune.Trainable):
    """Drives one job. Subclasses say how its settings are read and what its id is called.

    The trial's config holds `threads`, `data_root` (a path or None) and `job`: the id under
    `id_key`, and `settings`, a plain mapping.
    """

    id_key: ClassVar[str]
    job: Job
    settings: Settings

    def parse(self, raw: dict[str, Any]) -> Settings:
        """Checked settings from the plain mapping. Raises UserError."""
        raise NotImplementedError

    def setup(self, config: dict[str, Any]) -> None:
        """Build the job at epoch 0."""
        use_threads(config["threads"])
        self.settings = self.parse(config["job"]["settings"])
        root = config["data_root"]
        self.device = pick_device()
        self.job = start(self.settings, None if root is None else Path(root), self.device)
        self.record: dict[str, Any] = {"status": "running"}

    def step(self) -> dict[str, Any]:
        """One epoch; its record, with what it ran on.

        A trial restored after its last epoch, killed before Tune noted the end, says it again.
        """
        if self.record["status"] == "running":
            self.record = {
                **self.job.step(),
                self.id_key: self.config["job"][self.id_key],
                "device": device_name(self.device),
                "threads": self.config["threads"],
            }
        return {**self.record, "done": self.record["status"] != "running"}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The whole job and its last record in one file, complete or absent."""
        state = {**self.job.state_dict(), "record": json.dumps(self.record)}
        checkpoint.save(state, Path(checkpoint_dir) / CHECKPOINT_FILE)

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        """Go on from the folder that `save_checkpoint` filled.

        Raises UserError for a damaged file or another run's.
        """
        state = checkpoint.load(
            Path(checkpoint_dir) / CHECKPOINT_FILE, self.settings.canonical_json()
        )
        self.job.load_state_dict(state)
        self.record = json.loads(state["record"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Serve the next trial in the same process: everything is built anew from its config.

        Nothing of the last job stays, for a job owns its random state and its networks.
        """
        self.config = new_config
        self.setup(new_config)
        return True
