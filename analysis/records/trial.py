"""The figures that are read of a trial's reports, and their types."""

from __future__ import annotations

import pyarrow as pa

from analysis.records.schema import EPOCHS
from drnas_ray.results.trial import Columns

SEARCH_COLUMNS: Columns = {field.name: field.type for field in EPOCHS if field.name != "run_id"}
RETRAIN_COLUMNS: Columns = {
    **{name: SEARCH_COLUMNS[name] for name in ("epoch", "status", "train_loss", "train_acc_pct")},
    **{name: pa.float64() for name in ("test_loss", "test_acc_pct", "lr", "wall_s", "params_m")},
    **{name: SEARCH_COLUMNS[name] for name in ("device", "threads", "host", "reported_unix_s")},
}
