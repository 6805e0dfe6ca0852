"""Made-up runs in the layout of an export, with every diagnostic, for tests of figures."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from analysis.records.collect import Collected
from analysis.records.schema import as_frame, as_table
from drnas_ray.spaces.nb201 import NB201

SPACE = NB201()


def strengths_at(method: str, goal: np.ndarray, share: float) -> np.ndarray:
    """(1, 6, 5): from uniform at share 0 to strongly `goal` at 1."""
    if method == "drnas":
        return np.exp(share * goal)
    p = np.exp(3 * share * goal)
    return p / p.sum(-1, keepdims=True)


def made(
    methods: Sequence[str] = ("drnas", "darts"),
    datasets: Sequence[str] = ("cifar10",),
    seeds: int = 3,
    epochs: int = 10,
    *,
    protocol: str = "search",
    every: int | None = 2,
    status: str = "done",
) -> Collected:
    """every: epochs between diagnostics, None for no diagnostics at all."""
    runs, rows = [], []
    labels = {"drnas": "DrNAS", "darts": "DARTS (1st)"}
    for m, method in enumerate(methods):
        for dataset in datasets:
            for seed in range(seeds):
                ident = f"{method}-{dataset}-{seed}"
                rng = np.random.default_rng([m, len(dataset), seed])
                goal = rng.normal(size=SPACE.shape)
                goal[..., 1 if method == "darts" else 3] += 1.5
                for epoch in range(1, epochs + 1):
                    rows.append(_epoch(ident, method, goal, epoch, epochs, every, rng))
                last = rows[-1]
                run = {
                    "run_id": ident, "label": labels.get(method, method), "method": method,
                    "space": "nb201", "dataset": dataset, "protocol": protocol, "seed": seed,
                    "variant": "{}", "status": status, "epochs_done": epochs,
                    "config": json.dumps({"data": {"name": dataset.split(" ")[0]}}),
                    "epochs_total": epochs, "genotype": last["genotype"],
                    "skip_count": last["skip_count"],
                }  # fmt: skip
                runs.append(run)
    return Collected(
        as_frame(as_table("runs", runs)),
        as_frame(as_table("epochs", rows)),
        as_frame(as_table("retrains", [])),
        (),
    )


def _epoch(ident, method, goal, epoch, epochs, every, rng):
    strengths = strengths_at(method, goal, epoch / epochs)
    genotype = SPACE.discretise(strengths)
    row = {
        "run_id": ident, "epoch": epoch, "status": "running", "genotype": genotype,
        "strengths": strengths.tolist(),
        "val_mean_acc_pct": 50 + 40 * epoch / epochs + rng.normal(),
        "skip_count": SPACE.op_count(genotype, "skip_connect"),
    }  # fmt: skip
    if every and epoch % every == 0:
        grow = 0.3 if method == "drnas" else 3.0
        row["hessian_max_eigenvalue"] = 0.1 + grow * (epoch / epochs) ** 2 + 0.05 * rng.random()
        row["hessian_trace"] = 0.2 + 2 * grow * (epoch / epochs) ** 2 + 0.1 * rng.random()
        if method == "drnas":
            row["proposition1_sampled"] = 2 - epoch / epochs + 0.05 * rng.normal()
            row["proposition1_sampled_se"] = 0.02 + 0.01 * rng.random()
            row["proposition1_laplace"] = 2.02 - epoch / epochs
            row["proposition1_at_mean"] = 1.9 - epoch / epochs
    if every and epoch == epochs:
        offsets = np.linspace(-1, 1, 9)
        x, y = np.meshgrid(offsets, offsets)
        loss = 1 + (x**2 + 0.5 * y**2 + 0.2 * x * y) * (0.5 if method == "drnas" else 2)
        row["landscape_offsets"] = offsets.tolist()
        row["landscape_loss"] = loss.tolist()
        row["landscape_acc_pct"] = (90 - 10 * loss).tolist()
    return row
