"""The NAS-Bench-201 supernet as DrNAS searches it (Chen et al., ICLR 2021, arXiv:2006.10355).

It gets its architecture with every call and keeps none of it. Two cells compute the same function:
the plain one (`plain.py`) is the definition, the fused one (`fused.py`) is the fast one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from drnas_ray.config import SupernetSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.supernets.blocks import Skeleton
from drnas_ray.supernets.nb201.cell import PreparedSample
from drnas_ray.supernets.nb201.fused import FusedCell
from drnas_ray.supernets.nb201.plain import PlainCell


class NB201Supernet(Skeleton):
    """All 15,625 cells in one network, for any C, N, classes, input channels and partial K."""

    def __init__(self, settings: SupernetSettings, *, in_channels: int, classes: int) -> None:
        kind: Callable[..., nn.Module] = FusedCell if settings.fused else PlainCell
        super().__init__(
            partial(kind, partial=settings.partial),
            channels=settings.channels,
            cells=settings.cells,
            in_channels=in_channels,
            classes=classes,
        )

    def forward(self, x: Tensor, arch: ArchSample) -> Tensor:
        """Images (batch, in_channels, height, width) to logits (batch, classes)."""
        sample = PreparedSample(arch)
        return self.run(x, lambda cell, h: cell(h, sample))
