"""Clusters of several nodes on one machine: a node is lost; only one node is large enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster
from sweep_runs import driver, drnas, final_strengths, reference, rows, write_sweep

__all__ = ["reference"]  # a fixture

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head of one CPU; tests add nodes."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    made.shutdown()


def test_a_lost_node_changes_nothing(cluster: Any, reference: Path, tmp_path: Path) -> None:
    lost = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    write_sweep(tmp_path, retrain=None)
    out = tmp_path / "out"
    args = ["sweep", "tiny.yaml", "--out", "out", "--address", cluster.address]
    with driver(tmp_path, *args) as running:
        # One trial a node; both have begun.
        running.wait_for(
            lambda: len({path.parent for path in out.glob("search/*/checkpoint_*")}) >= 2
        )
        cluster.remove_node(lost, allow_graceful=False)
        assert running.process.wait(300) == 0, running.text()
    assert {run["status"] for run in rows(out, "runs")} == {"done"}
    assert final_strengths(out) == final_strengths(reference)
    assert rows(out, "epochs") == rows(reference, "epochs")
    again = [run["restarts"] for run in rows(out, "runs", times=True)]
    assert max(again) >= 1


def test_trials_run_where_they_fit_and_are_refused_where_none_does(
    cluster: Any, tmp_path: Path
) -> None:
    cluster.add_node(num_cpus=3)
    cluster.wait_for_nodes()
    write_sweep(tmp_path, methods=["darts"], seeds="0:2", grid={}, retrain=None)
    common = ["sweep", "tiny.yaml", "--address", cluster.address, "--set", "config.epochs=2"]
    code, text = drnas(tmp_path, *common, "--out", "big", "--set", "resources.cpu=4")
    assert code == 2, text
    assert "(1 CPUs, 0 GPUs; 3 CPUs, 0 GPUs)" in text or "(3 CPUs, 0 GPUs; 1 CPUs" in text
    code, text = drnas(tmp_path, *common, "--out", "fits", "--set", "resources.cpu=3")
    assert code == 0, text
    assert {run["threads"] for run in rows(tmp_path / "fits", "runs")} == {3}
