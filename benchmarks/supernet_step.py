"""Fused against plain NAS-Bench-201 supernet: milliseconds per architecture and weight step.

Both have the same weights and get the same batch in the same process, in turn; the number to
read is the ratio of medians. Run: python benchmarks/supernet_step.py [--channels 16 --cells 5]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from drnas_ray.config import SupernetSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.search.device import device_name, pick_device
from drnas_ray.supernets.nb201.convert import fused_state
from drnas_ray.supernets.nb201.network import NB201Supernet


def seconds(net: NB201Supernet, batch: tuple[torch.Tensor, torch.Tensor], step: str) -> float:
    alpha = torch.zeros(1, 6, 5, device=batch[0].device, requires_grad=True)
    wanted = [alpha] if step == "architecture" else list(net.parameters())
    sample = ArchSample(alpha.softmax(-1))
    begun = time.perf_counter()
    loss = F.cross_entropy(net(batch[0], sample), batch[1])
    torch.autograd.grad(loss, wanted)
    if batch[0].is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = pick_device()
    nets = {
        name: NB201Supernet(
            SupernetSettings(channels=args.channels, cells=args.cells, fused=name == "fused"),
            in_channels=3,
            classes=10,
        ).to(device)
        for name in ("plain", "fused")
    }
    nets["fused"].load_state_dict(fused_state(nets["plain"].state_dict()))
    batch = (
        torch.randn(args.batch, 3, args.side, args.side, device=device),
        torch.randint(10, (args.batch,), device=device),
    )
    table = Table(
        title=f"C={args.channels} N={args.cells}, {args.batch} images of {args.side}x{args.side}, "
        f"{args.threads} thread(s), {device_name(device)}"
    )
    for column in ("step", "plain, ms", "fused, ms", "plain / fused"):
        table.add_column(column, justify="right")
    for step in ("architecture", "weight"):
        times: dict[str, list[float]] = {name: [] for name in nets}
        for repeat in range(args.repeats + 1):
            for name, net in nets.items():
                taken = seconds(net, batch, step)
                if repeat:  # the first is a warm-up
                    times[name].append(taken * 1000)
        plain, fused = (statistics.median(times[name]) for name in ("plain", "fused"))
        table.add_row(step, f"{plain:.1f}", f"{fused:.1f}", f"{plain / fused:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
