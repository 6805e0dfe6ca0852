"""One search in this process, without Ray, into the same kind of folder as a sweep's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drnas_ray.data.catalog import prepare
from drnas_ray.errors import UserError
from drnas_ray.search import checkpoint
from drnas_ray.search.device import device_name, pick_device, use_threads
from drnas_ray.search.job import start
from drnas_ray.sweeps.folder import check_folder, make_folder
from drnas_ray.sweeps.plan import plan_runs
from drnas_ray.sweeps.spec import SweepConfig


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
    runs = plan_runs(sweep)
    if len(runs) != 1:
        raise UserError(f"these settings make {len(runs)} runs, and a search is one: use a sweep")
    run = runs[0]
    check_folder(out, runs, resume=resume)
    prepare(run.config.data, data_root)
    make_folder(out, sweep, runs)
    threads = sweep.resources.threads
    use_threads(threads)
    device = pick_device()
    job = start(run.config, data_root, device)
    folder = out / "search" / run.folder
    folder.mkdir(parents=True, exist_ok=True)
    settings = run.config.model_dump(mode="json")
    params = {"job": {"run_id": run.run_id, "settings": settings}, "threads": threads}
    (folder / "params.json").write_text(json.dumps(params))
    saved = folder / "run.pt"
    if saved.exists():
        job.load_state_dict(checkpoint.load(saved, run.config.canonical_json()))
    facts = {"run_id": run.run_id, "device": device_name(device), "threads": threads}
    lines = folder / "result.json"
    record = _last(lines) if job.epoch else {}
    while job.epoch < run.epochs and record.get("status") != "diverged":
        record = {**job.step(), **facts}
        # The line first: killed in between, the epoch is done again and its last line counts.
        with lines.open("a") as file:
            file.write(json.dumps(record) + "\n")
        checkpoint.save(job.state_dict(), saved)
        report(record, run.epochs)
    return record


def _last(lines: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(lines.read_text().splitlines()[-1])
    return record
