"""Results folders written by hand, in the form that a sweep and Ray Tune leave them."""

from __future__ import annotations

import json
from pathlib import Path

from drnas_ray.spaces import SPACES

NB201 = SPACES["nb201"]
PUBLISHED, ALL_SKIP = 9930, 1835


class FakeSweep:
    """Builds a results folder; `write()` puts sweep.json and retrain.json down."""

    def __init__(self, root: Path, protocol: str = "search") -> None:
        self.root, self.protocol = root, protocol
        self.runs: list[dict] = []
        self.jobs: list[dict] = []
        self.clock = 1_700_000_000

    def run(self, run_id, *, label="DrNAS", seed=0, dataset="digits", epochs=3, variant=None):
        self.runs.append(
            {
                "run_id": run_id,
                "label": label,
                "method": label.lower(),
                "space": "nb201",
                "dataset": dataset,
                "seed": seed,
                "epochs": epochs,
                "variant": variant or {},
                "config": {
                    "seed": seed,
                    "epochs": epochs,
                    "method": {"name": label.lower()},
                    "data": {"name": dataset.split(" ")[0], "path": None},
                },
            }
        )
        return run_id

    def epoch(self, run_id, epoch, cell=PUBLISHED, status="running", **over):
        """A result line of ours, with Tune's keys; every number depends on the epoch."""
        self.clock += 10
        genotype = cell if isinstance(cell, str) else NB201.cell(cell)
        return {
            "run_id": run_id,
            "epoch": epoch,
            "status": status,
            "train_loss": 2.0 / epoch,
            "train_acc_pct": 50.0 + epoch,
            "val_loss": 2.5 / epoch,
            "val_acc_pct": 40.0 + epoch,
            "val_mean_loss": 2.4 / epoch,
            "val_mean_acc_pct": 41.0 + epoch,
            "genotype": genotype,
            "strengths": [[[0.1 * o + e + epoch for o in range(5)] for e in range(6)]],
            "entropy_nats": 1.6 / epoch,
            "skip_count": NB201.op_count(genotype, "skip_connect"),
            "lr": 0.025,
            "wall_s": 1.5 + epoch / 8,
            "data_s": 0.1,
            "arch_step_s": 0.5,
            "weight_step_s": 0.7,
            "val_s": 0.2,
            "gpu_peak_mib": None,
            "device": "cpu (fake)",
            "threads": 2,
            "hostname": "box",
            "node_ip": "127.0.0.1",
            "pid": 1,
            "timestamp": self.clock,
            "date": f"2024-01-01_00-{self.clock // 60 % 60:02d}-{self.clock % 60:02d}",
            "training_iteration": epoch,
            "config": {"run_id": run_id, "nested": {"x": 1}},
            **over,
        }

    def trial(self, run_id, lines, *, name=None, error=None, tail="", kind="search"):
        """A trial folder; lines are dicts or raw text, tail is put behind without a newline."""
        folder = self.root / kind / (name or f"search_{run_id}")
        folder.mkdir(parents=True)
        key = "run_id" if kind == "search" else "retrain_id"
        (folder / "params.json").write_text(json.dumps({"job": {key: run_id}, "other": 1}))
        text = "".join(
            (line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines
        )
        if text or tail:
            (folder / "result.json").write_text(text + tail)
        if error is not None:
            (folder / "error.txt").write_text(error)
        return folder

    def complete(self, run_id, cell=PUBLISHED, epochs=3, **run):
        self.run(run_id, epochs=epochs, **run)
        last = {epochs: "done"}
        self.trial(
            run_id,
            [self.epoch(run_id, e, cell, last.get(e, "running")) for e in range(1, epochs + 1)],
        )
        return run_id

    def job(self, retrain_id, run_ids, cell=PUBLISHED, *, dataset="digits", epochs=2, seed=0):
        config = {
            "genotype": NB201.canonical(NB201.cell(cell)),
            "space": "nb201",
            "data": {"name": dataset},
            "seed": seed,
            "epochs": epochs,
        }
        self.jobs.append({"retrain_id": retrain_id, "config": config, "run_ids": run_ids})

    def retrain_line(self, retrain_id, epoch, acc, status="running"):
        self.clock += 10
        return {
            "retrain_id": retrain_id,
            "epoch": epoch,
            "status": status,
            "train_loss": 0.1,
            "train_acc_pct": 99.0,
            "test_loss": 0.2,
            "test_acc_pct": acc,
            "lr": 0.1,
            "wall_s": 2.25,
            "device": "cpu (fake)",
            "params_m": 1.25,
            "threads": 2,
            "hostname": "box",
            "timestamp": self.clock,
        }

    def retrained(self, retrain_id, run_ids, acc, cell=PUBLISHED, epochs=2, **job):
        self.job(retrain_id, run_ids, cell, epochs=epochs, **job)
        lines = [self.retrain_line(retrain_id, e, acc - 1) for e in range(1, epochs)]
        lines.append(self.retrain_line(retrain_id, epochs, acc, "done"))
        self.trial(retrain_id, lines, kind="retrain", name=f"retrain_{retrain_id}")

    def write(self, **over) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        sweep = {
            "schema_version": 1,
            "name": "fake",
            "sweep": {"methods": []},
            "protocol": self.protocol,
            "versions": {"drnas_ray": "0.1.0", "python": "3.11", "torch": "2.9", "ray": "2.55"},
            "git_commit": "abc",
            "runs": self.runs,
            **over,
        }
        (self.root / "sweep.json").write_text(json.dumps(sweep))
        if self.jobs:
            retrain = {"schema_version": 1, "jobs": self.jobs}
            (self.root / "retrain.json").write_text(json.dumps(retrain))
        return self.root
