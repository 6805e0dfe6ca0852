"""Which device a run uses, what it is called, and how many threads it may take."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

OUT_OF_MEMORY = "out of GPU memory"
"""How the error begins of a trial that needs more memory than its GPU has."""
_POLL_S = 2.0


def pick_device() -> torch.device:
    """The first GPU this process may see (Ray hides those of other trials), else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.deterministic = True  # the same seed should give the same search
    return torch.device("cuda", 0)


def device_name(device: torch.device) -> str:
    """A GPU's own name, or `cpu (model)`, which a table of search costs must mention."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((ln.split(":", 1)[1].strip() for ln in lines if ln.startswith("model name")), "")
    return f"cpu ({model or platform.processor() or platform.machine()})"


def use_threads(threads: int) -> None:
    """CPU threads of this process. Results repeat bit for bit only with the same number."""
    torch.set_num_threads(threads)


def out_of_memory(error: torch.OutOfMemoryError) -> RuntimeError:
    """The error as users see it, one line."""
    return RuntimeError(
        f"{OUT_OF_MEMORY} ({str(error).splitlines()[0]}): give a trial a larger share of its GPU "
        "(resources.gpu, or resources.retry_oom), a smaller batch_size, or a smaller supernet"
    )


def _free_mib() -> float:
    torch.cuda.empty_cache()  # memory that this process holds for reuse is free to it
    return torch.cuda.mem_get_info()[0] / 2**20


def wait_for_memory(
    needed_mib: float,
    wait_s: float,
    free_mib: Callable[[], float] = _free_mib,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once the GPU has this much free memory, as seen by `free_mib`.

    Raises RuntimeError, one line, if it hasn't after `wait_s` seconds.
    """
    waited = 0.0
    while (free := free_mib()) < needed_mib:
        if waited >= wait_s:
            raise RuntimeError(
                f"the GPU has {free:,.0f} MiB free after {wait_s:g} s, but a trial needs "
                f"{needed_mib:,.0f} (resources.gpu_free_mib): end other processes on it"
            )
        pause = min(_POLL_S, wait_s - waited)
        sleep(pause)
        waited += pause
