"""One search in this process, without Ray, into the same kind of folder as a sweep's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from drnas_ray.core.errors import UserError
from drnas_ray.core.files import append_json_line, write_json
from drnas_ray.jobs.start import Place, single_job
from drnas_ray.results.layout import CHECKPOINT_FILE, PARAMS_FILE, REPORTS_FILE, SEARCH
from drnas_ray.search.device import pick_device
from drnas_ray.sweeps.folder import check_folder, make_folder
from drnas_ray.sweeps.plan.check import prepare_runs
from drnas_ray.sweeps.plan.runs import plan_runs
from drnas_ray.sweeps.spec.sweep import SweepConfig


def run_search(
    sweep: SweepConfig,
    out: Path,
    *,
    data_root: Path | None,
    resume: bool,
    report: Callable[[dict[str, Any], int], None],
) -> dict[str, Any]:
    """Run the only run of a sweep; `report` gets each epoch's record and the number of epochs.

    Returns the last record. Raises UserError for anything wrong, before the search starts.
    """
    if sweep.search is not None:
        raise UserError("search: a single search tunes nothing: use a sweep")
    runs = plan_runs(sweep)
    if len(runs) != 1:
        raise UserError(f"these settings make {len(runs)} runs, and a search is one: use a sweep")
    if sweep.retrain is not None:
        raise UserError("retrain: a search trains no cell from scratch: use a sweep with one seed")
    run = runs[0]
    check_folder(out, sweep, runs, resume=resume)
    prepare_runs(runs, data_root, retrained=False)
    make_folder(out, sweep, runs)
    ids = {"run_id": run.run_id}
    place = Place(pick_device(), sweep.resources.threads, data_root)
    job = single_job(run.config, ids, place)
    folder = out / SEARCH / run.folder
    folder.mkdir(parents=True, exist_ok=True)
    described = {**ids, "settings": run.config.model_dump(mode="json")}
    write_json(folder / PARAMS_FILE, {"job": described, "threads": place.threads})
    saved = folder / CHECKPOINT_FILE
    if saved.exists():
        job.load(saved)
    while not job.ended:
        record = job.step()
        # The line first: killed in between, the epoch is done again and its last line counts.
        append_json_line(folder / REPORTS_FILE, record, sync=True)
        job.save(saved)
        report(record, run.epochs)
    return job.records[-1]
