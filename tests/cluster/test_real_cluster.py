"""A sweep on a cluster that `ray up` made, whose worker and then head lose power: nothing is lost.

Uses clusters/onprem.yaml itself, with addresses, key, token and folder filled in.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hosts import ADDRESSES, ROOT, Lab, missing
from sweep_runs import TIMES, rows

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(missing() is not None, reason=f"namespace hosts: {missing()}"),
]
SEEDS, EPOCHS = 6, 240
SWEEP: dict[str, Any] = {
    "name": "powercuts",
    "methods": ["drnas"],
    "datasets": [{"name": "digits", "train_images": 200}],
    "seeds": f"0:{SEEDS}",
    "config": {
        "epochs": EPOCHS,
        "batch_size": 64,
        "supernet": {"channels": 4, "cells": 1},
        "arch": {"lr": 0.05},
    },
    "retrain": {"epochs": 1, "batch_size": 64, "channels": 4, "cells": 1},
    "max_failures": 5,
}
ELSEWHERE = {"host", "git_commit"}  # which machine did it may differ, what came out may not
COUNT_NODES = (
    "import ray; ray.init('auto', log_to_driver=False, logging_level='error'); "
    "print('alive', sum(node['Alive'] for node in ray.nodes()))"
)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Three hosts that are up."""
    # Not under /tmp or a home, which each host has of its own.
    folder = Path(tempfile.mkdtemp(prefix="drnas-hosts-", dir="/var/lib"))
    hosts = Lab(folder)
    try:
        hosts.up()
        yield hosts
    finally:
        hosts.down()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def launcher(lab: Lab) -> Iterator[Launcher]:
    """This machine, with our file filled in."""
    launching = Launcher(lab)
    launching.fill_in()
    try:
        yield launching
    finally:
        launching.stop()


class Launcher:
    """The machine that `ray up` is run on: this one, with a folder for what Ray leaves behind."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.file = lab.folder / "onprem.yaml"
        self.log = lab.folder / "launcher.log"
        self.started: list[subprocess.Popen[bytes]] = []
        (lab.folder / "ray").mkdir()
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("RAY_")},
            "PATH": f"{lab.folder}/bin:{os.environ['PATH']}",
            "RAY_TMPDIR": str(lab.folder / "ray"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "COLUMNS": "200",
        }

    def fill_in(self) -> None:
        """What clusters/onprem.yaml asks a person to do."""
        token = self.lab.folder / "token"
        token.write_text("0123456789abcdef" * 4)
        token.chmod(0o600)
        text = (ROOT / "clusters" / "onprem.yaml").read_text()
        for old, new in {
            "FILL-IN-head": ADDRESSES["head"],
            "FILL-IN-worker-1": ADDRESSES["w1"],
            "FILL-IN-worker-2": ADDRESSES["w2"],
            "FILL-IN-user": "root",
            "ssh_private_key: ~/.ssh/id_ed25519": f"ssh_private_key: {self.lab.key}",
            '"~/.ray/auth_token": "~/.ray/auth_token"': f'"~/.ray/auth_token": "{token}"',
            "results: /shared/results": f"results: {self.lab.shared}",
        }.items():
            assert old in text
            text = text.replace(old, new)
        self.file.write_text(text)

    def start(self, *words: object) -> subprocess.Popen[bytes]:
        """A command in the background; what it says goes to the log."""
        with self.log.open("ab") as log:
            log.write(f"\n$ {' '.join(map(str, words))}\n".encode())
            log.flush()
            process = subprocess.Popen(
                list(map(str, words)), env=self.env, cwd=ROOT, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def stop(self) -> None:
        """End what still runs."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def run(self, *words: object, timeout_s: float = 300) -> int:
        """A command to its end; its exit code."""
        return self.start(*words).wait(timeout_s)

    def said(self) -> str:
        """The end of the log, for a failed test."""
        return self.log.read_text()[-6000:]

    def sweep(self, *options: str) -> subprocess.Popen[bytes]:
        """The sweep on the head, in the foreground of an ssh session."""
        command = f"drnas sweep {self.lab.shared}/sweep.yaml --address auto --out {self.out}"
        return self.start("ray", "exec", self.file, " ".join([command, *options]))

    @property
    def out(self) -> Path:
        return self.lab.shared / "out"

    def alive(self) -> int:
        """Nodes that the cluster counts as alive."""
        try:
            done = self.lab.ssh("head", f'RAY_AUTH_MODE=token python -c "{COUNT_NODES}"')
        except subprocess.TimeoutExpired:
            return 0
        found = re.search(r"alive (\d+)", done.stdout)
        return int(found[1]) if found else 0

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """Trial folder -> lines reported, from where Tune writes them first, on the head."""
        found: dict[str, list[dict[str, Any]]] = {}
        form = "tmp/ray/session_2*/artifacts/*/search/driver_artifacts/*/result.json"
        # Not Path.glob, which fails where a folder goes while it looks.
        for name in glob.glob(str(self.lab.folder / "head" / form)):  # noqa: PTH207
            lines = Path(name).read_text().split("\n")[:-1]  # the last may be half written
            if lines:
                found[Path(name).parent.name] = [json.loads(line) for line in lines]
        return found

    def saved(self) -> dict[str, int]:
        """Trial folder -> epochs in its newest whole checkpoint, which all nodes share."""
        found: dict[str, int] = {}
        for name in glob.glob(f"{self.out}/search/*/checkpoint_*/epochs.jsonl"):  # noqa: PTH207
            try:
                epochs = Path(name).read_text().count("\n")
            except FileNotFoundError:
                continue  # deleted since
            trial = Path(name).parent.parent.name
            found[trial] = max(epochs, found.get(trial, 0))
        return found


