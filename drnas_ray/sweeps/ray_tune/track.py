"""Trackers beside the results folder: Weights & Biases and MLflow, through Ray's own callbacks.

TensorBoard needs none of them: Tune writes its event files into every trial's folder.
"""

from __future__ import annotations

from importlib.util import find_spec

from ray import tune

from drnas_ray.core.errors import UserError
from drnas_ray.sweeps.spec.sweep import Tracking


def check_tracking(track: Tracking) -> None:
    """Raise UserError where a tracker's package is not installed."""
    for name in ("wandb", "mlflow"):
        if getattr(track, name) is not None and find_spec(name) is None:
            raise UserError(
                f"track.{name}={getattr(track, name)}: the package {name} is not installed: "
                f"pip install 'drnas-ray[{name}]', or leave it out"
            )


def trackers(track: Tracking, sweep: str, part: str) -> list[tune.Callback]:
    """Ray's callbacks for the trackers that are asked for; `part` is search, packed or retrain."""
    found: list[tune.Callback] = []
    # Imported only where asked for: each loads its package, which takes a second.
    if track.wandb is not None:
        from ray.air.integrations.wandb import WandbLoggerCallback  # noqa: PLC0415

        found.append(WandbLoggerCallback(project=track.wandb, group=f"{sweep}-{part}"))
    if track.mlflow is not None:
        from ray.air.integrations.mlflow import MLflowLoggerCallback  # noqa: PLC0415

        found.append(
            MLflowLoggerCallback(
                tracking_uri=track.mlflow, experiment_name=sweep, tags={"part": part}
            )
        )
    return found
