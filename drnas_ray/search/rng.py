"""A run's own random state: torch's global generators are borrowed while the run works.

Dirichlet draws and augmentation use torch's global generators. Swapping the run's states in and
the previous ones back keeps runs in one process independent, and lets a checkpoint hold the state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def _states(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_states(states: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"].cpu())
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


class RandomState:
    """The generators of the CPU and of one device, started from a seed."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        outside = _states(device)
        torch.manual_seed(seed)
        self.states = _states(device)
        _set_states(outside, device)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it torch's global generators are this run's; they continue where they stopped."""
        outside = _states(self.device)
        _set_states(self.states, self.device)
        try:
            yield
        finally:
            self.states = _states(self.device)
            _set_states(outside, self.device)

    def state_dict(self) -> dict[str, Tensor]:
        """The states, for a checkpoint."""
        return dict(self.states)

    def load_state_dict(self, states: dict[str, Tensor]) -> None:
        """Continue from a checkpoint's states. One made on a CPU lacks a GPU's, which then
        stays."""
        self.states = {**self.states, **states}
