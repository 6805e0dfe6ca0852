"""What diagnostics report, through Tune's own loggers: one JSON line, TensorBoard's histograms."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

from ray.tune.logger import JsonLoggerCallback, TBXLoggerCallback
from tensorboardX.proto.event_pb2 import Event

from drnas_ray.parsing import run_config
from drnas_ray.results.export_schema import SEARCH_COLUMNS
from drnas_ray.results.records import read_record
from trainables.trial import JobTrial

SETTINGS = {
    "method": {"name": "drnas"},
    "data": {"name": "digits", "train_images": 64},
    "epochs": 1,
    "batch_size": 16,
    "supernet": {"channels": 4, "cells": 1},
    "diagnostics": {
        "hessian": 1, "landscape": "last", "proposition1": 1, "images": 4, "landscape_points": 3,
        "proposition1_draws": 2,
    },
}  # fmt: skip


class FakeTrial:
    """As much of Tune's trial as its loggers ask for."""

    def __init__(self, folder: Path, config: dict) -> None:
        self.local_path, self.config, self.evaluated_params = str(folder), config, {}
        self.storage = None

    def init_local_path(self) -> None:
        """It is there."""


def events(folder: Path) -> Iterator[tuple[str, str]]:
    """(tag, kind) of all values in TensorBoard's files."""
    for path in folder.glob("events.*"):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + size])
            at += size + 16
            for value in event.summary.value:
                yield value.tag, str(value.WhichOneof("value"))


def test_nested_lists_pass_tunes_loggers(tmp_path: Path, monkeypatch) -> None:
    config = run_config(SETTINGS)
    job = {"run_id": config.id(), "folder": "f", "settings": config.model_dump(mode="json")}
    given = {"job": job, "threads": 1, "data_root": None}
    result = JobTrial(given).train()
    fake = FakeTrial(tmp_path, given)
    monkeypatch.setattr(JsonLoggerCallback, "_restore_from_remote", lambda *args: None)
    for logger in (JsonLoggerCallback(), TBXLoggerCallback()):
        logger.log_trial_result(1, fake, result)  # type: ignore[arg-type]
        logger.log_trial_end(fake)  # type: ignore[arg-type]
    (line,) = (tmp_path / "result.json").read_text().splitlines()
    written = json.loads(line)
    for key in ("landscape_offsets", "landscape_loss", "landscape_acc_pct", "hessian_trace"):
        assert written[key] == result[key]
    (row,) = read_record([tmp_path], "run_id", config.id(), SEARCH_COLUMNS).rows
    assert row["landscape_loss"] == result["landscape_loss"]
    assert row["proposition1_laplace"] == result["proposition1_laplace"]
    assert row["answer_epoch"] is None
    kinds = dict(events(tmp_path))
    assert kinds["ray/tune/landscape_loss"] == kinds["ray/tune/strengths"] == "histo"
    assert kinds["ray/tune/hessian_max_eigenvalue"] == "simple_value"
