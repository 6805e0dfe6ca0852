"""The table of data sets: all that is known about each without opening a file. Imports no torch.

A new data set is one entry in `DATASETS` and its reader: a function in a module of its own, or for
a data set of torchvision an entry in `drnas_ray/data/public.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError, unknown_name

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, of pixels in 0..1."""
DEFAULT_SIDE = 32
"""Side in pixels to which the user's own images are resized unless `data.image_size` is set."""


@dataclass(frozen=True)
class DataShape:
    """What a network must know about its data; side: of the square images, in pixels."""

    channels: int
    classes: int
    side: int


@dataclass(frozen=True)
class DatasetFacts:
    """One data set. classes, side and the counts are None where the user's own files decide.

    reader: `module:function`, a `drnas_ray.data.images.Reader`; loaded when images are read.
    """

    title: str
    """As papers write it."""
    reader: str
    channels: int
    classes: int | None = None
    side: int | None = None
    """Of the square images, in pixels."""
    train_images: int | None = None
    test_images: int | None = None
    crop_padding: int | None = None
    """Pixels around an image before it is cropped in training; None: an eighth of the side."""
    flip: bool = True
    """Whether training images are mirrored at random."""
    statistics: Statistics | None = None
    """None: measured on the training images."""
    path_check: str | None = None
    """Set for data sets at the user's `data.path`: `module:function`, called with that path; it
    raises UserError where no such data set can be there."""

    def count(self, part: str) -> int | None:
        """How many images a part (train or test) has; None where the user's files decide."""
        return self.train_images if part == "train" else self.test_images

    @property
    def takes_path(self) -> bool:
        """Whether the images are the user's own, at `data.path`."""
        return self.path_check is not None


_DATA = "drnas_ray.data"
_TORCHVISION = f"{_DATA}.public:read_public"
_CIFAR10: Statistics = (
    (0.49139968, 0.48215827, 0.44653124),
    (0.24703233, 0.24348505, 0.26158768),
)
_CIFAR100: Statistics = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
_IMAGENET16: Statistics = (
    (122.68 / 255, 116.66 / 255, 104.01 / 255),
    (63.22 / 255, 61.26 / 255, 65.09 / 255),
)

# Columns: title, reader, channels, classes, side, training images, test images, crop padding.
DATASETS: dict[str, DatasetFacts] = {
    "digits": DatasetFacts(
        "digits", f"{_DATA}.digits:read_digits", 1, 10, 8, 1_437, 360, 1, flip=False
    ),
    "cifar10": DatasetFacts(
        "CIFAR-10", _TORCHVISION, 3, 10, 32, 50_000, 10_000, 4, statistics=_CIFAR10
    ),
    "cifar100": DatasetFacts(
        "CIFAR-100", _TORCHVISION, 3, 100, 32, 50_000, 10_000, 4, statistics=_CIFAR100
    ),
    "svhn": DatasetFacts("SVHN", _TORCHVISION, 3, 10, 32, 73_257, 26_032, 4, flip=False),
    "fashion-mnist": DatasetFacts("Fashion-MNIST", _TORCHVISION, 1, 10, 28, 60_000, 10_000, 4),
    "imagenet16-120": DatasetFacts(
        "ImageNet16-120", f"{_DATA}.imagenet16:read_imagenet16_120", 3, 120, 16, 151_700, 6_000, 2,
        statistics=_IMAGENET16,
    ),
    "folder": DatasetFacts(
        "folder", f"{_DATA}.folder:read_folder", 3, path_check=f"{_DATA}.folder:check_folder"
    ),
    "parquet": DatasetFacts(
        "parquet", f"{_DATA}.parquet:read_parquet", 3, path_check=f"{_DATA}.parquet:check_parquet"
    ),
}  # fmt: skip


def facts_of(name: str) -> DatasetFacts:
    """The table's entry. Raises UserError, with the nearest known name, where there is none."""
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    return DATASETS[name]


def shape_of(data: DataSettings, classes: int | None = None) -> DataShape:
    """Channels, classes and side of a data set, without opening it.

    classes: of a data set of the user's own files; ignored for the others. Raises UserError where
    it is needed and missing, or where there is no such data set.
    """
    facts = facts_of(data.name)
    known = facts.classes if facts.classes is not None else classes
    if known is None:
        raise UserError(
            f"a network for data set '{data.label}' needs its number of classes: add --classes N"
        )
    return DataShape(facts.channels, known, side_of(data))


def side_of(data: DataSettings) -> int:
    """Side in pixels of the square images that a network gets. Raises UserError as `facts_of`."""
    return facts_of(data.name).side or data.image_size or DEFAULT_SIDE
