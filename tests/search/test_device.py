"""Waiting for GPU memory, with a GPU that is only said to be there."""

from __future__ import annotations

import pytest

from drnas_ray.search.device import wait_for_memory


class FakeGpu:
    def __init__(self, *free_mib: float) -> None:
        self.left, self.slept = list(free_mib), 0.0

    def free_mib(self) -> float:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


def test_free_memory_is_not_waited_for() -> None:
    gpu = FakeGpu(5000)
    wait_for_memory(5000, 0, gpu.free_mib, gpu.sleep)
    assert gpu.slept == 0


def test_memory_is_waited_for_until_it_is_freed() -> None:
    gpu = FakeGpu(100, 100, 4999, 5000)
    wait_for_memory(5000, 60, gpu.free_mib, gpu.sleep)
    assert 0 < gpu.slept < 60


@pytest.mark.parametrize("wait_s", [0, 5, 60.5])
def test_memory_that_is_never_freed_is_given_up_on_time(wait_s: float) -> None:
    gpu = FakeGpu(100)
    with pytest.raises(
        RuntimeError, match=r"^the GPU has 100 MiB free after .* a trial needs 5,000"
    ):
        wait_for_memory(5000, wait_s, gpu.free_mib, gpu.sleep)
    assert gpu.slept == wait_s
