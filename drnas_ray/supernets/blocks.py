"""The building blocks of every NAS-Bench-201 network, supernet or derived.

Dong & Yang, ICLR 2020 (arXiv:2001.00326), figure 1: a stem, three stages of N cells with widths
C, 2C, 4C, a fixed residual block before the second and third stage, and a linear classifier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ReLUConvBN(nn.Module):
    """ReLU, convolution without bias, batch normalisation; keeps the image size."""

    def __init__(self, channels: int, kernel: int, *, affine: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width); the result has the same shape."""
        out: Tensor = self.bn(self.conv(torch.relu(x)))
        return out


def average_pool(x: Tensor) -> Tensor:
    """3x3 average pooling with stride 1; at the border only pixels inside the image count."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _BoxSum(torch.autograd.Function):
    """3x3 sums, zeros outside the image. A symmetric linear map: it is its own gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        rows = x.clone()
        rows[..., 1:, :] += x[..., :-1, :]
        rows[..., :-1, :] += x[..., 1:, :]
        out = rows.clone()
        out[..., 1:] += rows[..., :-1]
        out[..., :-1] += rows[..., 1:]
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _box_sum(grads[0])


def _box_sum(x: Tensor) -> Tensor:
    out: Tensor = _BoxSum.apply(x)
    return out


def fast_average_pool(x: Tensor) -> Tensor:
    """`average_pool`, on a CPU by shifted sums: torch's own CPU kernel is not vectorised.

    An exported network gets the single operation, which other runtimes know.
    """
    if x.device.type != "cpu" or torch.compiler.is_exporting():
        return average_pool(x)
    inside = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    return _box_sum(x) / _box_sum(inside)


class ReductionBlock(nn.Module):
    """The fixed residual block that halves the image and doubles the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        out = 2 * channels
        self.conv_a = nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False)
        self.bn_a = nn.BatchNorm2d(out)
        self.conv_b = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn_b = nn.BatchNorm2d(out)
        self.shortcut = nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, c, height, width) to (batch, 2c, ceil(height/2), ceil(width/2))."""
        y = self.bn_a(self.conv_a(torch.relu(x)))
        y = self.bn_b(self.conv_b(torch.relu(y)))
        # ceil_mode matters for odd sides only, where the strided convolution rounds up too; the
        # benchmark's own images have even sides.
        out: Tensor = y + self.shortcut(F.avg_pool2d(x, 2, stride=2, ceil_mode=True))
        return out


class Skeleton(nn.Module):
    """Stem, cells, reductions and classifier; the cell, and how it is called, are passed in.

    The classifier sees the global average of the last features, so images may have any size.
    """

    def __init__(
        self,
        make_cell: Callable[[int], nn.Module],
        *,
        channels: int,
        cells: int,
        in_channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        body: list[nn.Module] = []
        for stage in range(3):
            width = channels * 2**stage
            if stage:
                body.append(ReductionBlock(width // 2))
            body.extend(make_cell(width) for _ in range(cells))
        self.body = nn.ModuleList(body)
        self.last_bn = nn.BatchNorm2d(channels * 4)
        self.classifier = nn.Linear(channels * 4, classes)

    def run(self, x: Tensor, call_cell: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
        """Images (batch, in_channels, height, width) to logits (batch, classes)."""
        x = self.stem(x)
        for block in self.body:
            x = block(x) if isinstance(block, ReductionBlock) else call_cell(block, x)
        x = torch.relu(self.last_bn(x)).mean((2, 3))
        logits: Tensor = self.classifier(x)
        return logits
