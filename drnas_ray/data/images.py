"""Images as one uint8 tensor with their labels, and what a search knows about its data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drnas_ray.config import DataSettings

Pixels = npt.NDArray[np.uint8]
"""Images as an array (n, channels, height, width)."""
Labels = npt.NDArray[np.int64]
"""Class numbers as an array (n,)."""
Part = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and their classes, all on one device.

    images: (n, channels, height, width) uint8; labels: (n,) int64, from 0.
    Raises ValueError, naming the value, where a type, a shape or a device doesn't fit.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"images must be uint8 (n, channels, height, width), got {self.images.dtype} "
                f"{tuple(self.images.shape)}"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels must be int64 ({len(self.images)},), one per image, got "
                f"{self.labels.dtype} {tuple(self.labels.shape)}"
            )
        if self.labels.device != self.images.device:
            raise ValueError(
                f"images on {self.images.device} and labels on {self.labels.device} must share a "
                f"device"
            )

    @classmethod
    def from_arrays(cls, images: Pixels, labels: Labels) -> ImageSet:
        """An image set of these arrays, on the CPU; memory is shared where possible."""
        return cls(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels))

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> ImageSet:
        """The same images on `device`."""
        return ImageSet(self.images.to(device), self.labels.to(device))

    def take(self, indices: Tensor | slice) -> ImageSet:
        """The images at `indices` (int64 on the set's device, or a slice), in that order."""
        return ImageSet(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class DataInfo:
    """A data set as it was read, and the augmentation of its training batches.

    mean, std: per channel, of pixels in 0..1. crop_padding, cutout: pixels; 0 turns either off.
    """

    name: str
    class_names: tuple[str, ...]
    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_padding: int
    flip: bool
    cutout: int

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)


Reader = Callable[[DataSettings, Path, Part], tuple[tuple[str, ...], ImageSet]]
"""Reads one part of a data set: (settings, root, part) -> (class names, images on the CPU)."""
