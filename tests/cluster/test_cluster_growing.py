"""A sweep on a cluster that has no room yet: its trials wait for the nodes that are to come."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sweep_runs import driver, rows, write_sweep


@pytest.mark.slow
def test_trials_wait_for_the_first_worker(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster  # noqa: PLC0415  takes a second to import

    write_sweep(tmp_path, methods=["uniform"], grid={}, retrain=None, seeds="0:2")
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 0})
    words = ("sweep", "tiny.yaml", "--out", "out", "--address", nodes.address)
    try:
        with driver(tmp_path, *words) as refused:
            assert refused.process.wait(240) == 2
            assert "which no node of the cluster has" in refused.text()
        with driver(tmp_path, *words, "--set", "resources.scale=true") as running:
            time.sleep(20)  # it waits for a node without a word, before it makes anything
            assert running.process.poll() is None, running.text()
            assert not (tmp_path / "out").exists()
            nodes.add_node(num_cpus=1, num_gpus=1)
            assert running.process.wait(240) == 0, running.text()
    finally:
        nodes.shutdown()
    assert [run["status"] for run in rows(tmp_path / "out", "runs")] == ["done", "done"]
