"""Whether a folder may be used for a sweep: it is free, or holds this same sweep to resume."""

from __future__ import annotations

from pathlib import Path

from drnas_ray.core.errors import UserError
from drnas_ray.results.layout import SWEEP_FILE
from drnas_ray.results.manifest import SweepFile, load_retrain, load_sweep, write_sweep
from drnas_ray.sweeps.plan.runs import PlannedRun
from drnas_ray.sweeps.spec.sweep import SweepConfig


def check_folder(out: Path, sweep: SweepConfig, runs: list[PlannedRun], *, resume: bool) -> None:
    """Check that the folder is free, or holds this same sweep, which is to be resumed.

    Raises UserError where it holds another sweep, this one without `resume`, or is damaged. Ray
    Tune keeps the resources and limits that a sweep began with, so other ones are refused.
    """
    if (out / SWEEP_FILE).exists():
        stored = _stored(out)
        if [run.run_id for run in stored.runs] != [run.run_id for run in runs]:
            raise UserError(
                f"{out} holds the results of another sweep ({len(stored.runs)} runs): name "
                "another folder with --out"
            )
        begun, now = dict(stored.sweep), sweep.model_dump(mode="json")
        fixed = ["protocol", "retrain", "resources", "max_concurrent", "max_failures", "track"]
        if sweep.search is not None:
            # Its runs are not listed, so what they follow from is compared instead.
            fixed += ["methods", "datasets", "seeds", "config", "search"]
            for settings in (begun, now):  # more points may be asked for later
                asked = settings.get("search") or {}
                settings["search"] = {key: asked[key] for key in asked if key != "trials"}
        for key in fixed:
            if begun.get(key) != now[key]:
                raise UserError(
                    f"{out} was started with {key}={begun.get(key)}, not {now[key]}: "
                    "resume with the same, or name another folder with --out"
                )
        _same_diagnostics(out, stored, runs)
        _check_retrain(out)
        if not resume:
            raise UserError(f"{out} already holds this sweep: add --resume, or name another")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty and holds no sweep: name another folder with --out")


def _same_diagnostics(out: Path, stored: SweepFile, runs: list[PlannedRun]) -> None:
    """Raise UserError where runs were started with others, which a run's id does not show."""
    for entry, run in zip(stored.runs, runs, strict=True):
        begun = entry.config.get("diagnostics")
        now = run.config.model_dump(mode="json").get("diagnostics")
        if begun is not None and begun != now:
            raise UserError(
                f"{out} was started with diagnostics={begun}, not {now}: resume with the same, or "
                "name another folder with --out"
            )


def make_folder(out: Path, sweep: SweepConfig, runs: list[PlannedRun]) -> None:
    """Write down what is planned, once. Raises UserError where the folder can't be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not (out / SWEEP_FILE).exists():
            entries = [run.entry for run in runs]
            write_sweep(out, sweep.name, sweep.protocol, sweep.model_dump(mode="json"), entries)
    except OSError as error:
        raise UserError(f"{out} can't be written: {error.strerror}") from error


def _stored(out: Path) -> SweepFile:
    try:
        return load_sweep(out)
    except UserError as error:
        raise UserError(f"{error}: name another folder with --out") from error


def _check_retrain(out: Path) -> None:
    try:
        load_retrain(out)
    except UserError as error:
        raise UserError(f"{error}: delete it to retrain from scratch") from error
