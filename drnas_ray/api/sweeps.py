"""A sweep, from its plan to the folder of its results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drnas_ray.core.stores import Store
    from drnas_ray.sweeps.spec.sweep import SweepConfig


def run(
    sweep: SweepConfig,
    out: Path,
    *,
    data_root: Path | None = None,
    address: str | None = None,
    resume: bool = False,
    store: Store | None = None,
) -> None:
    """Run the sweep through Ray Tune into `out`, or continue it there.

    data_root: where data sets lie or are downloaded to. address: a running Ray cluster, `auto` or
    HOST:PORT; None starts one on this machine. store: what `out` is the local copy of. Raises
    UserError for anything wrong in the sweep, the folder or the data, before any trial.
    """
    from drnas_ray.results.layout import is_read
    from drnas_ray.sweeps.sweep import run_sweep
    from trainables.trial import JobTrial

    run_sweep(
        sweep,
        out,
        JobTrial,
        data_root=data_root,
        address=address,
        resume=resume,
        store=store,
    )
    if store is not None:
        store.pull(out, is_read)  # what the trials left there
