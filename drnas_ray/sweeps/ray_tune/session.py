"""A Ray session for a sweep: the cluster, what a trial may ask of it, how many trials fit."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.autoscaler.sdk import request_resources

from drnas_ray.core.errors import UserError
from drnas_ray.sweeps.spec.sweep import Resources

_POLL_S = 2.0


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Ray while a sweep runs: the cluster at `address`, or a local one of this machine.

    Raises UserError where no cluster answers at the address.
    """
    # Tune prints at length what the live view shows in a line; only its older output can be
    # turned off.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    # Its own handler of Ctrl-C lets `fit` return as if all were done.
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is not None:
        _check_address(address)
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"no Ray cluster answers at {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise UserError where nothing listens: Ray itself would keep trying for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or "/" in host or not port.isdigit():
        return  # `auto` and client addresses are Ray's to read
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"no Ray cluster answers at {address}: {error}") from error


def trial_resources(wanted: Resources) -> dict[str, float]:
    """What a trial asks Ray for: its GPU share only where there are GPUs, or may be later.

    Raises UserError where no node could ever hold one trial; on an autoscaling cluster, where none
    has appeared within `scale_wait_s`.
    """
    begun, asking = time.monotonic(), False
    try:
        while True:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            gpus = max((node.get("GPU", 0) for node in nodes), default=0)
            needs_gpu = wanted.gpu and (gpus or wanted.scale)
            asked = {"cpu": wanted.cpu} | ({"gpu": wanted.gpu} if needs_gpu else {})
            fits = any(
                node.get("CPU", 0) >= asked["cpu"] and node.get("GPU", 0) >= asked.get("gpu", 0)
                for node in nodes
            )
            if fits or not wanted.scale or time.monotonic() - begun >= wanted.scale_wait_s:
                break
            if not asking:  # an autoscaler adds a node only where something asks for it
                asking = True
                request_resources(bundles=[{name.upper(): n for name, n in asked.items()}])
            time.sleep(_POLL_S)
    finally:
        # From here on the trials ask for themselves. Ray keeps a request until it is withdrawn:
        # after Ctrl-C it would keep holding a node.
        if asking:
            request_resources(bundles=[])
    if not fits:
        has = "; ".join(f"{n.get('CPU', 0):g} CPUs, {n.get('GPU', 0):g} GPUs" for n in nodes)
        raise UserError(
            f"a trial asks for {asked}, which no node of the cluster has ({has}): lower resources"
            + (
                f"; waited {wanted.scale_wait_s:g} s for one"
                if wanted.scale
                else ", or set resources.scale=true where nodes come by themselves"
            )
        )
    return asked


def places(asked: dict[str, float]) -> int:
    """How many trials, or actors, fit on all nodes at once."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    wanted = {name.upper(): amount for name, amount in asked.items()}
    # With a tolerance, for shares such as three times 0.33 of 0.99.
    return sum(int(min(n.get(k, 0) / v + 1e-6 for k, v in wanted.items())) for n in nodes)
