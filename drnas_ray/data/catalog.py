"""The data sets there are, one line each, and the doors to their images.

Training and test images come from different calls: a search never calls the one for the test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError, unknown_name
from drnas_ray.data.decode import DEFAULT_SIDE
from drnas_ray.data.digits import read_digits
from drnas_ray.data.files import data_root
from drnas_ray.data.folder import check_folder, read_folder
from drnas_ray.data.imagenet16 import read_imagenet16_120
from drnas_ray.data.images import DataInfo, ImageSet, Reader
from drnas_ray.data.parquet import check_parquet, read_parquet
from drnas_ray.data.public import public
from drnas_ray.data.splits import balanced_subset

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation per channel, of pixels in 0..1."""
LEAST_IMAGES = 4
"""Two for the weights and two for the architecture: batch norm needs two at a time."""


@dataclass(frozen=True)
class DatasetEntry:
    """How a data set is read and augmented; side and train_images are None where the user's own
    files decide, crop_padding is None for an eighth of the side."""

    read: Reader
    side: int | None = None
    train_images: int | None = None
    crop_padding: int | None = None
    flip: bool = True
    statistics: Statistics | None = None
    """None: measured on the training images."""
    check_path: Callable[[Path], None] | None = None
    """For data sets that lie at the user's `path`: raises UserError where it doesn't fit."""


CIFAR10: Statistics = (
    (0.49139968, 0.48215827, 0.44653124),
    (0.24703233, 0.24348505, 0.26158768),
)
CIFAR100: Statistics = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
IMAGENET16: Statistics = (
    (122.68 / 255, 116.66 / 255, 104.01 / 255),
    (63.22 / 255, 61.26 / 255, 65.09 / 255),
)

DATASETS: dict[str, DatasetEntry] = {
    "digits": DatasetEntry(read_digits, 8, 1437, 1, flip=False),
    "cifar10": DatasetEntry(public("cifar10"), 32, 50_000, 4, statistics=CIFAR10),
    "cifar100": DatasetEntry(public("cifar100"), 32, 50_000, 4, statistics=CIFAR100),
    "svhn": DatasetEntry(public("svhn"), 32, 73_257, 4, flip=False),
    "fashion-mnist": DatasetEntry(public("fashion-mnist"), 28, 60_000, 4),
    "imagenet16-120": DatasetEntry(read_imagenet16_120, 16, 151_700, 2, statistics=IMAGENET16),
    "folder": DatasetEntry(read_folder, check_path=check_folder),
    "parquet": DatasetEntry(read_parquet, check_path=check_parquet),
}


def check_data(settings: DataSettings) -> None:
    """Raise UserError, naming the value, where these settings can't work. Opens no image."""
    entry = _entry(settings)
    name = settings.name
    if entry.check_path is None:
        for field in ("path", "image_size"):
            if (value := getattr(settings, field)) is not None:
                raise UserError(
                    f"data.{field}={value} means nothing to data set '{name}': leave it out, or "
                    f"use 'folder' or 'parquet'"
                )
    elif settings.path is None:
        raise UserError(f"data set '{name}' needs data.path: say where its files lie")
    side = entry.side or settings.image_size or DEFAULT_SIDE
    if settings.cutout > side:
        raise UserError(
            f"data.cutout={settings.cutout} is wider than the {side} pixels of '{name}': give "
            f"{side} or less"
        )
    if (settings.crop_padding or 0) > side:
        raise UserError(
            f"data.crop_padding={settings.crop_padding} is wider than the {side} pixels of "
            f"'{name}': give {side} or less"
        )
    wanted, there_are = settings.train_images, entry.train_images
    if wanted is not None and there_are is not None and wanted > there_are:
        raise UserError(
            f"data.train_images={wanted} is more than the {there_are} training images of "
            f"'{name}': give {there_are} or fewer"
        )
    if entry.check_path is not None:
        path = Path(str(settings.path))
        try:
            there = path.exists()
        except OSError as error:
            raise UserError(f"data.path can't be looked at: {error.strerror}") from error
        if not there:
            raise UserError(f"data.path={path} doesn't exist: say where the '{name}' files lie")
        entry.check_path(path)


def load_train(settings: DataSettings, root: Path | None) -> tuple[DataInfo, ImageSet]:
    """What the data set is like, and its training images on the CPU; no test image is touched.

    root: where downloads and decoded images are kept; None: DRNAS_DATA_ROOT, else
    ~/.cache/drnas-ray. Raises UserError where settings don't fit or files are missing or damaged.
    """
    check_data(settings)
    entry = _entry(settings)
    names, data = entry.read(settings, data_root(root), "train")
    # Measured before a subset is taken: the published figures are those of the whole set too.
    mean, std = entry.statistics or channel_statistics(data)
    if settings.train_images is not None:
        chosen = balanced_subset(data.labels.numpy(), settings.train_images)
        data = data.take(torch.from_numpy(chosen))
    if len(data) < LEAST_IMAGES:
        raise UserError(
            f"data set '{settings.name}' has {len(data)} training images: {LEAST_IMAGES} or more "
            f"are needed"
        )
    _, channels, height, width = data.images.shape
    habit = width // 8 if entry.crop_padding is None else entry.crop_padding
    return DataInfo(
        name=settings.name,
        class_names=names,
        channels=channels,
        height=height,
        width=width,
        mean=mean,
        std=std,
        crop_padding=habit if settings.crop_padding is None else settings.crop_padding,
        flip=entry.flip if settings.flip is None else settings.flip,
        cutout=settings.cutout,
    ), data


def load_test(settings: DataSettings, root: Path | None) -> ImageSet:
    """The held-out test images on the CPU; errors and `root` as in `load_train`."""
    check_data(settings)
    return _entry(settings).read(settings, data_root(root), "test")[1]


def search_halves(settings: DataSettings, root: Path | None) -> tuple[DataInfo, ImageSet, ImageSet]:
    """The training images cut in the middle, unshuffled: for the weights, for the architecture.

    Where their number is odd, the second half has one more. Errors as in `load_train`.
    """
    info, data = load_train(settings, root)
    middle = len(data) // 2
    return info, data.take(slice(None, middle)), data.take(slice(middle, None))


def prepare(settings: DataSettings, root: Path | None) -> None:
    """Download and read everything once, so that errors show now and trials find it ready."""
    load_train(settings, root)
    load_test(settings, root)


def channel_statistics(data: ImageSet) -> Statistics:
    """Mean and population deviation of each channel, of pixels in 0..1, counted exactly.

    A channel that never varies gets the deviation of one grey level, so that it can be divided by.
    """
    mean, std = [], []
    for channel in range(data.images.shape[1]):
        values = data.images[:, channel].flatten()
        # Whole numbers until the last division: no rounding that depends on order or threads.
        counts = torch.bincount(values, minlength=256).tolist()
        total = sum(grey * count for grey, count in enumerate(counts))
        squares = sum(grey**2 * count for grey, count in enumerate(counts))
        n = len(values)
        mean.append(total / (255 * n))
        std.append(max(math.sqrt((n * squares - total**2) / n**2), 1) / 255)
    return tuple(mean), tuple(std)


def _entry(settings: DataSettings) -> DatasetEntry:
    if settings.name not in DATASETS:
        raise unknown_name("data set", settings.name, DATASETS)
    return DATASETS[settings.name]
