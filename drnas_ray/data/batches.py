"""Batches are made on the device of the images: no worker processes, no waiting for the host.

Augmentation is the CIFAR recipe in torchvision's order: random crop of the zero-padded raw image,
horizontal flip, normalisation, then Cutout (DeVries & Taylor 2017, arXiv:1708.04552), drawn
independently for each image from the device's global random state.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from drnas_ray.data.images import DataInfo, ImageSet


def normalise(images: Tensor, info: DataInfo, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 images (n, channels, height, width) as (x / 255 - mean) / std, in `dtype`.

    Computed in single precision at least, so that a half-precision result is rounded once.
    """
    working = dtype if dtype.itemsize >= 4 else torch.float32
    scale, shift = _affine(info, images.device, working)
    return torch.addcmul(shift, images.to(working), scale).to(dtype)


@lru_cache(maxsize=64)
def _affine(info: DataInfo, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cached per device: copying constants to a GPU makes the host wait, so it is done once."""
    std = torch.tensor(info.std, dtype=torch.float64)
    mean = torch.tensor(info.mean, dtype=torch.float64)
    scale, shift = 1 / (255 * std), -mean / std
    return tuple(t.view(1, -1, 1, 1).to(device, dtype) for t in (scale, shift))  # type: ignore[return-value]


def augment(images: Tensor, info: DataInfo, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 images (n, channels, height, width), cropped, flipped, normalised, with Cutout.

    Random draws, in this order and only where turned on: crop rows, crop columns, flips, cutout
    rows, cutout columns.
    """
    cropped = _crop_and_flip(images, info.crop_padding, info.flip)
    return _cut_out(normalise(cropped, info, dtype), info.cutout)


def _crop_and_flip(images: Tensor, padding: int, flip: bool) -> Tensor:
    """Each image shifted by up to `padding` pixels, filled with zeros, and flipped at random."""
    if not padding and not flip:
        return images
    n, channels, height, width = images.shape
    device = images.device
    rows = torch.arange(height, device=device).expand(n, height)
    columns = torch.arange(width, device=device).expand(n, width)
    padded = images
    if padding:
        padded = F.pad(images, (padding, padding, padding, padding))
        rows = rows + torch.randint(2 * padding + 1, (n, 1), device=device)
        left = torch.randint(2 * padding + 1, (n, 1), device=device)
    if flip:
        mirrored = torch.rand(n, 1, device=device) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if padding:
        columns = columns + left  # after mirroring: the crop's columns are read backwards
    # One gather over flat pixels does both; on a CPU it beats indexing four axes about fourfold.
    flat = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
    index = flat.reshape(n, 1, height * width).expand(n, channels, height * width)
    return padded.reshape(n, channels, -1).gather(2, index).view(n, channels, height, width)


def _cut_out(images: Tensor, side: int) -> Tensor:
    """A square of `side` pixels set to 0 (the mean colour) around a random pixel of each image.

    It is clipped at the border, as in the DARTS code, which blanks side - 1 pixels where side is
    odd; here the square always has the given side.
    """
    if not side:
        return images
    n, _, height, width = images.shape

    def hit(extent: int) -> Tensor:
        first = torch.randint(extent, (n, 1), device=images.device) - side // 2
        distance = torch.arange(extent, device=images.device) - first
        return (distance >= 0) & (distance < side)

    rows, columns = hit(height), hit(width)
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def batch_count(n: int, batch_size: int) -> int:
    """How many batches `train_batches` makes from `n` images."""
    full, rest = divmod(n, batch_size)
    return full + (rest > 1)


def train_batches(
    data: ImageSet, batch_size: int, info: DataInfo, dtype: torch.dtype = torch.float32
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in a new random order: (augmented images, labels), batch by batch.

    A short last batch is kept unless it is a single image, which batch norm can't normalise. Raises
    ValueError, at the first batch, where batch_size is below 2.
    """
    if batch_size < 2:
        raise ValueError(f"batch_size={batch_size} is too small for batch norm: give 2 or more")
    order = torch.randperm(len(data), device=data.images.device)
    for chosen in torch.split(order, batch_size)[: batch_count(len(data), batch_size)]:
        yield augment(data.images[chosen], info, dtype), data.labels[chosen]


def random_batch(
    data: ImageSet, batch_size: int, info: DataInfo, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """`batch_size` different images (all, if there are fewer), augmented, with their labels.

    Every call draws from the whole set, independently of earlier calls.
    """
    chosen = torch.randperm(len(data), device=data.images.device)[:batch_size]
    return augment(data.images[chosen], info, dtype), data.labels[chosen]


def eval_batches(
    data: ImageSet, batch_size: int, info: DataInfo, dtype: torch.dtype = torch.float32
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, normalised only, with their labels; the last batch may be short."""
    for start in range(0, len(data), batch_size):
        stop = start + batch_size
        yield normalise(data.images[start:stop], info, dtype), data.labels[start:stop]
