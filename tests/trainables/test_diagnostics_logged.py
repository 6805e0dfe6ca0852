"""What diagnostics report, through Tune's own loggers: one JSON line, TensorBoard events."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from ray.tune.logger import JsonLoggerCallback, TBXLoggerCallback
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import RecordWriter  # noqa: F401  (the reader below is its twin)

from trainables.search import SearchTrial
from trainables.trial import RECORDS_FILE