def wait_for(sign: Callable[[], Any], timeout_s: float, launcher: Launcher, what: str) -> Any:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if found := sign():
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what}: not after {timeout_s} s\n{launcher.said()}")


def on(host: str, launcher: Launcher) -> set[str]:
    """Trials whose newest record was made on a host."""
    return {
        trial
        for trial, lines in launcher.records().items()
        if lines[-1]["hostname"] == f"drnas-{host}"
    }


def whole_rows(out: Path, kind: str) -> list[dict[str, Any]]:
    kept = [{k: v for k, v in row.items() if k not in ELSEWHERE} for row in rows(out, kind)]
    assert kept
    return kept


def test_power_cuts_change_nothing(lab: Lab, launcher: Launcher) -> None:
    (lab.shared / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    assert launcher.run("drnas", "cluster", "check", "--ready", launcher.file) == 0, launcher.said()
    up = ("ray", "up", "--yes", "--no-config-cache", launcher.file)
    assert launcher.run(*up) == 0, launcher.said()
    wait_for(lambda: launcher.alive() == 3, 480, launcher, "three nodes")

    # Nobody without the token is let in.
    stranger = lab.ssh("head", f'RAY_AUTH_TOKEN=wrong python -c "{COUNT_NODES}"')
    assert "alive" not in stranger.stdout

    first = launcher.sweep()
    wait_for(
        lambda: len(launcher.records()) == SEEDS and on("w2", launcher) and on("w1", launcher),
        480, launcher, "all trials at work, on both workers",
    )  # fmt: skip
    lost = on("w2", launcher)
    lab.off("w2")
    before = {trial: launcher.records()[trial][-1]["epoch"] for trial in lost}
    wait_for(
        lambda: all(
            lines[-1]["epoch"] > before[trial] and lines[-1]["hostname"] != "drnas-w2"
            for trial, lines in launcher.records().items()
            if trial in lost
        ),
        480, launcher, "trials of the lost worker go on elsewhere",
    )  # fmt: skip
    assert first.poll() is None, launcher.said()
    lab.start("w2")
    wait_for(
        # On a slow machine the sweep may be near its end first: the worker joins the next head.
        lambda: launcher.alive() == 3 or min(launcher.saved().values()) > 0.7 * EPOCHS,
        480, launcher, "the rebooted worker is back",
    )  # fmt: skip

    assert first.poll() is None, launcher.said()
    lab.off("head")
    cut, reached = time.time(), launcher.saved()
    assert min(reached.values()) < EPOCHS, "too late: all was done when the head lost power"
    assert first.wait(480) != 0
    lab.start("head")
    assert launcher.run(*up) == 0, launcher.said()
    wait_for(lambda: launcher.alive() == 3, 480, launcher, "three nodes again")
    assert launcher.sweep("--resume").wait(900) == 0, launcher.said()
    # Nothing that was in a checkpoint was done again.
    for path in launcher.out.glob("search/*/result.json"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        later = [line["epoch"] for line in lines if line["timestamp"] > cut + 2]
        assert not later or min(later) > reached[path.parent.name], later
    assert launcher.run("ray", "down", "--yes", launcher.file) == 0, launcher.said()

    undisturbed = lab.folder / "undisturbed"
    words = ("drnas", "sweep", lab.shared / "sweep.yaml", "--out", undisturbed)
    assert launcher.run(*words, timeout_s=900) == 0, launcher.said()
    runs = whole_rows(launcher.out, "runs")
    assert [run["status"] for run in runs] == ["done"] * SEEDS
    assert len(whole_rows(launcher.out, "epochs")) == SEEDS * EPOCHS
    for kind in TIMES:
        assert whole_rows(launcher.out, kind) == whole_rows(undisturbed, kind), kind
    assert len({row["host"] for row in rows(launcher.out, "epochs")}) == 3, "all hosts took part"
