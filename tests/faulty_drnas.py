"""`drnas` with a fault built into its searches, on a local Ray that says it has a GPU.

FAULT=oom: out of memory at the third epoch of seed 0 for a trial with less than a whole GPU.
FAULT=full: no space for the checkpoint of the third epoch of seed 0.
FAULT=start: the process that is to go on to seed 1 dies once, before that trial has begun.
A subprocess of tests.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import torch

from drnas_ray.cli import main
from drnas_ray.jobs.single import SingleJob
from drnas_ray.sweeps import sweep
from trainables import trial


class FaultyTrial(trial.JobTrial):
    def setup(self, config: dict[str, Any]) -> None:
        died = Path(os.environ["FAULT_FOLDER"]) / "died"
        job = config["job"]
        search = "run_id" in job and job["settings"]["seed"] == 1
        if os.environ["FAULT"] == "start" and search and not died.exists():
            died.touch()
            os._exit(1)
        super().setup(config)

    def step(self) -> dict[str, Any]:
        if not isinstance(self.job, SingleJob):
            return super().step()
        inner = self.job.computation.step

        def step() -> dict[str, Any]:
            if self.unlucky("oom") and self.trial_resources.required_resources["GPU"] < 1:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nGPU 0")
            return inner()

        self.job.computation.step = step
        return super().step()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        if self.unlucky("full"):
            raise OSError(errno.ENOSPC, "No space left on device")
        super().save_checkpoint(checkpoint_dir)

    def unlucky(self, fault: str) -> bool:
        if os.environ["FAULT"] != fault or "run_id" not in self.config["job"]:
            return False
        return self.job.config.seed == 0 and self.job.computation.epoch + (fault == "oom") == 3


@contextmanager
def with_gpu(address: str | None):
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


if __name__ == "__main__":
    sweep.cluster = with_gpu
    # Not trial.JobTrial replaced: cloudpickle finds the base class of FaultyTrial by that name.
    run_sweep = sweep.run_sweep
    sweep.run_sweep = lambda planned, out, _, **more: run_sweep(planned, out, FaultyTrial, **more)
    main()
