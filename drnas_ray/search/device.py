"""Which device a run uses, what it is called, and how many threads it may take."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def pick_device() -> torch.device:
    """The first GPU this process may see (Ray hides those of other trials), else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.deterministic = True  # the same seed should give the same search
    return torch.device("cuda", 0)


def device_name(device: torch.device) -> str:
    """A GPU's own name, or `cpu (model)`: what a table of search costs must say."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((ln.split(":", 1)[1].strip() for ln in lines if ln.startswith("model name")), "")
    return f"cpu ({model or platform.processor() or platform.machine()})"


def use_threads(threads: int) -> None:
    """CPU threads of this process. The number is part of what makes results repeat bit for bit."""
    torch.set_num_threads(threads)
