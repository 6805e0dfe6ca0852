"""Images of a data set by its settings: training images, test images, the halves of a search.

The facts of each data set are in `drnas_ray/data/facts.py`. Training and test images come
from different functions, and a search never calls the one for test images.
"""

from __future__ import annotations

import math
from pathlib import Path
from pkgutil import resolve_name

import torch

from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError
from drnas_ray.data.facts import DATASETS, DatasetFacts, Statistics, facts_of, side_of
from drnas_ray.data.files import data_root
from drnas_ray.data.images import DataInfo, ImageSet, Reader
from drnas_ray.data.splits import balanced_subset

LEAST_IMAGES = 4
"""Two for the weights and two for the architecture: batch norm needs two at a time."""


def check_data(settings: DataSettings) -> None:
    """Raise UserError, naming the value, where these settings can't work. Opens no image."""
    facts = facts_of(settings.name)
    _check_path_is_given(settings, facts)
    side = side_of(settings)
    for field in ("cutout", "crop_padding"):
        if ((value := getattr(settings, field)) or 0) > side:
            raise UserError(
                f"data.{field}={value} is wider than the {side} pixels of '{settings.name}': give "
                f"{side} or less"
            )
    wanted, available = settings.train_images, facts.train_images
    if wanted is not None and available is not None and wanted > available:
        raise UserError(
            f"data.train_images={wanted} is more than the {available} training images of "
            f"'{settings.name}': give {available} or fewer"
        )
    if facts.path_check is not None:
        path = Path(str(settings.path))
        try:
            exists = path.exists()
        except OSError as error:
            raise UserError(f"data.path can't be read: {error.strerror}") from error
        if not exists:
            raise UserError(
                f"data.path={path} doesn't exist: give the path of the '{settings.name}' files"
            )
        resolve_name(facts.path_check)(path)


def _check_path_is_given(settings: DataSettings, facts: DatasetFacts) -> None:
    """data.path and data.image_size are for the user's own files, which require data.path."""
    if facts.takes_path:
        if settings.path is None:
            raise UserError(
                f"data set '{settings.name}' needs data.path: give the path of its files"
            )
        return
    for field in ("path", "image_size"):
        if (value := getattr(settings, field)) is not None:
            own = " or ".join(f"'{name}'" for name, one in DATASETS.items() if one.takes_path)
            raise UserError(
                f"data.{field}={value} does not apply to data set '{settings.name}': leave it out, "
                f"or use {own}"
            )


def _reader(settings: DataSettings) -> Reader:
    reader: Reader = resolve_name(facts_of(settings.name).reader)
    return reader


def load_train(settings: DataSettings, root: Path | None) -> tuple[DataInfo, ImageSet]:
    """Facts of the data set and its training images, on the CPU; no test image is touched.

    root: where downloads and decoded images are kept; None: DRNAS_DATA_ROOT, else
    ~/.cache/drnas-ray. Raises UserError where settings don't fit or files are missing or damaged.
    """
    check_data(settings)
    facts = facts_of(settings.name)
    names, data = _reader(settings)(settings, data_root(root), "train")
    # Measured before a subset is taken: the published figures are those of the whole set too.
    mean, std = facts.statistics or channel_statistics(data)
    if settings.train_images is not None:
        chosen = balanced_subset(data.labels.numpy(), settings.train_images)
        data = data.take(torch.from_numpy(chosen))
    if len(data) < LEAST_IMAGES:
        raise UserError(
            f"data set '{settings.name}' has {len(data)} training images: {LEAST_IMAGES} or more "
            f"are needed"
        )
    _, channels, height, width = data.images.shape
    usual_padding = width // 8 if facts.crop_padding is None else facts.crop_padding
    return DataInfo(
        name=settings.name,
        class_names=names,
        channels=channels,
        height=height,
        width=width,
        mean=mean,
        std=std,
        crop_padding=usual_padding if settings.crop_padding is None else settings.crop_padding,
        flip=facts.flip if settings.flip is None else settings.flip,
        cutout=settings.cutout,
    ), data


def load_test(settings: DataSettings, root: Path | None) -> ImageSet:
    """The held-out test images on the CPU; errors and `root` as in `load_train`."""
    check_data(settings)
    return _reader(settings)(settings, data_root(root), "test")[1]


def search_halves(settings: DataSettings, root: Path | None) -> tuple[DataInfo, ImageSet, ImageSet]:
    """The training images cut in the middle, in order: one half for the weights, one for the
    architecture.

    With an odd number the second half has one more. Errors as in `load_train`.
    """
    info, data = load_train(settings, root)
    middle = len(data) // 2
    return info, data.take(slice(None, middle)), data.take(slice(middle, None))


def prepare(settings: DataSettings, root: Path | None) -> None:
    """Download and read everything once, so that errors show up now and trials find it ready."""
    load_train(settings, root)
    load_test(settings, root)


def channel_statistics(data: ImageSet) -> Statistics:
    """Mean and population deviation of each channel, of pixels in 0..1, counted exactly.

    A constant channel gets the deviation of one grey level, so that it can be divided by.
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
